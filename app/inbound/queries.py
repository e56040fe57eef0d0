"""The log of what partners sent. ``scope`` is the reader's supplier ids; None is all, strangers included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session, joinedload, undefer

from app.db import mentions
from app.inbound.models import Effect, InboundMessage
from app.partners.models import Partner

PAGE = 50
"""Messages a page."""

Scope = frozenset[str] | None
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True, slots=True)
class InboundFilter:
    """What the log may be narrowed to; an empty field narrows nothing. ``code`` is what we answered."""

    q: str = ""
    effect: str = ""
    code: int | None = None
    kind: str = ""
    partner: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class InboundPage:
    """One page of the log, newest first, and the id after which the next one begins."""

    messages: Sequence[InboundMessage]
    next_after: str | None


def message_page(session: Session, scope: Scope, wanted: InboundFilter, *, limit: int = PAGE) -> InboundPage:
    """The newest messages that fit, without their bodies. Ids sort by the time of receipt."""
    query = (
        _visible(select(InboundMessage), scope)
        .options(joinedload(InboundMessage.partner))
        .where(*_conditions(session, wanted))
        .order_by(InboundMessage.id.desc())
        .limit(limit + 1)
    )
    rows = session.scalars(query).all()
    more = len(rows) > limit
    return InboundPage(rows[:limit], rows[limit - 1].id if more else None)


def newest_id(session: Session, scope: Scope, wanted: InboundFilter) -> str:
    """The id of the newest message that fits, on whatever page one is; empty where there is none."""
    return session.scalar(_ids(session, scope, wanted).order_by(InboundMessage.id.desc()).limit(1)) or ""


def newer_count(session: Session, scope: Scope, wanted: InboundFilter, than: str) -> int:
    """How many messages that fit came after this id; counting stops beyond a page."""
    newer = _ids(session, scope, wanted).where(InboundMessage.id > than).limit(PAGE + 1)
    return len(session.scalars(newer).all())


def _ids(session: Session, scope: Scope, wanted: InboundFilter) -> Select[str]:
    conditions = _conditions(session, replace(wanted, after=""))
    return _visible(select(InboundMessage.id), scope).where(*conditions)


def message(session: Session, scope: Scope, inbound_id: str) -> InboundMessage | None:
    """One message with its body and our answer, or None where the reader may not see it."""
    return session.scalar(
        _visible(select(InboundMessage), scope)
        .where(InboundMessage.id == inbound_id)
        .options(
            joinedload(InboundMessage.partner),
            undefer(InboundMessage.body),
            undefer(InboundMessage.answer_body),
        )
    )


def message_for_update(session: Session, scope: Scope, inbound_id: str) -> InboundMessage | None:
    """One message with its body, locked until the transaction ends."""
    return session.scalar(
        _visible(select(InboundMessage), scope)
        .where(InboundMessage.id == inbound_id)
        .options(
            joinedload(InboundMessage.partner),
            undefer(InboundMessage.body),
            undefer(InboundMessage.answer_body),
        )
        .with_for_update(of=InboundMessage)
        .execution_options(populate_existing=True)
    )


def repeats_of(session: Session, inbound_id: str, *, most: int = 20) -> Sequence[InboundMessage]:
    """The newest messages that were repeats of this one."""
    return session.scalars(
        select(InboundMessage)
        .where(InboundMessage.repeat_of == inbound_id)
        .order_by(InboundMessage.id.desc())
        .limit(most)
    ).all()


def unmatched_count(session: Session, scope: Scope, *, most: int = 1000) -> int:
    """How many messages fit no order or answer and wait for support; counting stops at ``most``."""
    waiting = (
        _visible(select(InboundMessage.id), scope)
        .where(InboundMessage.effect == Effect.UNMATCHED)
        .limit(most)
    )
    return len(session.scalars(waiting).all())


def _visible(query: Query, scope: Scope) -> Query:
    """Strangers' calls and what could not be read name no supplier: only who sees all sees them."""
    return query if scope is None else query.where(InboundMessage.supplier_b2b_id.in_(scope))


def _conditions(session: Session, wanted: InboundFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.effect:
        conditions.append(InboundMessage.effect == Effect(wanted.effect))
    if wanted.code is not None:
        conditions.append(InboundMessage.answer_status == wanted.code)
    if wanted.kind:
        conditions.append(InboundMessage.kind == wanted.kind)
    if wanted.partner:
        named = select(Partner.id).where(Partner.name == wanted.partner)
        conditions.append(InboundMessage.partner_id.in_(named))
    if wanted.since:
        conditions.append(InboundMessage.received_at >= wanted.since)
    if wanted.until:
        conditions.append(InboundMessage.received_at < wanted.until)
    if wanted.after:
        conditions.append(InboundMessage.id < wanted.after)
    if wanted.q:
        conditions.append(_mentions(session, wanted.q))
    return conditions


def _mentions(session: Session, words: str) -> ColumnElement[bool]:
    """Whether the words stand in the PO number, the ids, or what was sent or answered."""
    return or_(
        InboundMessage.buyer_po_number.icontains(words, autoescape=True),
        InboundMessage.object_id.icontains(words, autoescape=True),
        InboundMessage.id == words,
        mentions(session, InboundMessage.body, words),
        mentions(session, InboundMessage.answer_body, words),
    )
