"""Moving through a list of orders one by one: the position of an order, and the next one.

The position is a sort key, not a page, so it stays valid when orders leave the list as they are responded to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.orm import Session

from app.db.filters import COUNT_MAX, Scope, count_rows
from app.orders.inbox_queries import SORTS, OrderFilter, is_after, matching, sort_keys
from app.orders.models import PurchaseOrder


@dataclass(frozen=True, slots=True)
class ListPosition:
    """An order within a list.

    ``position`` counts from 1; it is None if the order is no longer in the list. Counts end at
    ``COUNT_MAX``. ``previous`` and ``next`` are ids, None at the ends.
    """

    position: int | None
    total: int
    previous: int | None
    next: int | None


def list_position(session: Session, scope: Scope, filters: OrderFilter, order: PurchaseOrder) -> ListPosition:
    """Where the order is in the list."""
    ids = matching(session, select(PurchaseOrder.id), scope, filters)
    is_listed = session.scalar(ids.where(PurchaseOrder.id == order.id)) is not None
    before = ids.where(_after_order(filters, order, backwards=True))
    return ListPosition(
        position=count_rows(session, before) + 1 if is_listed else None,
        total=count_rows(session, ids),
        previous=_first(session, before, filters, backwards=True),
        next=_first(session, ids.where(_after_order(filters, order)), filters),
    )


def next_open(
    session: Session, scope: Scope, filters: OrderFilter, after: PurchaseOrder | None = None
) -> int | None:
    """The first order of the list that needs a response, or the first after another order."""
    ids = _open(session, scope, filters)
    return _first(session, ids.where(_after_order(filters, after)) if after else ids, filters)


def open_count(session: Session, scope: Scope, filters: OrderFilter, *, most: int = COUNT_MAX) -> int:
    """How many orders of the list need a response, counted up to ``most``."""
    return count_rows(session, _open(session, scope, filters), most=most)


def open_orders(
    session: Session, scope: Scope, filters: OrderFilter, *, limit: int
) -> Sequence[tuple[int, int]]:
    """The ids and versions of the first orders of the list that need a response, in the order of the list."""
    query = _open(session, scope, filters).add_columns(PurchaseOrder.version)
    return session.execute(query.order_by(*sort_keys(filters)).limit(limit)).all()


def _open(session: Session, scope: Scope, filters: OrderFilter) -> Select[int]:
    ids = select(PurchaseOrder.id).where(PurchaseOrder.needs_response)
    return matching(session, ids, scope, filters)


def _after_order(filters: OrderFilter, order: PurchaseOrder, *, backwards: bool = False) -> Any:
    """Whether an order comes after this one in the list, or before it."""
    column, _ = SORTS[filters.sort]
    key = tuple_(literal(getattr(order, column.key), column.type), order.id)
    return is_after(filters, key, backwards=backwards)


def _first(session: Session, ids: Any, filters: OrderFilter, *, backwards: bool = False) -> int | None:
    first: int | None = session.scalar(ids.order_by(*sort_keys(filters, backwards=backwards)).limit(1))
    return first
