"""One lane a partner: how many of its messages may be under way, and when none but a probe.

The rules are pure; what they need and what they change stands in the lane's row, which all deliverers share.
Only automatic tries are judged: what a person sends passes by the breaker and tells it nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.delivery import notifications
from app.delivery.models import Lane, Message, Trigger
from app.delivery.prepared import Prepared, by_dialect
from app.delivery.retry_policy import Reason

FAILURES_MAX = 5
"""Tries in a row without a proper answer that open the breaker."""
PROBE_SECONDS = 30.0
"""Until the first probe; each one in vain doubles it."""
PROBE_MAX_SECONDS = 600.0
PROBE_JITTER = 0.2
BURST_SECONDS = 0.1
"""A rate may be used up to this much in advance, so that claims need not be of single messages."""
WHY_HELD = f"{FAILURES_MAX} tries in a row got no answer. It is asked now and then."
WHY_BACK = "It answered again; what waited follows."
NO_ANSWER = (
    *(Reason.TIMEOUT, Reason.NAME, Reason.ADDRESS_REFUSED, Reason.CONNECT, Reason.TLS, Reason.RESET),
    *(Reason.ODD_ANSWER, Reason.BAD_TARGET),
)
"""The reasons that feed the breaker."""

lanes = cast(Table, Lane.__table__)
messages = cast(Table, Message.__table__)
# Spelled out, not bound: only then can a planner know that the small partial indexes hold all of them.
IS_PENDING = messages.c.state == literal_column("'pending'")
IS_SENDING = messages.c.state == literal_column("'sending'")
WAS_ASKED = messages.c.trigger != literal_column("'auto'")


@dataclass(frozen=True, slots=True)
class Limits:
    """What people set for a partner: messages at once, and a second (None: no limit)."""

    concurrency: int
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """A lane's row as a value. See ``models.Lane``."""

    failures: int = 0
    width: int | None = None
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    probes: int = 0
    allowance: float = 0.0
    allowance_at: datetime | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether a proper answer would change it."""
        return bool(self.failures or self.opened_at or self.width is not None)


@dataclass(frozen=True, slots=True)
class Room:
    """How many automatic messages may leave now, whether that is a probe, and when to look again if none."""

    count: int
    is_probe: bool = False
    again_at: datetime | None = None


COLUMNS = tuple(State.__dataclass_fields__)


def state_of(row: Any) -> State:
    """The state in a row that has a lane's columns."""
    return State(*(getattr(row, name) for name in COLUMNS))


def room(state: State, limits: Limits, flying: int, now: datetime) -> Room:
    """What the lane lets pass while ``flying`` of its messages are under way, over all deliverers."""
    if state.opened_at is not None:
        if state.probe_at is not None and now < state.probe_at:
            return Room(0, again_at=state.probe_at)
        return Room(1, is_probe=True)
    width = limits.concurrency if state.width is None else min(state.width, limits.concurrency)
    count = max(width - flying, 0)
    if limits.rate is None or not count:
        return Room(count)
    allowance = _allowance(state, limits.rate, now)
    if allowance < 1:
        return Room(0, again_at=now + timedelta(seconds=(1 - allowance) / limits.rate))
    return Room(min(count, math.floor(allowance)))


def after_claim(
    state: State, limits: Limits, count: int, now: datetime, *, probe_until: datetime | None
) -> State:
    """The lane after ``count`` messages left; a probe that tells nothing is given up at ``probe_until``."""
    if limits.rate is not None:
        allowance = _allowance(state, limits.rate, now) - count
        state = replace(state, allowance=allowance, allowance_at=now)
    if probe_until is not None:
        state = replace(state, probe_at=probe_until)
    return state


def after_try(
    state: State, limits: Limits, now: datetime, *, answered: bool, was_probe: bool, jitter: float
) -> State:
    """The lane after an automatic try came to an end. ``jitter`` from 0 to 1 spreads the probes."""
    if answered:
        return _after_answer(state, limits)
    failures = state.failures + 1
    state = replace(state, failures=failures, width=1)
    if state.opened_at is None and failures >= FAILURES_MAX:
        return replace(state, opened_at=now, probes=0, probe_at=_probe_at(0, now, jitter))
    if state.opened_at is not None and was_probe:
        probes = state.probes + 1
        return replace(state, probes=probes, probe_at=_probe_at(probes, now, jitter))
    return state


def _after_answer(state: State, limits: Limits) -> State:
    """Trust grows with each answer: one at a time first, then twice as many, up to what people set."""
    width = state.width
    if state.opened_at is not None:
        width = 1
    elif width is not None:
        width = width * 2 if width * 2 < limits.concurrency else None
    return replace(state, failures=0, width=width, opened_at=None, probe_at=None, probes=0)


def _probe_at(probes: int, now: datetime, jitter: float) -> datetime:
    wait = min(PROBE_SECONDS * 2 ** min(probes, 20), PROBE_MAX_SECONDS)
    return now + timedelta(seconds=wait * (1 + PROBE_JITTER * jitter))


def _allowance(state: State, rate: float, now: datetime) -> float:
    most = max(1.0, rate * BURST_SECONDS)
    if state.allowance_at is None:
        return most
    # A clock that was set back must not stop the lane until it is where it was.
    passed = max((now - state.allowance_at).total_seconds(), 0.0)
    return min(most, state.allowance + passed * rate)


# --- The rows


def _lock(*, skip_locked: bool) -> Prepared:
    """The lanes of these partners, locked in one order everywhere."""
    return Prepared(
        by_dialect(
            lambda among: (
                select(lanes)
                .where(among(lanes.c.partner_id, "partners"))
                .order_by(lanes.c.partner_id)
                .with_for_update(skip_locked=skip_locked)
            )
        ),
        list(lanes.c),
    )


_LOCK_FREE = _lock(skip_locked=True)
_LOCK_ALL = _lock(skip_locked=False)
_SAVE = Prepared(
    update(lanes)
    .where(lanes.c.partner_id == bindparam("of_partner"))
    .values({name: bindparam(f"to_{name}") for name in COLUMNS})
)
# After an outage, whatever waited for its next try is due, in the order in which it was made.
# What somebody else has in hand just now keeps its own time: nobody is waited for, so never in a circle.
_brought_forward = (
    select(messages.c.id)
    .where(
        messages.c.partner_id == bindparam("of_partner"),
        IS_PENDING,
        messages.c.trigger == Trigger.AUTO,
        messages.c.reason.in_([reason.value for reason in NO_ANSWER]),
    )
    .with_for_update(skip_locked=True)
)
_BRING_FORWARD = (
    update(messages).where(messages.c.id.in_(_brought_forward)).values(next_at=messages.c.created_at)
)


def make(session: Session, partner_ids: Iterable[int]) -> None:
    """Make lanes for partners that have none; two deliverers may do so at once."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = [{"partner_id": one, "failures": 0, "probes": 0, "allowance": 0.0} for one in sorted(partner_ids)]
    session.execute(dialect.insert(lanes).on_conflict_do_nothing(), rows)


def lock_free(session: Session, partner_ids: Collection[int]) -> dict[int, State]:
    """Those lanes that no other deliverer is claiming for just now, locked."""
    rows = _LOCK_FREE.rows(session, partners=list(partner_ids))
    return {row.partner_id: state_of(row) for row in rows}


def save(session: Session, states: dict[int, State]) -> None:
    """Write the lanes of these partners."""
    if states:
        rows = [
            {"of_partner": one, **{f"to_{name}": getattr(state, name) for name in COLUMNS}}
            for one, state in sorted(states.items())
        ]
        _SAVE.many(session, rows)


@dataclass(frozen=True, slots=True)
class Try:
    """The end of an automatic try, as far as lanes care."""

    partner_id: int
    limits: Limits
    answered: bool
    was_probe: bool
    was_suspect: bool


def record_attempts(session: Session, tries: Collection[Try], now: datetime) -> None:
    """Judge partners by their tries. Costs nothing where all is well.

    The trail tells once that a partner is held and once that it is let go, however many probes lie between.
    """
    telling = [one for one in tries if not one.answered or one.was_suspect]
    if not telling:
        return
    rows = _LOCK_ALL.rows(session, partners=sorted({one.partner_id for one in telling}))
    before = {row.partner_id: state_of(row) for row in rows}
    states = dict(before)
    for one in telling:
        if one.partner_id in states:
            states[one.partner_id] = after_try(
                states[one.partner_id],
                one.limits,
                now,
                answered=one.answered,
                was_probe=one.was_probe,
                jitter=random.random(),  # noqa: S311 - spreads probes, hides nothing
            )
    save(session, {one: state for one, state in states.items() if state != before[one]})
    opened = [one for one, state in states.items() if state.opened_at and not before[one].opened_at]
    recovered = [one for one, state in states.items() if before[one].opened_at and not state.opened_at]
    for one in opened:
        notifications.held(session, one, WHY_HELD)
    for one in recovered:
        since, probes = before[one].opened_at, before[one].probes
        was = {"held since": since and since.isoformat(), "by": "PO Confirm", "probes in vain": probes}
        notifications.recovered(session, one, WHY_BACK, was)
    if recovered:
        session.execute(_BRING_FORWARD, [{"of_partner": one} for one in recovered])
