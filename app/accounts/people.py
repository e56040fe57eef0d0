"""Adding people."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from sqlalchemy.orm import Session

from app import clock
from app.accounts import passwords, queries
from app.accounts.models import Person, PersonSupplier, Role
from app.audit import trail
from app.audit.models import Deed, Thing
from app.contract.vocabulary import B2B_ID_MAX


class BadPerson(ValueError):
    """What was given does not make a person; the text says why."""


def add(
    session: Session,
    name: str,
    *,
    role: Role,
    password: str,
    supplier_ids: Iterable[str] = (),
    full_name: str = "",
) -> Person:
    """Add a person who can sign in.

    Errors: BadPerson for a name that is taken or odd, a short password, or supplier ids that do not fit
    the role.
    """
    name = name.strip().lower()
    ids = sorted(set(supplier_ids))
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@-]{0,79}", name):
        raise BadPerson("a user name is made of letters, digits, and . _ @ -")
    if queries.person_named(session, name):
        raise BadPerson(f"{name} exists already")
    if not 8 <= len(password) <= passwords.LONGEST:
        raise BadPerson(f"a password has 8 to {passwords.LONGEST} characters")
    if role is Role.SUPPLIER and not ids:
        raise BadPerson("supplier staff need at least one --supplier B2B id")
    if role is not Role.SUPPLIER and ids:
        raise BadPerson(f"supplier ids are for supplier staff; a {role} sees everything")
    if any(not 1 <= len(b2b_id) <= B2B_ID_MAX for b2b_id in ids):
        raise BadPerson(f"a supplier B2B id has 1 to {B2B_ID_MAX} characters")
    person = Person(
        name=name,
        full_name=full_name,
        role=role,
        password_hash=passwords.hash_password(password),
        session_key=secrets.token_urlsafe(32),
        active=True,
        created_at=clock.now(),
        suppliers=[PersonSupplier(b2b_id=b2b_id) for b2b_id in ids],
    )
    session.add(person)
    session.flush()
    trail.record(session, Deed.PERSON_ADDED, Thing.PERSON, person.id, name=person.name, after=told(person))
    return person


def told(person: Person) -> dict[str, object]:
    """What the audit trail tells of a person: all but what is secret."""
    return {
        "name": person.name,
        "full name": person.full_name,
        "role": person.role.value,
        "supplier ids": sorted(person.supplier_ids),
        "may sign in": person.active,
    }
