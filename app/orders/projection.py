"""The one projection: what lists need of an order's last message, kept in the message's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table, and_, exists, select, update
from sqlalchemy.orm import Session

from app.orders.models import Decision, Delivery, PurchaseOrder
from app.outbox.messages import Change
from app.outbox.models import Message, MessageState

orders = cast(Table, PurchaseOrder.__table__)
decisions = cast(Table, Decision.__table__)
messages = cast(Table, Message.__table__)


def follow(session: Session, changes: Sequence[Change]) -> None:
    """Take over the new states of messages; a delivered answer moves its order's status.

    Only the order's last message counts, and the status moves only if it is still the one that was
    answered: an edit or a cancellation that came meanwhile knows better. A delivery that a late result
    undoes moves it back, again only if it still stands where the answer had put it.
    """
    for change in changes:
        if change.order_id is None:
            continue
        last = and_(orders.c.id == change.order_id, orders.c.message_id == change.message_id)
        session.execute(update(orders).where(last).values(delivery=Delivery(change.state.value)))
        if change.state is MessageState.DELIVERED:
            _move_status(session, change)
        elif change.was is MessageState.DELIVERED:
            _move_status_back(session, change)


def _move_status(session: Session, change: Change) -> None:
    decided = _decided(session, change)
    if decided:
        session.execute(
            update(orders)
            .where(*_stands(change, decided.version, decided.status_from))
            .values(status=decided.status_to)
        )


def _move_status_back(session: Session, change: Change) -> None:
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


def _decided(session: Session, change: Change) -> Any:
    return session.execute(
        select(decisions.c.version, decisions.c.status_from, decisions.c.status_to).where(
            decisions.c.message_id == change.message_id
        )
    ).one_or_none()


def _stands(change: Change, version: int, status: str) -> tuple[Any, ...]:
    return (orders.c.id == change.order_id, orders.c.version == version, orders.c.status == status)
