"""The one projection: what lists need of an order's last message, kept in the message's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Table, and_, select, update
from sqlalchemy.orm import Session

from app.orders.models import Decision, Delivery, PurchaseOrder
from app.outbox.messages import Change
from app.outbox.models import MessageState

orders = cast(Table, PurchaseOrder.__table__)
decisions = cast(Table, Decision.__table__)


def follow(session: Session, changes: Sequence[Change]) -> None:
    """Take over the new states of messages; a delivered answer moves its order's status.

    Only the order's last message counts, and the status moves only if it is still the one that was
    answered: an edit or a cancellation that came meanwhile knows better.
    """
    for change in changes:
        if change.order_id is None:
            continue
        last = and_(orders.c.id == change.order_id, orders.c.message_id == change.message_id)
        session.execute(update(orders).where(last).values(delivery=Delivery(change.state.value)))
        if change.state is MessageState.DELIVERED:
            _move_status(session, change)


def _move_status(session: Session, change: Change) -> None:
    decided = session.execute(
        select(decisions.c.version, decisions.c.status_from, decisions.c.status_to).where(
            decisions.c.message_id == change.message_id
        )
    ).one_or_none()
    if decided:
        session.execute(
            update(orders)
            .where(
                orders.c.id == change.order_id,
                orders.c.version == decided.version,
                orders.c.status == decided.status_from,
            )
            .values(status=decided.status_to)
        )
