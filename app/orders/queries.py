"""Queries for orders. ``scope`` is the reader's supplier ids; None is all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, bindparam, func, select
from sqlalchemy.orm import Session, joinedload, lazyload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from app.accounts.models import Person
from app.db import advisory_lock, text_rows
from app.db.filters import COUNT_MAX, SCOPE_PARAMETER, Scope, distinct_values, in_scope, without_index
from app.delivery.service import lock_messages_of
from app.orders.models import Decision, PurchaseOrder, ResponseState

SOON_HOURS = 4
SOON = timedelta(hours=SOON_HOURS)
"""An order whose deadline is this near is due soon."""


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many orders each work queue has."""

    needs_response: int
    overdue: int
    soon: int
    changed: int


def order(session: Session, scope: Scope, order_id: int) -> PurchaseOrder | None:
    """One order with its revisions and decisions; None if the reader may not see it."""
    return session.scalar(
        in_scope(select(PurchaseOrder), PurchaseOrder.supplier_b2b_id, scope)
        .where(PurchaseOrder.id == order_id)
        .options(joinedload(PurchaseOrder.partner), *_with_history())
        # After a POST the same session shows the page; its loaded objects are outdated.
        .execution_options(populate_existing=True)
    )


def load_newest_decisions(session: Session, orders: Sequence[PurchaseOrder]) -> None:
    """Load ``newest_decision`` of the orders with one query."""
    ids = [order.message_id for order in orders if order.message_id]
    decisions = session.scalars(select(Decision).where(Decision.message_id.in_(ids)))
    by_message = {decision.message_id: decision for decision in decisions}
    for order in orders:
        set_committed_value(order, "newest_decision", by_message.get(order.message_id or ""))


def orders_by_id(session: Session, scope: Scope, ids: Sequence[int]) -> Sequence[PurchaseOrder]:
    """The orders with these ids that the reader may see, soonest due first."""
    return session.scalars(
        in_scope(select(PurchaseOrder), PurchaseOrder.supplier_b2b_id, scope)
        .where(PurchaseOrder.id.in_(ids))
        .options(joinedload(PurchaseOrder.partner, innerjoin=True), with_assignee())
        .order_by(PurchaseOrder.respond_by, PurchaseOrder.id)
    ).all()


_LOCKED_BY = select(PurchaseOrder.id, PurchaseOrder.partner_id, PurchaseOrder.object_id)
"""The columns that name the locks of an order."""


def orders_for_update(session: Session, scope: Scope, ids: Iterable[int]) -> Sequence[PurchaseOrder]:
    """Those of the orders that the reader may see, by id, locked until the transaction ends.

    So concurrent responses to an order run one after the other.
    """
    keys = _LOCKED_BY.where(PurchaseOrder.id.in_(set(ids)))
    return _locked(session, in_scope(keys, PurchaseOrder.supplier_b2b_id, scope))


def order_for_update(session: Session, scope: Scope, order_id: int) -> PurchaseOrder | None:
    """One order, locked as by ``orders_for_update``."""
    return next(iter(orders_for_update(session, scope, [order_id])), None)


def partners_order_for_update(session: Session, partner_id: int, object_id: str) -> PurchaseOrder | None:
    """The partner's order with this objectId, locked as by ``orders_for_update``."""
    keys = _LOCKED_BY.where(PurchaseOrder.partner_id == partner_id, PurchaseOrder.object_id == object_id)
    return next(iter(_locked(session, keys)), None)


def _locked(session: Session, keys: Select[int, int, str]) -> Sequence[PurchaseOrder]:
    """Lock the orders of a ``_LOCKED_BY`` query.

    First their advisory locks, so that no message is added, then messages, then rows: the last two in the
    order of the delivery worker, and orders by id. A consistent lock order prevents deadlock.
    """
    rows = session.execute(keys.order_by(PurchaseOrder.id)).all()
    if not rows:
        return []
    for _, partner_id, object_id in rows:
        advisory_lock(session, partner_id, object_id)
    ids = [order_id for order_id, _, _ in rows]
    lock_messages_of(session, *ids)
    return session.scalars(
        select(PurchaseOrder)
        .where(PurchaseOrder.id.in_(ids))
        .order_by(PurchaseOrder.id)
        .options(joinedload(PurchaseOrder.partner, innerjoin=True), *_with_history())
        .with_for_update(of=PurchaseOrder, key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def queue_counts(session: Session, scope: Scope, now: datetime) -> QueueCounts:
    """The counts of the work queues, each counted up to ``COUNT_MAX``."""
    parameters = {"now": now, "soon": now + SOON, "scope": scope}
    return QueueCounts(*session.execute(_counting(scoped=scope is not None), parameters).one())


@cache
def _counting(*, scoped: bool) -> Select[*tuple[int, ...]]:
    """The statement of ``queue_counts``, built once, since building it takes longer than running it."""

    def count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
        open_orders = (
            select(PurchaseOrder.id).where(PurchaseOrder.needs_response, *conditions).limit(COUNT_MAX)
        )
        if scoped:
            # Few orders are open: keep the planner off the index on all orders of a supplier.
            of_supplier = without_index(PurchaseOrder.supplier_b2b_id)
            open_orders = in_scope(open_orders, of_supplier, SCOPE_PARAMETER)
        return select(func.count()).select_from(open_orders.subquery()).scalar_subquery()

    return select(
        count(),
        count(PurchaseOrder.respond_by < bindparam("now")),
        count(PurchaseOrder.respond_by.between(bindparam("now"), bindparam("soon"))),
        count(PurchaseOrder.response == ResponseState.CHANGED),
    )


def ordered_supplier_ids(session: Session) -> Sequence[str]:
    """The supplier ids to which orders were sent."""
    return distinct_values(session, PurchaseOrder.supplier_b2b_id, most=10_000)


def supplier_names(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The name of each supplier as its newest order spells it; without those that have no order."""
    rows = session.execute(_supplier_names(), {"ids": list(ids)})
    return {b2b_id: name for b2b_id, name in rows if name}


@cache
def _supplier_names() -> Select[str, str]:
    """The query of ``supplier_names``, built once."""
    supplier = text_rows("ids")
    newest_name = (
        select(PurchaseOrder.supplier_name)
        .where(PurchaseOrder.supplier_b2b_id == supplier.c.value)
        .order_by(PurchaseOrder.respond_by.desc(), PurchaseOrder.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(supplier.c.value, newest_name)


def with_assignee() -> Any:
    """Load the assignee's name along with an order."""
    return joinedload(PurchaseOrder.assignee).options(lazyload(Person.suppliers))


def _with_history() -> tuple[Any, ...]:
    """Load the assignee, versions, responses and status changes along with an order."""
    return (
        with_assignee(),
        selectinload(PurchaseOrder.revisions),
        selectinload(PurchaseOrder.decisions),
        selectinload(PurchaseOrder.status_changes),
    )
