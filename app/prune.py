"""Retention: what is old enough goes, in small steps. What an open order or a repeat needs stays.

Of a finished message its content goes: the body, and what its tries sent and got. The line in the log stays,
with the digest of what was sent. Of what partners sent, the applied messages keep their line too, since a
repeat is known by it; what was refused or repeated goes whole. Entries of the audit trail: ``audit.prune``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app import clock
from app.alerts.models import Mail, MailState
from app.audit import trail
from app.audit.models import Deed, Thing
from app.audit.prune import prune_entries
from app.config import Settings
from app.db import Database
from app.inbound.models import Effect, InboundMessage
from app.orders.models import PurchaseOrder
from app.orders.queries import to_answer
from app.outbox.models import FINAL, LIVE, Attempt, Message

BATCH = 500
"""Rows a transaction: whoever writes waits no longer than for these."""


@dataclass(frozen=True, slots=True)
class Ages:
    """After how many days what goes; None is never."""

    messages: float | None = None
    inbound: float | None = None
    audit: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the operator set it."""
        return cls(settings.keep_messages_days, settings.keep_inbound_days, settings.keep_audit_days)


def prune_old(database: Database, ages: Ages) -> dict[str, int]:
    """Remove what is older; returns how much of each kind. It may be cut off and begun again at any point."""
    now = clock.now()
    removed = {"messages": 0, "inbound": 0, "audit": 0}
    if ages.messages:
        removed["messages"] = _messages(database, now - timedelta(days=ages.messages))
    if ages.inbound:
        removed["inbound"] = _inbound(database, now - timedelta(days=ages.inbound))
    if removed["messages"] or removed["inbound"]:
        with database.writing() as session:
            told = {"messages": removed["messages"], "inbound": removed["inbound"]}
            trail.record(session, Deed.PRUNED, Thing.RECORDS, "messages", name="Old messages", after=told)
            session.commit()
    if ages.audit:
        removed["audit"] = prune_entries(database, now - timedelta(days=ages.audit))
    return removed


def _rests(order_id: Any, before: datetime) -> ColumnElement[bool]:
    """Whether no order needs it: there is none, or it waits for nobody and was last touched before then."""
    live = (
        exists().where(Message.order_id == PurchaseOrder.id, Message.state.in_(LIVE)).correlate(PurchaseOrder)
    )
    busy = or_(to_answer(), PurchaseOrder.revised_at >= before, live)
    return ~exists().where(PurchaseOrder.id == order_id, busy)


def _messages(database: Database, before: datetime) -> int:
    removed, after = 0, ""
    while True:
        with database.writing() as session:
            ids = session.scalars(
                select(Message.id)
                .where(
                    Message.id > after,
                    Message.created_at < before,
                    Message.state.in_(FINAL),
                    Message.finished_at < before,
                    func.length(Message.body) > 0,
                    _rests(Message.order_id, before),
                )
                .order_by(Message.id)
                .limit(BATCH)
            ).all()
            removed += _empty_messages(session, ids)
            if len(ids) < BATCH:
                _forget_mails(session, before)
            session.commit()
        if len(ids) < BATCH:
            return removed
        after = ids[-1]


def _empty_messages(session: Session, ids: Sequence[str]) -> int:
    # What somebody sends again at this very moment is final no more, and stays.
    emptied = session.scalars(
        update(Message)
        .where(Message.id.in_(ids), Message.state.in_(FINAL))
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


def _inbound(database: Database, before: datetime) -> int:
    removed, after = 0, ""
    gone = (Effect.REPEATED, Effect.REFUSED, Effect.CONFLICT, Effect.NO_CREDENTIALS)
    while True:
        with database.writing() as session:
            found = session.execute(
                select(InboundMessage.id, InboundMessage.effect)
                .where(
                    InboundMessage.id > after,
                    InboundMessage.received_at < before,
                    or_(
                        InboundMessage.effect.in_(gone),
                        and_(InboundMessage.effect == Effect.APPLIED, func.length(InboundMessage.body) > 0),
                    ),
                    _rests(InboundMessage.order_id, before),
                )
                .order_by(InboundMessage.id)
                .limit(BATCH)
            ).all()
            whole = [row.id for row in found if row.effect is not Effect.APPLIED]
            session.execute(
                delete(InboundMessage)
                .where(InboundMessage.id.in_(whole))
                .execution_options(synchronize_session=False)
            )
            session.execute(
                update(InboundMessage)
                .where(InboundMessage.id.in_([row.id for row in found if row.effect is Effect.APPLIED]))
                .values(body=b"", headers=[])
                .execution_options(synchronize_session=False)
            )
            session.commit()
        removed += len(found)
        if len(found) < BATCH:
            return removed
        after = found[-1].id


def _forget_mails(session: Session, before: datetime) -> None:
    session.execute(
        delete(Mail)
        .where(Mail.state != MailState.WAITING, Mail.finished_at < before)
        .execution_options(synchronize_session=False)
    )
