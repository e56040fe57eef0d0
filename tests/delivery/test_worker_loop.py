"""The loop of the delivery worker without a database or partner: waits, counts and errors."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from app.delivery import worker as module
from app.delivery.claiming import LEASE_MARGIN_SECONDS, ClaimResult
from app.delivery.retry_policy import Step
from app.delivery.worker import (
    GATHER_MAX,
    GATHER_SECONDS,
    POLL_SECONDS,
    DeliveryWorker,
    ResultBox,
    Unstorable,
)

NOW = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)


class Time:
    """A monotonic clock that only sleeping advances."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(module, "time", time)
    return time


def idle_worker(senders: int = 0) -> Any:
    database: Any = None
    return DeliveryWorker(database, senders=senders)


def message(token: str, partner_id: int = 1) -> Any:
    return SimpleNamespace(id="m", token=token, partner_id=partner_id)


def result(token: str, partner_id: int = 1, step: Step = Step.DELIVERED) -> Any:
    return SimpleNamespace(claimed=message(token, partner_id), verdict=SimpleNamespace(step=step))


def with_state(claimed: list[Any], unrecorded: list[Any], senders: int = 0) -> Any:
    worker = idle_worker(senders)
    worker._in_flight = {(row.id, row.token): row for row in claimed}
    worker._unrecorded = unrecorded
    return worker


# --- Waiting


@pytest.fixture
def no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take sent messages as results: these tests are about waiting."""
    monkeypatch.setattr(module, "_judged", lambda sent: sent)


@pytest.mark.usefixtures("no_judge")
def test_results_that_are_ready_are_taken_together() -> None:
    worker = with_state([message("a"), message("b")], [])
    results = [result("a"), result("b")]
    for ready in results:
        worker._results.put(ready)
    worker._results.wake()
    assert worker._wait_for_results() is True
    assert worker._unrecorded == results
    assert worker._wait_for_results(0.0) is False


@pytest.mark.usefixtures("no_judge")
@pytest.mark.parametrize(("in_flight", "awaited"), [(1, 1), (9, 9), (20, GATHER_MAX)])
def test_worker_waits_briefly_for_more_results(
    monkeypatch: pytest.MonkeyPatch, in_flight: int, awaited: int
) -> None:
    worker = with_state([message(str(number)) for number in range(in_flight)], [])
    worker._results.put(result("0"))
    waits: list[Any] = []

    def wait(*args: Any) -> bool:
        waits.append(args)
        return True

    monkeypatch.setattr(worker._results, "wait", wait)
    assert worker._wait_for_results(3.0) is True
    assert waits == [(1, 3.0), (awaited, GATHER_SECONDS)]


def test_wait_for_results_ends_with_the_last_awaited_one() -> None:
    results = ResultBox()
    timers = [threading.Timer(0.02 * number, results.put, [result(str(number))]) for number in (1, 2, 3)]
    for timer in timers:
        timer.start()
    assert results.wait(3, 30.0) is True
    assert [row.claimed.token for row in results.take()] == ["1", "2", "3"]
    assert results.take() == []


def test_wait_for_missing_results_ends_at_its_timeout() -> None:
    results = ResultBox()
    results.put(result("a"))
    assert results.wait(2, 0.01) is False
    assert len(results.take()) == 1


def test_wake_up_ends_the_wait_without_a_result() -> None:
    worker = with_state([message("a")], [])
    timer = threading.Timer(0.02, worker._results.wake)
    timer.start()
    assert worker._wait_for_results(30.0) is True
    assert worker._unrecorded == []
    assert worker._wait_for_results(0.0) is False


@pytest.mark.parametrize(
    ("ends_with", "interval", "waits"),
    [
        ("time", 0.5, [0.5, 0.5, 0.5, 0.25]),
        ("time", 60.0, [1.75]),
        ("result", 0.5, [0.5]),
        ("change", 0.5, [0.5]),
        ("stop", 0.5, [0.5]),
        ("stopped before", 0.5, [0.5, 0.5, 0.5, 0.25]),
    ],
)
def test_wait_ends_with_the_first_event(
    time: Time, monkeypatch: pytest.MonkeyPatch, ends_with: str, interval: float, waits: list[float]
) -> None:
    worker, stop, waited = idle_worker(), threading.Event(), []
    wakeup = SimpleNamespace(interval=interval, changed=lambda: ends_with == "change")

    def wait_for_results(seconds: float) -> bool:
        waited.append(seconds)
        time.sleep(seconds)
        if ends_with == "stop":
            stop.set()
        return ends_with == "result"

    if ends_with == "stopped before":
        stop.set()
    monkeypatch.setattr(worker, "_wait_for_results", wait_for_results)
    worker._wait(wakeup, 1.75, stop)
    assert waited == waits


# --- Claims and results


def test_recorded_results_are_counted_and_no_longer_in_flight() -> None:
    steps = dict(zip("abcd", (Step.DELIVERED, Step.RETRY, Step.REFUSED, Step.FAILED), strict=True))
    claimed = [message(token) for token in "abcde"]
    worker = with_state(claimed, [result(token, step=step) for token, step in steps.items()])
    worker._forget_recorded()
    assert worker.counts == {"delivered": 1, "retried": 1, "refused": 1, "failed": 1}
    assert worker._in_flight == {("m", "e"): claimed[-1]}
    assert worker._unrecorded == []


@pytest.mark.parametrize(
    ("check_again_at", "seconds"),
    [(None, POLL_SECONDS), (NOW + timedelta(seconds=3), 3.0), (NOW - timedelta(seconds=3), 0.0)],
)
def test_worker_claims_for_idle_senders_until_something_is_due(
    monkeypatch: pytest.MonkeyPatch, check_again_at: datetime | None, seconds: float
) -> None:
    new, calls = message("d", partner_id=3), []
    worker = with_state([message("a"), message("b"), message("c", 2)], [result("b")], senders=8)

    def claim(_session: Any, count: int, now: datetime, **more: Any) -> ClaimResult:
        calls.append((count, now, more))
        return ClaimResult([new], check_again_at)

    monkeypatch.setattr(worker, "_transaction", lambda _: nullcontext(SimpleNamespace(flush=lambda: None)))
    monkeypatch.setattr(module, "clock", SimpleNamespace(now=lambda: NOW))
    monkeypatch.setattr(module, "claim", claim)
    for name in ("follow_clock", "record_results", "reclaim_expired"):
        monkeypatch.setattr(module, name, lambda *_: 0)
    assert worker._record_and_claim(None, claiming=True) == seconds
    ((count, now, more),) = calls
    assert (count, now, more["lease_margin"]) == (6, NOW, LEASE_MARGIN_SECONDS)
    assert more["in_flight"] == Counter({1: 1, 2: 1})
    assert list(worker._in_flight) == [("m", "a"), ("m", "c"), ("m", "d")]
    assert worker._work.get_nowait() is new
    assert worker._record_and_claim(None, claiming=False) == POLL_SECONDS
    assert len(calls) == 1


def test_expired_leases_are_reclaimed_once_a_second(
    time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker, at = idle_worker(), []

    def reclaim_expired(_session: Any, _now: datetime) -> int:
        at.append(time.monotonic())
        return 2 if len(at) == 1 else 0

    monkeypatch.setattr(module, "reclaim_expired", reclaim_expired)
    for _ in range(5):
        worker._reclaim(None, NOW)
        time.sleep(0.5)
    assert at == [1000.0, 1001.0, 1002.0]
    assert caplog.messages == ["2 messages had an expired lease and were released"]


@pytest.mark.parametrize("rounds", [0, 2])
def test_drain_claims_until_nothing_is_in_flight(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    worker, calls = idle_worker(), []

    def tick(connection: Any, *, claiming: bool) -> None:
        calls.append((connection, claiming))
        worker._in_flight = {} if len(calls) > rounds else {("m", "a"): message("a")}

    monkeypatch.setattr(worker, "_connection", lambda: nullcontext("c"))
    monkeypatch.setattr(worker, "_wait_for_results", lambda: True)
    monkeypatch.setattr(worker, "_tick", tick)
    monkeypatch.setattr(worker, "counts", Counter(delivered=1))
    assert worker.drain() == {"delivered": 1}
    assert calls == [("c", True)] * (rounds + 1)


# --- Errors of the database


class DriverError(Exception):
    """What a driver raises, with PostgreSQL's code if there is one."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("no")
        if sqlstate:
            self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (DataError, None, Unstorable),
        (OperationalError, "54000", Unstorable),
        (OperationalError, "53100", OperationalError),
        (ProgrammingError, None, ProgrammingError),
    ],
)
def test_only_values_that_never_fit_are_unstorable(
    monkeypatch: pytest.MonkeyPatch, error: Any, code: str | None, expected: type[Exception]
) -> None:
    def record_results(*_: Any) -> None:
        raise error("INSERT", {}, DriverError(code))

    monkeypatch.setattr(module, "record_results", record_results)
    session: Any = None
    with pytest.raises(expected) as raised:
        module._record(session, [], NOW)
    assert type(raised.value) is expected
    if expected is Unstorable:
        assert str(raised.value) == "no"


def test_unstorable_result_is_recorded_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker, calls = with_state([], [1, 2, 3]), []

    def record_and_claim(connection: Any, *, claiming: bool) -> float:
        calls.append((connection, claiming, worker._unrecorded))
        if len(calls) == 1:
            raise Unstorable("too large")
        return 0.25

    monkeypatch.setattr(worker, "_record_and_claim", record_and_claim)
    monkeypatch.setattr(worker, "_is_storable", lambda connection, row: connection == "c" and row != 2)
    monkeypatch.setattr(module, "without_response", lambda row: -row)
    assert worker._tick("c", claiming=True) == 0.25
    assert calls == [("c", True, [1, 2, 3]), ("c", True, [1, -2, 3])]
    assert caplog.messages == ["a response cannot be stored and is left out: too large"]
    monkeypatch.setattr(worker, "_is_storable", lambda *_: True)
    assert worker._without_unstorable("c") == [-1, 2, -3]


@pytest.mark.parametrize("error", [None, Unstorable])
def test_storable_result_is_recorded_alone_and_rolled_back(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    worker = idle_worker()
    calls: list[Any] = []
    connection = SimpleNamespace(rollback=lambda: calls.append("rollback"))

    def record_results(session: Any, results: Any, now: datetime) -> None:
        calls.append((session, results, now))
        if error:
            raise error("no")

    monkeypatch.setattr(worker, "_transaction", lambda connection: nullcontext(("session of", connection)))
    monkeypatch.setattr(module, "clock", SimpleNamespace(now=lambda: NOW))
    monkeypatch.setattr(module, "record_results", record_results)
    assert worker._is_storable(connection, "result") is (error is None)
    assert calls == [(("session of", connection), ["result"], NOW), *(() if error else ("rollback",))]


def test_unavailable_database_is_retried_every_second(
    time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker, stop, at = idle_worker(), threading.Event(), []

    def deliver_until(event: threading.Event) -> None:
        assert event is stop
        at.append(time.monotonic())
        if len(at) == 40:
            stop.set()
            return
        raise OperationalError("SELECT", {}, DriverError(None))

    monkeypatch.setattr(worker, "_deliver_until", deliver_until)
    worker.run(stop)
    assert at == [1000.0 + second for second in range(40)]
    assert caplog.messages == ["the database is unavailable, retrying: no"] * 39


def test_stopping_worker_gives_up_after_20_seconds(
    time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker, stop, at = with_state([message("a")], []), threading.Event(), []

    def deliver_until(_stop: threading.Event) -> None:
        stop.set()
        at.append(time.monotonic())
        raise OperationalError("SELECT", {}, DriverError(None))

    monkeypatch.setattr(worker, "_deliver_until", deliver_until)
    worker.run(stop)
    assert at == [1000.0 + second for second in range(22)]
    assert caplog.record_tuples[-1][1:] == (logging.ERROR, "stopping with 1 results unrecorded")
