"""Commands on user accounts and suppliers. Each writes to the audit trail; none commits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts import queries, sessions, throttle
from app.accounts.models import Person, PersonSupplier, Role, Supplier
from app.accounts.preferences import Preferences
from app.accounts.preferences import read as read_preferences
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import advisory_lock
from app.network.vocabulary import B2B_ID_MAX, FORBIDDEN_CHARACTERS

PEOPLE_LOCK = "people"


class PersonError(StrEnum):
    """Why an account cannot be saved; the sentences are in ``presenters``."""

    USERNAME_INVALID = "username_invalid"
    USERNAME_TAKEN = "username_taken"
    SUPPLIER_REQUIRED = "supplier_required"
    SUPPLIER_NOT_ALLOWED = "supplier_not_allowed"
    SUPPLIER_ID_LENGTH = "supplier_id_length"
    SUPPLIER_ID_CHARACTERS = "supplier_id_characters"
    LAST_ADMINISTRATOR = "last_administrator"


class InvalidPerson(ValueError):
    """The values do not make a valid account; ``code`` says why."""

    def __init__(self, code: PersonError) -> None:
        super().__init__(code.value)
        self.code = code


def add_person(
    session: Session,
    username: str,
    *,
    role: Role,
    password_hash: str,
    supplier_ids: Iterable[str] = (),
    full_name: str = "",
    mail_address: str = "",
    must_change_password: bool = False,
) -> Person:
    """Add a person who can sign in.

    It takes the hash, since hashing is slow and must not happen under a write lock.
    Errors: InvalidPerson for a username that is taken or malformed, or supplier ids that do not fit the role.
    """
    username = username.strip().lower()
    ids = _cleaned(supplier_ids)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@-]{0,79}", username):
        raise InvalidPerson(PersonError.USERNAME_INVALID)
    advisory_lock(session, PEOPLE_LOCK)
    if queries.person_by_username(session, username):
        raise InvalidPerson(PersonError.USERNAME_TAKEN)
    _check_supplier_ids(role, ids)
    person = Person(
        username=username,
        full_name=full_name,
        mail_address=mail_address,
        role=role,
        password_hash=password_hash,
        must_change_password=must_change_password,
        active=True,
        created_at=clock.now(),
        suppliers=[PersonSupplier(b2b_id=b2b_id) for b2b_id in ids],
    )
    session.add(person)
    session.flush()
    _record(session, person, AuditAction.PERSON_ADDED, after=audit_fields(person))
    return person


def update_person(
    session: Session,
    person: Person,
    *,
    role: Role,
    supplier_ids: Iterable[str],
    full_name: str,
    mail_address: str,
    active: bool,
) -> None:
    """Change an account. A new role or a deactivation ends all sessions of the person.

    Errors: InvalidPerson for supplier ids that do not fit the role, or if no administrator would remain.
    """
    ids = _cleaned(supplier_ids)
    _check_supplier_ids(role, ids)
    was_admin = person.active and person.role is Role.ADMIN
    stays_admin = active and role is Role.ADMIN
    if was_admin and not stays_admin and _other_admins(session, person) == 0:
        raise InvalidPerson(PersonError.LAST_ADMINISTRATOR)
    before = audit_fields(person)
    if not active or role is not person.role:
        sessions.end_all(session, person.id)
    person.role, person.full_name, person.active = role, full_name, active
    person.mail_address = mail_address
    current = {supplier.b2b_id: supplier for supplier in person.suppliers}
    person.suppliers = [current.get(b2b_id) or PersonSupplier(b2b_id=b2b_id) for b2b_id in ids]
    session.flush()
    _record_changes(session, person, before, audit_fields(person))


def set_password(
    session: Session,
    person: Person,
    password_hash: str,
    *,
    keep: int | None = None,
    must_change: bool = False,
) -> None:
    """Replace the password and end all sessions of the person, except the session ``keep``.

    It takes the hash for the same reason as ``add_person``.
    """
    person.password_hash = password_hash
    person.must_change_password = must_change
    sessions.end_all(session, person.id, keep=keep)
    _record(session, person, AuditAction.PERSON_CHANGED, after={"password": trail.CHANGED})


def update_preferences(session: Session, person: Person, changes: Mapping[str, Any]) -> None:
    """Change some preferences of a person; the others stay."""
    before = {name: person.preferences.get(name) for name in changes}
    person.preferences = {**person.preferences, **changes}
    session.flush()
    _record_changes(session, person, before, changes)


def update_account(
    session: Session,
    person: Person,
    *,
    full_name: str,
    mail_address: str,
    time_zone: str,
    preferences: Preferences,
) -> None:
    """Change the data and preferences of the signed-in person."""
    before = account_fields(person)
    person.full_name, person.mail_address, person.time_zone = full_name, mail_address, time_zone
    person.preferences = {**person.preferences, **preferences.as_stored()}
    session.flush()
    _record_changes(session, person, before, account_fields(person))


def record_throttling(session: Session, person: Person | None, delayed: set[throttle.ThrottleKind]) -> None:
    """Record that an account or an address has to wait, once per series of failures.

    Unknown usernames are left out, so that a stranger cannot fill the trail with them.
    """
    if throttle.ThrottleKind.ADDRESS in delayed or (person and delayed):
        trail.record(
            session,
            AuditAction.THROTTLED,
            AuditObject.PERSON,
            person.id if person else "",
            name=person.username if person else "unknown_user",
        )


def revoke_sessions(session: Session, person: Person, session_id: int | None = None) -> bool:
    """End all sessions of a person, or one of them. Returns whether there was any."""
    if session_id is None:
        count = sessions.end_all(session, person.id)
    else:
        count = sessions.end(session, person.id, session_id)
    if count:
        _record(session, person, AuditAction.SESSION_REVOKED, after={"sessions": count})
    return count > 0


def audit_fields(person: Person) -> dict[str, object]:
    """The fields of an account that the audit trail records: all but the secret ones."""
    return {
        "username": person.username,
        "full_name": person.full_name,
        "mail_address": person.mail_address,
        "role": person.role.value,
        "supplier_ids": sorted(person.supplier_ids),
        "active": person.active,
    }


def account_fields(person: Person) -> dict[str, object]:
    """The fields that users change themselves."""
    return {
        "full_name": person.full_name,
        "mail_address": person.mail_address,
        "time_zone": person.time_zone,
        **read_preferences(person.preferences).as_stored(),
    }


def set_device_tag(session: Session, b2b_id: str, name: str, value: str, *, by: str) -> None:
    """Set the default device tag of a supplier; an empty name removes it. ``by`` is the actor's name."""
    advisory_lock(session, "supplier", b2b_id)
    supplier = session.get(Supplier, b2b_id)
    before = f"{supplier.device_tag_name} {supplier.device_tag_value}" if supplier else ""
    after = f"{name} {value}" if name else ""
    if before != after:
        trail.record(
            session,
            AuditAction.SUPPLIER_CHANGED,
            AuditObject.SUPPLIER,
            b2b_id,
            name=b2b_id,
            by=by,
            before={"device_tag": before},
            after={"device_tag": after},
        )
    if not name:
        if supplier:
            session.delete(supplier)
        return
    if supplier is None:
        supplier = Supplier(b2b_id=b2b_id)
        session.add(supplier)
    supplier.device_tag_name, supplier.device_tag_value = name, value
    supplier.changed_at, supplier.changed_by = clock.now(), by


def _record(
    session: Session,
    person: Person,
    action: AuditAction,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object],
) -> None:
    trail.record(
        session, action, AuditObject.PERSON, person.id, name=person.username, before=before, after=after
    )


def _record_changes(
    session: Session, person: Person, before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    """Write an audit entry if a field changed."""
    old, new = trail.differences(before, after)
    if new:
        _record(session, person, AuditAction.PERSON_CHANGED, before=old, after=new)


def _cleaned(supplier_ids: Iterable[str]) -> list[str]:
    # Spaces around an ID are invisible, and with them it matches no order.
    return sorted({b2b_id.strip() for b2b_id in supplier_ids})


def _check_supplier_ids(role: Role, ids: list[str]) -> None:
    if role is Role.SUPPLIER and not ids:
        raise InvalidPerson(PersonError.SUPPLIER_REQUIRED)
    if role is not Role.SUPPLIER and ids:
        raise InvalidPerson(PersonError.SUPPLIER_NOT_ALLOWED)
    if any(not 1 <= len(b2b_id) <= B2B_ID_MAX for b2b_id in ids):
        raise InvalidPerson(PersonError.SUPPLIER_ID_LENGTH)
    if any(character in b2b_id for b2b_id in ids for character in FORBIDDEN_CHARACTERS):
        raise InvalidPerson(PersonError.SUPPLIER_ID_CHARACTERS)


def _other_admins(session: Session, person: Person) -> int:
    # One change at a time: two administrators must not demote each other at once.
    advisory_lock(session, PEOPLE_LOCK)
    others = select(func.count()).where(Person.role == Role.ADMIN, Person.active, Person.id != person.id)
    return session.scalar(others) or 0
