"""How many messages each partner's queue has, counted in the database and thus across all processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.delivery.circuit_breaker import IS_PENDING, IS_SENDING
from app.delivery.models import CircuitBreaker, Message, MessageState
from app.partners.models import Partner


@dataclass(frozen=True, slots=True)
class Queue:
    """Messages of one partner, by state.

    Pending ones are ``due`` now, ``scheduled`` for later, or ``held`` while the partner is paused or its
    circuit breaker is open. ``oldest_due_seconds`` is how long the oldest due message has been due, or 0.
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
    partners = session.execute(
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
    result = []
    for partner in partners:
        held = bool(partner.paused_at or partner.opened_at)
        row = pending.get(partner.id)
        total, due = (row.total, int(row.due)) if row else (0, 0)
        overdue_seconds = 0.0
        if row and row.first and due and not held:
            overdue_seconds = (now - row.first).total_seconds()
        result.append(
            Queue(
                partner=partner.name,
                paused=partner.paused_at is not None,
                breaker_open=partner.opened_at is not None,
                due=0 if held else due,
                scheduled=0 if held else total - due,
                held=total if held else 0,
                sending=sending.get(partner.id, 0),
                refused=partner.refused,
                failed=partner.failed,
                oldest_due_seconds=overdue_seconds,
            )
        )
    return result


def _pending(session: Session, now: datetime) -> dict[int, Any]:
    """Pending messages by partner: all, those that are due, and the time at which the first is due."""
    counting = select(
        Message.partner_id,
        func.count().label("total"),
        func.sum(case((Message.next_at <= now, 1), else_=0)).label("due"),
        func.min(Message.next_at).label("first"),
    )
    rows = session.execute(counting.where(IS_PENDING).group_by(Message.partner_id))
    return {row.partner_id: row for row in rows}


def _sending(session: Session) -> dict[int, int]:
    counting = select(Message.partner_id, func.count()).where(IS_SENDING).group_by(Message.partner_id)
    return dict(session.execute(counting).all())


def _count(state: MessageState) -> Any:
    """How many messages of a partner are in a state. With GROUP BY, PostgreSQL would read the whole index."""
    counting = select(func.count()).where(Message.partner_id == Partner.id, Message.state == state)
    return counting.correlate(Partner).scalar_subquery().label(state.value)
