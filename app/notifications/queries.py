"""The notifications of a person, and the people to notify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, lazyload

from app.accounts.models import Person, PersonSupplier, Role
from app.db.filters import PAGE, row_count
from app.notifications.models import Notification

UNREAD_MAX = 100
"""Unread notifications that are counted at most."""


def newest(session: Session, person_id: int, *, before: int | None = None) -> Sequence[Notification]:
    """The newest notifications of a person, or those older than ``before``: one more than a page holds."""
    query = select(Notification).where(Notification.person_id == person_id)
    if before is not None:
        query = query.where(Notification.id < before)
    return session.scalars(query.order_by(Notification.id.desc()).limit(PAGE + 1)).all()


def own(session: Session, person_id: int, notification_id: int) -> Notification | None:
    """A notification of this person."""
    notification = session.get(Notification, notification_id)
    return notification if notification and notification.person_id == person_id else None


# Built once: every page counts them.
_UNREAD_COUNT = row_count(
    select(Notification.id).where(
        Notification.person_id == bindparam("person_id"), Notification.read_at.is_(None)
    ),
    most=UNREAD_MAX,
)


def unread_count(session: Session, person_id: int) -> int:
    """How many notifications are unread; counts at most ``UNREAD_MAX``."""
    return session.scalar(_UNREAD_COUNT, {"person_id": person_id}) or 0


# Built once: each new order asks for its staff.
_STAFF = (
    select(Person)
    .where(
        Person.id.in_(
            select(PersonSupplier.person_id).where(
                PersonSupplier.b2b_id.in_(bindparam("ids", expanding=True))
            )
        ),
        Person.active,
        Person.role == Role.SUPPLIER,
    )
    .options(lazyload(Person.suppliers))  # no caller reads them
    .order_by(Person.id)
)


def people_of_supplier(session: Session, *supplier_b2b_ids: str) -> Sequence[Person]:
    """The active supplier staff of this supplier, or of at least one of several."""
    return session.scalars(_STAFF, {"ids": supplier_b2b_ids}).all()


def people_with_roles(session: Session, roles: Iterable[Role]) -> Sequence[Person]:
    """The active people with one of these roles."""
    return session.scalars(
        select(Person).where(Person.active, Person.role.in_(list(roles))).order_by(Person.id)
    ).all()
