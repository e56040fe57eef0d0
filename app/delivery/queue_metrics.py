"""How the outbox stands, in numbers: from the rows alone, so that they are right over all processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.delivery.circuit_breaker import IS_PENDING, IS_SENDING
from app.delivery.models import CircuitBreaker, Message, MessageState, Tally
from app.partners.models import Partner


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for one partner. ``due`` may leave now, ``scheduled`` later, ``held`` when it is let go.

    ``oldest_due_seconds`` is how long the first of what may leave has been due, 0 if there is none.
    """

    partner: str
    paused: bool
    breaker_open: bool
    due: int = 0
    scheduled: int = 0
    held: int = 0
    sending: int = 0
    refused: int = 0
    failed: int = 0
    oldest_due_seconds: float = 0.0


def queues(session: Session, now: datetime) -> list[Queue]:
    """The queue of every partner, by name."""
    known = session.execute(
        select(
            Partner.id,
            Partner.name,
            Partner.paused_at,
            CircuitBreaker.opened_at,
            _count(MessageState.REFUSED),
            _count(MessageState.FAILED),
        )
        .outerjoin(CircuitBreaker, CircuitBreaker.partner_id == Partner.id)
        .order_by(Partner.name)
    ).all()
    pending, sending = _pending(session, now), _sending(session)
    found = []
    for partner in known:
        held = bool(partner.paused_at or partner.opened_at)
        row = pending.get(partner.id)
        every, due = (row.all, int(row.due)) if row else (0, 0)
        late = (now - row.first).total_seconds() if row and row.first and due and not held else 0.0
        found.append(
            Queue(
                partner=partner.name,
                paused=partner.paused_at is not None,
                breaker_open=partner.opened_at is not None,
                due=0 if held else due,
                scheduled=0 if held else every - due,
                held=every if held else 0,
                sending=sending.get(partner.id, 0),
                refused=partner.refused,
                failed=partner.failed,
                oldest_due_seconds=late,
            )
        )
    return found


def _pending(session: Session, now: datetime) -> dict[int, Any]:
    """What waits, by partner: all of it, what is due, and since when."""
    counting = select(
        Message.partner_id,
        func.count().label("all"),
        func.sum(case((Message.next_at <= now, 1), else_=0)).label("due"),
        func.min(Message.next_at).label("first"),
    )
    rows = session.execute(counting.where(IS_PENDING).group_by(Message.partner_id))
    return {row.partner_id: row for row in rows}


def _sending(session: Session) -> dict[int, int]:
    counting = select(Message.partner_id, func.count()).where(IS_SENDING).group_by(Message.partner_id)
    return dict(session.execute(counting).all())


def _count(state: MessageState) -> Any:
    """How many of a partner's messages are in a state. In groups, PostgreSQL would walk all of an index."""
    counting = select(func.count()).where(Message.partner_id == Partner.id, Message.state == state)
    return counting.correlate(Partner).scalar_subquery().label(state.value)


@dataclass(frozen=True, slots=True)
class Ended:
    """Attempts of one partner that came to the same kind of end, in one bucket of ``tally.BUCKETS_MS``."""

    partner: str
    outcome: str
    bucket: int
    count: int
    milliseconds: float


def ended_attempts(session: Session) -> Sequence[Ended]:
    """All attempts that ever ended, counted."""
    rows = session.execute(
        select(Partner.name, Tally.outcome, Tally.bucket, func.sum(Tally.count), func.sum(Tally.milliseconds))
        .join(Partner, Partner.id == Tally.partner_id)
        .group_by(Partner.name, Tally.outcome, Tally.bucket)
        .order_by(Partner.name, Tally.outcome, Tally.bucket)
    )
    return [Ended(name, outcome, bucket, int(count), float(ms)) for name, outcome, bucket, count, ms in rows]
