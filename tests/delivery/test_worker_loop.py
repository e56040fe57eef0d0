"""The loop of the delivery worker with a chosen queue and partner: waits, counts and errors."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery import worker as module
from app.delivery.call_result import CallResult, Detail
from app.delivery.circuit_breaker import Limits
from app.delivery.claiming import LEASE_MARGIN_SECONDS, ClaimedMessage, ClaimResult
from app.delivery.credentials import Credentials
from app.delivery.http_client import Target
from app.delivery.models import Trigger
from app.delivery.recording import AttemptResult
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.delivery.wakeup import Wakeup
from app.delivery.worker import GATHER_MAX, GATHER_SECONDS, POLL_SECONDS, DeliveryWorker, ResultBox, Sent

NOW = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
DELIVERED, REFUSED = (200, b'{"response_code":0}'), (200, b'{"response_code":1}')
UNAVAILABLE = (503, b"Down for maintenance")


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


def message(name: str, partner_id: int = 1, tried: int = 0) -> ClaimedMessage:
    return ClaimedMessage(
        id=name,
        order_id=1,
        partner_id=partner_id,
        object_id="",
        body=name.encode(),
        number=1,
        token=name,
        trigger=Trigger.AUTO,
        requested_by=None,
        request_reason=None,
        request_id=None,
        automatic_attempts=tried,
        after_unknown=False,
        credentials=Credentials(Target("https://partner.example"), None, ()),
        headers={},
        schedule=DEFAULT_SCHEDULE,
        success_codes=(0,),
        limits=Limits(8),
        is_probe=False,
        is_suspect=False,
        had_credential_failures=False,
    )


def response(status: int, body: bytes) -> CallResult:
    return CallResult(None, Detail(), status, (), body, len(body), False, None, 1.0, True)


def quiet_wakeup(*, interval: float = 60.0, changed: bool = False) -> Wakeup:
    return cast(Wakeup, SimpleNamespace(interval=interval, changed=lambda: changed, close=lambda: None))


def sent(name: str) -> Sent:
    return Sent(message(name), response(*DELIVERED), NOW)


@dataclass
class Surroundings:
    """What the worker works with. Tests replace the functions; by default nothing is due and all succeeds."""

    claim: Callable[[], ClaimResult] = lambda: ClaimResult([], None)
    respond: Callable[[str], tuple[int, bytes]] = lambda _: DELIVERED
    record: Callable[[Session, Sequence[AttemptResult]], None] = lambda *_: None
    reclaim: Callable[[], int] = lambda: 0
    claims: list[dict[str, Any]] = field(default_factory=list)
    """The arguments of each claim."""

    def queue(self, *claimed: list[ClaimedMessage]) -> None:
        """Each claim gets one of these lists; later ones get nothing."""
        remaining = iter(claimed)
        self.claim = lambda: ClaimResult(next(remaining, []), None)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    surroundings = Surroundings()

    def claim(_session: Session, count: int, now: datetime, **more: Any) -> ClaimResult:
        surroundings.claims.append({"count": count, "now": now, **more})
        return surroundings.claim()

    def send(_sender: Any, _target: Target, body: bytes, *_: Any) -> CallResult:
        return response(*surroundings.respond(body.decode()))

    def record_results(session: Session, results: Sequence[AttemptResult], now: datetime) -> None:
        assert now == NOW
        surroundings.record(session, results)

    def reclaim_expired(_session: Session, now: datetime) -> int:
        assert now == NOW
        return surroundings.reclaim()

    monkeypatch.setattr(module, "claim", claim)
    monkeypatch.setattr(module, "send", send)
    monkeypatch.setattr(module, "record_results", record_results)
    monkeypatch.setattr(module, "reclaim_expired", reclaim_expired)
    monkeypatch.setattr(module, "clock", SimpleNamespace(now=lambda: NOW))
    return surroundings


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database: nothing here reads or writes the tables of the app."""
    database = Database(f"sqlite:///{tmp_path}/empty.sqlite")
    yield database
    database.engine.dispose()


# --- Waiting


def test_results_that_are_ready_are_recorded_together(
    database: Database, surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[list[str]] = []
    surroundings.record = lambda _, results: recorded.append(sorted(result.claimed.id for result in results))
    surroundings.queue([message("a"), message("b")])
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)
    assert DeliveryWorker(database, senders=2).drain() == {"delivered": 2}
    assert recorded == [[], ["a", "b"]]


@pytest.mark.parametrize(("in_flight", "awaited"), [(1, 1), (9, 9), (20, GATHER_MAX)])
def test_worker_waits_briefly_for_more_results(
    database: Database,
    surroundings: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
    in_flight: int,
    awaited: int,
) -> None:
    wait, waits = ResultBox.wait, []

    def recorded_wait(results: ResultBox, count: int, seconds: float | None) -> bool:
        waits.append((count, seconds))
        return wait(results, count, seconds)

    monkeypatch.setattr(ResultBox, "wait", recorded_wait)
    surroundings.queue([message(str(number)) for number in range(in_flight)])
    DeliveryWorker(database, senders=4).drain()
    assert waits[:2] == [(1, None), (awaited, GATHER_SECONDS)]


def test_wait_for_results_ends_with_the_last_awaited_one() -> None:
    results = ResultBox()
    timers = [threading.Timer(0.02 * number, results.put, [sent(str(number))]) for number in (1, 2, 3)]
    for timer in timers:
        timer.start()
    assert results.wait(3, 30.0) is True
    assert [result.claimed.id for result in results.take()] == ["1", "2", "3"]
    assert results.take() == []


def test_wait_for_missing_results_ends_at_its_timeout() -> None:
    results = ResultBox()
    results.put(sent("a"))
    assert results.wait(2, 0.01) is False
    assert len(results.take()) == 1


def test_wake_up_ends_the_wait_without_a_result() -> None:
    results = ResultBox()
    threading.Timer(0.02, results.wake).start()
    assert results.wait(1, 30.0) is True
    assert results.take() == []
    assert results.wait(1, 0.0) is False


@pytest.fixture
def first_wait(
    database: Database, surroundings: Surroundings, time: Time, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[float]]:
    """Run the worker until its second tick, in the time of the test; gives the parts of its wait."""

    def first_wait(
        ends_with: str = "time", *, interval: float = 60.0, check_again_at: datetime | None = None
    ) -> list[float]:
        wait, stop, seconds_waited, ticks = ResultBox.wait, threading.Event(), [], []
        queue = iter([[message("a")]])

        def claim() -> ClaimResult:
            if ends_with == "stopped before":
                stop.set()
            return ClaimResult(next(queue, []), check_again_at)

        def record(_session: Session, results: Sequence[AttemptResult]) -> None:
            ticks.append(results)
            if len(ticks) > 1:
                stop.set()

        def wait_in_test_time(results: ResultBox, count: int, seconds: float) -> bool:
            if len(ticks) > 1 or seconds == GATHER_SECONDS:
                return wait(results, count, seconds)
            seconds_waited.append(seconds)
            time.sleep(seconds)
            if ends_with == "stop":
                stop.set()
            return ends_with == "result"

        surroundings.claim, surroundings.record = claim, record
        wakeup = quiet_wakeup(interval=interval, changed=ends_with == "change")
        monkeypatch.setattr(module, "wakeup_for", lambda *_: wakeup)
        monkeypatch.setattr(ResultBox, "wait", wait_in_test_time)
        DeliveryWorker(database, senders=1).run(stop)
        return seconds_waited

    return first_wait


@pytest.mark.parametrize(
    ("ends_with", "interval", "seconds"),
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
    first_wait: Callable[..., list[float]],
    monkeypatch: pytest.MonkeyPatch,
    ends_with: str,
    interval: float,
    seconds: list[float],
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 1.75)
    assert first_wait(ends_with, interval=interval) == seconds


@pytest.mark.parametrize(
    ("check_again_at", "seconds"),
    [
        (None, [POLL_SECONDS]),
        (NOW + timedelta(seconds=0.25), [0.25]),
        (NOW + timedelta(seconds=3), [POLL_SECONDS]),
        (NOW - timedelta(seconds=3), []),
    ],
)
def test_worker_waits_until_something_is_due(
    first_wait: Callable[..., list[float]], check_again_at: datetime | None, seconds: list[float]
) -> None:
    assert first_wait(check_again_at=check_again_at) == seconds


def test_wake_up_from_elsewhere_ends_the_wait(
    database: Database, surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def wakeup_for(_database: Database, _connection: Connection, notify: Callable[[], None]) -> Wakeup:
        notify()
        return quiet_wakeup()

    def claim() -> ClaimResult:
        if len(surroundings.claims) == 2:
            stop.set()
        return ClaimResult([], None)

    surroundings.claim = claim
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "wakeup_for", wakeup_for)
    DeliveryWorker(database, senders=1).run(stop)
    assert len(surroundings.claims) == 2


# --- Claims and results


def test_recorded_results_are_counted_and_no_longer_in_flight(
    database: Database, surroundings: Surroundings
) -> None:
    responses = {"a": DELIVERED, "b": UNAVAILABLE, "c": REFUSED, "d": UNAVAILABLE, "e": DELIVERED}
    others_are_recorded = threading.Event()

    def respond(name: str) -> tuple[int, bytes]:
        if name == "e":
            assert others_are_recorded.wait(30)
        return responses[name]

    def claim() -> ClaimResult:
        in_flight = surroundings.claims[-1]["in_flight"]
        if in_flight == Counter({1: 1}):
            others_are_recorded.set()
        is_first = len(surroundings.claims) == 1
        return ClaimResult([*map(message, "abce"), message("d", tried=9)] if is_first else [], None)

    surroundings.respond, surroundings.claim = respond, claim
    counts = DeliveryWorker(database, senders=8).drain()
    assert others_are_recorded.is_set()
    assert counts == {"delivered": 2, "retried": 1, "refused": 1, "failed": 1}
    assert surroundings.claims[-1]["in_flight"].total() == 0


def test_worker_claims_for_idle_senders(database: Database, surroundings: Surroundings) -> None:
    claimed_again = threading.Event()

    def respond(name: str) -> tuple[int, bytes]:
        assert name == "b" or claimed_again.wait(30)
        return DELIVERED

    def claim() -> ClaimResult:
        if len(surroundings.claims) == 1:
            return ClaimResult([message("a"), message("b"), message("c", partner_id=2)], None)
        claimed_again.set()
        return ClaimResult([message("d", partner_id=3)] if len(surroundings.claims) == 2 else [], None)

    surroundings.respond, surroundings.claim = respond, claim
    assert DeliveryWorker(database, senders=8).drain() == {"delivered": 4}
    first, second, *_ = surroundings.claims
    assert first == {"count": 8, "now": NOW, "lease_margin": LEASE_MARGIN_SECONDS, "in_flight": Counter()}
    assert (second["count"], second["in_flight"]) == (6, Counter({1: 1, 2: 1}))


def test_stopped_worker_claims_nothing_new(database: Database, surroundings: Surroundings) -> None:
    stop = threading.Event()

    def claim() -> ClaimResult:
        stop.set()
        return ClaimResult([message("a")], None)

    surroundings.claim = claim
    worker = DeliveryWorker(database, senders=8)
    worker.run(stop)
    assert worker.counts == {"delivered": 1}
    assert len(surroundings.claims) == 1


def test_expired_leases_are_reclaimed_once_a_second(
    database: Database,
    surroundings: Surroundings,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, at = threading.Event(), []

    def reclaim() -> int:
        at.append(time.monotonic())
        return 2 if len(at) == 1 else 0

    def claim() -> ClaimResult:
        if len(surroundings.claims) == 5:
            stop.set()
        return ClaimResult([], NOW + timedelta(seconds=0.5))

    def wait_in_test_time(_results: ResultBox, _count: int, seconds: float) -> bool:
        time.sleep(seconds)
        return False

    surroundings.reclaim, surroundings.claim = reclaim, claim
    monkeypatch.setattr(module, "wakeup_for", lambda *_: quiet_wakeup())
    monkeypatch.setattr(ResultBox, "wait", wait_in_test_time)
    DeliveryWorker(database, senders=1).run(stop)
    assert at == [1000.0, 1001.0, 1002.0]
    assert caplog.messages == ["2 messages had an expired lease and were released"]


@pytest.mark.parametrize("rounds", [0, 2])
def test_drain_claims_until_nothing_is_in_flight(
    database: Database, surroundings: Surroundings, rounds: int
) -> None:
    surroundings.queue(*([message(str(number))] for number in range(rounds)))
    assert DeliveryWorker(database, senders=1).drain() == ({"delivered": rounds} if rounds else {})
    assert len(surroundings.claims) == rounds + 1


# --- Errors of the database


class DriverError(Exception):
    """What a driver raises, with PostgreSQL's code if there is one."""

    def __init__(self, sqlstate: str | None = None) -> None:
        super().__init__("no")
        if sqlstate:
            self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "code", "is_left_out"),
    [
        (DataError, None, True),
        (OperationalError, "54000", True),
        (OperationalError, "53100", False),
        (ProgrammingError, None, False),
    ],
)
def test_only_values_that_never_fit_are_left_out(
    database: Database,
    surroundings: Surroundings,
    caplog: pytest.LogCaptureFixture,
    error: type[DBAPIError],
    code: str | None,
    is_left_out: bool,
) -> None:
    def record(_session: Session, results: Sequence[AttemptResult]) -> None:
        if any(result.call_result.body for result in results):
            raise error("INSERT", {}, DriverError(code))

    surroundings.record = record
    surroundings.queue([message("a")])
    worker = DeliveryWorker(database, senders=1)
    if is_left_out:
        assert worker.drain() == {"delivered": 1}
        assert caplog.messages == ["a response cannot be stored and is left out: no"]
    else:
        with pytest.raises(error):
            worker.drain()


@pytest.mark.parametrize(
    ("unstorable", "left_out"), [({"b"}, {"b"}), ({"a", "b"}, {"a", "b"}), ({"together"}, {"a", "b", "c"})]
)
def test_unstorable_results_are_recorded_once_without_their_text(
    database: Database,
    surroundings: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
    unstorable: set[str],
    left_out: set[str],
) -> None:
    """``together``: no result fails alone, but all of them together do."""

    def record(session: Session, results: Sequence[AttemptResult]) -> None:
        for result in results:
            row = {"id": result.claimed.id, "body": result.call_result.body.decode()}
            session.execute(text("INSERT INTO recorded VALUES (:id, :body)"), row)
        with_text = {result.claimed.id for result in results if result.call_result.body}
        if with_text & unstorable or ("together" in unstorable and len(with_text) > 1):
            raise DataError("INSERT", {}, DriverError())

    with database.writing() as session:
        session.execute(text("CREATE TABLE recorded (id TEXT, body TEXT)"))
        session.commit()
    surroundings.record = record
    surroundings.queue([message("a"), message("b"), message("c")])
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)
    assert DeliveryWorker(database, senders=3).drain() == {"delivered": 3}
    assert len(surroundings.claims) == 2
    with database.reading() as session:
        rows = session.execute(text("SELECT id, body FROM recorded ORDER BY id")).all()
    body = DELIVERED[1].decode()
    assert [tuple(row) for row in rows] == [(name, "" if name in left_out else body) for name in "abc"]


def test_unavailable_database_is_retried_every_second(
    database: Database, surroundings: Surroundings, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    stop, at = threading.Event(), []

    def claim() -> ClaimResult:
        at.append(time.monotonic())
        if len(at) == 40:
            stop.set()
            return ClaimResult([], None)
        raise OperationalError("SELECT", {}, DriverError())

    surroundings.claim = claim
    DeliveryWorker(database, senders=1).run(stop)
    assert at == [1000.0 + second for second in range(40)]
    assert caplog.messages == ["the database is unavailable, retrying: no"] * 39


def test_stopping_worker_gives_up_after_20_seconds(
    database: Database, surroundings: Surroundings, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    stop, at = threading.Event(), []

    def record(_session: Session, results: Sequence[AttemptResult]) -> None:
        if results:
            stop.set()
            at.append(time.monotonic())
            raise OperationalError("UPDATE", {}, DriverError())

    surroundings.record = record
    surroundings.queue([message("a")])
    DeliveryWorker(database, senders=1).run(stop)
    assert at == [1000.0 + second for second in range(22)]
    assert caplog.record_tuples[-1][1:] == (logging.ERROR, "stopping with 1 results unrecorded")
