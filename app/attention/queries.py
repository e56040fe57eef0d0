"""The items that need attention now, and those that were resolved. ``scope`` is the reader's supplier ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, String, cast, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload

from app.attention.items import (
    Item,
    inbound_item,
    message_item,
    order_item,
    partner_item,
    unmatched_messages,
    unreachable_order_count,
    unreachable_orders,
)
from app.attention.models import Case, item_key
from app.audit.models import AuditObject
from app.db.filters import PAGE, Page, Scope, in_scope, page_of
from app.delivery.models import Message
from app.inbound.models import InboundMessage
from app.inbound.queries import unmatched_count
from app.orders.models import PurchaseOrder
from app.webhooks import queries as webhook_queries
from app.webhooks.partner_status import stopped_partner_count, stopped_partners

ORDERS_SHOWN = 20
"""Orders without a user on the page."""
UNMATCHED_SHOWN = 20
"""Unmatched messages on the page; the list of incoming messages has the rest."""
ME = "mine"
UNASSIGNED = "nobody"


@dataclass(frozen=True, slots=True)
class AttentionPage:
    """One page of items; only the first page has partners, orders and unmatched messages."""

    partners: Sequence[Item]
    messages: Sequence[Item]
    orders: Sequence[Item]
    order_count: int
    unmatched: Sequence[Item]
    unmatched_count: int
    next_after: str | None

    @property
    def is_empty(self) -> bool:
        """Whether the page has no items."""
        return not (self.partners or self.messages or self.orders or self.unmatched)


@dataclass(frozen=True, slots=True)
class Reader:
    """The reader. Those who may triage also see partners, orders without a user and unmatched messages."""

    scope: Scope
    person_id: int
    may_triage: bool


def attention_page(
    session: Session, reader: Reader, *, whose: str = "", after: str = "", limit: int = PAGE
) -> AttentionPage:
    """The items: partners, webhooks (newest first), orders without a user, and unmatched messages.

    ``whose`` is empty for all, ``ME`` or ``UNASSIGNED``; ``after`` is the id before the page.
    """
    page = webhook_queries.message_page(
        session,
        reader.scope,
        webhook_queries.MessageFilter(state=webhook_queries.ATTENTION, after=after),
        limit=limit,
        extra_conditions=_assignment_conditions(reader, whose, AuditObject.MESSAGE, Message.id),
    )
    messages = _with_cases(session, [message_item(message) for message in page.rows])
    if not reader.may_triage or after:
        return AttentionPage([], messages, [], 0, [], 0, page.next_after)
    partners = _with_cases(session, [partner_item(status) for status in stopped_partners(session)])
    of_assignee = _assignment_conditions(reader, whose, AuditObject.ORDER, cast(PurchaseOrder.id, String))
    orders = unreachable_orders(session, *of_assignee, limit=ORDERS_SHOWN)
    of_assignee = _assignment_conditions(reader, whose, AuditObject.INBOUND, InboundMessage.id)
    unmatched = unmatched_messages(session, *of_assignee, limit=UNMATCHED_SHOWN)
    return AttentionPage(
        partners=[item for item in partners if _is_assigned(item, reader, whose)],
        messages=messages,
        orders=_with_cases(session, [order_item(order) for order in orders]),
        order_count=unreachable_order_count(session),
        unmatched=_with_cases(session, [inbound_item(inbound) for inbound in unmatched]),
        unmatched_count=unmatched_count(session, None),
        next_after=page.next_after,
    )


def count(session: Session, scope: Scope, *, may_triage: bool) -> int:
    """How many items ``attention_page`` would list without a filter."""
    messages = webhook_queries.attention_count(session, scope)
    if not may_triage:
        return messages
    return (
        messages
        + stopped_partner_count(session)
        + unreachable_order_count(session)
        + unmatched_count(session, None)
    )


def with_history(session: Session, item: Item) -> Item:
    """The item with its case and the case's events."""
    case = session.scalar(
        select(Case)
        .where(Case.item_key == item.key)
        .options(selectinload(Case.events))
        .execution_options(populate_existing=True)
    )
    return replace(item, case=case)


def resolved_page(session: Session, reader: Reader, after: int | None) -> Page[Case]:
    """Resolved cases, newest first, including those that have recurred since."""
    query = in_scope(select(Case).where(Case.resolved_at.is_not(None)), Case.supplier_b2b_id, reader.scope)
    if not reader.may_triage:
        query = query.where(Case.item_key.startswith(item_key(AuditObject.MESSAGE)))
    if after is not None:
        last = session.get(Case, after)
        if last and last.resolved_at:
            query = query.where(tuple_(Case.resolved_at, Case.id) < tuple_(last.resolved_at, last.id))
    rows = session.scalars(query.order_by(Case.resolved_at.desc(), Case.id.desc()).limit(PAGE + 1)).all()
    return page_of(rows, PAGE)


def _with_cases(session: Session, items: Sequence[Item]) -> list[Item]:
    keys = [item.key for item in items]
    cases = {case.item_key: case for case in session.scalars(select(Case).where(Case.item_key.in_(keys)))}
    return [replace(item, case=cases.get(item.key)) for item in items]


def _assignment_conditions(
    reader: Reader, whose: str, kind: AuditObject, column: ColumnElement[str] | InstrumentedAttribute[str]
) -> list[ColumnElement[bool]]:
    """Conditions by assignee; ``column`` has the ids of the objects of this kind."""
    if not whose:
        return []
    prefix = item_key(kind)
    ids = func.substr(Case.item_key, len(prefix) + 1)
    open_ids = select(ids).where(Case.item_key.startswith(prefix), Case.resolved_at.is_(None))
    if whose == ME:
        return [column.in_(open_ids.where(Case.assigned_to == reader.person_id))]
    return [column.not_in(open_ids.where(Case.assigned_to.is_not(None)))]


def _is_assigned(item: Item, reader: Reader, whose: str) -> bool:
    """Whether the assignee of an item matches the filter."""
    if whose == ME:
        return item.assignee_id == reader.person_id
    return whose != UNASSIGNED or not item.assigned_to
