"""Search in orders, webhooks, incoming messages and the audit trail.

``scope`` is the reader's supplier ids; None is all. Every part reads few rows by an index: the text index of
orders and of the audit trail, exact ids, and the responses and orders of people with that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, contains_eager

from app.accounts.models import Person
from app.audit.models import AuditEntry, AuditObject
from app.audit.queries import AuditFilter, entry_page, newest_of
from app.db import Base
from app.db.filters import Scope, in_scope
from app.db.text_search import TEXT_MIN
from app.delivery.models import Message
from app.inbound import queries as inbound
from app.inbound.models import InboundMessage
from app.network.text import search_key
from app.orders.inbox_queries import OrderFilter, order_page
from app.orders.models import Decision, PurchaseOrder
from app.partners.models import LISTED
from app.webhooks import queries as webhooks

LIMIT = 6
"""Results per group."""
PEOPLE = 3
"""People whose responses one search lists."""

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The results of each kind, newest first, at most ``LIMIT`` each."""

    orders: Sequence[PurchaseOrder] = ()
    webhooks: Sequence[Message] = ()
    inbound: Sequence[InboundMessage] = ()
    entries: Sequence[AuditEntry] = ()


def search(session: Session, scope: Scope, text: str, *, sees_audit: bool) -> SearchResults:
    """Search by PO number, id, partner reference, or the name of a buyer or person."""
    if not search_key(text):
        return SearchResults()
    named = webhooks.messages_by_reference(session, scope, text, limit=LIMIT)
    received = inbound.messages_by_reference(session, scope, text, limit=LIMIT)
    people = _people_named(session, text)
    responses = _responses_of_people(session, scope, people)
    related = [
        *(message.order_id for message in named),
        *(message.order_id for message in received),
        *(decision.order_id for decision in responses),
        *_assigned_orders(session, scope, people),
    ]
    orders = _orders(session, scope, text, related)
    order_ids = [order.id for order in orders]
    return SearchResults(
        orders,
        _with_more(named, webhooks.messages_of_orders(session, scope, order_ids, limit=LIMIT)),
        _with_more(received, inbound.messages_of_orders(session, scope, order_ids, limit=LIMIT)),
        _entries(session, text, order_ids) if sees_audit else (),
    )


def _entries(session: Session, text: str, order_ids: Sequence[int]) -> list[AuditEntry]:
    """Entries that mention the text, newest first, then those on the orders."""
    matching = entry_page(session, AuditFilter(q=text), limit=LIMIT).rows
    ids = [str(order_id) for order_id in order_ids]
    return _with_more(matching, newest_of(session, AuditObject.ORDER, ids, limit=LIMIT))


def _orders(session: Session, scope: Scope, text: str, related: Iterable[int | None]) -> list[PurchaseOrder]:
    """Orders whose text matches, newest first, then the related ones."""
    matching: Sequence[PurchaseOrder] = ()
    if len(search_key(text)) >= TEXT_MIN:  # no index finds shorter words
        filters = OrderFilter(q=text, sort="-received_at")
        matching = order_page(session, scope, filters, limit=LIMIT).rows
    is_related = or_(
        PurchaseOrder.id.in_({order_id for order_id in related if order_id is not None}),
        PurchaseOrder.buyer_po_number.in_({text, text.upper()}),
    )
    query = (
        in_scope(select(PurchaseOrder), PurchaseOrder.supplier_b2b_id, scope)
        .join(PurchaseOrder.partner)
        .options(contains_eager(PurchaseOrder.partner).load_only(*LISTED))
        .where(is_related)
        .order_by(PurchaseOrder.id.desc())
        .limit(LIMIT)
    )
    orders = _with_more(matching, session.scalars(query).all())
    # Someone who types a complete PO number wants that order.
    return sorted(orders, key=lambda order: order.buyer_po_number.upper() != text.upper())


def _people_named(session: Session, text: str) -> Sequence[int]:
    """The ids of people whose name or username contains the text."""
    if len(text) < TEXT_MIN:
        return []
    names = (Person.full_name, Person.username)
    people = select(Person.id).where(or_(*(name.icontains(text, autoescape=True) for name in names)))
    return session.scalars(people.order_by(Person.id).limit(PEOPLE)).all()


def _assigned_orders(session: Session, scope: Scope, people: Iterable[int]) -> list[int]:
    """The ids of orders that are assigned to these people, those with the latest deadlines first."""
    ids: list[int] = []
    for person_id in people:
        query = select(PurchaseOrder.id).where(PurchaseOrder.assignee_id == person_id)
        query = in_scope(query, PurchaseOrder.supplier_b2b_id, scope)
        ids += session.scalars(query.order_by(PurchaseOrder.respond_by.desc()).limit(LIMIT))
    return ids


def _responses_of_people(session: Session, scope: Scope, people: Iterable[int]) -> list[Decision]:
    """The newest responses of these people."""
    responses: list[Decision] = []
    for person_id in people:
        # One query per person follows the index on person and id.
        query = select(Decision).where(Decision.person_id == person_id)
        query = in_scope(query, Decision.supplier_b2b_id, scope)
        responses += session.scalars(query.order_by(Decision.id.desc()).limit(LIMIT))
    return sorted(responses, key=lambda decision: decision.id, reverse=True)[:LIMIT]


def _with_more(first: Sequence[Row], more: Sequence[Row]) -> list[Row]:
    """Both without duplicates, at most ``LIMIT``."""
    return list(dict.fromkeys([*first, *more]))[:LIMIT]  # the session has each row once
