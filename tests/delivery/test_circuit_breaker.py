"""Breaker, rate and concurrency: a failing partner does not affect others, and recovers gradually."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.delivery.circuit_breaker import (
    FAILURES_MAX,
    PROBE_SECONDS,
    PROBE_SECONDS_MAX,
    BreakerState,
    Capacity,
    EndedAttempt,
    Limits,
    after_attempt,
    after_claim,
    capacity,
    count_failure,
    create_missing,
    failing_condition,
    is_failing,
    record_attempts,
    state_of,
)
from app.delivery.claiming import claim
from app.delivery.models import Attempt, CircuitBreaker, Message, MessageState
from app.delivery.worker import DeliveryWorker
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.bench.setup import add_orders, confirm_all
from tests.chaos.run import start
from tests.delivery import misbehaving
from tests.delivery.queries import all_messages, message_of
from tests.delivery.workers import running_worker
from tests.fixture_types import ChangePartner, ConfirmOrders, Deliver, MoveClock, Resend
from tests.people import Browser
from tests.serving import Network
from tests.waiting import wait_until

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FOUR = Limits(concurrency=4)


def failed(state: BreakerState, now: datetime = NOON, *, was_probe: bool = False) -> BreakerState:
    return after_attempt(state, FOUR, now, got_response=False, was_probe=was_probe, jitter=0)


def after_response(state: BreakerState, limits: Limits = FOUR) -> BreakerState:
    return after_attempt(state, limits, NOON, got_response=True, was_probe=False, jitter=0)


def opened() -> BreakerState:
    state = BreakerState()
    for _ in range(FAILURES_MAX):
        state = failed(state)
    return state


def test_capacity_of_a_healthy_partner_is_its_free_concurrency() -> None:
    assert capacity(BreakerState(), FOUR, 1, NOON).count == 3
    assert capacity(BreakerState(), FOUR, 5, NOON).count == 0


def test_capacity_after_one_failure_is_one() -> None:
    assert capacity(failed(BreakerState()), FOUR, 0, NOON).count == 1
    assert capacity(failed(BreakerState()), FOUR, 1, NOON).count == 0


def test_response_between_failures_keeps_the_breaker_closed() -> None:
    state = BreakerState()
    for _ in range(FAILURES_MAX):
        state = after_response(failed(state))
    assert state.opened_at is None


def test_consecutive_failures_open_the_breaker() -> None:
    state = BreakerState()
    for _ in range(FAILURES_MAX - 1):
        state = failed(state)
    assert state.opened_at is None
    state = failed(state)
    assert state.opened_at == NOON
    held = capacity(state, FOUR, 0, NOON)
    assert (held.count, held.check_again_at) == (0, NOON + timedelta(seconds=PROBE_SECONDS))


def test_open_breaker_allows_one_probe_at_a_time() -> None:
    state = opened()
    later = NOON + timedelta(seconds=PROBE_SECONDS)
    probe = capacity(state, FOUR, 0, later)
    assert (probe.count, probe.is_probe) == (1, True)
    given_up = later + timedelta(seconds=25)
    state = after_claim(state, FOUR, 1, later, probe_until=given_up)
    assert capacity(state, FOUR, 1, later) == replace(probe, count=0, is_probe=False, check_again_at=given_up)


def test_failed_probes_have_growing_intervals() -> None:
    state, waits = opened(), []
    for _ in range(7):
        assert state.probe_at
        now = state.probe_at
        state = failed(state, now, was_probe=True)
        assert state.probe_at
        waits.append((state.probe_at - now).total_seconds())
    assert waits == [60, 120, 240, 480, PROBE_SECONDS_MAX, PROBE_SECONDS_MAX, PROBE_SECONDS_MAX]


def test_attempts_in_flight_do_not_move_the_probe_of_an_open_breaker() -> None:
    state = opened()
    assert failed(state).probe_at == state.probe_at


def test_capacity_doubles_with_each_response_after_an_outage() -> None:
    state, widths = opened(), []
    for _ in range(4):
        state = after_response(state)
        widths.append(capacity(state, FOUR, 0, NOON).count)
    assert widths == [1, 2, 4, 4]
    assert state == BreakerState()


def test_rate_limit_is_not_exceeded() -> None:
    limits, state, left = Limits(100, rate=10), BreakerState(), 0
    for hundredth in range(200):
        now = NOON + timedelta(seconds=hundredth / 100)
        count = capacity(state, limits, 0, now).count
        state = after_claim(state, limits, count, now, probe_until=None)
        left += count
    assert 19 <= left <= 21


def test_rate_limit_has_a_next_time_after_the_clock_was_set_back() -> None:
    limits = Limits(100, rate=2)
    state = after_claim(BreakerState(), limits, 1, NOON, probe_until=None)
    again = capacity(state, limits, 0, NOON).check_again_at
    assert again == NOON + timedelta(seconds=0.5)
    earlier = NOON - timedelta(hours=3)
    assert capacity(state, limits, 0, earlier).check_again_at == earlier + timedelta(seconds=0.5)


def test_token_bucket_starts_full_and_holds_a_tenth_of_a_second() -> None:
    limits = Limits(100, rate=50)
    assert capacity(BreakerState(), limits, 0, NOON).count == 5
    state = after_claim(BreakerState(), limits, 3, NOON, probe_until=None)
    assert (state.allowance, state.allowance_at) == (2.0, NOON)
    assert capacity(state, limits, 0, NOON + timedelta(seconds=0.02)).count == 3
    assert capacity(state, limits, 0, NOON + timedelta(hours=1)).count == 5
    assert capacity(state, limits, 98, NOON).count == 2
    assert capacity(state, limits, 99, NOON).count == 1
    assert capacity(state, limits, 100, NOON) == Capacity(0)
    slow = Limits(100, rate=0.5)
    assert capacity(BreakerState(), slow, 0, NOON).count == 1
    after_one = after_claim(BreakerState(), slow, 1, NOON, probe_until=None)
    assert capacity(after_one, slow, 0, NOON) == Capacity(0, check_again_at=NOON + timedelta(seconds=2))
    assert capacity(after_one, slow, 0, NOON + timedelta(seconds=2)) == Capacity(1)


def test_claim_without_rate_limit_and_probe_changes_nothing() -> None:
    assert after_claim(opened(), FOUR, 3, NOON, probe_until=None) == opened()


def test_capacity_of_a_recovering_partner_respects_its_limit() -> None:
    recovering = BreakerState(width=4)
    assert capacity(recovering, FOUR, 0, NOON).count == 4
    assert capacity(recovering, Limits(2), 0, NOON).count == 2
    assert after_response(BreakerState(width=1), Limits(3)).width == 2
    assert after_response(BreakerState(width=2), FOUR).width is None


def test_open_breaker_without_a_probe_time_sends_a_probe() -> None:
    assert capacity(BreakerState(opened_at=NOON), FOUR, 9, NOON) == Capacity(1, is_probe=True)


def test_jitter_delays_a_probe_by_up_to_a_fifth() -> None:
    state = BreakerState(failures=FAILURES_MAX - 1)
    delays = []
    for jitter in (0.0, 0.5, 1.0):
        after = after_attempt(state, FOUR, NOON, got_response=False, was_probe=False, jitter=jitter)
        assert (after.failures, after.width, after.opened_at, after.probes) == (FAILURES_MAX, 1, NOON, 0)
        assert after.probe_at
        delays.append((after.probe_at - NOON).total_seconds())
    assert delays == [30, 33, 36]


def test_failed_attempts_in_a_row_are_counted_from_the_first() -> None:
    later = NOON + timedelta(minutes=1)
    first = count_failure(BreakerState(failures=2), NOON, failed=True, succeeded=False)
    assert first == BreakerState(failures=2, failed_attempts=1, failed_since=NOON)
    second = count_failure(first, later, failed=True, succeeded=False)
    assert second == replace(first, failed_attempts=2)
    assert count_failure(second, later, failed=False, succeeded=False) == second
    assert count_failure(second, later, failed=False, succeeded=True) == BreakerState(failures=2)


@pytest.mark.parametrize(
    ("state", "is_suspect"),
    [
        (BreakerState(), False),
        (BreakerState(probe_at=NOON, probes=1, allowance=1.0, allowance_at=NOON), False),
        (BreakerState(failures=1), True),
        (BreakerState(failed_attempts=1), True),
        (BreakerState(opened_at=NOON), True),
        (BreakerState(width=0), True),
    ],
)
def test_partner_is_suspect_if_a_response_would_change_its_state(
    state: BreakerState, is_suspect: bool
) -> None:
    assert state.is_suspect is is_suspect


def test_partner_is_failing_from_the_limit_on_or_with_an_open_breaker() -> None:
    assert not is_failing(BreakerState(failed_attempts=2), 3)
    assert is_failing(BreakerState(failed_attempts=3), 3)
    assert is_failing(BreakerState(opened_at=NOON), 3)


def ended(**values: bool) -> EndedAttempt:
    defaults = {"got_response": True, "was_probe": False, "was_suspect": False}
    return EndedAttempt(1, FOUR, **{**defaults, **values})


@pytest.mark.parametrize(
    ("attempt", "may_change"),
    [
        (ended(), False),
        (ended(succeeded=True), False),
        (ended(failed=True), True),
        (ended(got_response=False), True),
        (ended(was_suspect=True), True),
        (ended(is_automatic=False, got_response=False, failed=True, was_suspect=True), False),
        (ended(is_automatic=False, succeeded=True), False),
        (ended(is_automatic=False, succeeded=True, was_suspect=True), True),
    ],
)
def test_breaker_is_read_only_for_attempts_that_may_change_it(
    attempt: EndedAttempt, may_change: bool
) -> None:
    assert attempt.may_change_state is may_change


# --- With rows and sockets


@pytest.mark.sqlite
def test_manual_success_ends_failing_but_not_the_recovery(
    database: Database, session: Session, partner: Partner
) -> None:
    now = clock.now()
    set_breaker(database, partner, failures=2, width=1, failed_attempts=5, failed_since=now)
    manual = replace(ended(succeeded=True, was_suspect=True, is_automatic=False), partner_id=partner.id)
    with database.writing() as writing:
        # A partner whose row was deleted meanwhile is left out.
        record_attempts(writing, [manual, replace(manual, partner_id=999)], now)
        writing.commit()
    breaker = breaker_of(session, partner)
    assert (breaker.failed_attempts, breaker.failed_since) == (0, None)
    assert (breaker.failures, breaker.width) == (2, 1)


@pytest.mark.sqlite
def test_missing_row_is_created_healthy_and_queries_know_who_fails(
    database: Database, session: Session, partner: Partner
) -> None:
    with database.writing() as writing:
        create_missing(writing, [partner.id])
        writing.commit()
    assert state_of(breaker_of(session, partner)) == BreakerState()
    for values, fails in (
        ({}, False),
        ({"failed_attempts": 2}, False),
        ({"failed_attempts": 3}, True),
        ({"failed_attempts": 0, "opened_at": NOON}, True),
    ):
        session.execute(update(CircuitBreaker).values(probes=0, **values))
        failing = session.scalar(select(CircuitBreaker.partner_id).where(failing_condition(failing_after=3)))
        assert failing == (partner.id if fails else None)


@pytest.mark.sqlite
def test_each_attempt_of_a_batch_is_counted(database: Database, session: Session, partner: Partner) -> None:
    now = clock.now()
    set_breaker(database, partner)
    failure = replace(ended(got_response=False), partner_id=partner.id)
    with database.writing() as writing:
        record_attempts(writing, [failure] * 3 + [replace(failure, failed=True, got_response=True)], now)
        writing.commit()
    breaker = breaker_of(session, partner)
    assert (breaker.failures, breaker.failed_attempts, breaker.failed_since) == (0, 4, now)


def test_unavailable_partner_is_held_without_using_up_attempts(
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    session: Session,
    partner: Partner,
    move_clock: MoveClock,
    unreachable_partner: Any,
) -> None:
    unreachable_partner()
    confirm_orders(12)
    deliver()
    attempts = [message.automatic_attempts for message in all_messages(session)]
    assert sum(attempts) == FAILURES_MAX
    assert attempts.count(0) == 12 - FAILURES_MAX
    assert breaker_of(session, partner).opened_at

    move_clock(seconds=PROBE_SECONDS * 1.2 + 1)
    deliver()
    deliver()
    assert sum(message.automatic_attempts for message in all_messages(session)) == FAILURES_MAX + 1


def test_breaker_opening_and_recovery_are_recorded_once_each(
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    change_partner: ChangePartner,
    session: Session,
    partner: Partner,
    network: Network,
    move_clock: MoveClock,
    unreachable_partner: Any,
    meera: Browser,
) -> None:
    unreachable_partner()
    confirm_orders(8)
    deliver()
    for _ in range(4):  # failed probes record nothing new
        move_clock(minutes=15)
        deliver()
    assert breaker_of(session, partner).probes >= 3
    change_partner(base_url=network.url)
    for _ in range(6):
        move_clock(minutes=15)
        deliver()
    assert {message.state for message in all_messages(session)} == {MessageState.DELIVERED}
    actions = (AuditAction.BREAKER_OPENED.value, AuditAction.BREAKER_CLOSED.value)
    entries = session.scalars(
        select(AuditEntry).where(AuditEntry.action.in_(actions)).order_by(AuditEntry.id)
    ).all()
    assert [(entry.action, entry.actor, entry.object_name) for entry in entries] == [
        (action, "", "Bharat Connect") for action in actions
    ]
    assert entries[0].new_values["attempts"] == FAILURES_MAX
    assert entries[1].old_values["failed probes"] >= 3
    for page in ("/audit?object=partner", f"/partners/{partner.id}"):
        text = meera.get(page).visible_text
        assert "Stopped responding" in text and "Responding again" in text


def test_long_outage_ends_with_ordered_and_gradual_delivery(
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    change_partner: ChangePartner,
    session: Session,
    partner: Partner,
    network: Network,
    move_clock: MoveClock,
    unreachable_partner: Any,
) -> None:
    unreachable_partner()
    ids = confirm_orders(20)
    for _ in range(12):
        deliver()
        move_clock(hours=4)
    assert breaker_of(session, partner).opened_at
    change_partner(base_url=network.url)
    move_clock(seconds=PROBE_SECONDS_MAX * 1.2)
    before = session.scalars(select(Attempt.id).order_by(Attempt.id.desc())).first() or 0
    deliver()

    assert {message.state for message in all_messages(session)} == {MessageState.DELIVERED}
    new = session.scalars(select(Attempt).where(Attempt.id > before).order_by(Attempt.id)).all()
    # The probe is first, all others are in the order of their creation.
    assert [attempt.message_id for attempt in new[1:]] == [
        message_id for message_id in ids if message_id != new[0].message_id
    ]
    assert breaker_of(session, partner).opened_at is None


# SQLite has one writer, so no row is ever locked by another.
@pytest.mark.postgresql
def test_recovery_does_not_wait_for_a_locked_message(
    confirm_orders: ConfirmOrders, database: Database, session: Session, partner: Partner
) -> None:
    locked, free = confirm_orders(2)
    now = clock.now()
    later = now + timedelta(hours=1)
    set_breaker(database, partner, opened_at=now, failures=7, probe_at=now)
    with database.writing() as writing:
        writing.execute(update(Message).values(reason="timeout", next_at=later))
        writing.commit()
    response = EndedAttempt(partner.id, FOUR, got_response=True, was_probe=True, was_suspect=True)
    with database.writing() as other:
        other.execute(select(Message.id).where(Message.id == locked).with_for_update())
        with database.writing() as writing:
            writing.execute(text("SET LOCAL lock_timeout = '2s'"))
            record_attempts(writing, [response], now)
            writing.commit()
    assert message_of(session, locked).next_at == later
    assert message_of(session, free).next_at == message_of(session, free).created_at


def test_manual_attempt_bypasses_the_breaker_and_does_not_affect_it(
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    database: Database,
    session: Session,
    partner: Partner,
    resend: Resend,
) -> None:
    held, requested = confirm_orders(2)
    now = clock.now()
    set_breaker(database, partner, opened_at=now, failures=7, probe_at=now + timedelta(minutes=5))
    resend(requested)
    assert deliver() == {"delivered": 1}
    assert message_of(session, requested).state is MessageState.DELIVERED
    assert message_of(session, held).automatic_attempts == 0
    assert breaker_of(session, partner).failures == 7


def test_rate_limit_holds_across_workers(
    app: Flask,
    database: Database,
    session: Session,
    partner: Partner,
    network: Network,
    change_partner: ChangePartner,
) -> None:
    rate, count = 20.0, 30
    change_partner(rate_per_minute=int(rate * 60), concurrency=8)
    confirm_all(app, 1, add_orders(app, partner.id, count))
    began = time.monotonic()
    with running_worker(database), running_worker(database):
        wait_until(lambda: all(message.is_final for message in all_messages(session)))
    assert time.monotonic() - began >= (count - 3) / rate
    assert len(network.received()) == count


def test_concurrency_limit_holds_across_processes(
    app: Flask, database: Database, session: Session, partner: Partner, change_partner: ChangePartner
) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def slow(connection: misbehaving.Connection) -> None:
        nonlocal under_way, most
        while True:
            connection.receive()
            with lock:
                under_way += 1
                most = max(most, under_way)
            connection.pause(0.1)
            with lock:
                under_way -= 1
            connection.send(misbehaving.response())

    with misbehaving.FakePartner(slow) as fake_partner:
        change_partner(base_url=fake_partner.url(""), concurrency=3)
        confirm_all(app, 1, add_orders(app, partner.id, 24))
        processes = [start(database.url, {"senders": 8}, None) for _ in range(2)]
        wait_until(lambda: all(message.is_final for message in all_messages(session)))
        for process in processes:
            process.terminate()
            process.join(30)
    assert most == 3


def test_partner_that_times_out_does_not_delay_others(
    app: Flask, database: Database, session: Session, partner: Partner, network: Network
) -> None:
    with misbehaving.FakePartner(misbehaving.Connection.stall) as stuck, database.writing() as other:
        slow, _ = partner_service.add(
            other, "Stuck", base_url=stuck.url(""), allow_addresses=["127.0.0.0/8"], deadline_seconds=60
        )
        slow.concurrency = 8
        other.commit()
        confirm_all(app, 1, add_orders(app, slow.id, 12))  # they come first
        confirm_all(app, 1, add_orders(app, partner.id, 12))
        stop = threading.Event()
        deliverer = threading.Thread(
            target=DeliveryWorker(database, senders=4).run, args=(stop,), daemon=True
        )
        deliverer.start()
        wait_until(
            lambda: all(m.is_final for m in all_messages(session) if m.partner_id == partner.id), seconds=40
        )
        waiting = [message for message in all_messages(session) if message.partner_id == slow.id]
        assert sum(message.state is MessageState.SENDING for message in waiting) == 3
        assert not any(message.is_final for message in waiting)
        stop.set()
        stuck.over.set()
    # Its calls are cut when the partner goes away.
    deliverer.join(30)
    assert not deliverer.is_alive()


def test_two_workers_claim_no_more_than_the_concurrency_limit(
    confirm_orders: ConfirmOrders, database: Database, change_partner: ChangePartner
) -> None:
    confirm_orders(12)
    change_partner(concurrency=3)
    taken: list[int] = []
    together = threading.Barrier(4)

    def take() -> None:
        together.wait()
        with database.writing() as session:
            taken.append(len(claim(session, 2, clock.now()).messages))
            session.commit()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= sum(taken) <= 3


@pytest.fixture
def unreachable_partner(change_partner: ChangePartner) -> Callable[[], None]:
    """Set the partner's URL to a port without a listener."""

    def unreachable_partner() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        change_partner(base_url=f"http://127.0.0.1:{port}")

    return unreachable_partner


def breaker_of(session: Session, partner: Partner) -> CircuitBreaker:
    session.rollback()
    breaker = session.get(CircuitBreaker, partner.id, populate_existing=True)
    assert breaker
    return breaker


def set_breaker(database: Database, partner: Partner, **values: Any) -> None:
    with database.writing() as session:
        session.add(CircuitBreaker(partner_id=partner.id, **values))
        session.commit()
