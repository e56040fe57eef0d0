"""People, as they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.accounts.models import Person, PersonSupplier, Supplier


def person_by_username(session: Session, name: str) -> Person | None:
    """The person with this user name, whatever its case."""
    return session.scalar(select(Person).where(Person.name == name.strip().lower()))


_BY_SESSION_KEY = select(Person).where(Person.session_key == bindparam("key"), Person.active)
"""Made once: every request asks."""


def person_by_session_key(session: Session, key: str) -> Person | None:
    """The person whose cookie this is, if they may still sign in."""
    return session.scalar(_BY_SESSION_KEY, {"key": key})


def suppliers(session: Session) -> dict[str, Supplier | None]:
    """The supplier ids for which somebody answers or something is set, and what is set for each."""
    set_up = {supplier.b2b_id: supplier for supplier in session.scalars(select(Supplier))}
    answered_for = session.scalars(select(PersonSupplier.b2b_id).distinct()).all()
    return {b2b_id: set_up.get(b2b_id) for b2b_id in sorted({*set_up, *answered_for})}


def device_tags(session: Session, b2b_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The default device tags, name and value, of those of the suppliers that have one."""
    found = session.scalars(select(Supplier).where(Supplier.b2b_id.in_(set(b2b_ids))))
    return {one.b2b_id: (one.device_tag_name, one.device_tag_value) for one in found}


def supplier_ids(session: Session, scope: frozenset[str] | None) -> list[str]:
    """The supplier ids that somebody answers for, those in ``scope``; None is all."""
    if scope is not None:
        return sorted(scope)
    known = select(PersonSupplier.b2b_id).distinct().order_by(PersonSupplier.b2b_id)
    return list(session.scalars(known))


def everybody(session: Session) -> Sequence[Person]:
    """All people, those who may sign in first, by name."""
    return session.scalars(select(Person).order_by(Person.active.desc(), Person.name)).all()


def person(session: Session, person_id: int, *, lock: bool = False) -> Person | None:
    """One person by number, locked if wanted."""
    query = select(Person).where(Person.id == person_id)
    return session.scalar(query.with_for_update(of=Person) if lock else query)
