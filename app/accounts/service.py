"""People: adding them, changing what they may, giving them a new password."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts import passwords, queries
from app.accounts.models import Person, PersonSupplier, Role
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import serialise
from app.network.vocabulary import B2B_ID_MAX


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
    if queries.person_by_username(session, name):
        raise BadPerson(f"{name} exists already")
    _must_be_password(password)
    _must_fit(role, ids)
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
    trail.record(
        session, AuditAction.PERSON_ADDED, AuditObject.PERSON, person.id, name=person.name, after=told(person)
    )
    return person


def change(
    session: Session,
    person: Person,
    *,
    role: Role,
    supplier_ids: Iterable[str],
    full_name: str,
    active: bool,
) -> None:
    """Change what a person may. Who may not sign in any more is signed out with the next click.

    Errors: BadPerson for supplier ids that do not fit the role, or where no administrator would be left.
    """
    ids = sorted(set(supplier_ids))
    _must_fit(role, ids)
    stays = active and role is Role.ADMIN
    if person.active and person.role is Role.ADMIN and not stays and _other_admins(session, person) == 0:
        raise BadPerson("nobody would be left to administer: make somebody else an administrator first")
    before = told(person)
    person.role, person.full_name, person.active = role, full_name, active
    kept = {one.b2b_id: one for one in person.suppliers}
    person.suppliers = [kept.get(b2b_id) or PersonSupplier(b2b_id=b2b_id) for b2b_id in ids]
    session.flush()
    after = told(person)
    if after != before:
        trail.record(
            session,
            AuditAction.PERSON_CHANGED,
            AuditObject.PERSON,
            person.id,
            name=person.name,
            before={name: value for name, value in before.items() if after[name] != value},
            after={name: value for name, value in after.items() if before[name] != value},
        )


def give_password(session: Session, person: Person, password_hash: str) -> None:
    """Give a new password, by its hash; the person is signed out everywhere."""
    person.password_hash = password_hash
    person.session_key = secrets.token_urlsafe(32)
    trail.record(
        session,
        AuditAction.PERSON_CHANGED,
        AuditObject.PERSON,
        person.id,
        name=person.name,
        after={"password": trail.CHANGED},
    )


def _must_be_password(password: str) -> None:
    if not 8 <= len(password) <= passwords.LONGEST:
        raise BadPerson(f"a password has 8 to {passwords.LONGEST} characters")


def _must_fit(role: Role, ids: list[str]) -> None:
    if role is Role.SUPPLIER and not ids:
        raise BadPerson("supplier staff need at least one supplier B2B id")
    if role is not Role.SUPPLIER and ids:
        raise BadPerson(f"supplier ids are for supplier staff; a {role} sees everything")
    if any(not 1 <= len(b2b_id) <= B2B_ID_MAX for b2b_id in ids):
        raise BadPerson(f"a supplier B2B id has 1 to {B2B_ID_MAX} characters")
    if any(letter in b2b_id for b2b_id in ids for letter in '"\\'):
        raise BadPerson('a supplier B2B id has no " and no \\ in it')


def _other_admins(session: Session, person: Person) -> int:
    # One change of people at a time: two administrators must not take each other's role at once.
    serialise(session, "people")
    others = select(func.count()).where(Person.role == Role.ADMIN, Person.active, Person.id != person.id)
    return session.scalar(others) or 0


def told(person: Person) -> dict[str, object]:
    """What the audit trail tells of a person: all but what is secret."""
    return {
        "name": person.name,
        "full name": person.full_name,
        "role": person.role.value,
        "supplier ids": sorted(person.supplier_ids),
        "may sign in": person.active,
    }
