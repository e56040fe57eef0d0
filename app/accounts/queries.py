"""Queries for people and suppliers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import Person, PersonSupplier, Role, Supplier
from app.accounts.permissions import ROLE_PERMISSIONS, Permission
from app.db.filters import SCOPE_PARAMETER, Scope

_SEES_ALL = [role for role, allowed in ROLE_PERMISSIONS.items() if Permission.VIEW_ALL in allowed]


def person_by_username(session: Session, username: str) -> Person | None:
    """The person with this username, case-insensitive."""
    return session.scalar(select(Person).where(Person.username == username.strip().lower()))


def person_by_id(session: Session, person_id: int, *, lock: bool = False) -> Person | None:
    """The person with this id; ``lock`` reads the row again and locks it for a change."""
    query = select(Person).where(Person.id == person_id)
    if lock:
        query = query.with_for_update(of=Person, key_share=True).execution_options(populate_existing=True)
    return session.scalar(query)


def all_people(session: Session) -> Sequence[Person]:
    """All accounts, active ones first, by username."""
    return session.scalars(select(Person).order_by(Person.active.desc(), Person.username)).all()


def supplier_settings(session: Session) -> dict[str, Supplier | None]:
    """Every supplier id that a person responds for or that has settings, with its settings if any."""
    settings = {supplier.b2b_id: supplier for supplier in session.scalars(select(Supplier))}
    assigned = session.scalars(select(PersonSupplier.b2b_id).distinct()).all()
    return {b2b_id: settings.get(b2b_id) for b2b_id in sorted({*settings, *assigned})}


def staff_of_suppliers(session: Session) -> dict[str, list[str]]:
    """The names of the active people who respond for each supplier id."""
    staff: dict[str, list[str]] = {}
    assigned = session.execute(
        select(PersonSupplier.b2b_id, Person)
        .join(Person, Person.id == PersonSupplier.person_id)
        .where(Person.active, Person.role == Role.SUPPLIER)
        .order_by(Person.full_name, Person.username)
    )
    for b2b_id, person in assigned:
        staff.setdefault(b2b_id, []).append(person.display_name)
    return staff


def people_who_see(session: Session, supplier_b2b_id: str) -> Sequence[Person]:
    """The active people who may see the orders of a supplier, by username."""
    is_staff = exists().where(PersonSupplier.person_id == Person.id, PersonSupplier.b2b_id == supplier_b2b_id)
    people = select(Person).where(Person.active, or_(Person.role.in_(_SEES_ALL), is_staff))
    return session.scalars(people.order_by(Person.username)).all()


def in_team_of_role(role: Role) -> ColumnElement[bool]:
    """The people in the team of a person with this role.

    They are all who see every supplier, or staff with a supplier in common, of which ``SCOPE_PARAMETER`` are
    the person's.
    """
    if role in _SEES_ALL:
        return Person.role.in_(_SEES_ALL)
    has_common_supplier = Person.suppliers.any(PersonSupplier.b2b_id.in_(SCOPE_PARAMETER))
    return and_(Person.role.not_in(_SEES_ALL), has_common_supplier)


def device_tags(session: Session, b2b_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The default device tags (name, value) of the suppliers that have one."""
    suppliers = session.scalars(select(Supplier).where(Supplier.b2b_id.in_(set(b2b_ids))))
    return {supplier.b2b_id: (supplier.device_tag_name, supplier.device_tag_value) for supplier in suppliers}


def reachable_supplier_ids(session: Session) -> frozenset[str]:
    """The supplier ids for which an active person can respond."""
    return frozenset(
        session.scalars(
            select(PersonSupplier.b2b_id)
            .join(Person, Person.id == PersonSupplier.person_id)
            .where(Person.active, Person.role == Role.SUPPLIER)
        )
    )


def supplier_ids(session: Session, scope: Scope) -> list[str]:
    """The supplier ids in ``scope``; with None, all that a person responds for."""
    if scope is not None:
        return sorted(scope)
    known = select(PersonSupplier.b2b_id).distinct().order_by(PersonSupplier.b2b_id)
    return list(session.scalars(known))
