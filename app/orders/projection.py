"""Copies the state of an order's last webhook to the order's row, in the transaction that changes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Table, bindparam, case, exists, select, update
from sqlalchemy.orm import Session

from app.delivery.events import MessageChange
from app.delivery.models import MessageState, messages
from app.orders.models import Decision, Delivery, PurchaseOrder

orders = cast(Table, PurchaseOrder.__table__)
decisions = cast(Table, Decision.__table__)


_DECISION = decisions.c.message_id == bindparam("of_message")
_IS_CURRENT = exists().where(
    _DECISION, decisions.c.version == orders.c.version, decisions.c.status_from == orders.c.status
)
# One statement for both, since each update of an order also updates its indexes.
_DELIVERED = (
    update(orders)
    .where(orders.c.id == bindparam("of_order"))
    .values(
        delivery=case(
            (orders.c.message_id == bindparam("of_message"), Delivery.DELIVERED), else_=orders.c.delivery
        ),
        status=case(
            (_IS_CURRENT, select(decisions.c.status_to).where(_DECISION).scalar_subquery()),
            else_=orders.c.status,
        ),
    )
)


_SET_DELIVERY = (
    update(orders)
    .where(
        orders.c.id.in_(bindparam("order_ids", expanding=True)),
        orders.c.message_id.in_(bindparam("message_ids", expanding=True)),
    )
    .values(delivery=bindparam("new_delivery"))
)


def update_orders(session: Session, changes: Sequence[MessageChange]) -> None:
    """Update orders after state changes of their webhooks; a delivered response changes the order's status.

    The delivery follows the order's last webhook. The status changes only if version and status are still
    those that were responded to: a later edit or cancellation takes precedence. If a late result reverts a
    delivery, the status is restored, unless it has changed since.
    """
    of_orders = [change for change in changes if change.order_id is not None]
    delivered = [
        {"of_order": change.order_id, "of_message": change.message_id}
        for change in of_orders
        if change.state is MessageState.DELIVERED
    ]
    if delivered:
        session.connection().execute(_DELIVERED, delivered)
    for state in sorted({change.state for change in of_orders} - {MessageState.DELIVERED}):
        same_state = [change for change in of_orders if change.state is state]
        session.connection().execute(
            _SET_DELIVERY,
            {
                "order_ids": [change.order_id for change in same_state],
                "message_ids": [change.message_id for change in same_state],
                "new_delivery": Delivery(state.value),
            },
        )
    for change in of_orders:
        if change.previous_state is MessageState.DELIVERED and change.state is not MessageState.DELIVERED:
            _restore_status(session, change)


def _restore_status(session: Session, change: MessageChange) -> None:
    decision = session.execute(
        select(decisions.c.version, decisions.c.status_from, decisions.c.status_to).where(
            decisions.c.message_id == change.message_id
        )
    ).one_or_none()
    if not decision:
        return
    also_delivered = exists().where(
        decisions.c.order_id == change.order_id,
        decisions.c.version == decision.version,
        decisions.c.status_to == decision.status_to,
        decisions.c.message_id != change.message_id,
        messages.c.id == decisions.c.message_id,
        messages.c.state == MessageState.DELIVERED,
    )
    session.execute(
        update(orders)
        .where(
            orders.c.id == change.order_id,
            orders.c.version == decision.version,
            orders.c.status == decision.status_to,
            ~also_delivered,
        )
        .values(status=decision.status_from)
    )
