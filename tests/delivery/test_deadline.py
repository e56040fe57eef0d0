"""The deadline covers the whole call, however slow the partner is."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from app.delivery.call_result import CallResult, Failure
from app.delivery.deadline import Call, watchdog
from app.delivery.http_client import Sender
from tests.delivery.misbehaving import (
    CHUNKED,
    HEAD,
    OK,
    Connection,
    FakePartner,
    Script,
    behaves,
    chunk,
    drips_body,
    never_reads,
    never_responds,
    responds_once_then,
)
from tests.delivery.posting import (
    BOUND,
    IDS,
    LARGE,
    SHORT,
    Transport,
    assert_complete,
    assert_late,
    send,
    send_once,
    target_of,
)
from tests.waiting import wait_until


def drips_headers(connection: Connection) -> None:
    connection.receive()
    connection.drip(HEAD + b"X-A: b\r\n" * 1000)


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
        wait_until(lambda: bool(stuck.received))
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


def test_watchdog_thread_that_cannot_start_fails_only_that_call(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watchdog.reset()
    with FakePartner(never_responds) as partner:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            result = send(sender, target_of(partner, SHORT))
        assert (result.failure, result.sent) == (Failure.INTERNAL, False)
        assert_late(send(sender, target_of(partner, SHORT)))
