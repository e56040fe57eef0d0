"""The one projection: what lists need of an order's last message, kept in the message's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, case, exists, select, update
from sqlalchemy.orm import Session

from app.delivery.events import MessageChange
from app.delivery.models import Message, MessageState
from app.orders.models import Decision, Delivery, PurchaseOrder

orders = cast(Table, PurchaseOrder.__table__)
decisions = cast(Table, Decision.__table__)
messages = cast(Table, Message.__table__)


_DECISION = decisions.c.message_id == bindparam("of_message")
_STILL_STANDS = exists().where(
    _DECISION, decisions.c.version == orders.c.version, decisions.c.status_from == orders.c.status
)
# Both in one: every change of an order's row costs each of its indexes.
_DELIVERED = (
    update(orders)
    .where(orders.c.id == bindparam("of_order"))
    .values(
        delivery=case(
            (orders.c.message_id == bindparam("of_message"), Delivery.DELIVERED), else_=orders.c.delivery
        ),
        status=case(
            (_STILL_STANDS, select(decisions.c.status_to).where(_DECISION).scalar_subquery()),
            else_=orders.c.status,
        ),
    )
)


def follow(session: Session, changes: Sequence[MessageChange]) -> None:
    """Take over the new states of messages; a delivered answer moves its order's status.

    Only the order's last message counts, and the status moves only if it is still the one that was
    answered: an edit or a cancellation that came meanwhile knows better. A delivery that a late result
    undoes moves it back, again only if it still stands where the answer had put it.
    """
    of_orders = [change for change in changes if change.order_id is not None]
    delivered = [_of(one) for one in of_orders if one.state is MessageState.DELIVERED]
    if delivered:
        session.execute(_DELIVERED, delivered)
    for state in sorted({one.state for one in of_orders} - {MessageState.DELIVERED}):
        alike = [one for one in of_orders if one.state is state]
        session.execute(
            update(orders)
            .where(
                orders.c.id.in_([one.order_id for one in alike]),
                orders.c.message_id.in_([one.message_id for one in alike]),
            )
            .values(delivery=Delivery(state.value))
        )
    for one in of_orders:
        if one.previous_state is MessageState.DELIVERED and one.state is not MessageState.DELIVERED:
            _move_status_back(session, one)


def _of(change: MessageChange) -> dict[str, Any]:
    return {"of_order": change.order_id, "of_message": change.message_id}


def _move_status_back(session: Session, change: MessageChange) -> None:
    decided = _decided(session, change)
    if not decided:
        return
    delivered_too = exists().where(
        decisions.c.order_id == change.order_id,
        decisions.c.version == decided.version,
        decisions.c.status_to == decided.status_to,
        decisions.c.message_id != change.message_id,
        messages.c.id == decisions.c.message_id,
        messages.c.state == MessageState.DELIVERED,
    )
    session.execute(
        update(orders)
        .where(*_stands(change, decided.version, decided.status_to), ~delivered_too)
        .values(status=decided.status_from)
    )


def _decided(session: Session, change: MessageChange) -> Any:
    return session.execute(
        select(decisions.c.version, decisions.c.status_from, decisions.c.status_to).where(
            decisions.c.message_id == change.message_id
        )
    ).one_or_none()


def _stands(change: MessageChange, version: int, status: str) -> tuple[Any, ...]:
    return (orders.c.id == change.order_id, orders.c.version == version, orders.c.status == status)
