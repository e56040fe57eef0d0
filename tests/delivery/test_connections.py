"""Connections that are kept, closed, reset or replaced."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from app.delivery import http_client
from app.delivery.call_result import Failure
from app.delivery.http_client import Sender
from app.delivery.presenters import detail_sentence
from tests.delivery.misbehaving import (
    HEAD,
    OK,
    Connection,
    FakePartner,
    Script,
    behaves,
    closes_after_the_request,
    closes_at_once,
    drips_body,
    resets_after_the_request,
    resets_in_the_body,
    responds,
    responds_and_closes,
    responds_once_then,
    response,
)
from tests.delivery.posting import BODY, IDS, LARGE, SHORT, Transport, assert_complete, send, target_of


def half_closes_after_the_request(connection: Connection) -> None:
    connection.receive()
    connection.half_close()


def resets_in_the_head(connection: Connection) -> None:
    connection.receive()
    connection.send(HEAD + b"Content-Ty")
    connection.pause(0.1)
    connection.reset()


BREAKS: list[Script] = [
    closes_at_once,
    resets_after_the_request,
    closes_after_the_request,
    half_closes_after_the_request,
    resets_in_the_head,
    resets_in_the_body,
]


@pytest.mark.parametrize("script", BREAKS)
def test_broken_connection_is_a_reset_and_message_may_have_arrived(
    sender: Sender, transport: Transport, script: Script
) -> None:
    with transport.partner(script, behaves) as partner:
        result = send(sender, transport.target(partner))
        assert_complete(send(sender, transport.target(partner)))

    # Over TLS, Python 3.11 reports a reset during a response as its end: such a response is malformed.
    may_end = transport.tls is not None and script in (resets_in_the_head, resets_in_the_body)
    assert result.failure is Failure.RESET or (may_end and result.failure is Failure.MALFORMED_RESPONSE)
    assert detail_sentence(result.detail).startswith("The partner")
    assert result.sent


@pytest.mark.parametrize(
    ("status", "failure"), [("413 Too Large", None), ("401 Unauthorized", None), ("200 OK", Failure.RESET)]
)
def test_early_refusal_counts_and_early_success_does_not(
    sender: Sender, transport: Transport, status: str, failure: Failure | None
) -> None:
    def responds_early(connection: Connection) -> None:
        connection.send(response(OK, status=status))
        connection.pause(0.2)

    with transport.partner(responds_early, behaves) as partner:
        result = send(sender, transport.target(partner), LARGE)
        assert_complete(send(sender, transport.target(partner)))

    assert (result.failure, result.sent) == (failure, True)
    assert result.status == (None if failure else int(status[:3]))
    assert partner.connections == 2


def test_part_of_a_reset_response_is_kept(sender: Sender, transport: Transport) -> None:
    with transport.partner(resets_in_the_body) as partner:
        result = send(sender, transport.target(partner))

    assert (result.status, result.body, result.body_size) == (200, b"12345", 100)


def test_reset_after_the_complete_response_is_ignored(sender: Sender, transport: Transport) -> None:
    def resets_after_the_response(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        connection.pause(0.1)
        connection.reset()

    with transport.partner(resets_after_the_response, behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        partner.wait_until_done()
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


def test_kept_connection_closed_by_the_partner_is_replaced(sender: Sender, transport: Transport) -> None:
    with transport.partner(responds_and_closes(response()), behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        partner.wait_until_done()
        assert_complete(send(sender, transport.target(partner)))

    assert (partner.connections, len(partner.received)) == (2, 2)


@pytest.mark.parametrize("script", [resets_after_the_request, closes_after_the_request])
def test_broken_kept_connection_is_a_reset_and_not_posted_twice(
    sender: Sender, transport: Transport, script: Script
) -> None:
    with transport.partner(responds_once_then(script), behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        broken = send(sender, transport.target(partner))

    assert (broken.failure, broken.sent) == (Failure.RESET, True)
    assert (partner.connections, len(partner.received)) == (1, 2)


def test_idle_connection_is_not_reused(
    sender: Sender, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "IDLE_SECONDS_MAX", 0)
    with transport.partner(behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


def test_sender_keeps_few_connections_however_many_targets(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "POOLS_MAX", 2)
    with FakePartner(behaves) as partner:
        for number in range(10):
            assert_complete(send(sender, target_of(partner, path=f"/{number}")))
        assert len(sender._pools) == 2
        assert_complete(send(sender, target_of(partner, path="/9")))

    assert partner.connections == 10


def test_idle_connections_to_other_partners_are_closed(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    def notices(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        connection.stall()
        closed.set()

    monkeypatch.setattr(http_client, "IDLE_SECONDS_MAX", 0)
    with FakePartner(notices) as quiet, FakePartner(behaves) as busy:
        assert_complete(send(sender, target_of(quiet)))
        assert_complete(send(sender, target_of(busy)))
        assert closed.wait(5)


def test_closed_sender_has_no_connection_and_may_send_again() -> None:
    with FakePartner(behaves) as partner:
        sender = Sender()
        assert_complete(send(sender, target_of(partner)))
        sender.close()
        sender.close()
        assert_complete(send(sender, target_of(partner)))
        sender.close()

    assert partner.connections == 2


def test_forked_child_has_its_own_connection_and_deadline(sender: Sender, transport: Transport) -> None:
    with transport.partner(responds(response(), response()), drips_body) as partner:
        target = transport.target(partner, SHORT)
        assert_complete(send(sender, target))
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)  # ends the child if its deadline does not
            result = sender.post(target, BODY, IDS)
            os._exit(0 if result.failure is Failure.TIMEOUT else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert_complete(send(sender, target))

    assert partner.connections == 2
