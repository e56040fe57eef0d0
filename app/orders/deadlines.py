"""Notify supplier staff of orders whose deadline is near."""

from __future__ import annotations

from sqlalchemy import String, cast, exists, literal, select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.notifications.models import Event, Notification
from app.notifications.queries import people_of_supplier
from app.notifications.service import notify
from app.orders.models import PurchaseOrder
from app.orders.queries import SOON

BATCH = 200
"""Orders per run; the next run continues."""


def notify_near_deadlines(database: Database) -> int:
    """Notify of each order once, ``SOON`` before its deadline; returns how many orders."""
    with database.writing() as session:
        count = notify_of_orders(session)
        session.commit()
    return count


def notify_of_orders(session: Session) -> int:
    """Notify of the orders whose deadline is near now; returns how many."""
    now = clock.now()
    path = literal("/orders/") + cast(PurchaseOrder.id, String)
    # A new version moves the deadline, so what was notified before this window does not count.
    is_notified = exists().where(
        Notification.event == Event.DEADLINE_NEAR,
        Notification.path == path,
        Notification.created_at > now - SOON,
    )
    orders = session.scalars(
        select(PurchaseOrder)
        .where(
            PurchaseOrder.needs_response,
            PurchaseOrder.respond_by > now,
            PurchaseOrder.respond_by <= now + SOON,
            ~is_notified,
        )
        .order_by(PurchaseOrder.respond_by)
        .limit(BATCH)
    ).all()
    suppliers = {order.supplier_b2b_id for order in orders}
    people = {b2b_id: people_of_supplier(session, b2b_id) for b2b_id in suppliers}
    for order in orders:
        notify(
            session,
            people[order.supplier_b2b_id],
            Event.DEADLINE_NEAR,
            title=order.buyer_po_number,
            path=f"/orders/{order.id}",
        )
    return len(orders)
