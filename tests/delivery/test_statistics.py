"""Attempts counted by time: always what a plain count over all rows says, on both databases."""

from __future__ import annotations

import math
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import clock as the_clock
from app.db import Database
from app.delivery import statistics
from app.delivery.claiming import claim
from app.delivery.histogram import SMALLEST, Histogram, bin_of
from app.delivery.models import (
    Attempt,
    Mark,
    Message,
    MessageState,
    Rollup,
    Trigger,
)
from app.delivery.recording import AttemptResult, reclaim_expired, record_results
from app.delivery.retry_policy import Reason, Step, Verdict
from app.delivery.statistics import (
    KEPT,
    SPANS,
    TAKEN,
    Key,
    Measure,
    Measured,
    beginning,
    measured,
    roll,
    roll_some,
)
from app.delivery.tally import mark
from app.delivery.wire.outcome import Outcome
from app.delivery.worker import DeliveryWorker
from app.partners.models import Partner

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MILLISECONDS = st.floats(0, 1e7, allow_nan=False)


# --- Percentiles


def nearest_rank(values: Sequence[float], share: float) -> float:
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@given(st.lists(MILLISECONDS, min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_percentiles_are_those_of_the_values_within_one_percent(values: list[float], share: float) -> None:
    found = Histogram.of(values).percentile(share)
    assert found is not None
    exact = max(nearest_rank(values, share), SMALLEST)
    assert abs(found - exact) <= 0.01 * exact


@given(st.lists(MILLISECONDS), st.lists(MILLISECONDS))
def test_histograms_add_up_and_survive_their_row(some: list[float], others: list[float]) -> None:
    total = Histogram.of(some)
    total.merge(Histogram.of(others))
    assert total == Histogram.of(some + others)
    assert Histogram.unpacked(total.packed()) == total
    total.merge(Histogram.of(others), -1)
    assert total == Histogram.of(some)
    assert total.percentiles(0.5, 0.9, 1.0) == tuple(total.percentile(share) for share in (0.5, 0.9, 1.0))


def test_a_row_of_the_time_before_counts_stood_in_a_row_is_read_as_well() -> None:
    values = [1.01**number for number in range(700)]
    pairs = sorted(Counter(map(bin_of, values)).items())
    packed = b"".join(struct.pack("<HI", *pair) for pair in pairs)
    assert Histogram.unpacked(packed) == Histogram.of(values)
    assert len(Histogram.of(values).packed()) < len(packed)


def test_no_value_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


def test_what_took_an_age_is_in_the_last_bin() -> None:
    assert Histogram.of([1e300]).percentile(0.5) is not None


# --- Against a plain count


def naive(session: Session, since: datetime, until: datetime, seconds: int) -> dict[Any, tuple[int, Any]]:
    """All attempts looked at one by one."""
    session.rollback()
    rows = session.execute(
        select(Attempt, Message.partner_id, Message.created_at)
        .join(Message, Message.id == Attempt.message_id)
        .order_by(Attempt.message_id, Attempt.number)
    ).all()
    values: dict[Any, list[float | None]] = defaultdict(list)
    arrived: set[str] = set()
    for attempt, partner_id, created_at in rows:
        if attempt.ended_at is None:
            continue
        first = attempt.outcome in TAKEN and attempt.message_id not in arrived
        arrived |= {attempt.message_id} if first else set()
        if not since <= attempt.ended_at < until:
            continue
        at = datetime.fromtimestamp(attempt.ended_at.timestamp() // seconds * seconds, UTC)
        key = Key(partner_id, Measure.TRIES, attempt.outcome, attempt.status or 0)
        values[at, key].append(None)
        if attempt.duration_ms is not None:
            values[at, Key(partner_id, Measure.TIMES)].append(attempt.duration_ms)
        if first:
            took = (attempt.ended_at - created_at).total_seconds() * 1000
            values[at, Key(partner_id, Measure.ARRIVALS)].append(took)
    return {
        place: (len(some), Histogram.of(one for one in some if one is not None))
        for place, some in values.items()
    }


def together(cells: dict[Any, tuple[int, Any]]) -> dict[str, Any]:
    """What was counted one by one, as the pages want it."""
    tries: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    ends: dict[Any, int] = defaultdict(int)
    measured: dict[Measure, dict[Any, tuple[int, Any]]] = {Measure.TIMES: {}, Measure.ARRIVALS: {}}
    for (at, key), (count, latencies) in cells.items():
        if key.measure is not Measure.TRIES:
            measured[key.measure][at, key.partner_id] = count, latencies
            continue
        tries[at, key.partner_id][0] += count
        tries[at, key.partner_id][1] += count if key.outcome in TAKEN else 0
        if key.outcome not in TAKEN:
            ends[key.partner_id, key.outcome, key.status] += count
    return {
        "tries": dict(tries),
        "ends": dict(ends),
        "times": measured[Measure.TIMES],
        "arrivals": measured[Measure.ARRIVALS],
    }


def plain(found: Measured) -> dict[str, Any]:
    return {
        "tries": {place: [one.tries, one.taken] for place, one in found.tries.items() if one.tries},
        "ends": {key: count for key, count in found.ends.items() if count},
        **{
            name: {place: (cell.count, cell.latencies) for place, cell in cells.items() if cell.count}
            for name, cells in (("times", found.times), ("arrivals", found.arrivals))
        },
    }


def assert_exact(database: Database, at: datetime) -> None:
    """All spans, over everything up to the end of the span in which ``at`` lies."""
    for seconds in SPANS:
        since = beginning(at - timedelta(days=3), seconds)
        until = beginning(at, seconds) + timedelta(seconds=seconds)
        with database.snapshot() as session:
            found = measured(session, since, until, seconds)
        with database.reading() as session:
            expected = naive(session, since, until, seconds)
        assert found.uncounted == 0
        assert plain(found) == together(expected)


@pytest.fixture
def at_noon(clock: Any) -> None:
    clock.move(seconds=(NOON - the_clock.now()).total_seconds())


@pytest.fixture
def two_partners(database: Database, partner: Partner) -> list[int]:
    with database.writing() as session:
        other = Partner(name="Other", base_url="http://127.0.0.1:9", created_at=NOON)
        session.add(other)
        session.commit()
        return [partner.id, other.id]


def message_row(number: int, partner_id: int, created_at: datetime) -> Message:
    return Message(
        id=f"msg_{number:026d}",
        kind="req-confirm",
        partner_id=partner_id,
        decision_number=number,
        object_id="",
        buyer_po_number="",
        buyer_b2b_id="",
        supplier_b2b_id="",
        object_version=1,
        body=b"",
        body_sha256="",
        created_at=created_at,
        created_by="",
        state=MessageState.FAILED,
    )


ENDS = st.tuples(
    st.integers(0, 5),  # which message
    st.floats(0, 60 * 60 * 60),  # how many seconds before noon
    st.sampled_from(
        [
            ("delivered", 200),
            ("already_received", 409),
            ("busy", 503),
            ("timeout", None),
            ("server_error", 500),
        ]
    ),
    st.one_of(st.none(), st.floats(0.01, 30_000)),
)
STEPS = st.lists(st.one_of(ENDS, st.integers(1, 5)), max_size=30)


@pytest.mark.usefixtures("at_noon")
@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_counts_are_those_of_a_plain_count_whenever_attempts_end_and_whenever_they_are_rolled_up(
    database: Database, two_partners: list[int], steps: list[Any]
) -> None:
    numbers: dict[str, int] = defaultdict(int)
    with database.writing() as session:
        for table in (Attempt, Message, Mark, Rollup):
            session.execute(delete(table))
        for number in range(6):
            session.add(message_row(number, two_partners[number % 2], NOON - timedelta(hours=70)))
        session.commit()
    for step in steps:
        with database.writing() as session:
            if isinstance(step, int):
                roll_some(session, the_clock.now(), most=step)
            else:
                which, ago, (outcome, status), took = step
                message_id = f"msg_{which:026d}"
                numbers[message_id] += 1
                ended_at = NOON - timedelta(seconds=ago)
                session.add(
                    Attempt(
                        message_id=message_id,
                        number=numbers[message_id],
                        trigger=Trigger.AUTO,
                        url="",
                        started_at=ended_at,
                        ended_at=ended_at,
                        outcome=outcome,
                        status=status,
                        duration_ms=took,
                    )
                )
                mark(session, [ended_at])
            session.commit()
    assert_exact(database, NOON)
    roll(database)
    assert_exact(database, NOON)
    roll(database)
    assert_exact(database, NOON)


# --- By the deliverer's own hands


def test_what_the_deliverer_records_is_counted_before_and_after_it_is_rolled_up(
    database: Database, arrive: Any, confirm: Any, deliver: Any, network: Any, clock: Any
) -> None:
    network.behave("503", times=2)
    for order_id in arrive(4):
        confirm(order_id)
    deliver()
    clock.move(minutes=2)
    assert_exact(database, the_clock.now())
    assert roll(database) >= 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Mark)) == 0
    assert_exact(database, the_clock.now())
    deliver()
    clock.move(minutes=2)
    roll(database)
    assert_exact(database, the_clock.now())
    with database.snapshot() as session:
        day = the_clock.now()
        found = measured(session, day - timedelta(days=1), day + timedelta(days=1), 60)
    arrived = sum(cell.count for cell in found.arrivals.values())
    tries = sum(tried.tries for tried in found.tries.values())
    assert (arrived, tries) == (4, 6)


def claimed_one(database: Database) -> Any:
    with database.writing() as session:
        (claimed,) = claim(session, 1, the_clock.now()).messages
        session.commit()
    return claimed


def delivered(claimed: Any, ended_at: datetime) -> AttemptResult:
    outcome = Outcome(
        failure=None,
        detail="",
        status=200,
        headers=(),
        body=b"",
        body_size=0,
        truncated=False,
        remote_address=None,
        duration_ms=40.0,
        sent=True,
    )
    return AttemptResult(claimed, outcome, Verdict(Step.DELIVERED, Reason.DELIVERED), ended_at)


def record_one(database: Database, finished: AttemptResult) -> None:
    with database.writing() as session:
        record_results(session, [finished], the_clock.now())
        session.commit()


def test_a_late_record_over_a_repaired_attempt_moves_its_count(
    database: Database, arrive: Any, confirm: Any, clock: Any
) -> None:
    confirm(arrive(1)[0])
    claimed = claimed_one(database)
    ended_at = the_clock.now()
    clock.move(minutes=10)
    with database.writing() as session:
        reclaim_expired(session, the_clock.now())
        session.commit()
    clock.move(minutes=10)
    roll(database)
    assert_exact(database, the_clock.now())
    # Its deliverer only slept. It records minutes late, and the attempt is no longer an interrupted one.
    record_one(database, delivered(claimed, ended_at))
    assert_exact(database, the_clock.now())
    roll(database)
    assert_exact(database, the_clock.now())


def test_of_two_tries_that_were_taken_the_first_is_the_arrival_even_if_it_is_told_later(
    database: Database, arrive: Any, confirm: Any, clock: Any
) -> None:
    confirm(arrive(1)[0])
    slow = claimed_one(database)
    ended_at = the_clock.now()
    clock.move(minutes=10)
    with database.writing() as session:
        reclaim_expired(session, the_clock.now())
        session.commit()
    second = claimed_one(database)
    record_one(database, delivered(second, the_clock.now()))
    clock.move(minutes=10)
    roll(database)
    assert_exact(database, the_clock.now())
    record_one(database, delivered(slow, ended_at))
    assert_exact(database, the_clock.now())
    roll(database)
    assert_exact(database, the_clock.now())


def test_a_roll_up_that_breaks_off_leaves_everything_as_it_was(
    database: Database,
    arrive: Any,
    confirm: Any,
    deliver: Any,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    confirm(arrive(1)[0])
    deliver()
    clock.move(minutes=2)
    replace = statistics._replace

    def broken(session: Session, seconds: int, *more: Any) -> None:
        replace(session, seconds, *more)
        if seconds == SPANS[-1]:
            raise RuntimeError("the machine goes away")

    monkeypatch.setattr(statistics, "_replace", broken)
    with pytest.raises(RuntimeError):
        roll(database)
    monkeypatch.undo()
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Rollup)) == 0
        assert session.scalar(select(func.count()).select_from(Mark)) == 1
    assert_exact(database, the_clock.now())
    assert roll(database) == 1
    assert_exact(database, the_clock.now())


def test_deliverers_and_two_roll_ups_at_once_lose_nothing(
    database: Database, arrive: Any, confirm: Any, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Minutes are rolled up while they still run, again and again.
    monkeypatch.setattr(statistics, "SETTLING", timedelta(minutes=-2))
    network.behave("503", times=10)
    for order_id in arrive(30):
        confirm(order_id)
    stop = threading.Event()

    def roll_on() -> None:
        while not stop.is_set():
            roll(database)

    rolling = [threading.Thread(target=roll_on) for _ in range(2)]
    delivering = [
        threading.Thread(target=lambda: DeliveryWorker(database, senders=4).drain()) for _ in range(2)
    ]
    for thread in rolling + delivering:
        thread.start()
    for thread in delivering:
        thread.join()
    stop.set()
    for thread in rolling:
        thread.join()
    roll(database)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Mark)) == 0
        assert session.scalar(select(func.sum(Rollup.count)).where(Rollup.seconds == 60)) is not None
    assert_exact(database, the_clock.now())


def test_a_record_that_is_not_yet_committed_is_counted_when_it_is(
    database: Database, arrive: Any, confirm: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = arrive(2)
    confirm(first)
    done = claimed_one(database)
    confirm(second)
    slow = claimed_one(database)
    at = the_clock.now()
    record_one(database, delivered(done, at))
    clock.move(minutes=5)
    if not database.is_postgresql:
        # There is one writer: a roll-up cannot come between.
        record_one(database, delivered(slow, at))
    else:
        with database.writing() as session:
            record_results(session, [delivered(slow, at)], the_clock.now())
            roll(database)
            assert_exact(database, the_clock.now())
            session.commit()
    assert_exact(database, the_clock.now())
    roll(database)
    assert_exact(database, the_clock.now())


# --- Limits


def test_a_long_backlog_is_told_and_then_counted(
    database: Database, two_partners: list[int], monkeypatch: pytest.MonkeyPatch, at_noon: None
) -> None:
    monkeypatch.setattr(statistics, "LIVE_MOST", 3)
    with database.writing() as session:
        session.add(message_row(1, two_partners[0], NOON))
        for number in range(5):
            ended_at = NOON - timedelta(minutes=number + 2)
            session.add(
                Attempt(
                    message_id=f"msg_{1:026d}",
                    number=number + 1,
                    trigger=Trigger.AUTO,
                    url="",
                    started_at=ended_at,
                    ended_at=ended_at,
                    outcome="busy",
                    status=503,
                )
            )
            mark(session, [ended_at])
        session.commit()

    def counted() -> tuple[int, int]:
        with database.snapshot() as session:
            found = measured(session, NOON - timedelta(hours=1), NOON, 60)
        return sum(tried.tries for tried in found.tries.values()), found.uncounted

    assert counted() == (3, 2)
    roll(database)
    assert counted() == (5, 0)


def test_what_is_too_old_to_be_shown_is_dropped(
    database: Database, arrive: Any, confirm: Any, deliver: Any, clock: Any
) -> None:
    confirm(arrive(1)[0])
    deliver()
    clock.move(minutes=2)
    roll(database)
    clock.move(days=KEPT.days + 1)
    roll(database)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Rollup)) == 0
