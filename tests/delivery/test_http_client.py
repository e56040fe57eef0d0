"""POSTs against partners that misbehave, over real sockets: each ends in time and reports what happened."""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import os
import signal
import socket
import ssl
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from urllib3.connection import HTTPSConnection

from app.delivery import connections, http_client, resolver
from app.delivery.call_result import BODY_CAP, CallResult, Detail, Failure
from app.delivery.connections import PartnerResponse
from app.delivery.deadline import Call, watchdog
from app.delivery.http_client import Sender, Target
from app.delivery.presenters import detail_sentence
from app.delivery.resolver import Address
from tests.delivery.misbehaving import (
    OK,
    Connection,
    FakePartner,
    Script,
    behaves,
    chunk,
    responds,
    responds_and_closes,
    response,
    server_context,
)

LOOPBACK = (ip_network("127.0.0.0/8"),)
BODY = '{"poConfirmation":{"supplierRemarks":"₹ 5"}}'.encode()
IDS = {"Idempotency-Key": "msg_01"}
LARGE = b"x" * 32 * 1024 * 1024
SHORT = 0.5
BOUND = 5.0
"""Seconds within which a call with the short deadline must end, however busy the machine is."""
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def sender() -> Iterator[Sender]:
    with Sender() as sender:
        yield sender


def target_of(
    partner: FakePartner, deadline: float = 10.0, host: str = "127.0.0.1", path: str = "/hook"
) -> Target:
    return Target(partner.url(path, host), (), LOOPBACK, deadline)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("partner.example", "127.0.0.1", "::1"))


@dataclass(frozen=True)
class Transport:
    """How a partner is reached: in clear text or over TLS."""

    tls: ssl.SSLContext | None
    bundle: str

    def partner(self, *scripts: Script, host: str = "127.0.0.1") -> FakePartner:
        return FakePartner(*scripts, tls=self.tls, host=host)

    def target(self, partner: FakePartner, *args: Any, **options: Any) -> Target:
        return replace(target_of(partner, *args, **options), ca_bundle=self.bundle)


@pytest.fixture(params=["plain", "TLS"])
def transport(request: pytest.FixtureRequest, tls: ssl.SSLContext, bundle: str) -> Transport:
    return Transport(tls, bundle) if request.param == "TLS" else Transport(None, "")


@contextlib.contextmanager
def memory_bounded(mebibytes: float = 4) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 1024 * 1024


def send(sender: Sender, target: Target, body: bytes = BODY) -> CallResult:
    """POST, and assert that the call ends in time."""
    started = time.monotonic()
    result = sender.post(target, body, IDS)
    assert time.monotonic() - started < (BOUND if target.deadline <= SHORT else target.deadline + 5)
    return result


def send_once(target: Target) -> CallResult:
    with Sender() as sender:
        return sender.post(target, BODY, IDS)


def assert_complete(result: CallResult, body: bytes = OK) -> None:
    assert (result.failure, result.detail, result.status) == (None, Detail(), 200)
    assert (result.body, result.body_size) == (body, len(body))
    assert (result.truncated, result.sent) == (False, True)


def assert_late(result: CallResult, *, sent: bool = True) -> None:
    assert (result.failure, result.sent) == (Failure.TIMEOUT, sent)
    assert detail_sentence(result.detail).endswith(("within 0.5 s.", "after 0.5 s."))


def assert_malformed(result: CallResult) -> None:
    assert (result.failure, result.sent) == (Failure.MALFORMED_RESPONSE, True), result
    assert detail_sentence(result.detail).startswith("The partner's HTTP response is malformed")


# --- A partner without faults


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
def test_error_status_is_no_failure(sender: Sender, status: int) -> None:
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


# --- Responses that any ordinary client accepts

ACCEPTED_AND_REUSED = {
    "chunked": CHUNKED + chunk(OK[:5]) + chunk(OK[5:]) + chunk(b""),
    "chunk extensions and trailers": HEAD
    + b"Transfer-Encoding: Chunked\r\n\r\n"
    + b"%X;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(OK), OK),
    "chunks of one byte": CHUNKED
    + b"".join(chunk(OK[place : place + 1]) for place in range(len(OK)))
    + chunk(b""),
    "HTTP/1.0 with keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 19\r\n\r\n"
    + OK,
    "bare line feeds": b"HTTP/1.1 200\nContent-Length: 19, 19\n\n" + OK,
    "100 Continue": b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" * 2 + response(),
    "folded header": response(OK, "X-Folded: a", " b"),
    "identity coding": response(OK, "Transfer-Encoding: identity"),
}
ACCEPTED_THEN_CLOSED = {
    "102 Processing": b"HTTP/1.1 102 Processing\r\n\r\n" + response(),
    "103 Early Hints twice": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2 + response(),
    "blank before the colon": HEAD + b"Content-Length : 19\r\nX-A\t: b\r\n\r\n" + OK,
    "longer than declared": response() + b"more",
    "two responses in one packet": response() + response(b"for nobody"),
    "more after the last chunk": CHUNKED + chunk(OK) + chunk(b"") + b"more",
    "length and chunks": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(OK)
    + chunk(b""),
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK) + chunk(b""),
    "line without a colon": HEAD + b"Content-Length: 19\r\nnonsense\r\n\r\n" + OK,
    "close": response(OK, "Connection: close"),
    "close among others": response(OK, "Connection: keep-alive", "CONNECTION: x,\t Close ,"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 19\r\n\r\n" + OK,
    "HTTP/1.0 keep-alive and close": b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n"
    b"Content-Length: 19\r\n\r\n" + OK,
}
ENDED_BY_CLOSE = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + OK,
    "HTTP/1.1": b"HTTP/1.1 200 OK\r\n\r\n" + OK,
    "close with a length": response(OK, "Connection: close"),
    "close with chunks": HEAD
    + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(OK)
    + chunk(b""),
}


@pytest.mark.parametrize("data", ACCEPTED_AND_REUSED.values(), ids=ACCEPTED_AND_REUSED)
def test_unusual_response_is_read_and_connection_reused(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds(data, response())) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 1


@pytest.mark.parametrize("data", ACCEPTED_THEN_CLOSED.values(), ids=ACCEPTED_THEN_CLOSED)
def test_ambiguous_response_is_read_and_connection_not_reused(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds(data, response(b"A")), responds(response(b"B"))) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)), b"B")


@pytest.mark.parametrize("data", ENDED_BY_CLOSE.values(), ids=ENDED_BY_CLOSE)
def test_response_may_end_with_the_connection(sender: Sender, transport: Transport, data: bytes) -> None:
    with transport.partner(responds_and_closes(data), behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


GZIPPED = gzip.compress(OK, mtime=0)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", gzip.compress(OK, mtime=0)),
        ("X-GZIP", gzip.compress(OK, mtime=0)),
        ("deflate", zlib.compress(OK)),
    ],
)
def test_unrequested_compressed_response_is_decompressed(sender: Sender, coding: str, data: bytes) -> None:
    with FakePartner(responds(response(data, f"Content-Encoding: {coding}"), response())) as partner:
        assert_complete(send(sender, target_of(partner)))
        assert_complete(send(sender, target_of(partner)))

    assert partner.received[0].header("Accept-Encoding") == "identity"


def test_body_that_is_not_gzip_as_declared_is_kept_as_received(sender: Sender) -> None:
    with FakePartner(responds(response(OK, "Content-Encoding: gzip"))) as partner:
        assert_complete(send(sender, target_of(partner)))


# --- The deadline covers the whole call


def drips_headers(connection: Connection) -> None:
    connection.receive()
    connection.drip(HEAD + b"X-A: b\r\n" * 1000)


def drips_body(connection: Connection) -> None:
    connection.receive()
    connection.send(HEAD + b"Content-Length: 10000\r\n\r\n")
    connection.drip(b"x" * 10000)


def drips_chunks(connection: Connection) -> None:
    connection.receive()
    connection.send(CHUNKED)
    connection.drip(chunk(b"x") * 1000)


def drips_without_end(connection: Connection) -> None:
    connection.receive()
    connection.send(HEAD + b"\r\n")
    connection.drip(OK + b" " * 10000)


def drips_continues(connection: Connection) -> None:
    connection.receive()
    connection.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, every=0.01)


def stops_after_the_head(connection: Connection) -> None:
    connection.receive()
    connection.send(HEAD + b"Content-Length: 100\r\n\r\n")
    connection.stall()


def never_responds(connection: Connection) -> None:
    connection.receive()
    connection.stall()


def never_reads(connection: Connection) -> None:
    connection.ignore()


SLOW: list[Script] = [
    drips_headers,
    drips_body,
    drips_chunks,
    drips_without_end,
    drips_continues,
    never_responds,
    never_reads,
]


@pytest.mark.parametrize("script", SLOW)
def test_slow_partner_is_cut_at_the_deadline(sender: Sender, transport: Transport, script: Script) -> None:
    with transport.partner(script) as partner:
        assert_late(send(sender, transport.target(partner, SHORT)))


def responds_once_then(script: Script) -> Script:
    def respond(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        script(connection)

    return respond


@pytest.mark.parametrize("script", [drips_headers, drips_body, never_responds])
def test_deadline_holds_on_reused_connection(sender: Sender, transport: Transport, script: Script) -> None:
    with transport.partner(responds_once_then(script)) as partner:
        assert_complete(send(sender, transport.target(partner, SHORT)))
        assert_late(send(sender, transport.target(partner, SHORT)))
        assert partner.connections == 1


def test_partner_that_does_not_read_the_request_is_cut_at_the_deadline(
    sender: Sender, transport: Transport
) -> None:
    with transport.partner(never_reads) as partner:
        assert_late(send(sender, transport.target(partner, SHORT), LARGE))


@pytest.mark.parametrize("script", [never_responds, never_reads])
def test_signals_do_not_prolong_a_call(sender: Sender, transport: Transport, script: Script) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        with transport.partner(script) as partner:
            result = sender.post(transport.target(partner, SHORT), b"x" * 8 * 1024 * 1024, IDS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert_late(result)
    assert result.duration_ms < 1000 * BOUND


@pytest.mark.parametrize("script", [never_responds, stops_after_the_head])
def test_socket_timeout_ends_the_call_if_the_watchdog_sleeps(
    sender: Sender, transport: Transport, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Call, "expire", lambda _: None)
    with transport.partner(script, behaves) as partner:
        result = send(sender, transport.target(partner, SHORT))
        assert_complete(send(sender, transport.target(partner)))

    assert_late(result)


def test_after_a_cut_the_next_message_gets_a_new_connection(sender: Sender, transport: Transport) -> None:
    with transport.partner(drips_body, behaves) as partner:
        late = send(sender, transport.target(partner, SHORT))
        assert_complete(send(sender, transport.target(partner, SHORT)))

    assert_late(late)
    assert (late.status, late.body_size, late.truncated) == (200, 10000, False)
    assert late.body == b"x" * len(late.body) != b""
    assert partner.connections == 2


def test_stalled_partner_delays_no_other_sender() -> None:
    with FakePartner(never_responds) as stuck, FakePartner(behaves) as healthy:
        held = threading.Thread(target=lambda: send_once(target_of(stuck, 3.0)))
        held.start()
        stuck.wait_for(lambda: bool(stuck.received))
        with Sender() as sender:
            for _ in range(20):
                assert_complete(send(sender, target_of(healthy)))
        assert held.is_alive()
    held.join()


def test_one_thread_cuts_many_calls_at_different_deadlines() -> None:
    results: list[CallResult] = []
    with FakePartner(never_responds) as partner:
        calls = [
            threading.Thread(target=lambda late=late: results.append(send_once(target_of(partner, late))))
            for late in (0.9, 0.3, 0.6, 0.5, 0.2, 0.4)
        ]
        started = time.monotonic()
        for call in calls:
            call.start()
        for call in calls:
            call.join()

    assert time.monotonic() - started < BOUND
    assert [result.failure for result in results] == [Failure.TIMEOUT] * 6
    assert sum(thread.name == "post-watchdog" for thread in threading.enumerate()) == 1


# --- Memory is bounded


def floods(start: bytes, repeat: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(start)
        while True:
            connection.send(repeat)

    return script


KILOBYTES = b"x" * 65536
ENDLESS_BODIES: dict[str, tuple[Script, int | None]] = {
    "until close": (floods(HEAD + b"\r\n", KILOBYTES), None),
    "chunks": (floods(CHUNKED, chunk(KILOBYTES)), None),
    "one enormous chunk": (floods(CHUNKED + b"FFFFFFFFFFFF\r\n", KILOBYTES), None),
    "a declared terabyte": (floods(HEAD + b"Content-Length: 1000000000000\r\n\r\n", KILOBYTES), 10**12),
}


@pytest.mark.parametrize(("script", "size"), ENDLESS_BODIES.values(), ids=ENDLESS_BODIES)
def test_endless_body_is_read_up_to_the_cap(
    sender: Sender, transport: Transport, script: Script, size: int | None
) -> None:
    with transport.partner(script, behaves) as partner:
        with memory_bounded():
            result = send(sender, transport.target(partner))
        assert_complete(send(sender, transport.target(partner)))

    assert (result.failure, result.status, result.truncated) == (None, 200, True)
    assert result.body == b"x" * BODY_CAP
    assert result.body_size == size


def test_body_at_the_cap_is_complete_and_one_byte_more_is_truncated(sender: Sender) -> None:
    with FakePartner(responds(response(b"x" * BODY_CAP), response(b"x" * (BODY_CAP + 1)))) as partner:
        complete, cut = send(sender, target_of(partner)), send(sender, target_of(partner))

    assert_complete(complete, b"x" * BODY_CAP)
    assert (cut.truncated, len(cut.body), cut.body_size) == (True, BODY_CAP, BODY_CAP + 1)


@cache
def compressed_bomb() -> bytes:
    """200 MB of zeros in a few hundred kilobytes; packing them takes half a second."""
    packer = zlib.compressobj(6, wbits=31)
    return b"".join([*(packer.compress(b"0" * 1_000_000) for _ in range(200)), packer.flush()])


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
def test_compressed_bomb_is_decompressed_up_to_the_cap(
    sender: Sender, transport: Transport, status: str
) -> None:
    data = response(compressed_bomb(), "Content-Encoding: gzip", "Location: /elsewhere", status=status)
    with transport.partner(responds(data)) as partner, memory_bounded():
        result = send(sender, transport.target(partner))

    assert (result.failure, result.truncated, result.body_size) == (None, True, None)
    assert result.body == b"0" * BODY_CAP


FLOODS = {
    "header": floods(HEAD + b"X-Long: ", KILOBYTES),
    "headers": floods(HEAD, b"X-More: and more\r\n" * 1000),
    "100 Continue": floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "103 Early Hints": floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "status line": floods(b"HTTP/1.1 200 ", KILOBYTES),
    "trailers": floods(CHUNKED + chunk(OK) + b"0\r\n", b"X-More: and more\r\n" * 1000),
    "chunks of one byte": floods(CHUNKED, b"1\r\nx\r\n" * 1000),
    "chunk extensions": floods(CHUNKED, (b"2;" + b"y" * 1000 + b"\r\nxx\r\n") * 50),
    "chunk line": floods(CHUNKED + b"2;", KILOBYTES),
    "chunk of size -1": floods(CHUNKED + b"-1\r\n", KILOBYTES),
}


@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS)
def test_flood_outside_the_body_ends_call_and_connection(
    sender: Sender, transport: Transport, script: Script
) -> None:
    with transport.partner(script, behaves) as partner:
        with memory_bounded():
            assert_malformed(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))


HARD_TO_PARSE = {
    "status line of blanks": b"HTTP/1.1 200" + b" " * 60_000 + b"\rx\r\n",
    "blanks before the status": b"HTTP/1.1" + b" \t" * 30_000 + b"\r\n",
    "name without a colon": HEAD + b"X" * 60_000 + b"\r\n",
    "blanks before a missing colon": HEAD + b"X" + b" " * 60_000 + b"\r\n",
    "value of blanks": HEAD + b"X:" + b" " * 60_000 + b"\rx\r\n",
    "folded ten thousand times": HEAD + b"X: a\r\n" + b" a\n" * 20_000 + b"\x00\n",
    "tokens without end": HEAD + b"Transfer-Encoding: " + b"," * 60_000 + b"\r\n\r\n",
    "chunk line of blanks": CHUNKED + b"2" + b" " * 999 + b"\rx\n",
}


@pytest.mark.parametrize("data", HARD_TO_PARSE.values(), ids=HARD_TO_PARSE)
def test_response_that_is_hard_to_parse_costs_little_time(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds_and_closes(data), behaves) as partner:
        before = time.process_time()
        assert_malformed(send(sender, transport.target(partner)))
        assert time.process_time() - before < BOUND
        assert_complete(send(sender, transport.target(partner)))


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


# --- Resets and closed connections


def resets_at_once(connection: Connection) -> None:
    connection.reset()


def closes_at_once(_: Connection) -> None:
    pass


def resets_after_the_request(connection: Connection) -> None:
    connection.receive()
    connection.reset()


def closes_after_the_request(connection: Connection) -> None:
    connection.receive()


def half_closes_after_the_request(connection: Connection) -> None:
    connection.receive()
    connection.half_close()


def resets_in_the_head(connection: Connection) -> None:
    connection.receive()
    connection.send(HEAD + b"Content-Ty")
    connection.pause(0.1)
    connection.reset()


def resets_in_the_body(connection: Connection) -> None:
    connection.receive()
    connection.send(HEAD + b"Content-Length: 100\r\n\r\n12345")
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
    ("status", "failure"),
    [("413 Too Large", None), ("401 Unauthorized", None), ("200 OK", Failure.RESET)],
)
def test_early_refusal_counts_but_no_early_success(
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
        time.sleep(0.2)
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


def test_kept_connection_closed_by_the_partner_is_replaced(sender: Sender, transport: Transport) -> None:
    with transport.partner(responds_and_closes(response()), behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        time.sleep(0.2)
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
    monkeypatch.setattr(http_client, "IDLE_SECONDS_MAX", 0.05)
    with transport.partner(behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        time.sleep(0.1)
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


# --- Misleading responses


def test_late_response_is_not_taken_for_the_next_one(sender: Sender, transport: Transport) -> None:
    def hints_then_responds_twice(connection: Connection) -> None:
        connection.receive()
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        connection.pause(0.2)
        connection.send(response(b"meant for A"))
        connection.pause(0.1)
        connection.send(response(b"meant for nobody"))
        connection.stall()

    with transport.partner(hints_then_responds_twice, responds(response(b"meant for B"))) as partner:
        assert_complete(send(sender, transport.target(partner)), b"meant for A")
        time.sleep(0.3)
        assert_complete(send(sender, transport.target(partner)), b"meant for B")


def test_unrequested_response_is_not_taken_for_the_next_one(sender: Sender, transport: Transport) -> None:
    def responds_twice(connection: Connection) -> None:
        connection.receive()
        connection.send(response(b"meant for A"))
        connection.pause(0.1)
        connection.send(response(b"meant for nobody"))
        connection.stall()

    with transport.partner(responds_twice, responds(response(b"meant for B"))) as partner:
        assert_complete(send(sender, transport.target(partner)), b"meant for A")
        time.sleep(0.3)
        assert_complete(send(sender, transport.target(partner)), b"meant for B")


MALFORMED = {
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "an unknown status": response(status="999 Denied"),
    "two lengths": HEAD + b"Content-Length: 19\r\nContent-Length: 20\r\n\r\n" + OK,
    "two lengths in one": HEAD + b"Content-Length: 19, 20\r\n\r\n" + OK,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + OK,
    "a signed length": HEAD + b"Content-Length: +19\r\n\r\n" + OK,
    "a length in words": HEAD + b"Content-Length: nineteen\r\n\r\n" + OK,
    "a length of 5,000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + OK,
    "a length after a no-break space": HEAD + b"Content-Length: \xa019\r\n\r\n" + OK,
    "a folded length": HEAD + b"Content-Length: 1\r\n 9\r\n\r\n" + OK,
    "an empty length": HEAD + b"Content-Length: 19\r\nContent-Length:\r\n\r\n" + OK,
    "chunks twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + chunk(b""),
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(b""),
    "a coding after a control character": HEAD + b"Transfer-Encoding: \x85chunked\r\n\r\n" + chunk(b""),
    "a chunk without a size": CHUNKED + b"\r\n" + OK,
    "a chunk longer than its size": CHUNKED + b"2\r\n1234\r\n",
    "only headers that cannot be read": HEAD + b"invalid\r\nContent-Length: 19\r\n\r\n" + OK,
    "a folded first header": HEAD + b" folded\r\nnonsense\r\n\r\n" + OK,
    "101 headers": HEAD + b"X-A: b\r\n" * 101 + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "no status line": OK + b"\n",
    "a mail server": b"220 mail.example ESMTP\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_response_is_a_failure_and_connection_not_reused(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds(data), behaves) as partner:
        assert_malformed(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


@pytest.mark.parametrize(
    ("data", "quote"),
    [
        (b"220 mail.example ESMTP\r\n", "'220 mail.example ESMTP'"),
        (b"Bearer " + b"s3cret" * 6 + b" and more words than are quoted\r\n", "'Bearer'"),
        (b"s3cret" * 9 + b"\r\n", "'s3crets3'"),
    ],
)
def test_malformed_response_is_quoted_without_partial_secrets(
    sender: Sender, data: bytes, quote: str
) -> None:
    with FakePartner(responds(data)) as partner:
        result = send(sender, target_of(partner))

    assert (
        detail_sentence(result.detail) == f"The partner's HTTP response is malformed: it begins with {quote}."
    )


def test_control_characters_in_headers_are_replaced(sender: Sender) -> None:
    with FakePartner(responds(response(OK, "X-A: a\0b", "X-B: a", "  b"))) as partner:
        result = send(sender, target_of(partner))

    assert_complete(result)
    assert result.headers[:2] == (("X-A", "a b"), ("X-B", "a b"))


CUT = {
    "in the status line": b"HTTP/1.1 2",
    "after the status line": HEAD,
    "in a header": HEAD + b"Content-Le",
    "between the headers": HEAD + b"Content-Length: 19\r\n",
    "before the body": HEAD + b"Content-Length: 19\r\n\r\n",
    "in the body": HEAD + b"Content-Length: 100\r\n\r\n" + OK,
    "in a chunk": CHUNKED + b"64\r\n" + OK,
    "after a chunk": CHUNKED + b"13\r\n" + OK,
    "between chunks": CHUNKED + chunk(OK),
    "before the trailer": CHUNKED + chunk(OK) + b"0\r\n",
    "after a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "after a 102": b"HTTP/1.1 102 Processing\r\n\r\n",
}


@pytest.mark.parametrize("closing", ["closed", "half-closed"])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_response_that_ends_too_early_is_malformed(
    sender: Sender, transport: Transport, data: bytes, closing: str
) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(data)
        if closing == "half-closed":
            connection.half_close()

    with transport.partner(script, behaves) as partner:
        assert_malformed(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))


def test_response_shorter_than_declared_is_awaited_until_the_deadline(
    sender: Sender, transport: Transport
) -> None:
    with transport.partner(responds(HEAD + b"Content-Length: 100\r\n\r\n" + OK)) as partner:
        result = send(sender, transport.target(partner, SHORT))

    assert_late(result)
    assert (result.status, result.body, result.body_size) == (200, OK, 100)


# --- TLS


class NameServer:
    """Replaces getaddrinfo: each lookup of a name returns its next result, and then always the last."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.queries: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def __call__(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        self.queries.append(host)
        self.before()
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    names = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


def https_target(partner: FakePartner, bundle: str, deadline: float = 10.0) -> Target:
    url = partner.url().replace("http:", "https:")
    return replace(target_of(partner, deadline), url=url, ca_bundle=bundle)


def assert_not_secure(result: CallResult, words: str) -> None:
    assert (result.failure, result.sent, result.status) == (Failure.TLS, False, None)
    assert words in detail_sentence(result.detail).lower()


def test_tls_verifies_the_name_and_connects_to_the_checked_address(
    sender: Sender, authority: trustme.CA, bundle: str, names: NameServer
) -> None:
    server_names: list[str | None] = []
    context = server_context(authority.issue_cert("partner.example"))
    context.sni_callback = lambda _, name, __: server_names.append(name)
    names.answers["partner.example"] = [["127.0.0.1"]]
    with FakePartner(behaves, tls=context) as partner:
        target = replace(target_of(partner, host="partner.example"), ca_bundle=bundle)
        for _ in range(3):
            result = send(sender, target)
            assert_complete(result)

    assert server_names == ["partner.example"]
    assert partner.connections == 1
    assert partner.received[0].header("Host") == f"partner.example:{partner.port}"
    assert result.remote_address == f"127.0.0.1:{partner.port}"


def test_certificate_for_another_name_ends_the_call_unsent(
    sender: Sender, tls: ssl.SSLContext, bundle: str, names: NameServer
) -> None:
    names.answers["other.example"] = [["127.0.0.1"]]
    with FakePartner(behaves, tls=tls) as partner:
        result = send(sender, replace(target_of(partner, host="other.example"), ca_bundle=bundle))

    assert_not_secure(result, "hostname mismatch")
    assert partner.received == []


def test_untrusted_certificate_ends_the_call_unsent(
    sender: Sender, tls: ssl.SSLContext, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text(bundle)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with FakePartner(behaves, tls=tls) as partner:
        result = send(sender, target_of(partner))

    assert_not_secure(result, "unable to get local issuer certificate")
    assert partner.received == []


def test_expired_certificate_ends_the_call_unsent(sender: Sender, authority: trustme.CA, bundle: str) -> None:
    expired = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    with FakePartner(behaves, tls=server_context(expired)) as partner:
        result = send(sender, replace(target_of(partner), ca_bundle=bundle))

    assert_not_secure(result, "certificate has expired")
    assert partner.received == []


def test_tls_keys_are_not_logged_where_the_environment_says(
    tls: ssl.SSLContext, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    connections._context.cache_clear()
    with FakePartner(behaves, tls=tls) as partner, Sender() as sender:
        assert_complete(send(sender, replace(target_of(partner), ca_bundle=bundle)))

    assert not (tmp_path / "keys.log").exists()


@pytest.mark.parametrize("first", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_partner_without_tls_gets_nothing(sender: Sender, bundle: str, first: bytes) -> None:
    def sends_plain_text(connection: Connection) -> None:
        connection.send(first)
        connection.stall()

    with FakePartner(sends_plain_text) as partner:
        assert_not_secure(send(sender, https_target(partner, bundle)), "tls handshake")


def resets_in_the_handshake(connection: Connection) -> None:
    connection.pause(0.1)
    connection.reset()


@pytest.mark.parametrize("pause", [0.0, 0.2], ids=["during", "before"])
@pytest.mark.parametrize("script", [resets_in_the_handshake, closes_at_once])
def test_partner_that_disconnects_in_the_handshake_gets_nothing(
    sender: Sender, bundle: str, monkeypatch: pytest.MonkeyPatch, script: Script, pause: float
) -> None:
    connect = connections.connect_to

    def connect_and_wait(address: Address, seconds: float) -> socket.socket:
        connection = connect(address, seconds)
        time.sleep(pause)
        return connection

    monkeypatch.setattr(connections, "connect_to", connect_and_wait)
    with FakePartner(script) as partner:
        assert_not_secure(send(sender, https_target(partner, bundle)), "tls handshake")


def test_nothing_is_sent_in_clear_text_if_the_handshake_is_skipped(
    sender: Sender, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect_only(connection: HTTPSConnection) -> None:
        connection.sock = connection._new_conn()
        connection.is_verified = True

    monkeypatch.setattr(HTTPSConnection, "connect", connect_only)
    with FakePartner(behaves) as partner:
        assert_not_secure(send(sender, https_target(partner, bundle)), "tls handshake")

    assert partner.received == []


def drips_a_handshake(connection: Connection) -> None:
    connection.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 10000)


@pytest.mark.parametrize("script", [never_reads, drips_a_handshake])
def test_slow_handshake_is_cut_at_the_deadline(sender: Sender, bundle: str, script: Script) -> None:
    with FakePartner(script) as partner:
        result = send(sender, https_target(partner, bundle, SHORT))

    assert_late(result, sent=False)
    assert "TLS handshake" in detail_sentence(result.detail)


def test_handshake_may_take_all_the_time_left_with_many_addresses(
    sender: Sender, authority: trustme.CA, bundle: str, names: NameServer
) -> None:
    context = server_context(authority.issue_cert("partner.example"))
    context.sni_callback = lambda *_: time.sleep(0.6)
    names.answers["partner.example"] = [["127.0.0.1"] * 8]
    with FakePartner(behaves, tls=context) as partner:
        assert_complete(send(sender, replace(target_of(partner, 4.0, "partner.example"), ca_bundle=bundle)))


def session_tickets(secret: bytes, number: int) -> bytes:
    """Build a TLS 1.3 record of session tickets under a server's traffic secret, the ``number``-th."""

    def derived(label: bytes, length: int) -> bytes:
        info = struct.pack(">HB", length, len(label)) + label + b"\0"
        return HKDFExpand(SHA384(), length, info).derive(secret)

    ticket = struct.pack(">IIBBH", 60, 0, 1, 7, 8) + b"a ticket" + b"\0\0"
    records = (b"\4" + len(ticket).to_bytes(3, "big") + ticket) * 500 + b"\x16"
    head = b"\x17\3\3" + struct.pack(">H", len(records) + 16)
    nonce = int.from_bytes(derived(b"tls13 iv", 12), "big") ^ number
    return head + AESGCM(derived(b"tls13 key", 32)).encrypt(nonce.to_bytes(12, "big"), records, head)


def test_idle_connection_with_a_flood_of_session_tickets_is_replaced(
    sender: Sender, authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    log = tmp_path / "keys.log"
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.keylog_filename, context.num_tickets = str(log), 0

    def floods_with_tickets(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        (secret,) = [line.split()[2] for line in log.read_text().splitlines() if "SERVER_TRAFFIC" in line]
        with socket.socket(fileno=os.dup(connection.descriptor)) as below:
            until = time.monotonic() + 2 * BOUND
            for number in itertools.count(1):
                if time.monotonic() > until:
                    break
                below.sendall(session_tickets(bytes.fromhex(secret), number))

    with FakePartner(floods_with_tickets, behaves, tls=context) as partner:
        target = replace(target_of(partner, SHORT), ca_bundle=bundle)
        assert_complete(send(sender, target))
        time.sleep(0.1)
        assert_complete(send(sender, target))

    assert partner.connections == 2


def test_close_notify_on_a_kept_connection_is_respected(
    sender: Sender, tls: ssl.SSLContext, bundle: str
) -> None:
    def ends_encryption(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        connection.end_encryption()

    with FakePartner(ends_encryption, behaves, tls=tls) as partner:
        target = replace(target_of(partner), ca_bundle=bundle)
        assert_complete(send(sender, target))
        time.sleep(0.1)
        assert_complete(send(sender, target))

    assert partner.connections == 2


@pytest.fixture(scope="module")
def client_certificate(authority: trustme.CA) -> str:
    return authority.issue_cert("supplier.example").private_key_and_cert_chain_pem.bytes().decode()


@pytest.fixture(scope="module")
def strict_tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("127.0.0.1"), clients=authority)


def test_client_certificate_is_presented_where_required(
    sender: Sender, strict_tls: ssl.SSLContext, bundle: str, client_certificate: str
) -> None:
    with FakePartner(behaves, tls=strict_tls) as partner:
        target = replace(target_of(partner), ca_bundle=bundle)
        assert_complete(send(sender, replace(target, client_certificate=client_certificate)))
        refused = send(sender, target)

    # With TLS 1.3 the refusal arrives only after the request was sent.
    assert refused.failure in (Failure.TLS, Failure.RESET)
    assert len(partner.received) == 1


@pytest.mark.parametrize("broken", ["no certificate", "no key", "no bundle", "encrypted key"])
def test_unreadable_certificates_are_a_bad_target(
    sender: Sender, bundle: str, client_certificate: str, broken: str
) -> None:
    target = Target("https://partner.example/", (), LOOPBACK, 10.0)
    targets = {
        "no certificate": replace(target, client_certificate="invalid"),
        "no key": replace(target, client_certificate=bundle),
        "no bundle": replace(target, ca_bundle="invalid"),
        "encrypted key": replace(target, client_certificate=bundle + encrypted_key()),
    }
    result = send(sender, targets[broken])

    assert (result.failure, result.sent) == (Failure.BAD_TARGET, False)
    assert detail_sentence(result.detail).startswith("The configured certificates cannot be used")


def test_text_around_trusted_certificates_is_ignored(
    sender: Sender, tls: ssl.SSLContext, bundle: str
) -> None:
    with FakePartner(behaves, tls=tls) as partner:
        target = replace(target_of(partner), ca_bundle=f"Autorité de société\n{bundle}")
        assert_complete(send(sender, target))


def encrypted_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return key.decode()


# --- Names and addresses


def test_connection_uses_the_checked_address(sender: Sender, transport: Transport, names: NameServer) -> None:
    names.answers["partner.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    with transport.partner(responds_and_closes(response()), behaves) as partner:
        assert_complete(send(sender, transport.target(partner, host="partner.example")))
        assert names.queries == ["partner.example"]

        time.sleep(0.1)
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
        time.sleep(0.1)
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
    assert "No connection" in detail_sentence(result.detail)


def test_nothing_is_sent_where_nothing_listens(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = send(sender, Target(f"http://127.0.0.1:{port}/", (), LOOPBACK, 10.0))

    assert (result.failure, result.sent) == (Failure.CONNECT, False)
    assert detail_sentence(result.detail) == f"No connection to 127.0.0.1:{port}: Connection refused."


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
    partner.wait_for(lambda: not any(thread.name == "post-lookup" for thread in threading.enumerate()))


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


# --- Nothing comes from the environment


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
    assert detail_sentence(result.detail) == "Sending failed inside this app: ValueError: unexpected."


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
        ENDLESS_BODIES["until close"][0],
        FLOODS["headers"],
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
            partner.wait_for(lambda: descriptors() <= before)


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

    monkeypatch.setattr(http_client, "IDLE_SECONDS_MAX", 0.05)
    with FakePartner(notices) as quiet, FakePartner(behaves) as busy:
        assert_complete(send(sender, target_of(quiet)))
        time.sleep(0.1)
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
