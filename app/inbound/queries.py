"""Queries for the incoming log.

``scope`` is the reader's supplier ids; None means all messages, unauthenticated ones included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, joinedload, undefer

from app.db import bytes_contain, id_at
from app.db.filters import (
    PAGE,
    SCOPE_PARAMETER,
    FilterContext,
    Page,
    Scope,
    WindowEnd,
    conditions_of,
    has_status,
    in_scope,
    page_of,
    row_count,
    search_bodies,
    where,
    without_index,
)
from app.inbound.models import Effect, InboundMessage
from app.network.vocabulary import Kind
from app.partners.models import LISTED
from app.partners.queries import partner_id_of

REPEATS_SHOWN = 20
"""The newest repeats of a message that its page lists."""


@dataclass(frozen=True, slots=True)
class InboundFilter:
    """The filter of the log; an empty field does not filter.

    ``code`` is the status of the response or a class such as ``4xx``; ``order`` is the buyer's PO number.
    """

    q: str = ""
    effect: str = where(lambda effect, _: InboundMessage.effect == Effect(effect))
    code: str = where(lambda code, _: has_status(InboundMessage.response_status, code))
    kind: str = where(lambda kind, _: InboundMessage.kind == kind)
    partner: str = where(
        lambda name, context: InboundMessage.partner_id == partner_id_of(context.session, name)
    )
    order: str = where(lambda number, _: InboundMessage.buyer_po_number.in_({number, number.upper()}))
    supplier: str = where(lambda b2b_id, _: InboundMessage.supplier_b2b_id == b2b_id)
    since: datetime | None = where(
        lambda at, _: [InboundMessage.received_at >= at, InboundMessage.id >= id_at("in", at)], None
    )
    until: datetime | None = where(
        lambda at, _: [InboundMessage.received_at < at, InboundMessage.id <= id_at("in", at, last=True)], None
    )
    after: str = where(lambda inbound_id, _: InboundMessage.id < inbound_id)


def message_page(
    session: Session, scope: Scope, filters: InboundFilter, *, limit: int = PAGE
) -> Page[InboundMessage]:
    """The newest messages that match, without bodies. Ids sort by the time of receipt."""
    conditions, oldest = _filtered(session, scope, filters)
    rows = session.scalars(_listed(scope, limit + 1).where(*conditions)).all()
    return page_of(rows, limit, oldest=oldest)


def ids_of(session: Session, scope: Scope, filters: InboundFilter) -> Select[str]:
    """The query for the ids of the messages that match."""
    conditions, _ = _filtered(session, scope, filters)
    return in_scope(select(InboundMessage.id), InboundMessage.supplier_b2b_id, scope).where(*conditions)


def message(session: Session, scope: Scope, inbound_id: str) -> InboundMessage | None:
    """A message with both bodies; None if the reader may not see it."""
    return session.scalar(_with_bodies(scope, inbound_id))


def message_for_update(session: Session, scope: Scope, inbound_id: str) -> InboundMessage | None:
    """A message with both bodies, locked until the transaction ends."""
    return session.scalar(
        _with_bodies(scope, inbound_id)
        .with_for_update(of=InboundMessage, key_share=True)
        .execution_options(populate_existing=True)
    )


def _with_bodies(scope: Scope, inbound_id: str) -> Select[InboundMessage]:
    return (
        in_scope(select(InboundMessage), InboundMessage.supplier_b2b_id, scope)
        .where(InboundMessage.id == inbound_id)
        .options(
            joinedload(InboundMessage.partner),
            undefer(InboundMessage.body),
            undefer(InboundMessage.response_body),
        )
    )


def last_received_at(session: Session, partner_id: int) -> datetime | None:
    """When the partner's latest message was received; None if there is none. Ids sort by that time."""
    return session.scalar(
        select(InboundMessage.received_at)
        .where(InboundMessage.partner_id == partner_id)
        .order_by(InboundMessage.id.desc())
        .limit(1)
    )


def changed_orders(session: Session, scope: Scope, kind: Kind, since: datetime, *, most: int) -> int:
    """How many orders were changed by messages of this kind since a time, of at most ``most`` messages."""
    filters = InboundFilter(effect=Effect.APPLIED.value, kind=kind.value, since=since)
    conditions = conditions_of(FilterContext(session, filters, scope))
    query = select(InboundMessage.order_id).where(*conditions).limit(most)
    orders = in_scope(query, InboundMessage.supplier_b2b_id, scope)
    return session.scalar(select(func.count(orders.subquery().c.order_id.distinct()))) or 0


def repeats_of(session: Session, inbound_id: str) -> Sequence[InboundMessage]:
    """The newest repeats of a message."""
    return session.scalars(
        select(InboundMessage)
        .where(InboundMessage.repeat_of == inbound_id)
        .order_by(InboundMessage.id.desc())
        .limit(REPEATS_SHOWN)
    ).all()


def messages_by_reference(
    session: Session, scope: Scope, text: str, *, limit: int
) -> Sequence[InboundMessage]:
    """The newest messages with exactly this id, PO number or order id, without bodies."""
    return session.scalars(_listed(scope, limit).where(_is_reference(text))).all()


def messages_of_orders(
    session: Session, scope: Scope, order_ids: Sequence[int], *, limit: int
) -> Sequence[InboundMessage]:
    """The newest messages about these orders, without bodies."""
    return session.scalars(_listed(scope, limit).where(InboundMessage.order_id.in_(order_ids))).all()


_NEWEST = (
    select(InboundMessage)
    .options(joinedload(InboundMessage.partner).load_only(*LISTED))
    .order_by(InboundMessage.id.desc())
)
"""Built once, since building its options takes long."""


def _listed(scope: Scope, limit: int) -> Select[InboundMessage]:
    """The newest messages with their partners, without bodies."""
    return in_scope(_NEWEST, InboundMessage.supplier_b2b_id, scope).limit(limit)


def unmatched_count(session: Session, scope: Scope) -> int:
    """The number of unmatched messages that are not resolved; counting stops at ``COUNT_MAX``."""
    return session.scalar(_unmatched_count(scoped=scope is not None), {"scope": scope}) or 0


@cache
def _unmatched_count(*, scoped: bool) -> Select[int]:
    """The query of ``unmatched_count``, built once, since every page of support staff runs it."""
    waiting = select(InboundMessage.id).where(InboundMessage.needs_attention)
    # Few messages are unmatched: keep the planner off the index on all messages of a supplier.
    scope = SCOPE_PARAMETER if scoped else None
    return row_count(in_scope(waiting, without_index(InboundMessage.supplier_b2b_id), scope))


def _filtered(
    session: Session, scope: Scope, filters: InboundFilter
) -> tuple[list[ColumnElement[bool]], WindowEnd | None]:
    """All conditions, and the oldest message that the search reads, unless it reads all."""
    conditions = conditions_of(FilterContext(session, filters, scope))
    if not filters.q:
        return conditions, None
    return search_bodies(
        session,
        in_scope(select(InboundMessage.id), InboundMessage.supplier_b2b_id, scope),
        InboundMessage.id,
        InboundMessage.received_at,
        conditions,
        is_reference=_is_reference(filters.q),
        mentions=_mentions(session, filters.q),
    )


def _is_reference(text: str) -> ColumnElement[bool]:
    """Whether the text is exactly a message id, a PO number or an order id."""
    return or_(
        InboundMessage.id == text,
        InboundMessage.buyer_po_number.in_({text, text.upper()}),
        InboundMessage.object_id == text,
    )


def _mentions(session: Session, text: str) -> ColumnElement[bool]:
    """Whether the text occurs in the PO number, the order id, the request or the response."""
    return or_(
        InboundMessage.buyer_po_number.icontains(text, autoescape=True),
        InboundMessage.object_id.icontains(text, autoescape=True),
        bytes_contain(session, InboundMessage.body, text),
        bytes_contain(session, InboundMessage.response_body, text),
    )
