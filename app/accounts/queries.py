"""People, as they are asked for."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Person, PersonSupplier


def person_named(session: Session, name: str) -> Person | None:
    """The person with this user name, whatever its case."""
    return session.scalar(select(Person).where(Person.name == name.strip().lower()))


def person_by_session_key(session: Session, key: str) -> Person | None:
    """The person whose cookie this is, if they may still sign in."""
    return session.scalar(select(Person).where(Person.session_key == key, Person.active))


def supplier_ids(session: Session, scope: frozenset[str] | None) -> list[str]:
    """The supplier ids that somebody answers for, those in ``scope``; None is all."""
    if scope is not None:
        return sorted(scope)
    known = select(PersonSupplier.b2b_id).distinct().order_by(PersonSupplier.b2b_id)
    return list(session.scalars(known))
