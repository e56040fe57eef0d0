"""Plans and results of bulk responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, select, true
from sqlalchemy.orm import Session, contains_eager, joinedload

from app.db.filters import PAGE, Scope
from app.delivery.models import FINAL, Message
from app.orders.models import BulkItem, BulkResponse, BulkStatus, Decision, PurchaseOrder

Plan = Sequence[tuple[BulkItem, PurchaseOrder | None]]
"""The orders of a plan; None for an order that the reader may not see, or may no longer see."""


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What happened to one order; ``order`` is None if the reader may not, or may no longer, see it."""

    item: BulkItem
    order: PurchaseOrder | None
    message: Message | None


def bulk_response(session: Session, person_id: int | None, bulk_id: str) -> BulkResponse | None:
    """A plan or result of a person, or of anyone if ``person_id`` is None."""
    query = select(BulkResponse).where(BulkResponse.id == bulk_id)
    return session.scalar(query if person_id is None else query.where(BulkResponse.person_id == person_id))


def plan_of(session: Session, scope: Scope, bulk: BulkResponse) -> Plan:
    """All orders of a plan."""
    return session.execute(_items(scope, bulk)).all()


def results(
    session: Session, scope: Scope, bulk: BulkResponse, *, after: int
) -> tuple[Sequence[BulkResult], int | None]:
    """A page of results, and the number after which the next page begins."""
    query = (
        _items(scope, bulk)
        .add_columns(Message)
        .outerjoin(Message, and_(Message.id == BulkItem.message_id, PurchaseOrder.id.is_not(None)))
        .options(joinedload(Message.partner))
        .where(BulkItem.number > after)
        .limit(PAGE + 1)
        # After an undo the same session shows the page.
        .execution_options(populate_existing=True)
    )
    rows = [BulkResult(*row) for row in session.execute(query)]
    return rows[:PAGE], rows[PAGE - 1].item.number if len(rows) > PAGE else None


def _items(scope: Scope, bulk: BulkResponse) -> Select[BulkItem, PurchaseOrder | None]:
    is_visible = true() if scope is None else PurchaseOrder.supplier_b2b_id.in_(scope)
    return (
        select(BulkItem, PurchaseOrder)
        .outerjoin(PurchaseOrder, and_(PurchaseOrder.id == BulkItem.order_id, is_visible))
        .outerjoin(PurchaseOrder.partner)
        .options(contains_eager(PurchaseOrder.partner))
        .where(BulkItem.bulk_id == bulk.id)
        .order_by(BulkItem.number)
    )


@dataclass(frozen=True, slots=True)
class BulkCounts:
    """The number of orders of a bulk response, by result.

    ``deliveries`` has the number of webhooks by ``labeled_state``.
    """

    results: Mapping[BulkStatus | None, int]
    deliveries: Mapping[str, int]
    undone: int

    @property
    def recorded(self) -> int:
        """Orders that have this response, unless it was undone."""
        recorded = (BulkStatus.RECORDED, BulkStatus.SAME_RESPONSE)
        return sum(self.results.get(status, 0) for status in recorded) - self.undone

    @property
    def waiting(self) -> int:
        """Orders that were not processed."""
        return self.results.get(None, 0)

    @property
    def skipped(self) -> int:
        """Orders that were processed and have no response."""
        return sum(self.results.values()) - self.recorded - self.undone - self.waiting

    @property
    def is_moving(self) -> bool:
        """Whether a webhook may still change its state."""
        return any(state not in FINAL for state in self.deliveries)


def counts(session: Session, bulk: BulkResponse) -> BulkCounts:
    """The numbers of all results of a bulk response."""
    of_bulk = BulkItem.bulk_id == bulk.id
    number = func.count()
    by_result = select(BulkItem.result, number).where(of_bulk).group_by(BulkItem.result)
    state = Message.labeled_state.label("labeled_state")
    by_state = (
        select(state, number)
        .join(BulkItem, BulkItem.message_id == Message.id)
        .join(Message.partner)
        .where(of_bulk)
        .group_by(state)
    )
    undone = (
        select(number)
        .select_from(BulkItem)
        .join(Decision, Decision.message_id == BulkItem.message_id)
        .where(of_bulk, BulkItem.result == BulkStatus.RECORDED, Decision.undone)
    )
    return BulkCounts(
        results=dict(session.execute(by_result).all()),
        deliveries=dict(session.execute(by_state).all()),
        undone=session.scalar(undone) or 0,
    )


def undoable_orders(session: Session, bulk: BulkResponse, order_id: int | None = None) -> Sequence[int]:
    """The orders whose response is this one and can still be undone."""
    query = (
        select(PurchaseOrder.id)
        .join(BulkItem, BulkItem.order_id == PurchaseOrder.id)
        .join(Message, and_(Message.id == BulkItem.message_id, Message.id == PurchaseOrder.message_id))
        .where(
            BulkItem.bulk_id == bulk.id,
            BulkItem.result == BulkStatus.RECORDED,
            Message.is_undoable,
        )
        .order_by(PurchaseOrder.id)
    )
    return session.scalars(query if order_id is None else query.where(PurchaseOrder.id == order_id)).all()
