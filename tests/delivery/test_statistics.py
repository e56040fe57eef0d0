"""Attempt statistics equal a plain count over all attempts, on both databases."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from app import clock
from app.db import Database
from app.delivery import statistics
from app.delivery.call_result import CallResult, Detail
from app.delivery.claiming import ClaimedMessage
from app.delivery.models import Attempt, AttemptStatistics, Message, MessageState, Trigger
from app.delivery.recording import AttemptResult, record_results
from app.delivery.retry_policy import ACCEPTED_OUTCOMES, Reason, Step, Verdict
from app.delivery.statistics import (
    ALL_TIME,
    BUCKETS,
    FOLDS,
    CountedAttempt,
    Durations,
    FailureCount,
    failure_counts,
    fold,
    outcome_counts,
    step_start,
    totals,
)
from app.delivery.worker import DeliveryWorker
from app.partners.models import Partner
from app.reports.delivery_health import RANGES
from tests.delivery.counts import BOUNDS, assert_exact, durations
from tests.fixture_types import Arrive, ClaimOne, Confirm, ConfirmOrders, Deliver, MoveClock, Reclaim
from tests.serving import Network

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# --- Percentiles


@given(
    st.lists(st.floats(0, 1e7, allow_nan=False), min_size=1, max_size=300),
    st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_percentile_is_in_the_bucket_of_the_exact_value(values: list[float], share: float) -> None:
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    upper_bound = next(bound for bound in BOUNDS if exact <= bound)
    lower_bound = max((bound for bound in BOUNDS if bound < exact), default=0.0)
    percentile = durations(values).percentile(share)
    assert percentile is not None
    assert lower_bound <= percentile <= upper_bound


def test_percentile_is_interpolated_within_its_bucket() -> None:
    values = durations([60.0] * 50 + [300.0] * 50)
    assert values.percentile(0.25) == 75.0
    assert values.percentile(0.5) == 100.0
    assert values.percentile(0.75) == 375.0
    assert values.percentile(1.0) == 500.0


def test_percentile_never_exceeds_the_sum_of_durations() -> None:
    assert durations([6_200.0]).percentile(0.95) == 6_200.0
    assert durations([60.0, 6_200.0]).percentile(0.95) == 6_260.0


def test_percentile_without_durations_is_none() -> None:
    assert Durations().percentile(0.5) is None


def test_percentile_beyond_the_last_bound_is_that_bound() -> None:
    assert durations([1e300]).percentile(0.5) == BUCKETS["le_3d"]


@given(st.lists(st.floats(0, 1e7)), st.lists(st.floats(0, 1e7)))
def test_durations_of_two_periods_add_up(first: list[float], second: list[float]) -> None:
    total = durations(first)
    total.add(durations(second))
    assert total == durations(first + second)
    assert total.count == len(first) + len(second)


# --- Against a plain count


@pytest.fixture
def at_noon(move_clock: MoveClock) -> None:
    move_clock(seconds=(NOON - clock.now()).total_seconds())


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
    st.integers(0, 60 * 60 * 24 * 32),  # how many seconds before noon
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


@pytest.mark.usefixtures("at_noon")
@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(ENDS, st.just("fold")), max_size=30))
def test_totals_match_a_plain_count_whenever_rows_are_folded(
    database: Database, two_partners: list[int], steps: list[Any]
) -> None:
    numbers: dict[str, int] = defaultdict(int)
    delivered: set[str] = set()
    created_at = NOON - timedelta(days=33)
    with database.writing() as session:
        for table in (Attempt, Message, AttemptStatistics):
            session.execute(delete(table))
        for number in range(6):
            session.add(message_row(number, two_partners[number % 2], created_at))
        session.commit()
    for step in steps:
        if step == "fold":
            fold(database)
            continue
        number, seconds, (outcome, status), duration_ms = step
        message_id, ended_at = f"msg_{number:026d}", NOON - timedelta(seconds=seconds)
        numbers[message_id] += 1
        delivery_ms = None
        if outcome in ACCEPTED_OUTCOMES and message_id not in delivered:
            delivered.add(message_id)
            delivery_ms = (ended_at - created_at).total_seconds() * 1000
        with database.writing() as session:
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
                    duration_ms=duration_ms,
                )
            )
            ended = CountedAttempt(
                two_partners[number % 2], ended_at, outcome, status, duration_ms, delivery_ms
            )
            statistics.record(session, [ended])
            session.commit()
    assert_exact(database, NOON)
    fold(database)
    assert_exact(database, NOON)
    assert fold(database) == 0


# --- What the worker records


def test_attempts_of_the_worker_are_counted_before_and_after_folding(
    database: Database,
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    network: Network,
    move_clock: MoveClock,
) -> None:
    network.behave("503", times=2)
    confirm_orders(4)
    deliver()
    move_clock(minutes=2)
    assert_exact(database, clock.now())
    deliver()
    move_clock(hours=3)
    assert_exact(database, clock.now())
    fold(database)
    assert_exact(database, clock.now())
    with database.reading() as session:
        now = clock.now()
        day = timedelta(days=1)
        entries = totals(session, step_start(now, day) - day, step_start(now, day) + day, day).values()
        by_outcome = {row.outcome: row.count for row in outcome_counts(session)}
    assert sum(entry.time_to_delivery.count for entry in entries) == 4
    assert sum(entry.attempts for entry in entries) == 6
    assert by_outcome == {"busy": 2, "delivered": 4}


def delivered_end(claimed: ClaimedMessage, ended_at: datetime) -> AttemptResult:
    result = CallResult(
        failure=None,
        detail=Detail(),
        status=200,
        headers=(),
        body=b"",
        body_size=0,
        truncated=False,
        remote_address=None,
        duration_ms=40.0,
        sent=True,
    )
    return AttemptResult(claimed, result, Verdict(step=Step.DELIVERED, reason=Reason.DELIVERED), ended_at)


def record_end(database: Database, finished: AttemptResult) -> None:
    with database.writing() as session:
        record_results(session, [finished], clock.now())
        session.commit()


def counts_by_outcome(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return {row.outcome: row.count for row in outcome_counts(session)}


def deliveries(database: Database) -> int:
    with database.reading() as session:
        count = select(func.sum(AttemptStatistics.count)).where(AttemptStatistics.measure == "delivery")
        return int(session.scalar(count) or 0)


def test_interrupted_attempt_reported_late_counts_with_both_outcomes(
    database: Database,
    arrive: Arrive,
    confirm: Confirm,
    move_clock: MoveClock,
    claim_one: ClaimOne,
    reclaim: Reclaim,
) -> None:
    confirm(arrive(1)[0])
    claimed = claim_one()
    ended_at = clock.now()
    move_clock(minutes=10)
    reclaim()
    assert counts_by_outcome(database) == {"interrupted": 1}
    record_end(database, delivered_end(claimed, ended_at))
    assert counts_by_outcome(database) == {"delivered": 1, "interrupted": 1}
    assert deliveries(database) == 1


def test_attempt_recorded_twice_counts_once(
    database: Database, arrive: Arrive, confirm: Confirm, claim_one: ClaimOne
) -> None:
    confirm(arrive(1)[0])
    finished = delivered_end(claim_one(), clock.now())
    record_end(database, finished)
    record_end(database, finished)
    assert counts_by_outcome(database) == {"delivered": 1}
    assert_exact(database, clock.now())


def test_message_delivered_by_two_attempts_counts_once(
    database: Database,
    arrive: Arrive,
    confirm: Confirm,
    move_clock: MoveClock,
    claim_one: ClaimOne,
    reclaim: Reclaim,
) -> None:
    confirm(arrive(1)[0])
    slow = claim_one()
    ended_at = clock.now()
    move_clock(minutes=10)
    reclaim()
    record_end(database, delivered_end(claim_one(), clock.now()))
    record_end(database, delivered_end(slow, ended_at))
    assert counts_by_outcome(database) == {"delivered": 2, "interrupted": 1}
    assert deliveries(database) == 1


def test_statistics_are_rolled_back_with_the_record(
    database: Database, arrive: Arrive, confirm: Confirm, claim_one: ClaimOne
) -> None:
    confirm(arrive(1)[0])
    finished = delivered_end(claim_one(), clock.now())
    with database.writing() as session:
        record_results(session, [finished], clock.now())
        session.rollback()
    assert counts_by_outcome(database) == {}
    record_end(database, finished)
    assert_exact(database, clock.now())


def test_concurrent_workers_and_folds_lose_no_attempt(
    database: Database, confirm_orders: ConfirmOrders, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fold rows of the current minute too.
    monkeypatch.setattr(statistics, "FOLDS", ((timedelta(minutes=-2), 30), (timedelta(minutes=-2), ALL_TIME)))
    network.behave("503", times=10)
    confirm_orders(30)
    stop = threading.Event()

    def keep_folding() -> None:
        while not stop.is_set():
            fold(database)

    folding = [threading.Thread(target=keep_folding) for _ in range(2)]
    delivering = [
        threading.Thread(target=lambda: DeliveryWorker(database, senders=4).drain()) for _ in range(2)
    ]
    for thread in folding + delivering:
        thread.start()
    for thread in delivering:
        thread.join()
    stop.set()
    for thread in folding:
        thread.join()
    with database.reading() as session:
        ended = select(Attempt.outcome, func.count()).where(Attempt.ended_at.is_not(None))
        by_outcome = dict(session.execute(ended.group_by(Attempt.outcome)).all())
    assert counts_by_outcome(database) == by_outcome


# --- Folding


@pytest.mark.usefixtures("at_noon")
def test_old_rows_are_folded_and_still_counted(database: Database, two_partners: list[int]) -> None:
    ages = [timedelta(days=days, minutes=minutes) for days in range(40) for minutes in (181, 182, 250)]
    ended = [CountedAttempt(two_partners[0], NOON - age, "busy", 503, 40.0) for age in ages]
    with database.writing() as session:
        statistics.record(session, ended)
        session.commit()
    assert fold(database) > 0
    with database.reading() as session:
        minutes = session.scalars(select(AttemptStatistics.minute)).all()
        assert counts_by_outcome(database) == {"busy": len(ages)}
        shown = failure_counts(session, NOON - timedelta(days=31), NOON)
    assert len(minutes) < len(ages)
    # Rows too old for any page become one row, for the counters of /metrics.
    oldest = (NOON - FOLDS[-1][0]).timestamp() // 60
    assert [minute for minute in minutes if minute < oldest] == [0]
    assert shown == [FailureCount(two_partners[0], "busy", 503, 31 * 3)]


def test_every_step_of_the_health_page_is_kept_long_enough() -> None:
    now = NOON + timedelta(minutes=59)
    for shown in RANGES.values():
        age = now - shown.since(now)
        folded = [minutes for oldest, minutes in FOLDS if oldest <= age]
        assert all(shown.step % timedelta(minutes=minutes) == timedelta(0) for minutes in folded), shown.name
