"""A POST against partners that misbehave, over real sockets: it ends in time and tells the truth."""

from __future__ import annotations

import contextlib
import errno
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
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from urllib3.connection import HTTPSConnection

from app.delivery import http_client as post_module
from app.delivery.http_client import Sender, Target
from app.delivery.wire import line as line_module
from app.delivery.wire import names as names_module
from app.delivery.wire.answer import Answer
from app.delivery.wire.call import Watch, watchdog
from app.delivery.wire.outcome import BODY_CAP, Failure, Outcome
from tests.delivery.misbehaving import OK, Partner, Script, Talk, answer, chunk, says, says_and_closes, serves

LOOPBACK = (ip_network("127.0.0.0/8"),)
BODY = '{"poConfirmation":{"supplierRemarks":"₹ 5"}}'.encode()
IDS = {"Idempotency-Key": "msg_01"}
SHORT = 0.5
BOUND = 5.0
"""Seconds within which a call with the short deadline must be back, however busy the machine."""
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.fixture
def sender() -> Iterator[Sender]:
    with Sender() as sender:
        yield sender


def at(partner: Partner, deadline: float = 10.0, host: str = "127.0.0.1", path: str = "/hook") -> Target:
    return Target(partner.url(path, host), (), LOOPBACK, deadline)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("partner.example", "127.0.0.1", "::1"))


@dataclass(frozen=True)
class Way:
    """How a partner is reached: plainly, or over TLS."""

    tls: ssl.SSLContext | None
    bundle: str | None

    def partner(self, *scripts: Script, host: str = "127.0.0.1") -> Partner:
        """One that is reached like this."""
        return Partner(*scripts, tls=self.tls, host=host)

    def at(
        self, partner: Partner, deadline: float = 10.0, host: str = "127.0.0.1", path: str = "/hook"
    ) -> Target:
        """Where it is."""
        return replace(at(partner, deadline, host, path), ca_bundle=self.bundle)


@pytest.fixture(params=["plain", "TLS"])
def way(request: pytest.FixtureRequest, tls: ssl.SSLContext, bundle: str) -> Way:
    return Way(tls, bundle) if request.param == "TLS" else Way(None, None)


@contextlib.contextmanager
def memory_bounded(mebibytes: float = 4) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 1024 * 1024


def send(sender: Sender, target: Target) -> Outcome:
    """POST, and see to it that the call is back in time and took little memory."""
    started = time.monotonic()
    with memory_bounded():
        outcome = sender.post(target, BODY, IDS)
    assert time.monotonic() - started < (BOUND if target.deadline <= SHORT else target.deadline + 5)
    return outcome


def assert_whole(outcome: Outcome, body: bytes = OK) -> None:
    assert (outcome.failure, outcome.detail, outcome.status) == (None, "", 200)
    assert (outcome.body, outcome.body_size, outcome.truncated, outcome.sent) == (
        body,
        len(body),
        False,
        True,
    )


def assert_late(outcome: Outcome, *, sent: bool = True) -> None:
    assert outcome.failure is Failure.TIMEOUT
    assert outcome.detail.endswith("within 0.5 s.")
    assert outcome.sent is sent


def assert_odd(outcome: Outcome) -> None:
    assert outcome.failure is Failure.ODD_ANSWER, outcome
    assert outcome.detail.startswith("The partner")
    assert outcome.sent


# --- A partner that behaves


def test_a_request_arrives_as_given_and_its_answer_comes_back_whole(sender: Sender) -> None:
    with Partner(says(answer(OK, "X-Trace: 7", "Set-Cookie: a=1", "X-Trace: 8"))) as partner:
        target = replace(at(partner, path="/api/req-confirm?v=0"), headers=(("X-Api-Key", "s3cret"),))
        outcome = send(sender, target)

    assert_whole(outcome)
    assert outcome.remote_address == f"127.0.0.1:{partner.port}"
    assert outcome.duration_ms > 0
    assert outcome.headers == (
        ("X-Trace", "7"),
        ("Set-Cookie", "a=1"),
        ("X-Trace", "8"),
        ("Content-Length", str(len(OK))),
    )
    assert (outcome.header("x-trace"), outcome.header("Location")) == ("7", "")
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


def test_the_messages_headers_win_over_the_partners_whatever_their_case(sender: Sender) -> None:
    with Partner(serves) as partner:
        target = replace(at(partner), headers=(("idempotency-key", "old"), ("content-type", "text/plain")))
        sender.post(target, BODY, {"Idempotency-Key": "msg_02", "CONTENT-TYPE": "application/json"})

    assert partner.received[0].header("idempotency-key") == "msg_02"
    assert partner.received[0].header("content-type") == "application/json"


def test_one_connection_carries_all_messages_to_a_partner(sender: Sender) -> None:
    with Partner(serves) as partner:
        for _ in range(5):
            assert_whole(send(sender, at(partner)))

    assert (partner.connections, len(partner.received)) == (1, 5)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK[:5]) + chunk(OK[5:]) + chunk(b""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
        + b"%X;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(OK), OK),
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 19\r\n\r\n" + OK,
        b"HTTP/1.1 200\nContent-Length: 19, 19\n\n" + OK,
        b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + answer(),
        answer(OK, "X-Folded: a", " b"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join([chunk(OK[place : place + 1]) for place in range(len(OK))])
        + chunk(b""),
    ],
    ids=[
        "chunked",
        "chunked with trimmings",
        "HTTP/1.0 kept alive",
        "bare line feeds",
        "after 100s",
        "folded header",
        "chunks of one byte",
    ],
)
def test_unusual_but_proper_answers_are_read_and_their_connection_kept(
    sender: Sender, way: Way, said: bytes
) -> None:
    with way.partner(says(said, answer())) as partner:
        assert_whole(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)))

    assert partner.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\n\r\n" + OK,
        answer(OK, "Connection: close"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(OK)
        + chunk(b""),
    ],
    ids=["HTTP/1.0", "no length", "close with a length", "close with chunks"],
)
def test_an_answer_may_end_with_the_connection(sender: Sender, way: Way, said: bytes) -> None:
    with way.partner(says_and_closes(said), serves) as partner:
        assert_whole(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)))

    assert partner.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        answer(OK, "Connection: close"),
        answer(OK, "Connection: keep-alive", "CONNECTION: x,\t Close ,"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 19\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 19\r\n\r\n" + OK,
    ],
    ids=["close", "close among others", "HTTP/1.0", "HTTP/1.0 of two minds"],
)
def test_a_connection_that_the_partner_will_close_is_not_used_again_though_it_still_stands(
    sender: Sender, way: Way, said: bytes
) -> None:
    with way.partner(says(said, answer(b"A")), says(answer(b"B"))) as partner:
        assert_whole(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)), b"B")


@pytest.mark.parametrize("status", ["204 No Content", "200 OK"])
def test_an_empty_answer_is_whole(sender: Sender, way: Way, status: str) -> None:
    with way.partner(says(answer(b"", status=status), answer())) as partner:
        outcome = send(sender, way.at(partner))
        assert_whole(send(sender, way.at(partner)))

    assert (outcome.failure, outcome.body, outcome.body_size) == (None, b"", 0)
    assert partner.connections == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 429, 500, 503, 599])
def test_an_error_status_is_an_answer_and_no_failure(sender: Sender, status: int) -> None:
    with Partner(says(answer(b"no", "Retry-After: 3", status=f"{status} No"), answer())) as partner:
        outcome = send(sender, at(partner))
        assert_whole(send(sender, at(partner)))

    assert (outcome.failure, outcome.status, outcome.body) == (None, status, b"no")
    assert outcome.header("retry-after") == "3"


def test_a_partners_cookie_is_not_carried_into_the_next_message(sender: Sender, way: Way) -> None:
    with way.partner(says(answer(OK, "Set-Cookie: session=1; Path=/"), answer())) as partner:
        send(sender, way.at(partner))
        send(sender, way.at(partner))

    assert partner.received[1].header("Cookie") is None
    assert len(sender._session.cookies) == 0


# --- The deadline covers the whole call


def drips_headers(talk: Talk) -> None:
    talk.hear()
    talk.drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000)


def drips_body(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    talk.drip(b"x" * 10000)


def drips_chunks(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    talk.drip(chunk(b"x") * 1000)


def drips_without_end(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
    talk.drip(b'{"response_code":0}' + b" " * 10000)


def drips_continues(talk: Talk) -> None:
    talk.hear()
    talk.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, every=0.01)


def stops_after_the_head(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    talk.stall()


def never_answers(talk: Talk) -> None:
    talk.hear()
    talk.stall()


def never_reads(talk: Talk) -> None:
    talk.ignore()


LATE: list[Script] = [
    drips_headers,
    drips_body,
    drips_chunks,
    drips_without_end,
    drips_continues,
    never_answers,
    never_reads,
]


@pytest.mark.parametrize("script", LATE)
def test_a_partner_that_takes_its_time_is_cut_at_the_deadline(
    sender: Sender, way: Way, script: Script
) -> None:
    with way.partner(script) as partner:
        assert_late(send(sender, way.at(partner, SHORT)))


@pytest.mark.parametrize("script", [drips_headers, drips_body, never_answers])
def test_the_deadline_holds_on_a_connection_that_is_used_again(
    sender: Sender, way: Way, script: Script
) -> None:
    def answers_once(talk: Talk) -> None:
        talk.hear()
        talk.say(answer())
        script(talk)

    with way.partner(answers_once) as partner:
        assert_whole(send(sender, way.at(partner, SHORT)))
        assert_late(send(sender, way.at(partner, SHORT)))
        assert partner.connections == 1


def test_a_partner_that_does_not_take_the_request_is_cut_at_the_deadline(sender: Sender, way: Way) -> None:
    with way.partner(never_reads) as partner:
        outcome = sender.post(way.at(partner, SHORT), b"x" * 32 * 1024 * 1024, IDS)

    assert_late(outcome)


@pytest.mark.parametrize("script", [never_answers, never_reads])
def test_signals_do_not_prolong_a_call(sender: Sender, way: Way, script: Script) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        with way.partner(script) as partner:
            outcome = sender.post(way.at(partner, SHORT), b"x" * 8 * 1024 * 1024, IDS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert_late(outcome)
    assert outcome.duration_ms < 1000 * BOUND


@pytest.mark.parametrize("script", [never_answers, stops_after_the_head])
def test_where_the_watchdog_sleeps_the_connections_own_limit_ends_the_call(
    sender: Sender, way: Way, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "fire", lambda _: None)
    with way.partner(script, serves) as partner:
        outcome = send(sender, way.at(partner, SHORT))
        assert_whole(send(sender, way.at(partner)))

    assert_late(outcome)


def test_after_a_cut_the_next_message_gets_a_connection_of_its_own(sender: Sender, way: Way) -> None:
    with way.partner(drips_body, serves) as partner:
        late = send(sender, way.at(partner, SHORT))
        assert_whole(send(sender, way.at(partner, SHORT)))

    assert (late.status, late.body_size, late.truncated) == (200, 10000, False)
    assert late.body == b"x" * len(late.body)
    assert partner.connections == 2


def test_a_partner_that_stalls_delays_no_other_sender() -> None:
    with Partner(never_answers) as stuck, Partner(serves) as well:
        held = threading.Thread(target=lambda: send_once(at(stuck, 3.0)))
        held.start()
        stuck.wait_for(lambda: bool(stuck.received))
        with Sender() as sender:
            for _ in range(20):
                assert_whole(send(sender, at(well)))
        assert held.is_alive()
    held.join()


def send_once(target: Target) -> Outcome:
    with Sender() as sender:
        return sender.post(target, BODY, IDS)


def test_many_calls_with_different_deadlines_are_all_cut_and_one_thread_watches_them() -> None:
    outcomes: list[Outcome] = []

    with Partner(never_answers) as partner:
        calls = [
            threading.Thread(target=lambda late=late: outcomes.append(send_once(at(partner, late))))
            for late in (0.9, 0.3, 0.6, 0.5, 0.2, 0.4)
        ]
        started = time.monotonic()
        for call in calls:
            call.start()
        for call in calls:
            call.join()

    assert time.monotonic() - started < BOUND
    assert [outcome.failure for outcome in outcomes] == [Failure.TIMEOUT] * 6
    assert sum(thread.name == "post-watchdog" for thread in threading.enumerate()) == 1


# --- Memory is bounded


def endless_body(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        talk.say(b"x" * 65536)


def endless_chunks(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        talk.say(chunk(b"x" * 65536))


def one_enormous_chunk(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n")
    while True:
        talk.say(b"x" * 65536)


def declares_a_terabyte(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        talk.say(b"x" * 65536)


@pytest.mark.parametrize(
    ("script", "size"),
    [
        (endless_body, None),
        (endless_chunks, None),
        (one_enormous_chunk, None),
        (declares_a_terabyte, 1_000_000_000_000),
    ],
)
def test_of_an_endless_body_only_the_first_part_is_read(
    sender: Sender, way: Way, script: Script, size: int | None
) -> None:
    with way.partner(script, serves) as partner:
        outcome = send(sender, way.at(partner))
        assert_whole(send(sender, way.at(partner)))

    assert (outcome.failure, outcome.status, outcome.truncated) == (None, 200, True)
    assert outcome.body == b"x" * BODY_CAP
    assert outcome.body_size == size


def test_a_body_of_just_the_cap_is_whole_and_one_more_byte_is_cut(sender: Sender, way: Way) -> None:
    with way.partner(says(answer(b"x" * BODY_CAP), answer(b"x" * (BODY_CAP + 1)))) as partner:
        whole, cut = send(sender, way.at(partner)), send(sender, way.at(partner))

    assert_whole(whole, b"x" * BODY_CAP)
    assert (cut.truncated, len(cut.body), cut.body_size) == (True, BODY_CAP, BODY_CAP + 1)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """199 KB that would become 200 MB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(b"0" * 1_000_000) for _ in range(200)), packer.flush()])


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
def test_a_compressed_bomb_is_not_unpacked_not_even_on_a_redirect(
    sender: Sender, way: Way, bomb: bytes, status: str
) -> None:
    said = answer(bomb, "Content-Encoding: gzip", "Location: /elsewhere", status=status)
    with way.partner(says(said)) as partner:
        outcome = send(sender, way.at(partner))

    assert (outcome.failure, outcome.body) == (None, bomb)
    assert partner.received[0].header("Accept-Encoding") == "identity"


def endless_header(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        talk.say(b"x" * 65536)


def endless_headers(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\n")
    while True:
        talk.say(b"X-More: and more\r\n" * 1000)


def flood_of_continues(talk: Talk) -> None:
    talk.hear()
    while True:
        talk.say(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def endless_status_line(talk: Talk) -> None:
    talk.hear()
    while True:
        talk.say(b"HTTP/1.1 200 " + b"K" * 65536)


def endless_trailers(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK) + b"0\r\n")
    while True:
        talk.say(b"X-More: and more\r\n" * 1000)


def chunks_of_one_byte(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        talk.say((b"1\r\nx\r\n") * 1000)


def chunks_with_much_to_say_about_them(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        talk.say((b"2;" + b"y" * 1000 + b"\r\nxx\r\n") * 50)


@pytest.mark.parametrize(
    "script",
    [
        endless_header,
        endless_headers,
        flood_of_continues,
        endless_status_line,
        endless_trailers,
        chunks_of_one_byte,
        chunks_with_much_to_say_about_them,
    ],
)
def test_a_flood_of_what_is_no_body_ends_the_call_and_the_connection(
    sender: Sender, way: Way, script: Script
) -> None:
    with way.partner(script, serves) as partner:
        assert_odd(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)))


HARD_TO_READ = {
    "status line of blanks": b"HTTP/1.1 200" + b" " * 60_000 + b"\rx\r\n",
    "blanks before the status": b"HTTP/1.1" + b" \t" * 30_000 + b"\r\n",
    "name without a colon": b"HTTP/1.1 200 OK\r\n" + b"X" * 60_000 + b"\r\n",
    "value of blanks": b"HTTP/1.1 200 OK\r\nX:" + b" " * 60_000 + b"\rx\r\n",
    "folded ten thousand times": b"HTTP/1.1 200 OK\r\nX: a\r\n" + b" a\n" * 20_000 + b"\x00\n",
    "tokens without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + b"," * 60_000 + b"\r\n\r\n",
    "chunk line of blanks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2" + b" " * 999 + b"\rx\n",
}


@pytest.mark.parametrize("said", HARD_TO_READ.values(), ids=HARD_TO_READ)
def test_a_head_that_is_hard_to_read_keeps_no_thread_of_this_process_from_running(
    sender: Sender, way: Way, said: bytes
) -> None:
    with way.partner(says_and_closes(said), serves) as partner:
        before = time.process_time()
        assert_odd(send(sender, way.at(partner)))
        assert time.process_time() - before < BOUND
        assert_whole(send(sender, way.at(partner)))


# --- Redirects


def test_a_redirect_is_an_answer_and_never_followed(sender: Sender, way: Way) -> None:
    with way.partner(serves) as other:
        there = f"Location: {other.url()}"
        with way.partner(says(answer(b"moved", there, status="302 Found"), answer())) as partner:
            outcome = send(sender, way.at(partner))
            assert_whole(send(sender, way.at(partner)))

    assert (outcome.failure, outcome.status, outcome.body) == (None, 302, b"moved")
    assert outcome.header("Location") == other.url()
    assert other.connections == 0


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_a_redirect_to_itself_is_asked_once(sender: Sender, way: Way, status: str) -> None:
    with way.partner(says(*[answer(b"", "Location: /hook", status=status)] * 40)) as partner:
        outcome = send(sender, way.at(partner))

    assert outcome.status == int(status[:3])
    assert len(partner.received) == 1


@pytest.mark.parametrize("location", ["http://[", "//", "\x80\xff", "javascript:alert(1)", "http://a\tb/"])
def test_a_location_that_makes_no_sense_disturbs_nothing(sender: Sender, location: str) -> None:
    with Partner(says(answer(b"", f"Location: {location}", status="302 Found"))) as partner:
        outcome = send(sender, at(partner))

    assert (outcome.failure, outcome.status) == (None, 302)


# --- Resets and closed connections


def resets_at_once(talk: Talk) -> None:
    talk.reset()


def closes_at_once(_: Talk) -> None:
    pass


def resets_after_the_request(talk: Talk) -> None:
    talk.hear()
    talk.reset()


def closes_after_the_request(talk: Talk) -> None:
    talk.hear()


def half_closes_after_the_request(talk: Talk) -> None:
    talk.hear()
    talk.half_close()


def resets_in_the_head(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Ty")
    talk.pause(0.1)
    talk.reset()


def resets_in_the_body(talk: Talk) -> None:
    talk.hear()
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
    talk.pause(0.1)
    talk.reset()


@pytest.mark.parametrize(
    "script",
    [
        closes_at_once,
        resets_after_the_request,
        closes_after_the_request,
        half_closes_after_the_request,
        resets_in_the_head,
        resets_in_the_body,
    ],
)
def test_a_connection_that_breaks_off_is_a_reset_and_the_message_may_have_arrived(
    sender: Sender, way: Way, script: Script
) -> None:
    with way.partner(script, serves) as partner:
        outcome = send(sender, way.at(partner))
        assert_whole(send(sender, way.at(partner)))

    # A reset under an answer shows as an end over TLS: such an answer is odd.
    ended = way.tls is not None and script in (resets_in_the_head, resets_in_the_body)
    assert outcome.failure is (Failure.ODD_ANSWER if ended else Failure.RESET)
    assert outcome.detail.startswith("The partner")
    assert outcome.sent


@pytest.mark.parametrize(
    ("status", "failure"),
    [("413 Too Large", None), ("401 Unauthorized", None), ("200 OK", Failure.RESET)],
)
def test_a_refusal_counts_before_the_partner_has_the_whole_request_but_no_success(
    sender: Sender, way: Way, status: str, failure: Failure | None
) -> None:
    def answers_early(talk: Talk) -> None:
        talk.say(answer(OK, status=status))
        talk.pause(0.2)

    with way.partner(answers_early, serves) as partner:
        outcome = sender.post(way.at(partner), b"x" * 32 * 1024 * 1024, IDS)
        assert_whole(send(sender, way.at(partner)))

    assert (outcome.failure, outcome.sent) == (failure, True)
    assert outcome.status == (None if failure else int(status[:3]))
    assert partner.connections == 2


def test_of_an_answer_that_is_reset_midway_what_came_is_kept(sender: Sender, way: Way) -> None:
    with way.partner(resets_in_the_body) as partner:
        outcome = send(sender, way.at(partner))

    assert (outcome.status, outcome.body, outcome.body_size) == (200, b"12345", 100)


def test_a_reset_after_the_whole_answer_does_not_matter(sender: Sender, way: Way) -> None:
    def resets_after_the_answer(talk: Talk) -> None:
        talk.hear()
        talk.say(answer())
        talk.pause(0.1)
        talk.reset()

    with way.partner(resets_after_the_answer, serves) as partner:
        assert_whole(send(sender, way.at(partner)))
        time.sleep(0.2)
        assert_whole(send(sender, way.at(partner)))

    assert partner.connections == 2


def test_a_kept_connection_that_the_partner_closed_meanwhile_is_replaced(sender: Sender, way: Way) -> None:
    with way.partner(says_and_closes(answer()), serves) as partner:
        assert_whole(send(sender, way.at(partner)))
        time.sleep(0.2)
        assert_whole(send(sender, way.at(partner)))

    assert (partner.connections, len(partner.received)) == (2, 2)


@pytest.mark.parametrize("script", [resets_after_the_request, closes_after_the_request])
def test_a_kept_connection_that_breaks_under_a_message_is_told_and_nothing_is_posted_twice(
    sender: Sender, way: Way, script: Script
) -> None:
    def answers_once(talk: Talk) -> None:
        talk.hear()
        talk.say(answer())
        script(talk)

    with way.partner(answers_once, serves) as partner:
        assert_whole(send(sender, way.at(partner)))
        broken = send(sender, way.at(partner))

    assert (broken.failure, broken.sent) == (Failure.RESET, True)
    assert (partner.connections, len(partner.received)) == (1, 2)


def test_a_connection_that_was_idle_for_long_is_not_trusted_again(
    sender: Sender, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "IDLE_SECONDS", 0.05)
    with way.partner(serves) as partner:
        assert_whole(send(sender, way.at(partner)))
        time.sleep(0.1)
        assert_whole(send(sender, way.at(partner)))

    assert partner.connections == 2


# --- Answers that lie


def test_a_late_answer_on_a_kept_connection_is_not_taken_for_the_next_ones(sender: Sender, way: Way) -> None:
    def early_hints_then_late(talk: Talk) -> None:
        talk.hear()
        talk.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        talk.pause(0.2)
        talk.say(answer(b"meant for A"))
        talk.stall()

    with way.partner(early_hints_then_late, says(answer(b"meant for B"))) as partner:
        first = send(sender, way.at(partner))
        time.sleep(0.3)
        second = send(sender, way.at(partner))

    assert_odd(first)
    assert (first.status, first.body) == (103, b"")
    assert_whole(second, b"meant for B")


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_ones(sender: Sender, way: Way) -> None:
    def answers_twice(talk: Talk) -> None:
        talk.hear()
        talk.say(answer(b"meant for A"))
        talk.pause(0.1)
        talk.say(answer(b"meant for nobody"))
        talk.stall()

    with way.partner(answers_twice, says(answer(b"meant for B"))) as partner:
        assert_whole(send(sender, way.at(partner)), b"meant for A")
        time.sleep(0.3)
        assert_whole(send(sender, way.at(partner)), b"meant for B")


def test_two_answers_in_one_packet_are_odd_and_the_second_reaches_nobody(sender: Sender, way: Way) -> None:
    with way.partner(says(answer(b"A") + answer(b"A again")), says(answer(b"B"))) as partner:
        assert_odd(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)), b"B")


LIES = {
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n",
    "processing and an answer": b"HTTP/1.1 102 Processing\r\n\r\n" + answer(),
    "a status of its own": answer(status="999 Denied"),
    "a body longer than declared": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234567",
    "an empty body with something in it": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{}",
    "no content with content": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    "chunks and more": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"") + b"more",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nContent-Length: 20\r\n\r\n" + OK,
    "two lengths in one": b"HTTP/1.1 200 OK\r\nContent-Length: 19, 20\r\n\r\n" + OK,
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + OK,
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +19\r\n\r\n" + OK,
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: nineteen\r\n\r\n" + OK,
    "a length beyond measure": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + OK,
    "a length after a space that is none": b"HTTP/1.1 200 OK\r\nContent-Length: \xa019\r\n\r\n" + OK,
    "chunks after a space that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x85chunked\r\n\r\n"
    + chunk(OK)
    + chunk(b""),
    "a folded length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 9\r\n\r\n" + OK,
    "a length and an empty one": b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nContent-Length:\r\n\r\n" + OK,
    "chunks twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + chunk(b""),
    "a size after a sign": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+13\r\n" + OK,
    "a size in an underscore": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_3\r\n" + OK,
    "no content with chunks": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b""),
    "a trailer that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(OK)
    + chunk(b""),
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + chunk(b""),
    "more chunk lines than body": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + (b"1;" + b"e" * 900 + b"\r\nx\r\n") * 80,
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK) + chunk(b""),
    "a chunk of minus one": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + OK,
    "a chunk without a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n" + OK,
    "a chunk longer than its size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1234\r\n",
    "a chunk with an endless extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;"
    + b"x" * 9000,
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 19\r\n\r\n" + OK,
    "a header with a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 19\r\n\r\n" + OK,
    "a header with a NUL": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 19\r\n\r\n" + OK,
    "a header with a carriage return": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n" + OK,
    "a folded first header": b"HTTP/1.1 200 OK\r\n folded\r\nContent-Length: 19\r\n\r\n" + OK,
    "more headers than anyone needs": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 101 + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "a status that is none": b"HTTP/1.1 20 OK\r\n\r\n",
    "no status line": OK + b"\n",
    "a mail server": b"220 mail.example ESMTP\r\n",
    "a secure answer to a plain request": b"\x15\x03\x01\x00\x02\x02\x46\n",
}


@pytest.mark.parametrize("said", LIES.values(), ids=LIES)
def test_an_answer_that_is_no_proper_http_is_odd_and_its_connection_not_kept(
    sender: Sender, way: Way, said: bytes
) -> None:
    with way.partner(says(said), serves) as partner:
        assert_odd(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)))

    assert partner.connections == 2


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"220 mail.example ESMTP\r\n", "b'220 mail.example ESMTP'"),
        (b"Bearer " + b"s3cret" * 6 + b" and more words than are told\r\n", "b'Bearer'"),
        (b"s3cret" * 9 + b"\r\n", "b's3crets3'"),
    ],
)
def test_how_an_odd_answer_begins_is_told_in_whole_words_so_that_no_half_of_a_secret_slips_through(
    sender: Sender, said: bytes, told: str
) -> None:
    with Partner(says(said)) as partner:
        outcome = send(sender, at(partner))

    assert outcome.detail == f"The partner's answer is no proper HTTP: it begins with {told}."


CUT = {
    "in the status line": b"HTTP/1.1 2",
    "after the status line": b"HTTP/1.1 200 OK\r\n",
    "in a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "between the headers": b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n",
    "before the body": b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n",
    "in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + OK,
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + OK,
    "after a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n" + OK,
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK),
    "before the trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK) + b"0\r\n",
    "after a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("closing", ["closed", "half-closed"])
@pytest.mark.parametrize("said", CUT.values(), ids=CUT)
def test_an_answer_that_ends_too_early_is_odd_however_whole_it_looks(
    sender: Sender, way: Way, said: bytes, closing: str
) -> None:
    def script(talk: Talk) -> None:
        talk.hear()
        talk.say(said)
        if closing == "half-closed":
            talk.half_close()

    with way.partner(script, serves) as partner:
        assert_odd(send(sender, way.at(partner)))
        assert_whole(send(sender, way.at(partner)))


def test_an_answer_that_is_shorter_than_declared_is_waited_for_until_the_deadline(
    sender: Sender, way: Way
) -> None:
    with way.partner(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + OK)) as partner:
        outcome = send(sender, way.at(partner, SHORT))

    assert_late(outcome)
    assert (outcome.status, outcome.body, outcome.body_size) == (200, OK, 100)


# --- TLS


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


class Names:
    """A name server in hand: each look-up of a name takes its next answer, the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def __call__(
        self, host: str, port: int, *_: object, **__: object
    ) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]:
        self.asked.append(host)
        self.before()
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, found, strict=True)
        ]


def test_over_tls_the_certificate_is_that_of_the_name_and_the_address_the_vetted_one(
    sender: Sender, authority: trustme.CA, bundle: str, names: Names
) -> None:
    asked: list[str | None] = []
    context = server_context(authority.issue_cert("partner.example"))
    context.sni_callback = lambda _, name, __: asked.append(name)
    names.answers["partner.example"] = [["127.0.0.1"]]
    with Partner(serves, tls=context) as partner:
        target = replace(at(partner, host="partner.example"), ca_bundle=bundle)
        for _ in range(3):
            outcome = send(sender, target)
            assert_whole(outcome)

    assert asked == ["partner.example"]
    assert partner.connections == 1
    assert partner.received[0].header("Host") == f"partner.example:{partner.port}"
    assert outcome.remote_address == f"127.0.0.1:{partner.port}"


def assert_not_secure(outcome: Outcome, words: str) -> None:
    assert (outcome.failure, outcome.sent, outcome.status) == (Failure.TLS, False, None)
    assert words in outcome.detail.lower()


def test_a_certificate_for_another_name_ends_the_call_before_anything_is_sent(
    sender: Sender, tls: ssl.SSLContext, bundle: str, names: Names
) -> None:
    names.answers["other.example"] = [["127.0.0.1"]]
    with Partner(serves, tls=tls) as partner:
        outcome = send(sender, replace(at(partner, host="other.example"), ca_bundle=bundle))

    assert_not_secure(outcome, "hostname mismatch")
    assert partner.received == []


def test_a_certificate_that_nobody_trusts_ends_the_call_before_anything_is_sent(
    sender: Sender, tls: ssl.SSLContext, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, bundle)
    with Partner(serves, tls=tls) as partner:
        outcome = send(sender, at(partner))

    assert_not_secure(outcome, "unable to get local issuer certificate")
    assert partner.received == []


def test_a_certificate_that_has_expired_ends_the_call_before_anything_is_sent(
    sender: Sender, authority: trustme.CA, bundle: str
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("127.0.0.1", not_after=yesterday)
    with Partner(serves, tls=server_context(expired)) as partner:
        outcome = send(sender, replace(at(partner), ca_bundle=bundle))

    assert_not_secure(outcome, "certificate has expired")
    assert partner.received == []


def test_no_secret_of_a_connection_is_written_where_the_environment_says(
    tls: ssl.SSLContext, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    line_module._tls.cache_clear()
    with Partner(serves, tls=tls) as partner, Sender() as sender:
        assert_whole(send(sender, replace(at(partner), ca_bundle=bundle)))

    assert not (tmp_path / "keys.log").exists()


@pytest.mark.parametrize("first", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_partner_that_does_not_speak_tls_gets_nothing(sender: Sender, bundle: str, first: bytes) -> None:
    def speaks_plainly(talk: Talk) -> None:
        talk.say(first)
        talk.stall()

    with Partner(speaks_plainly) as partner:
        target = replace(at(partner), url=partner.url().replace("http:", "https:"), ca_bundle=bundle)
        assert_not_secure(send(sender, target), "no secure connection")


def resets_in_the_handshake(talk: Talk) -> None:
    talk.pause(0.1)
    talk.reset()


@pytest.mark.parametrize("pause", [0.0, 0.2], ids=["in", "before"])
@pytest.mark.parametrize("script", [resets_in_the_handshake, closes_at_once])
def test_a_partner_that_is_gone_in_or_before_the_handshake_gets_nothing(
    sender: Sender, bundle: str, monkeypatch: pytest.MonkeyPatch, script: Script, pause: float
) -> None:
    connect = line_module._connection

    def connects_and_waits(*args: Any) -> socket.socket:
        connection = connect(*args)
        time.sleep(pause)
        return connection

    monkeypatch.setattr(line_module, "_connection", connects_and_waits)
    with Partner(script) as partner:
        target = replace(at(partner), url=partner.url().replace("http:", "https:"), ca_bundle=bundle)
        assert_not_secure(send(sender, target), "no secure connection")


def test_nothing_is_sent_in_the_clear_where_the_handshake_was_left_out(
    sender: Sender, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connects_only(line: HTTPSConnection) -> None:
        line.sock = line._new_conn()
        line.is_verified = True

    monkeypatch.setattr(HTTPSConnection, "connect", connects_only)
    with Partner(serves) as partner:
        target = replace(at(partner), url=partner.url().replace("http:", "https:"), ca_bundle=bundle)
        assert_not_secure(send(sender, target), "no secure connection")

    assert partner.received == []


def drips_a_handshake(talk: Talk) -> None:
    talk.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 10000)


@pytest.mark.parametrize("script", [never_reads, drips_a_handshake])
def test_a_handshake_that_takes_its_time_is_cut_at_the_deadline(
    sender: Sender, bundle: str, script: Script
) -> None:
    with Partner(script) as partner:
        target = replace(at(partner, SHORT), url=partner.url().replace("http:", "https:"), ca_bundle=bundle)
        outcome = send(sender, target)

    assert_late(outcome, sent=False)
    assert "secure" in outcome.detail


def test_a_handshake_may_take_all_the_time_that_is_left_however_many_addresses_there_are(
    sender: Sender, authority: trustme.CA, bundle: str, names: Names
) -> None:
    context = server_context(authority.issue_cert("partner.example"))
    context.sni_callback = lambda *_: time.sleep(0.6)
    names.answers["partner.example"] = [["127.0.0.1"] * 8]
    with Partner(serves, tls=context) as partner:
        assert_whole(send(sender, replace(at(partner, 4.0, "partner.example"), ca_bundle=bundle)))


def session_tickets(secret: bytes, number: int) -> bytes:
    """A TLS 1.3 record of session tickets under a server's traffic secret; ``number`` were sent before."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA384
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    def derived(label: bytes, length: int) -> bytes:
        info = struct.pack(">HB", length, len(label)) + label + b"\0"
        return HKDFExpand(SHA384(), length, info).derive(secret)

    ticket = struct.pack(">IIBBH", 60, 0, 1, 7, 8) + b"a ticket" + b"\0\0"
    said = (b"\4" + len(ticket).to_bytes(3, "big") + ticket) * 500 + b"\x16"
    head = b"\x17\3\3" + struct.pack(">H", len(said) + 16)
    nonce = int.from_bytes(derived(b"tls13 iv", 12), "big") ^ number
    return head + AESGCM(derived(b"tls13 key", 32)).encrypt(nonce.to_bytes(12, "big"), said, head)


def test_the_deadline_holds_while_an_idle_connection_is_looked_at(
    sender: Sender, authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    log = tmp_path / "keys.log"
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.keylog_filename, context.num_tickets = str(log), 0

    def floods_with_tickets(talk: Talk) -> None:
        talk.hear()
        talk.say(answer())
        (secret,) = [line.split()[2] for line in log.read_text().splitlines() if "SERVER_TRAFFIC" in line]
        with socket.socket(fileno=os.dup(talk.descriptor)) as below:
            until = time.monotonic() + 2 * BOUND
            for number in itertools.count(1):
                if time.monotonic() > until:
                    break
                below.sendall(session_tickets(bytes.fromhex(secret), number))

    with Partner(floods_with_tickets, serves, tls=context) as partner:
        target = replace(at(partner, SHORT), ca_bundle=bundle)
        assert_whole(send(sender, target))
        time.sleep(0.1)
        assert_late(send(sender, target), sent=False)
        assert_whole(send(sender, replace(target, deadline=10.0)))


def test_over_tls_a_proper_goodbye_on_a_kept_connection_is_heeded(
    sender: Sender, tls: ssl.SSLContext, bundle: str
) -> None:
    def says_goodbye(talk: Talk) -> None:
        talk.hear()
        talk.say(answer())
        talk.end_encryption()

    with Partner(says_goodbye, serves, tls=tls) as partner:
        target = replace(at(partner), ca_bundle=bundle)
        assert_whole(send(sender, target))
        time.sleep(0.1)
        assert_whole(send(sender, target))

    assert partner.connections == 2


@pytest.fixture(scope="module")
def client_certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("client")
    issued = authority.issue_cert("supplier.example")
    issued.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


@pytest.fixture(scope="module")
def strict_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = server_context(authority.issue_cert("127.0.0.1"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_client_certificate_is_shown_to_a_partner_that_asks_for_one(
    sender: Sender, strict_tls: ssl.SSLContext, bundle: str, client_certificate: tuple[str, str]
) -> None:
    with Partner(serves, tls=strict_tls) as partner:
        target = replace(at(partner), ca_bundle=bundle)
        assert_whole(send(sender, replace(target, client_certificate=client_certificate)))
        refused = send(sender, target)

    # With TLS 1.3 the refusal comes only after the request has left.
    assert refused.failure in (Failure.TLS, Failure.RESET)
    assert len(partner.received) == 1


@pytest.mark.parametrize("broken", ["missing", "no certificate", "no bundle", "encrypted key"])
def test_certificates_that_cannot_be_read_are_told_as_what_is_wrong_with_the_target(
    sender: Sender, tmp_path: Path, client_certificate: tuple[str, str], broken: str
) -> None:
    missing, nonsense = str(tmp_path / "missing.pem"), tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    target = Target("https://partner.example/", (), LOOPBACK, 10.0)
    targets = {
        "missing": replace(target, client_certificate=(missing, missing)),
        "no certificate": replace(target, client_certificate=(str(nonsense), client_certificate[1])),
        "no bundle": replace(target, ca_bundle=str(nonsense)),
        "encrypted key": replace(target, client_certificate=(client_certificate[0], encrypted_key(tmp_path))),
    }
    outcome = send(sender, targets[broken])

    assert (outcome.failure, outcome.sent) == (Failure.BAD_TARGET, False)
    assert outcome.detail.startswith("The certificates for the partner cannot be used")


def encrypted_key(folder: Path) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = folder / "encrypted.pem"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return str(path)


# --- Names and addresses


def test_the_address_that_was_vetted_is_the_one_that_is_connected_to(
    sender: Sender, way: Way, names: Names
) -> None:
    names.answers["partner.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    with way.partner(says_and_closes(answer()), serves) as partner:
        assert_whole(send(sender, way.at(partner, host="partner.example")))
        assert names.asked == ["partner.example"]

        time.sleep(0.1)
        second = send(sender, way.at(partner, host="partner.example"))

    assert (second.failure, second.sent) == (Failure.ADDRESS, False)
    assert second.detail == "partner.example leads to 169.254.169.254, which may not be connected to."
    assert partner.connections == 1


def test_of_several_addresses_only_those_that_may_be_are_tried(
    sender: Sender, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    connect = line_module._connection

    def connects(family: socket.AddressFamily, where: tuple[str, int], seconds: float) -> socket.socket:
        tried.append(where[0])
        return connect(family, where, seconds)

    monkeypatch.setattr(line_module, "_connection", connects)
    names.answers["partner.example"] = [["10.0.0.1", "::1", "fe80::1%eth0", "169.254.169.254", "127.0.0.1"]]
    with Partner(serves) as partner:
        assert_whole(send(sender, at(partner, host="partner.example")))

    assert tried == ["127.0.0.1"]


def test_when_an_address_refuses_the_next_one_is_tried(sender: Sender, names: Names) -> None:
    names.answers["partner.example"] = [["127.0.0.9", "127.0.0.1"]]
    with Partner(serves) as partner:
        outcome = send(sender, at(partner, host="partner.example"))

    assert_whole(outcome)
    assert outcome.remote_address == f"127.0.0.1:{partner.port}"


def test_on_a_machine_without_an_address_of_that_family_the_next_one_is_tried(
    sender: Sender, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = line_module._connection

    def connects(family: socket.AddressFamily, where: tuple[str, int], seconds: float) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return connect(family, where, seconds)

    monkeypatch.setattr(line_module, "_connection", connects)
    names.answers["partner.example"] = [["2606:4700::1", "127.0.0.1"], ["2606:4700::1"]]
    with Partner(says_and_closes(answer())) as partner:
        assert_whole(send(sender, at(partner, host="partner.example")))
        time.sleep(0.1)
        alone = send(sender, at(partner, host="partner.example"))

    assert (alone.failure, alone.sent) == (Failure.INTERNAL, False)


def test_an_address_that_does_not_answer_leaves_time_for_the_next_one(sender: Sender, names: Names) -> None:
    names.answers["partner.example"] = [["127.0.0.9", "127.0.0.1"]]
    with full_backlog("127.0.0.9") as port:
        refused = sender.post(Target(f"http://partner.example:{port}/", (), LOOPBACK, 1.0), BODY, IDS)

    assert (refused.failure, refused.sent) == (Failure.CONNECT, False)
    assert "127.0.0.1" in refused.detail


@contextlib.contextmanager
def full_backlog(host: str) -> Iterator[int]:
    """A port where connections are neither accepted nor refused: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]


def test_a_partner_that_accepts_no_connection_is_cut_at_the_deadline(sender: Sender) -> None:
    with full_backlog("127.0.0.1") as port:
        outcome = send(sender, Target(f"http://127.0.0.1:{port}/", (), LOOPBACK, SHORT))

    assert_late(outcome, sent=False)
    assert "No connection" in outcome.detail


def test_where_nobody_listens_nothing_was_sent(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = send(sender, Target(f"http://127.0.0.1:{port}/", (), LOOPBACK, 10.0))

    assert (outcome.failure, outcome.sent) == (Failure.CONNECT, False)
    assert outcome.detail == f"No connection to 127.0.0.1:{port}: Connection refused."


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[::ffff:169.254.169.254]",
        "[::ffff:0a00:0001]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[5f00::1]",
        "0",
        "100.64.0.1",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "2852039166",
        "169.254.169.254",
        "10.0.0.1",
        "192.88.99.1",
    ],
)
def test_an_address_that_may_not_be_is_refused_in_every_spelling(sender: Sender, way: Way, host: str) -> None:
    with way.partner(serves) as partner:
        outcome = send(sender, replace(way.at(partner, host=host), allowed=()))

    assert (outcome.failure, outcome.sent) == (Failure.ADDRESS, False)
    assert partner.connections == 0


def speaks_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_an_ipv6_address_is_connected_to_and_named_with_brackets(sender: Sender, way: Way) -> None:
    if not speaks_ipv6():  # then it is this machine that lacks something, and nothing is sent
        outcome = send(sender, Target("http://[::1]:9/", (), (ip_network("::1/128"),), 10.0))
        assert (outcome.failure in (Failure.INTERNAL, Failure.CONNECT), outcome.sent) == (True, False)
        return
    with way.partner(serves, host="::1") as partner:
        target = replace(way.at(partner, host="[::1]"), allowed=(ip_network("::1/128"),))
        outcome = send(sender, target)

    assert_whole(outcome)
    assert outcome.remote_address == f"[::1]:{partner.port}"
    assert partner.received[0].header("Host") == f"[::1]:{partner.port}"


def test_an_ipv4_address_in_an_ipv6_spelling_is_connected_to_as_what_it_is(sender: Sender) -> None:
    with Partner(serves) as partner:
        outcome = send(sender, at(partner, host="[::ffff:127.0.0.1]"))

    assert_whole(outcome)
    assert outcome.remote_address == f"127.0.0.1:{partner.port}"


def test_what_the_allow_list_no_longer_names_is_refused_though_a_connection_is_open(
    sender: Sender, way: Way
) -> None:
    with way.partner(serves) as partner:
        assert_whole(send(sender, way.at(partner)))
        outcome = send(sender, replace(way.at(partner), allowed=()))

    assert outcome.failure is Failure.ADDRESS
    assert len(partner.received) == 1


@pytest.mark.usefixtures("names")
def test_a_name_that_does_not_exist_is_told_so(sender: Sender) -> None:
    outcome = send(sender, Target("https://nobody.example/", (), (), 10.0))

    assert (outcome.failure, outcome.sent) == (Failure.NAME, False)
    assert outcome.detail == "The name nobody.example could not be looked up: Name or service not known."


def test_a_look_up_that_takes_its_time_is_left_behind_and_not_begun_again(names: Names) -> None:
    stuck = threading.Event()
    names.before = stuck.wait
    names.answers["slow.example"] = [["127.0.0.1"]]
    try:
        with Partner(serves) as partner:
            target = at(partner, SHORT, host="slow.example")
            outcomes = [send_once(target), send_once(target)]
            # Others are not held up by it.
            assert_whole(send_once(at(partner)))
    finally:
        stuck.set()

    for outcome in outcomes:
        assert_late(outcome, sent=False)
        assert outcome.detail == "The name of slow.example could not be looked up within 0.5 s."
    assert names.asked == ["slow.example"]
    partner.wait_for(lambda: not any(thread.name == "post-lookup" for thread in threading.enumerate()))


def test_no_more_than_so_many_names_are_looked_up_at_once(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "LOOKUPS_MAX", 1)
    stuck = threading.Event()
    names.before = stuck.wait
    try:
        send_once(Target("http://one.example/", (), (), 0.2))
        outcome = send_once(Target("http://two.example/", (), (), 0.2))
    finally:
        stuck.set()

    assert (outcome.failure, outcome.sent) == (Failure.NAME, False)
    assert names.asked == ["one.example"]


# --- Nothing comes from the environment


def test_neither_netrc_nor_proxies_of_the_environment_are_heeded(
    sender: Sender, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text(
        "machine 127.0.0.1 login asha password s3cret\ndefault login a password b\n"
    )
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with way.partner(serves) as proxy, way.partner(serves) as partner:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url(""))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert_whole(send(sender, way.at(partner)))

    assert proxy.connections == 0
    assert partner.received[0].line == "POST /hook HTTP/1.1"
    assert partner.received[0].header("Authorization") is None


# --- Targets that cannot be used


@pytest.mark.parametrize(
    "url",
    [
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
    ],
)
def test_an_address_that_is_no_plain_url_is_told_so_and_nothing_is_tried(sender: Sender, url: str) -> None:
    outcome = send(sender, Target(url, (), (ip_network("0.0.0.0/0"),), 10.0))

    assert (outcome.failure, outcome.sent, outcome.remote_address) == (Failure.BAD_TARGET, False, None)
    assert outcome.detail.startswith("The ")


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
def test_a_header_that_would_change_the_request_is_told_so_and_nothing_is_sent(
    sender: Sender, name: str, value: str
) -> None:
    with Partner(serves) as partner:
        outcomes = [
            send(sender, replace(at(partner), headers=((name, value),))),
            sender.post(at(partner), BODY, {name: value}),
        ]

    for outcome in outcomes:
        assert (outcome.failure, outcome.sent) == (Failure.BAD_TARGET, False)
        assert outcome.detail.startswith("The header")
    assert partner.connections == 0


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("inf"), float("nan")])
def test_a_deadline_that_makes_no_sense_is_told_so(sender: Sender, deadline: float) -> None:
    outcome = sender.post(Target("http://127.0.0.1:9/", (), LOOPBACK, deadline), BODY, IDS)

    assert (outcome.failure, outcome.sent) == (Failure.BAD_TARGET, False)


def test_a_name_with_letters_beyond_ascii_is_looked_up_in_its_ascii_form(
    sender: Sender, names: Names
) -> None:
    send(sender, Target("http://bücher.example/", (), (), 10.0))

    assert names.asked == ["xn--bcher-kva.example"]


# --- Whatever happens


def test_whatever_goes_wrong_inside_the_caller_gets_an_outcome(
    sender: Sender, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("unforeseen")

    with way.partner(serves) as partner:
        with monkeypatch.context() as patch:
            patch.setattr(sender._session, "send", fails)
            outcome = send(sender, way.at(partner))
        assert_whole(send(sender, way.at(partner)))

    assert (outcome.failure, outcome.sent) == (Failure.INTERNAL, False)
    assert outcome.detail == "Sending failed inside this app: ValueError: unforeseen."


def test_a_lack_of_descriptors_is_our_fault_and_not_the_partners(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with Partner(serves) as partner, monkeypatch.context() as patch:
        patch.setattr(socket, "socket", exhausted)
        outcome = send(sender, at(partner))

    assert (outcome.failure, outcome.sent) == (Failure.INTERNAL, False)
    assert outcome.detail == "This machine is short of something: Too many open files."


@pytest.mark.parametrize("where", ["certificates", "names"])
def test_a_lack_of_descriptors_is_our_fault_wherever_it_is_met(
    sender: Sender, names: Names, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    line_module._tls.cache_clear()
    if where == "certificates":
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", exhausted)
    else:
        names.before = exhausted
    outcome = send(sender, Target("https://partner.example/", (), LOOPBACK, 10.0))

    assert (outcome.failure, outcome.sent) == (Failure.INTERNAL, False)
    assert outcome.detail == "This machine is short of something: Too many open files."


def test_an_interrupt_goes_through_and_leaves_nothing_behind(
    sender: Sender, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with way.partner(says(answer()), serves) as partner:
        with monkeypatch.context() as patch:
            patch.setattr(Answer, "read", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sender.post(way.at(partner), BODY, IDS)
        assert_whole(send(sender, way.at(partner)))

    assert partner.connections == 2
    assert not watchdog._watches


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_behind_by_whatever_partner(
    tls: ssl.SSLContext, strict_tls: ssl.SSLContext, bundle: str
) -> None:
    scripts: list[Script] = [
        serves,
        resets_at_once,
        resets_in_the_body,
        closes_after_the_request,
        endless_body,
        endless_headers,
        says_and_closes(answer(OK, "Connection: close")),
        says(answer() + answer()),
        drips_body,
    ]
    with Sender() as sender:
        sender.post(Target("http://127.0.0.1:9/", (), LOOPBACK, 1.0), BODY, IDS)  # starts the watchdog
    before = descriptors()
    for context in (None, tls, strict_tls):
        for script in scripts:
            with Partner(script, tls=context) as partner, Sender() as sender:
                target = replace(at(partner, 0.3), ca_bundle=bundle if context else None)
                for _ in range(3):
                    sender.post(target, BODY, IDS)
            partner.wait_for(lambda: descriptors() <= before)


def test_a_sender_keeps_few_connections_however_many_partners_it_meets(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_module, "PARTNERS_KEPT", 2)
    with Partner(serves) as partner:
        for number in range(10):
            assert_whole(send(sender, at(partner, path=f"/{number}")))
        assert len(sender._wires) == 2
        assert_whole(send(sender, at(partner, path="/9")))

    assert partner.connections == 10


def test_connections_to_partners_that_get_no_more_messages_are_closed(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()

    def notices(talk: Talk) -> None:
        talk.hear()
        talk.say(answer())
        talk.stall()
        gone.set()

    monkeypatch.setattr(post_module, "IDLE_SECONDS", 0.05)
    with Partner(notices) as quiet, Partner(serves) as busy:
        assert_whole(send(sender, at(quiet)))
        time.sleep(0.1)
        assert_whole(send(sender, at(busy)))
        assert gone.wait(5)


def test_a_closed_sender_has_no_connection_left_and_may_send_again() -> None:
    with Partner(serves) as partner:
        sender = Sender()
        assert_whole(send(sender, at(partner)))
        sender.close()
        sender.close()
        assert_whole(send(sender, at(partner)))
        sender.close()

    assert partner.connections == 2


def test_after_a_fork_the_child_has_its_own_connection_and_its_own_deadline(sender: Sender, way: Way) -> None:
    with way.partner(says(answer(), answer()), drips_body) as partner:
        target = way.at(partner, SHORT)
        assert_whole(send(sender, target))
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)  # ends the child if its deadline does not
            outcome = sender.post(target, BODY, IDS)
            os._exit(0 if outcome.failure is Failure.TIMEOUT else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert_whole(send(sender, target))

    assert partner.connections == 2
