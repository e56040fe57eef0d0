"""Retention: removes old content in small batches, except what an open order or a repeat needs.

A finished webhook loses its body and the contents of its attempts; its row stays, with the digest of what was
sent. An applied incoming message keeps its row as well, since repeats are recognized by it. Unmatched
messages stay as they are, all others are deleted. Audit entries: ``audit.retention``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.audit.retention import prune_entries
from app.config import Settings
from app.db import Database, id_at
from app.delivery.models import FINAL, LIVE, Attempt, Message
from app.inbound.models import Effect, InboundMessage
from app.orders.models import PurchaseOrder
from app.tasks.models import MAIL, UNFINISHED, Task

BATCH = 500
"""Rows per transaction, which bounds how long other writers wait."""


@dataclass(frozen=True, slots=True)
class Ages:
    """Days after which each kind of record is removed; None means never."""

    messages: float | None = None
    inbound: float | None = None
    audit: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The ages from the settings."""
        return cls(settings.keep_messages_days, settings.keep_inbound_days, settings.keep_audit_days)


class Budget:
    """The time limit of one run; other work of the same worker waits meanwhile."""

    def __init__(self, seconds: float | None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def is_spent(self) -> bool:
        """Whether the time is up; the next run continues."""
        return self._deadline is not None and time.monotonic() > self._deadline


def prune_old(database: Database, ages: Ages, *, for_seconds: float | None = None) -> dict[str, int]:
    """Remove older records and return the count per kind. An interrupted run can be repeated.

    With ``for_seconds``, each kind stops after the batch in which the time ended.
    """
    now = clock.now()
    removed = {"messages": 0, "inbound": 0, "audit": 0}
    if ages.messages:
        before = now - timedelta(days=ages.messages)
        removed["messages"] = _messages(database, before, Budget(for_seconds))
        _delete_mails(database, before)
    if ages.inbound:
        removed["inbound"] = _inbound(database, now - timedelta(days=ages.inbound), Budget(for_seconds))
    if removed["messages"] or removed["inbound"]:
        with database.writing() as session:
            counts = {"messages": removed["messages"], "inbound": removed["inbound"]}
            trail.record(
                session,
                AuditAction.PRUNED,
                AuditObject.RECORDS,
                "messages",
                name="Old messages",
                after=counts,
            )
            session.commit()
    if ages.audit:
        removed["audit"] = prune_entries(database, now - timedelta(days=ages.audit))
    return removed


def _not_needed(order_id: Any, before: datetime) -> ColumnElement[bool]:
    """Whether no order needs it: there is none, or it is settled and was last revised before this time."""
    live = (
        exists().where(Message.order_id == PurchaseOrder.id, Message.state.in_(LIVE)).correlate(PurchaseOrder)
    )
    busy = or_(PurchaseOrder.needs_response, PurchaseOrder.revised_at >= before, live)
    return ~exists().where(PurchaseOrder.id == order_id, busy)


def _in_batches(
    database: Database, ids: Select[str], remove: Callable[[Session, Sequence[str]], int], budget: Budget
) -> int:
    """Remove the rows of the query in batches and return their count.

    The query is a slow search without a lock; ``remove`` checks its conditions again under the lock.
    """
    column = ids.selected_columns[0]
    removed, after = 0, ""
    while True:
        with database.reading() as session:
            batch = session.scalars(ids.where(column > after).order_by(column).limit(BATCH)).all()
        with database.writing() as session:
            removed += remove(session, batch)
            session.commit()
        if len(batch) < BATCH or budget.is_spent():
            return removed
        after = batch[-1]


def _messages(database: Database, before: datetime, budget: Budget) -> int:
    ids = select(Message.id).where(
        Message.id <= id_at("msg", before, last=True),
        Message.state.in_(FINAL),
        Message.finished_at < before,
        func.length(Message.body) > 0,
        _not_needed(Message.order_id, before),
    )

    def remove(session: Session, batch: Sequence[str]) -> int:
        return _empty_messages(session, batch, before)

    return _in_batches(database, ids, remove, budget)


def _empty_messages(session: Session, ids: Sequence[str], before: datetime) -> int:
    # A webhook that is being resent right now is no longer final, and stays.
    emptied = session.scalars(
        update(Message)
        .where(Message.id.in_(ids), Message.state.in_(FINAL), _not_needed(Message.order_id, before))
        .values(body=b"")
        .returning(Message.id)
        .execution_options(synchronize_session=False)
    ).all()
    session.execute(
        update(Attempt)
        .where(Attempt.message_id.in_(emptied))
        .values(response_body=b"", request_headers=[], response_headers=[])
        .execution_options(synchronize_session=False)
    )
    return len(emptied)


def _inbound(database: Database, before: datetime, budget: Budget) -> int:
    deletable = InboundMessage.effect.in_(
        (Effect.REPEATED, Effect.REJECTED, Effect.CONFLICT, Effect.UNAUTHENTICATED)
    )
    applied = and_(InboundMessage.effect == Effect.APPLIED, func.length(InboundMessage.body) > 0)
    not_needed = _not_needed(InboundMessage.order_id, before)
    ids = select(InboundMessage.id).where(
        InboundMessage.id <= id_at("in", before, last=True),
        InboundMessage.received_at < before,
        or_(deletable, applied),
        not_needed,
    )

    def remove(session: Session, batch: Sequence[str]) -> int:
        conditions = (InboundMessage.id.in_(batch), not_needed)
        deleted = session.scalars(
            delete(InboundMessage)
            .where(*conditions, deletable)
            .returning(InboundMessage.id)
            .execution_options(synchronize_session=False)
        ).all()
        emptied = session.scalars(
            update(InboundMessage)
            .where(*conditions, applied)
            .values(body=b"", headers=[])
            .returning(InboundMessage.id)
            .execution_options(synchronize_session=False)
        ).all()
        return len(deleted) + len(emptied)

    return _in_batches(database, ids, remove, budget)


def _delete_mails(database: Database, before: datetime) -> None:
    with database.writing() as session:
        session.execute(
            delete(Task)
            .where(Task.kind.startswith(MAIL), Task.state.not_in(UNFINISHED), Task.finished_at < before)
            .execution_options(synchronize_session=False)
        )
        session.commit()
