"""The log of what partners sent. ``scope`` is the reader's supplier ids; None is all, strangers included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, joinedload, undefer

from app.db import bytes_contain, id_at
from app.inbound.models import Effect, InboundMessage
from app.partners.models import LISTED, Partner

PAGE = 50
"""Messages a page."""
WINDOW = 2_000
"""Messages whose bodies are looked through for words at a time."""

Scope = frozenset[str] | None
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True, slots=True)
class InboundFilter:
    """What the log may be narrowed to; an empty field narrows nothing.

    ``code`` is what we answered: one status, or a class such as ``4xx``; ``order`` is the buyer's PO number.
    """

    q: str = ""
    effect: str = ""
    code: str = ""
    kind: str = ""
    partner: str = ""
    order: str = ""
    supplier: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class InboundPage:
    """One page of the log, newest first, and the id after which the next one begins.

    ``looked_back_to`` is set where words were looked for and not everything was looked through.
    """

    messages: Sequence[InboundMessage]
    next_after: str | None
    looked_back_to: datetime | None = None


def message_page(session: Session, scope: Scope, wanted: InboundFilter, *, limit: int = PAGE) -> InboundPage:
    """The newest messages that fit, without their bodies. Ids sort by the time of receipt."""
    conditions, oldest = _narrowed(session, scope, wanted)
    query = (
        _visible(select(InboundMessage), scope)
        .options(joinedload(InboundMessage.partner).load_only(*LISTED))
        .where(*conditions)
        .order_by(InboundMessage.id.desc())
        .limit(limit + 1)
    )
    rows = session.scalars(query).all()
    if len(rows) > limit:
        return InboundPage(rows[:limit], rows[limit - 1].id)
    if oldest:
        return InboundPage(rows, oldest.id, oldest.received_at)
    return InboundPage(rows, None)


def newest_id(session: Session, scope: Scope, wanted: InboundFilter) -> str:
    """The id of the newest message that fits, on whatever page one is; empty where there is none."""
    return session.scalar(_ids(session, scope, wanted).order_by(InboundMessage.id.desc()).limit(1)) or ""


def newer_count(session: Session, scope: Scope, wanted: InboundFilter, than: str) -> int:
    """How many messages that fit came after this id; counting stops beyond a page."""
    newer = _ids(session, scope, wanted).where(InboundMessage.id > than).limit(PAGE + 1)
    return len(session.scalars(newer).all())


def _ids(session: Session, scope: Scope, wanted: InboundFilter) -> Select[str]:
    conditions, _ = _narrowed(session, scope, replace(wanted, after=""))
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


def unmatched_count(session: Session, scope: Scope, *, most: int = 1001) -> int:
    """How many messages fit no order or answer and wait for support; counting stops at ``most``."""
    waiting = select(InboundMessage.id).where(InboundMessage.needs_attention).limit(most)
    if scope is not None:
        # What waits is little: not by the index on all of a supplier's messages.
        waiting = waiting.where(func.coalesce(InboundMessage.supplier_b2b_id, "").in_(scope))
    return session.scalar(select(func.count()).select_from(waiting.subquery())) or 0


def _visible(query: Query, scope: Scope) -> Query:
    """Strangers' calls and what could not be read name no supplier: only who sees all sees them."""
    return query if scope is None else query.where(InboundMessage.supplier_b2b_id.in_(scope))


def _narrowed(session: Session, scope: Scope, wanted: InboundFilter) -> tuple[list[ColumnElement[bool]], Any]:
    """All conditions, and the oldest message that is looked through for words, if not all are."""
    conditions = _conditions(session, wanted)
    if not wanted.q:
        return conditions, None
    named = _named(wanted.q)
    if session.scalar(_visible(select(InboundMessage.id), scope).where(named).limit(1)) is not None:
        return [*conditions, named], None
    oldest = _end_of_window(session, scope, conditions)
    conditions.append(_mentions(session, wanted.q))
    if oldest:
        conditions.append(InboundMessage.id >= oldest.id)
    return conditions, oldest


def _conditions(session: Session, wanted: InboundFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.effect:
        conditions.append(InboundMessage.effect == Effect(wanted.effect))
    if wanted.code.endswith("xx"):
        first = int(wanted.code[0]) * 100
        conditions.append(InboundMessage.answer_status.between(first, first + 99))
    elif wanted.code:
        conditions.append(InboundMessage.answer_status == int(wanted.code))
    if wanted.kind:
        conditions.append(InboundMessage.kind == wanted.kind)
    if wanted.partner:
        named = session.scalar(select(Partner.id).where(Partner.name == wanted.partner))
        conditions.append(InboundMessage.partner_id == (named if named is not None else -1))
    if wanted.order:
        conditions.append(InboundMessage.buyer_po_number.in_({wanted.order, wanted.order.upper()}))
    if wanted.supplier:
        conditions.append(InboundMessage.supplier_b2b_id == wanted.supplier)
    if wanted.since:
        conditions.append(InboundMessage.received_at >= wanted.since)
        conditions.append(InboundMessage.id >= id_at("in", wanted.since))
    if wanted.until:
        conditions.append(InboundMessage.received_at < wanted.until)
        conditions.append(InboundMessage.id <= id_at("in", wanted.until, last=True))
    if wanted.after:
        conditions.append(InboundMessage.id < wanted.after)
    return conditions


def _end_of_window(session: Session, scope: Scope, conditions: Sequence[ColumnElement[bool]]) -> Any:
    """The oldest message whose body is looked through, by id and time; None where all are."""
    fits = _visible(select(InboundMessage.id, InboundMessage.received_at), scope).where(*conditions)
    rows = session.execute(fits.order_by(InboundMessage.id.desc()).offset(WINDOW - 1).limit(2)).all()
    return rows[0] if len(rows) == 2 else None


def _named(words: str) -> ColumnElement[bool]:
    """Whether the words are an id, a PO number or the order's id, in full."""
    return or_(
        InboundMessage.id == words,
        InboundMessage.buyer_po_number.in_({words, words.upper()}),
        InboundMessage.object_id == words,
    )


def _mentions(session: Session, words: str) -> ColumnElement[bool]:
    """Whether the words stand in the PO number, the order's id, or what was sent or answered."""
    return or_(
        InboundMessage.buyer_po_number.icontains(words, autoescape=True),
        InboundMessage.object_id.icontains(words, autoescape=True),
        bytes_contain(session, InboundMessage.body, words),
        bytes_contain(session, InboundMessage.answer_body, words),
    )
