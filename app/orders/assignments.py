"""The assignee of an order, one of the supplier's staff."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.accounts.models import Person
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.notifications.models import Event
from app.notifications.queries import people_of_supplier
from app.notifications.service import notify
from app.orders.models import PurchaseOrder

ASSIGNED_TO = "assigned to"
"""The name of the assignee in an audit entry."""
NO_ASSIGNEE = "nobody"
"""The assignee of an unassigned order or item in an audit entry."""


class CannotSee(Exception):
    """The person does not respond for the supplier of an order."""


def assignable_people(session: Session, orders: Sequence[PurchaseOrder]) -> list[Person]:
    """The people who can respond to at least one of these orders, by name."""
    suppliers = sorted({order.supplier_b2b_id for order in orders})
    people = {person.id: person for b2b_id in suppliers for person in people_of_supplier(session, b2b_id)}
    return sorted(people.values(), key=lambda person: person.display_name.casefold())


def assign(session: Session, order: PurchaseOrder, person: Person | None, *, by: Person) -> bool:
    """Assign a locked order, or unassign it; returns whether that changed anything.

    Errors: CannotSee.
    """
    if not _can_see(person, order):
        raise CannotSee
    if not _assign(session, order, person):
        return False
    _notify(session, person, order.buyer_po_number, f"/orders/{order.id}", by)
    return True


def assign_many(
    session: Session, orders: Sequence[PurchaseOrder], person: Person | None, *, by: Person
) -> None:
    """Assign those of the locked orders that the person may see, with one notification."""
    changed = [order for order in orders if _can_see(person, order) and _assign(session, order, person)]
    if len(changed) == 1:
        _notify(session, person, changed[0].buyer_po_number, f"/orders/{changed[0].id}", by)
    elif changed:
        _notify(session, person, f"{len(changed)} orders", "/orders?answer=open&assigned=me", by)


def _can_see(person: Person | None, order: PurchaseOrder) -> bool:
    return person is None or order.supplier_b2b_id in person.supplier_ids


def _assign(session: Session, order: PurchaseOrder, person: Person | None) -> bool:
    if order.assignee_id == (person.id if person else None):
        return False
    before = session.get(Person, order.assignee_id) if order.assignee_id else None
    order.assignee = person
    session.flush()
    trail.record(
        session,
        AuditAction.ASSIGNED,
        AuditObject.ORDER,
        order.id,
        name=order.buyer_po_number,
        before={ASSIGNED_TO: before.display_name if before else None},
        after={ASSIGNED_TO: person.display_name if person else NO_ASSIGNEE},
    )
    return True


def _notify(session: Session, person: Person | None, title: str, path: str, by: Person) -> None:
    if person and person.id != by.id:
        notify(session, [person], Event.ASSIGNED, title=title, path=path, by=by.display_name)
