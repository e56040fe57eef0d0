"""Which of the supplier's staff viewed which version of an order, and when they first did."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.orders.models import OrderView, PurchaseOrder


def has_viewed(session: Session, order: PurchaseOrder, person_id: int) -> bool:
    """Whether a view of the current version by the person is recorded."""
    view = exists().where(
        OrderView.order_id == order.id,
        OrderView.version == order.version,
        OrderView.person_id == person_id,
    )
    return bool(session.scalar(select(view)))


def record_view(session: Session, order: PurchaseOrder, *, by: Person) -> None:
    """Record that a person viewed the current version. Errors: IntegrityError if that is already recorded."""
    session.add(
        OrderView(
            order_id=order.id,
            version=order.version,
            person_id=by.id,
            person_name=by.display_name,
            seen_at=clock.now(),
        )
    )
    session.flush()


def list_views(session: Session, order_id: int) -> Sequence[OrderView]:
    """The first views of an order's versions, oldest first."""
    return session.scalars(
        select(OrderView).where(OrderView.order_id == order_id).order_by(OrderView.seen_at, OrderView.id)
    ).all()
