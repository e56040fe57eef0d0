"""Who of the supplier's people saw which version of an order, and when first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.orders.models import OrderView, PurchaseOrder


def has_viewed(session: Session, order: PurchaseOrder, person_id: int) -> bool:
    """Whether the person's sight of the present version is on record."""
    sight = exists().where(
        OrderView.order_id == order.id,
        OrderView.version == order.version,
        OrderView.person_id == person_id,
    )
    return bool(session.scalar(select(sight)))


def record_view(
    session: Session, order: PurchaseOrder, *, person_id: int, person_name: str, at: datetime
) -> None:
    """Record that a person saw the present version. Errors: IntegrityError where that is on record."""
    session.add(
        OrderView(
            order_id=order.id,
            version=order.version,
            person_id=person_id,
            person_name=person_name,
            seen_at=at,
        )
    )
    session.flush()


def list_views(session: Session, order_id: int) -> Sequence[OrderView]:
    """All first sights of an order's versions, oldest first."""
    return session.scalars(
        select(OrderView).where(OrderView.order_id == order_id).order_by(OrderView.seen_at, OrderView.id)
    ).all()
