"""The circuit breaker and the rate limit of each partner.

The rules are pure functions over a ``BreakerState``. The state is a row per partner that all workers share.
Manual attempts bypass the breaker and never open or close it.

The row also counts consecutive failed automatic attempts, with or without a response. They make a partner
failing, which people see, and do not open the breaker. Any successful attempt resets the count.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db import SessionSettings
from app.delivery import notifications
from app.delivery.models import CircuitBreaker, Trigger, breakers, messages
from app.delivery.retry_policy import NO_RESPONSE_REASONS

FAILURES_MAX = 5
"""Consecutive attempts without a valid HTTP response that open the breaker."""
PROBE_SECONDS = 30.0
"""Delay before the first probe. Each failed probe doubles it."""
PROBE_SECONDS_MAX = 600.0
PROBE_JITTER = 0.2
BURST_SECONDS = 0.1
"""How far ahead of its rate a partner may be sent to, so that one claim can take several messages."""

# Literals instead of parameters: a planner uses a partial index only if it sees the value.
IS_PENDING = messages.c.state == literal_column("'pending'")
IS_SENDING = messages.c.state == literal_column("'sending'")
IS_REQUESTED = messages.c.trigger != literal_column("'auto'")
"""A person asked for the next attempt."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A partner's configured limits: concurrent messages, and messages per second (None: no limit)."""

    concurrency: int
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The columns of a ``models.CircuitBreaker`` row as a value."""

    failures: int = 0
    width: int | None = None
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    probes: int = 0
    allowance: float = 0.0
    allowance_at: datetime | None = None
    failed_attempts: int = 0
    failed_since: datetime | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether a valid response would change the state."""
        return bool(self.failures or self.failed_attempts or self.opened_at or self.width is not None)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many automatic messages may be sent now, or when to check again if none may."""

    count: int
    is_probe: bool = False
    check_again_at: datetime | None = None


COLUMNS = tuple(BreakerState.__dataclass_fields__)


def state_of(row: Any) -> BreakerState:
    """The state in a row that has a breaker's columns."""
    return BreakerState(*(getattr(row, name) for name in COLUMNS))


def capacity(state: BreakerState, limits: Limits, in_flight: int, now: datetime) -> Capacity:
    """What may be sent while ``in_flight`` messages of the partner are being sent, by all workers."""
    if state.opened_at is not None:
        if state.probe_at is not None and now < state.probe_at:
            return Capacity(0, check_again_at=state.probe_at)
        return Capacity(1, is_probe=True)
    width = limits.concurrency if state.width is None else min(state.width, limits.concurrency)
    count = max(width - in_flight, 0)
    if limits.rate is None or not count:
        return Capacity(count)
    allowance = _allowance(state, limits.rate, now)
    if allowance < 1:
        return Capacity(0, check_again_at=now + timedelta(seconds=(1 - allowance) / limits.rate))
    return Capacity(min(count, math.floor(allowance)))


def after_claim(
    state: BreakerState, limits: Limits, count: int, now: datetime, *, probe_until: datetime | None
) -> BreakerState:
    """The state after ``count`` messages left; a probe without a result expires at ``probe_until``."""
    if limits.rate is not None:
        allowance = _allowance(state, limits.rate, now) - count
        state = replace(state, allowance=allowance, allowance_at=now)
    if probe_until is not None:
        state = replace(state, probe_at=probe_until)
    return state


def after_attempt(
    state: BreakerState,
    limits: Limits,
    now: datetime,
    *,
    got_response: bool,
    was_probe: bool,
    jitter: float,
) -> BreakerState:
    """The state after an automatic attempt ended. ``jitter`` from 0 to 1 spreads the probes."""
    if got_response:
        return _after_response(state, limits)
    failures = state.failures + 1
    state = replace(state, failures=failures, width=1)
    if state.opened_at is None and failures >= FAILURES_MAX:
        return replace(state, opened_at=now, probes=0, probe_at=_probe_at(0, now, jitter))
    if state.opened_at is not None and was_probe:
        probes = state.probes + 1
        return replace(state, probes=probes, probe_at=_probe_at(probes, now, jitter))
    return state


def count_failure(state: BreakerState, now: datetime, *, failed: bool, succeeded: bool) -> BreakerState:
    """The state with its count of consecutive failed attempts after one more attempt."""
    if succeeded:
        return replace(state, failed_attempts=0, failed_since=None)
    if failed:
        since = state.failed_since or now
        return replace(state, failed_attempts=state.failed_attempts + 1, failed_since=since)
    return state


def is_failing(state: BreakerState, failing_after: int) -> bool:
    """Whether the partner is failing. ``failing_condition`` is the same rule for queries."""
    return state.failed_attempts >= failing_after or state.opened_at is not None


def failing_condition(failing_after: int) -> ColumnElement[bool]:
    """Whether the partner of a ``CircuitBreaker`` row is failing."""
    return or_(CircuitBreaker.failed_attempts >= failing_after, CircuitBreaker.opened_at.is_not(None))


def _after_response(state: BreakerState, limits: Limits) -> BreakerState:
    """Recovery is gradual: one message at a time first, then twice as many after each response."""
    width = state.width
    if state.opened_at is not None:
        width = 1
    elif width is not None:
        width = width * 2 if width * 2 < limits.concurrency else None
    return replace(state, failures=0, width=width, opened_at=None, probe_at=None, probes=0)


def _probe_at(probes: int, now: datetime, jitter: float) -> datetime:
    delay = min(PROBE_SECONDS * 2 ** min(probes, 20), PROBE_SECONDS_MAX)
    return now + timedelta(seconds=delay * (1 + PROBE_JITTER * jitter))


def _allowance(state: BreakerState, rate: float, now: datetime) -> float:
    """Messages that the rate permits now: a token bucket."""
    size = max(1.0, rate * BURST_SECONDS)
    if state.allowance_at is None:
        return size
    # If the clock was set back, no time has passed.
    elapsed = max((now - state.allowance_at).total_seconds(), 0.0)
    return min(size, state.allowance + elapsed * rate)


# --- Rows

_SAVE = (
    update(breakers)
    .where(breakers.c.partner_id == bindparam("of_partner"))
    .values({name: bindparam(f"new_{name}") for name in COLUMNS})
)
# Skips rows that another transaction holds, so that workers cannot deadlock; those keep their time.
_unanswered = (
    select(messages.c.id)
    .where(
        messages.c.partner_id == bindparam("of_partner"),
        IS_PENDING,
        messages.c.trigger == Trigger.AUTO,
        messages.c.reason.in_([reason.value for reason in NO_RESPONSE_REASONS]),
    )
    .with_for_update(skip_locked=True, key_share=True)
)
# After an outage all that waited for a retry is due, in the order of creation.
_MAKE_DUE = update(messages).where(messages.c.id.in_(_unanswered)).values(next_at=messages.c.created_at)


def create_missing(session: Session, partner_ids: Iterable[int]) -> None:
    """Insert the rows of partners that have none. Two workers may do so at the same time."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = [
        {"partner_id": partner_id, "failures": 0, "probes": 0, "allowance": 0.0, "failed_attempts": 0}
        for partner_id in sorted(partner_ids)
    ]
    session.execute(dialect.insert(breakers).on_conflict_do_nothing(), rows)


def lock_states(
    session: Session, partner_ids: Collection[int], *, skip_locked: bool = False
) -> dict[int, BreakerState]:
    """Lock the rows of these partners, always in the same order; or only those that nobody has locked."""
    rows = session.execute(
        select(breakers)
        .where(breakers.c.partner_id.in_(sorted(partner_ids)))
        .order_by(breakers.c.partner_id)
        .with_for_update(skip_locked=skip_locked, key_share=True)
    )
    return {row.partner_id: state_of(row) for row in rows}


def save_states(session: Session, states: dict[int, BreakerState]) -> None:
    """Write the rows of these partners."""
    if states:
        rows = [
            {"of_partner": partner_id, **{f"new_{name}": getattr(state, name) for name in COLUMNS}}
            for partner_id, state in sorted(states.items())
        ]
        session.connection().execute(_SAVE, rows)


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """What the breaker needs to know of an attempt that has ended.

    ``failed`` means that it failed because of the partner, such as a 503 or a timeout. ``succeeded`` means
    that the partner accepted or refused the message. Neither is set if the attempt says nothing about the
    partner.
    """

    partner_id: int
    limits: Limits
    got_response: bool
    was_probe: bool
    was_suspect: bool
    failed: bool = False
    succeeded: bool = False
    is_automatic: bool = True

    @property
    def may_change_state(self) -> bool:
        """Whether the breaker's row must be read."""
        if not self.is_automatic:
            return self.succeeded and self.was_suspect
        return self.failed or not self.got_response or self.was_suspect


def record_attempts(session: Session, ended: Collection[EndedAttempt], now: datetime) -> None:
    """Update the breakers after these attempts. Reads nothing while all partners respond.

    An opened and a closed breaker each make an audit entry. The start and end of failing each send an email.
    """
    relevant = [attempt for attempt in ended if attempt.may_change_state]
    if not relevant:
        return
    before = lock_states(session, {attempt.partner_id for attempt in relevant})
    states = dict(before)
    for attempt in relevant:
        if attempt.partner_id in states:
            states[attempt.partner_id] = _after_ended(states[attempt.partner_id], attempt, now)
    save_states(session, {key: state for key, state in states.items() if state != before[key]})
    for partner_id, state in states.items():
        _report_change(session, partner_id, before[partner_id], state)


def _after_ended(state: BreakerState, attempt: EndedAttempt, now: datetime) -> BreakerState:
    failed = attempt.is_automatic and (attempt.failed or not attempt.got_response)
    state = count_failure(state, now, failed=failed, succeeded=attempt.succeeded)
    if not attempt.is_automatic:
        return state
    return after_attempt(
        state,
        attempt.limits,
        now,
        got_response=attempt.got_response,
        was_probe=attempt.was_probe,
        jitter=random.random(),  # noqa: S311 - spreads probes, hides nothing
    )


def _report_change(session: Session, partner_id: int, before: BreakerState, after: BreakerState) -> None:
    if after.opened_at and not before.opened_at:
        notifications.breaker_opened(session, partner_id, FAILURES_MAX)
    elif before.opened_at and not after.opened_at:
        notifications.breaker_closed(session, partner_id, before.opened_at, before.probes)
        session.execute(_MAKE_DUE, {"of_partner": partner_id})
    limit = SessionSettings.of(session).failing_after
    was_failing, fails = is_failing(before, limit), is_failing(after, limit)
    if fails and not was_failing:
        notifications.notify_failing(session, partner_id, after.failed_attempts)
    elif was_failing and not fails and (since := before.failed_since or before.opened_at):
        notifications.notify_recovered(session, partner_id, since)
