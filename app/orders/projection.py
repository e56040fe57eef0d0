"""The one projection: what lists need of an order's last message, kept in the message's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, exists, select, update
from sqlalchemy.orm import Session

from app.orders.models import Decision, Delivery, PurchaseOrder
from app.outbox.messages import Change
from app.outbox.models import MessageState

orders = cast(Table, PurchaseOrder.__table__)
decisions = cast(Table, Decision.__table__)


_DELIVERY = (
    update(orders)
    .where(orders.c.id == bindparam("of_order"), orders.c.message_id == bindparam("of_message"))
    .values(delivery=bindparam("to_delivery"))
)
_decided = decisions.c.message_id == bindparam("of_message")
_STATUS = (
    update(orders)
    .where(
        orders.c.id == bindparam("of_order"),
        exists().where(
            _decided, decisions.c.version == orders.c.version, decisions.c.status_from == orders.c.status
        ),
    )
    .values(status=select(decisions.c.status_to).where(_decided).scalar_subquery())
)


def follow(session: Session, changes: Sequence[Change]) -> None:
    """Take over the new states of messages; a delivered answer moves its order's status.

    Only the order's last message counts, and the status moves only if it is still the one that was
    answered: an edit or a cancellation that came meanwhile knows better.
    """
    of_orders = [change for change in changes if change.order_id is not None]
    if of_orders:
        session.execute(
            _DELIVERY, [{**_of(one), "to_delivery": Delivery(one.state.value)} for one in of_orders]
        )
    delivered = [_of(one) for one in of_orders if one.state is MessageState.DELIVERED]
    if delivered:
        session.execute(_STATUS, delivered)


def _of(change: Change) -> dict[str, Any]:
    return {"of_order": change.order_id, "of_message": change.message_id}
