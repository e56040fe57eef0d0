"""Who viewed which version of an order, and who has its response form open.

A page with the form reports it while it is visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session, joinedload

from app import clock
from app.accounts.models import Person
from app.db import Database
from app.orders.models import OpenForm, OrderView, PurchaseOrder

SHOWN_FOR = timedelta(minutes=1)
"""How long a form counts as open after the last poll of its page."""
RENEW_AFTER = timedelta(seconds=20)
"""A page that polls more often writes nothing."""


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


def others_with_form(session: Session, order_id: int, person_id: int) -> list[Person]:
    """The other people who have the form of an order open, the oldest account first."""
    rows = select(OpenForm).where(
        OpenForm.order_id == order_id,
        OpenForm.person_id != person_id,
        OpenForm.seen_at > clock.now() - SHOWN_FOR,
    )
    forms = session.scalars(rows.options(joinedload(OpenForm.person)).order_by(OpenForm.person_id))
    return [form.person for form in forms]


def is_form_recorded(session: Session, order_id: int, person_id: int) -> bool:
    """Whether the open form of this person was recorded recently."""
    form = select(OpenForm.order_id).where(
        OpenForm.order_id == order_id,
        OpenForm.person_id == person_id,
        OpenForm.seen_at > clock.now() - RENEW_AFTER,
    )
    return session.scalar(form) is not None


def record_form_open(session: Session, order_id: int, person_id: int) -> None:
    """Record that a person has the form open now. Errors: IntegrityError if two requests do so at once."""
    own_record = update(OpenForm).where(OpenForm.order_id == order_id, OpenForm.person_id == person_id)
    now = clock.now()
    if session.execute(own_record.values(seen_at=now).returning(OpenForm.order_id)).first() is None:
        session.add(OpenForm(order_id=order_id, person_id=person_id, seen_at=now))
        session.flush()


def record_form_closed(session: Session, order_id: int, person_id: int) -> None:
    """Record that a person sent the form."""
    own_record = delete(OpenForm).where(OpenForm.order_id == order_id, OpenForm.person_id == person_id)
    session.execute(own_record)


def remove_closed_forms(database: Database) -> None:
    """Remove the records of forms that are no longer open."""
    with database.writing() as session:
        session.execute(delete(OpenForm).where(OpenForm.seen_at < clock.now() - SHOWN_FOR))
        session.commit()
