"""POSTs over real sockets: what is sent, and an outcome whatever happens."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.delivery import connections
from app.delivery.call_result import Failure
from app.delivery.connections import PartnerResponse
from app.delivery.deadline import watchdog
from app.delivery.http_client import Sender, Target
from app.delivery.presenters import detail_sentence
from tests.delivery.misbehaving import (
    HEAD,
    KILOBYTES,
    OK,
    FakePartner,
    Script,
    behaves,
    closes_after_the_request,
    drips_body,
    floods,
    resets_at_once,
    resets_in_the_body,
    responds,
    responds_and_closes,
    response,
)
from tests.delivery.posting import (
    BODY,
    IDS,
    LOOPBACK,
    NameServer,
    Transport,
    assert_complete,
    send,
    send_once,
    target_of,
)
from tests.waiting import wait_until


def test_post_arrives_unchanged_and_response_is_complete(sender: Sender) -> None:
    with FakePartner(responds(response(OK, "X-Trace: 7", "Set-Cookie: a=1", "X-Trace: 8"))) as partner:
        target = replace(target_of(partner, path="/api/req-confirm?v=0"), headers=(("X-Api-Key", "s3cret"),))
        result = send(sender, target)

    assert_complete(result)
    assert result.remote_address == f"127.0.0.1:{partner.port}"
    assert result.duration_ms > 0
    assert result.headers == (
        ("X-Trace", "7"),
        ("Set-Cookie", "a=1"),
        ("X-Trace", "8"),
        ("Content-Length", str(len(OK))),
    )
    assert (result.header("x-trace"), result.header("Location")) == ("7", "")
    (request,) = partner.received
    assert request.line == "POST /api/req-confirm?v=0 HTTP/1.1"
    assert request.body == BODY
    assert dict(request.headers) == {
        "Host": f"127.0.0.1:{partner.port}",
        "User-Agent": "po-confirm/1",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "X-Api-Key": "s3cret",
        "Idempotency-Key": "msg_01",
        "Accept-Encoding": "identity",
        "Content-Length": str(len(BODY)),
    }


def test_message_headers_win_over_partner_headers(sender: Sender) -> None:
    with FakePartner(behaves) as partner:
        headers = (("idempotency-key", "old"), ("content-type", "text/plain"))
        target = replace(target_of(partner), headers=headers)
        sender.post(target, BODY, {"Idempotency-Key": "msg_02", "CONTENT-TYPE": "application/json"})

    assert partner.received[0].header("idempotency-key") == "msg_02"
    assert partner.received[0].header("content-type") == "application/json"


def test_one_connection_carries_all_messages(sender: Sender, transport: Transport) -> None:
    with transport.partner(behaves) as partner:
        for _ in range(5):
            assert_complete(send(sender, transport.target(partner)))

    assert (partner.connections, len(partner.received)) == (1, 5)


@pytest.mark.parametrize("status", ["204 No Content", "200 OK"])
def test_empty_response_is_complete(sender: Sender, status: str) -> None:
    with FakePartner(responds(response(b"", status=status), response())) as partner:
        result = send(sender, target_of(partner))
        assert_complete(send(sender, target_of(partner)))

    assert (result.failure, result.body, result.body_size) == (None, b"", 0)
    assert partner.connections == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 429, 500, 503, 599])
def test_error_status_is_not_a_failure(sender: Sender, status: int) -> None:
    scripts = responds(response(b"no", "Retry-After: 3", status=f"{status} No"), response())
    with FakePartner(scripts) as partner:
        result = send(sender, target_of(partner))
        assert_complete(send(sender, target_of(partner)))

    assert (result.failure, result.status, result.body) == (None, status, b"no")
    assert result.header("retry-after") == "3"


def test_cookie_is_not_sent_with_next_message(sender: Sender) -> None:
    with FakePartner(responds(response(OK, "Set-Cookie: session=1; Path=/"), response())) as partner:
        send(sender, target_of(partner))
        send(sender, target_of(partner))

    assert partner.received[1].header("Cookie") is None


# --- Redirects


def test_redirect_is_a_response_and_never_followed(sender: Sender, transport: Transport) -> None:
    with transport.partner(behaves) as other:
        location = f"Location: {other.url()}"
        script = responds(response(b"moved", location, status="302 Found"), response())
        with transport.partner(script) as partner:
            result = send(sender, transport.target(partner))
            assert_complete(send(sender, transport.target(partner)))

    assert (result.failure, result.status, result.body) == (None, 302, b"moved")
    assert result.header("Location") == other.url()
    assert other.connections == 0


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_redirect_to_itself_is_requested_once(sender: Sender, status: str) -> None:
    with FakePartner(responds(*[response(b"", "Location: /hook", status=status)] * 40)) as partner:
        assert send(sender, target_of(partner)).status == int(status[:3])

    assert len(partner.received) == 1


@pytest.mark.parametrize("location", ["http://[", "//", "\x80\xff", "javascript:alert(1)", "http://a\tb/"])
def test_invalid_location_does_no_harm(sender: Sender, location: str) -> None:
    with FakePartner(responds(response(b"", f"Location: {location}", status="302 Found"))) as partner:
        result = send(sender, target_of(partner))

    assert (result.failure, result.status) == (None, 302)


# --- Nothing comes from the environment

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def test_netrc_and_proxies_of_the_environment_are_ignored(
    sender: Sender, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text(
        "machine 127.0.0.1 login asha password s3cret\ndefault login a password b\n"
    )
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with transport.partner(behaves) as proxy, transport.partner(behaves) as partner:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url(""))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert_complete(send(sender, transport.target(partner)))

    assert proxy.connections == 0
    assert partner.received[0].line == "POST /hook HTTP/1.1"
    assert partner.received[0].header("Authorization") is None


# --- Targets that cannot be used

BAD_URLS = [
    "",
    "partner.example/hook",
    "//partner.example/hook",
    "http:///hook",
    "http://",
    "https://:443/",
    "ftp://partner.example/",
    "file:///etc/passwd",
    "httpx://partner.example/",
    "http+unix://partner.example/",
    "http://user@partner.example/",
    "http://user:secret@partner.example/",
    "http://@partner.example/",
    "http://partner.example\\@127.0.0.1/",
    "http://partner.example:0/",
    "http://partner.example:65536/",
    "http://partner.example:port/",
    "http://partner example/",
    "http://partner.example/a b",
    "http://partner.example/\r\nX: y",
    "http://partner.example\n/",
    "http://partner.example\t/",
    "http://partner.example/\x00",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://%31%32%37.0.0.1/",
    "http://*.example/",
    "http://" + "a" * 64 + "ä.example/",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_invalid_url_is_a_bad_target_and_nothing_is_tried(sender: Sender, url: str) -> None:
    result = send(sender, Target(url, (), (ip_network("0.0.0.0/0"),), 10.0))

    assert (result.failure, result.sent, result.remote_address) == (Failure.BAD_TARGET, False, None)
    assert detail_sentence(result.detail).startswith("The ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Key", "a\r\nX-Admin: yes"),
        ("X-Key", "a\nb"),
        ("X-Key", "a\rb"),
        ("X-Key", "a\x00b"),
        ("X-Key", "₹"),
        ("X-Key\r\nX-Admin", "yes"),
        ("X Key", "a"),
        ("X-Key:", "a"),
        ("", "a"),
        ("Schlüssel", "a"),
        ("Host", "elsewhere.example"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
        ("Accept-Encoding", "gzip"),
        ("Upgrade", "h2c"),
    ],
)
def test_header_that_would_change_the_request_is_a_bad_target(sender: Sender, name: str, value: str) -> None:
    with FakePartner(behaves) as partner:
        results = [
            send(sender, replace(target_of(partner), headers=((name, value),))),
            sender.post(target_of(partner), BODY, {name: value}),
        ]

    for result in results:
        assert (result.failure, result.sent) == (Failure.BAD_TARGET, False)
        assert detail_sentence(result.detail).startswith("The header")
    assert partner.connections == 0


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("inf"), float("nan")])
def test_invalid_deadline_is_a_bad_target(sender: Sender, deadline: float) -> None:
    result = sender.post(Target("http://127.0.0.1:9/", (), LOOPBACK, deadline), BODY, IDS)

    assert (result.failure, result.sent) == (Failure.BAD_TARGET, False)


def test_international_name_is_looked_up_in_its_ascii_form(sender: Sender, names: NameServer) -> None:
    send(sender, Target("http://bücher.example/", (), (), 10.0))

    assert names.queries == ["xn--bcher-kva.example"]


# --- Anything else


def test_unexpected_error_becomes_a_result(
    sender: Sender, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("unexpected")

    with transport.partner(behaves) as partner:
        with monkeypatch.context() as patch:
            patch.setattr(sender._adapter, "send", fail)
            result = send(sender, transport.target(partner))
        assert_complete(send(sender, transport.target(partner)))

    assert (result.failure, result.sent) == (Failure.INTERNAL, False)
    assert detail_sentence(result.detail) == "Sending failed with an internal error: ValueError: unexpected."


@pytest.mark.parametrize("place", ["sockets", "certificates", "names"])
def test_lack_of_descriptors_is_not_the_partners_fault(
    sender: Sender, names: NameServer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    connections._context.cache_clear()
    target = Target("https://partner.example/", (), LOOPBACK, 10.0)
    names.answers["partner.example"] = [["127.0.0.1"]]
    with monkeypatch.context() as patch:
        if place == "sockets":
            patch.setattr(socket, "socket", exhausted)
        elif place == "certificates":
            patch.setattr(ssl.SSLContext, "load_verify_locations", exhausted)
        else:
            names.before = exhausted
        result = send(sender, target)

    assert (result.failure, result.sent) == (Failure.INTERNAL, False)
    assert detail_sentence(result.detail) == "This server has run out of a resource: Too many open files."


def test_keyboard_interrupt_is_raised_and_closes_the_connection(
    sender: Sender, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with transport.partner(responds(response()), behaves) as partner:
        with monkeypatch.context() as patch:
            patch.setattr(PartnerResponse, "read_body", interrupt)
            with pytest.raises(KeyboardInterrupt):
                sender.post(transport.target(partner), BODY, IDS)
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2
    assert watchdog.is_idle()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(tls: ssl.SSLContext, strict_tls: ssl.SSLContext, bundle: str) -> None:
    scripts: list[Script] = [
        behaves,
        resets_at_once,
        resets_in_the_body,
        closes_after_the_request,
        floods(HEAD + b"\r\n", KILOBYTES),
        floods(HEAD, b"X-More: and more\r\n" * 1000),
        responds_and_closes(response(OK, "Connection: close")),
        responds(response() + response()),
        drips_body,
    ]
    send_once(Target("http://127.0.0.1:9/", (), LOOPBACK, 1.0))  # starts the watchdog
    before = descriptors()
    for context in (None, tls, strict_tls):
        for script in scripts:
            with FakePartner(script, tls=context) as partner, Sender() as sender:
                target = replace(target_of(partner, 0.3), ca_bundle=bundle if context else "")
                for _ in range(3):
                    sender.post(target, BODY, IDS)
            wait_until(lambda: descriptors() <= before)
