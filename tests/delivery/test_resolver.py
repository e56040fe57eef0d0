"""Names and addresses: only allowed addresses are connected to."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from app.delivery import connections, resolver
from app.delivery.call_result import Failure
from app.delivery.http_client import Sender, Target
from app.delivery.presenters import detail_sentence
from app.delivery.resolver import Address
from tests.delivery.misbehaving import FakePartner, behaves, responds_and_closes, response
from tests.delivery.posting import (
    BODY,
    IDS,
    LOOPBACK,
    SHORT,
    NameServer,
    Transport,
    assert_complete,
    assert_late,
    send,
    send_once,
    target_of,
)
from tests.waiting import wait_until


def test_connection_uses_the_checked_address(sender: Sender, transport: Transport, names: NameServer) -> None:
    names.answers["partner.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    with transport.partner(responds_and_closes(response()), behaves) as partner:
        assert_complete(send(sender, transport.target(partner, host="partner.example")))
        assert names.queries == ["partner.example"]

        partner.wait_until_done()
        second = send(sender, transport.target(partner, host="partner.example"))

    assert (second.failure, second.sent) == (Failure.ADDRESS, False)
    assert (
        detail_sentence(second.detail)
        == "partner.example resolves to 169.254.169.254, which is not an allowed address."
    )
    assert partner.connections == 1


def test_only_allowed_addresses_of_several_are_tried(
    sender: Sender, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    connect = connections.connect_to

    def record(address: Address, seconds: float) -> socket.socket:
        tried.append(address.ip)
        return connect(address, seconds)

    monkeypatch.setattr(connections, "connect_to", record)
    names.answers["partner.example"] = [["10.0.0.1", "::1", "fe80::1%eth0", "169.254.169.254", "127.0.0.1"]]
    with FakePartner(behaves) as partner:
        assert_complete(send(sender, target_of(partner, host="partner.example")))

    assert tried == ["127.0.0.1"]


def test_next_address_is_tried_if_one_refuses(sender: Sender, names: NameServer) -> None:
    names.answers["partner.example"] = [["127.0.0.9", "127.0.0.1"]]
    with FakePartner(behaves) as partner:
        result = send(sender, target_of(partner, host="partner.example"))

    assert_complete(result)
    assert result.remote_address == f"127.0.0.1:{partner.port}"


def test_next_address_is_tried_if_this_machine_lacks_its_family(
    sender: Sender, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = connections.connect_to

    def without_ipv6(address: Address, seconds: float) -> socket.socket:
        if address.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return connect(address, seconds)

    monkeypatch.setattr(connections, "connect_to", without_ipv6)
    names.answers["partner.example"] = [["2606:4700::1", "127.0.0.1"], ["2606:4700::1"]]
    with FakePartner(responds_and_closes(response())) as partner:
        assert_complete(send(sender, target_of(partner, host="partner.example")))
        partner.wait_until_done()
        alone = send(sender, target_of(partner, host="partner.example"))

    assert (alone.failure, alone.sent) == (Failure.INTERNAL, False)


@contextlib.contextmanager
def full_backlog(host: str) -> Iterator[int]:
    """A port with a full backlog: connections are neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]


def test_silent_address_leaves_time_for_the_next_one(sender: Sender, names: NameServer) -> None:
    names.answers["partner.example"] = [["127.0.0.9", "127.0.0.1"]]
    with full_backlog("127.0.0.9") as port:
        refused = sender.post(Target(f"http://partner.example:{port}/", (), LOOPBACK, 1.0), BODY, IDS)

    assert (refused.failure, refused.sent) == (Failure.CONNECT, False)
    assert "127.0.0.1" in detail_sentence(refused.detail)


def test_partner_that_accepts_no_connection_is_cut_at_the_deadline(sender: Sender) -> None:
    with full_backlog("127.0.0.1") as port:
        result = send(sender, Target(f"http://127.0.0.1:{port}/", (), LOOPBACK, SHORT))

    assert_late(result, sent=False)
    assert "Could not connect" in detail_sentence(result.detail)


def test_closed_port_fails_and_nothing_is_sent(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = send(sender, Target(f"http://127.0.0.1:{port}/", (), LOOPBACK, 10.0))

    assert (result.failure, result.sent) == (Failure.CONNECT, False)
    assert detail_sentence(result.detail) == f"Could not connect to 127.0.0.1:{port}: Connection refused."


FORBIDDEN = """
127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 017700000001 0177.0.0.1 localhost 0.0.0.0 [::1] [::]
[::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::ffff:169.254.169.254] [::ffff:0a00:0001]
[::ffff:0:127.0.0.1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] [fe80::1] [fec0::1] [fc00::1]
[fd00:ec2::254] [ff02::1] [5f00::1] 0 100.64.0.1 168.63.129.16 224.0.0.1 255.255.255.255
0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 2852039166 169.254.169.254 10.0.0.1 192.88.99.1
"""


@pytest.mark.parametrize("host", FORBIDDEN.split())
def test_forbidden_address_is_refused_in_every_spelling(sender: Sender, host: str) -> None:
    with FakePartner(behaves) as partner:
        result = send(sender, replace(target_of(partner, host=host), allowed=()))

    assert (result.failure, result.sent) == (Failure.ADDRESS, False)
    assert partner.connections == 0


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_ipv6_address_is_connected_to_and_written_in_brackets(sender: Sender, transport: Transport) -> None:
    if not has_ipv6():  # then the failure is this machine's, and nothing is sent
        result = send(sender, Target("http://[::1]:9/", (), (ip_network("::1/128"),), 10.0))
        assert (result.failure in (Failure.INTERNAL, Failure.CONNECT), result.sent) == (True, False)
        return
    with transport.partner(behaves, host="::1") as partner:
        target = replace(transport.target(partner, host="[::1]"), allowed=(ip_network("::1/128"),))
        result = send(sender, target)

    assert_complete(result)
    assert result.remote_address == f"[::1]:{partner.port}"
    assert partner.received[0].header("Host") == f"[::1]:{partner.port}"


def test_mapped_ipv4_address_is_connected_to_as_ipv4(sender: Sender) -> None:
    with FakePartner(behaves) as partner:
        result = send(sender, target_of(partner, host="[::ffff:127.0.0.1]"))

    assert_complete(result)
    assert result.remote_address == f"127.0.0.1:{partner.port}"


def test_changed_allow_list_applies_to_open_connections(sender: Sender) -> None:
    with FakePartner(behaves) as partner:
        assert_complete(send(sender, target_of(partner)))
        result = send(sender, replace(target_of(partner), allowed=()))

    assert result.failure is Failure.ADDRESS
    assert len(partner.received) == 1


@pytest.mark.usefixtures("names")
def test_unknown_name_is_reported(sender: Sender) -> None:
    result = send(sender, Target("https://nobody.example/", (), (), 10.0))

    assert (result.failure, result.sent) == (Failure.NAME, False)
    assert (
        detail_sentence(result.detail)
        == "The DNS lookup of nobody.example failed: Name or service not known."
    )


def test_slow_lookup_is_abandoned_and_not_repeated(names: NameServer) -> None:
    release = threading.Event()
    names.before = release.wait
    names.answers["slow.example"] = [["127.0.0.1"]]
    try:
        with FakePartner(behaves) as partner:
            target = target_of(partner, SHORT, host="slow.example")
            results = [send_once(target), send_once(target)]
            # It does not delay other calls.
            assert_complete(send_once(target_of(partner)))
    finally:
        release.set()

    for result in results:
        assert_late(result, sent=False)
        assert detail_sentence(result.detail) == "The DNS lookup of slow.example did not finish within 0.5 s."
    assert names.queries == ["slow.example"]
    wait_until(lambda: not any(thread.name == "post-lookup" for thread in threading.enumerate()))


def test_lookups_at_the_same_time_are_limited(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUPS_MAX", 1)
    release = threading.Event()
    names.before = release.wait
    try:
        send_once(Target("http://one.example/", (), (), 0.2))
        result = send_once(Target("http://two.example/", (), (), 0.2))
    finally:
        release.set()

    assert (result.failure, result.sent) == (Failure.NAME, False)
    assert names.queries == ["one.example"]
