"""The log of messages and attempts. ``scope`` is the reader's supplier ids; None is all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session, contains_eager, joinedload, selectinload, undefer

from app.db import mentions
from app.outbox.models import Attempt, Message, MessageState, Trigger
from app.partners.models import Partner

ATTENTION = "attention"
"""The filter's name for what somebody must look at: what was refused or failed."""
NEEDING = (MessageState.REFUSED, MessageState.FAILED)
PAGE = 50
"""Messages a page."""

Scope = frozenset[str] | None
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """What the log may be narrowed to; an empty field narrows nothing."""

    q: str = ""
    state: str = ""
    code: int | None = None
    kind: str = ""
    partner: str = ""
    trigger: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page of the log, newest first, and the id after which the next one begins."""

    messages: Sequence[Message]
    next_after: str | None


def message_page(session: Session, scope: Scope, wanted: MessageFilter, *, limit: int = PAGE) -> MessagePage:
    """The newest messages that fit. Ids sort by time, so pages stay put while new ones arrive."""
    query = (
        _visible(select(Message), scope)
        .join(Message.partner)
        .options(contains_eager(Message.partner))
        .where(*_conditions(session, wanted))
        .order_by(Message.id.desc())
        .limit(limit + 1)
    )
    rows = session.scalars(query).all()
    more = len(rows) > limit
    return MessagePage(rows[:limit], rows[limit - 1].id if more else None)


def newest_id(session: Session, scope: Scope, wanted: MessageFilter) -> str:
    """The id of the newest message that fits, on whatever page one is; empty where there is none."""
    return session.scalar(_ids(session, scope, wanted).order_by(Message.id.desc()).limit(1)) or ""


def newer_count(session: Session, scope: Scope, wanted: MessageFilter, than: str) -> int:
    """How many messages that fit came after this id; counting stops beyond a page."""
    newer = _ids(session, scope, wanted).where(Message.id > than).limit(PAGE + 1)
    return len(session.scalars(newer).all())


def _ids(session: Session, scope: Scope, wanted: MessageFilter) -> Select[str]:
    conditions = _conditions(session, replace(wanted, after=""))
    return _visible(select(Message.id), scope).join(Message.partner).where(*conditions)


def message(session: Session, scope: Scope, message_id: str) -> Message | None:
    """One message with its attempts, bodies and all, or None where the reader may not see it."""
    return session.scalar(
        _visible(select(Message), scope)
        .where(Message.id == message_id)
        .options(
            joinedload(Message.partner),
            selectinload(Message.attempts).options(undefer(Attempt.response_body)),
        )
    )


def message_for_update(session: Session, scope: Scope, message_id: str) -> Message | None:
    """One message, locked until the transaction ends."""
    return session.scalar(
        _visible(select(Message), scope)
        .where(Message.id == message_id)
        .options(joinedload(Message.partner, innerjoin=True))
        .with_for_update(of=Message)
    )


def messages_of_order(session: Session, order_id: int) -> Sequence[Message]:
    """All messages of one order with their attempts, newest first."""
    return session.scalars(
        select(Message)
        .where(Message.order_id == order_id)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
        .order_by(Message.decision_number.desc())
    ).all()


def resendable(
    session: Session, *, since: datetime, state: MessageState, partner_name: str | None = None
) -> Sequence[Message]:
    """The messages of this state that came to it since then, oldest first, locked for sending again."""
    query = (
        select(Message)
        .join(Message.partner)
        .where(Message.state == state, func.coalesce(Message.finished_at, Message.created_at) >= since)
        .order_by(Message.id)
        .with_for_update(of=Message)
    )
    if partner_name:
        query = query.where(Partner.name == partner_name)
    return session.scalars(query).all()


def attention_count(session: Session, scope: Scope, *, most: int = 1000) -> int:
    """How many messages were refused or failed; counting stops at ``most``."""
    needing = _visible(select(Message.id), scope).where(Message.state.in_(NEEDING)).limit(most)
    return len(session.scalars(needing).all())


def _visible(query: Query, scope: Scope) -> Query:
    return query if scope is None else query.where(Message.supplier_b2b_id.in_(scope))


def _conditions(session: Session, wanted: MessageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.state == "held":
        conditions += [Message.state == MessageState.PENDING, Partner.paused_at.is_not(None)]
    elif wanted.state == ATTENTION:
        conditions.append(Message.state.in_(NEEDING))
    elif wanted.state:
        conditions.append(Message.state == MessageState(wanted.state))
        if wanted.state == MessageState.PENDING:
            conditions.append(Partner.paused_at.is_(None))
    if wanted.code is not None:
        conditions.append(_some_attempt(Attempt.status == wanted.code))
    if wanted.kind:
        conditions.append(Message.kind == wanted.kind)
    if wanted.partner:
        conditions.append(Partner.name == wanted.partner)
    if wanted.trigger:
        conditions.append(_some_attempt(Attempt.trigger == Trigger(wanted.trigger)))
    if wanted.since:
        conditions.append(Message.created_at >= wanted.since)
    if wanted.until:
        conditions.append(Message.created_at < wanted.until)
    if wanted.after:
        conditions.append(Message.id < wanted.after)
    if wanted.q:
        conditions.append(_mentions(session, wanted.q))
    return conditions


def _some_attempt(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Attempt.message_id == Message.id, condition)


def _mentions(session: Session, words: str) -> ColumnElement[bool]:
    """Whether the words stand in the PO number, the message id, or a body that was sent or received."""
    return or_(
        Message.buyer_po_number.icontains(words, autoescape=True),
        Message.id == words,
        mentions(session, Message.body, words),
        _some_attempt(mentions(session, Attempt.response_body, words)),
    )
