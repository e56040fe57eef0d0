"""Writing to the audit trail, in the transaction of the action. Nothing here commits, changes or deletes.

The actor is set once at the edge (``acting``), so that everything a request, a command or a job does is
recorded with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditAction, AuditEntry, AuditObject

CHANGED = "changed"
"""Recorded instead of the values of a secret."""
WRITERS = 0x50_4F_41_55_44_49_54
"""The advisory lock that writers share on PostgreSQL, so that sealing can wait for uncommitted entries."""
FAILURES_WINDOW = timedelta(minutes=10)
FAILURES_OF_ADDRESS = 20
FAILURES_OF_ALL = 300
"""Failed sign-ins recorded within the window; a limit, so that they cannot fill the disk."""
VALUE_MAX = 2000
"""Maximum length of one recorded text, in characters."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where. Without a name it is the app itself."""

    name: str = ""
    person_id: int | None = None
    role: str = ""
    address: str = ""
    user_agent: str = ""


COMMAND_LINE = Actor("the command line")
_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Record everything in this block with this actor."""
    token = begin(actor)
    try:
        yield
    finally:
        end(token)


def begin(actor: Actor) -> Token[Actor | None]:
    """Set the actor until ``end``, where a ``with`` block is not possible."""
    return _acting.set(actor)


def end(token: Token[Actor | None]) -> None:
    """Restore the actor before ``begin``."""
    _acting.reset(token)


def current_actor() -> Actor | None:
    """The actor set at the edge, so that a background job can act for the same person."""
    return _acting.get()


def record(
    session: Session,
    action: AuditAction,
    kind: AuditObject,
    object_id: object,
    *,
    name: str = "",
    by: str = "",
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
) -> AuditEntry:
    """Add an entry; it is stored if this transaction commits.

    ``name`` is the display name of the object. ``by`` is the name of the actor if none is set at the edge, as
    in a background job. ``before`` and ``after`` hold JSON values and no secrets.
    """
    actor = actor or _acting.get() or Actor(by)
    if session.get_bind().dialect.name == "postgresql":
        # Take it before the id: sealing then sees every transaction that has an id but has not committed.
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": WRITERS})
    entry = AuditEntry(
        at=clock.now(),
        action=action.value,
        actor=_storable(actor.name or by, 120),
        person_id=actor.person_id,
        role=actor.role,
        address=_storable(actor.address, 60),
        user_agent=_storable(actor.user_agent, 300),
        object_kind=kind.value,
        object_id=_storable(str(object_id), 60),
        object_name=_storable(name, 200),
        reason=_storable(reason, VALUE_MAX),
        before=_as_text(before),
        after=_as_text(after),
    )
    session.add(entry)
    session.flush()
    return entry


def record_failed_sign_in(session: Session, username: str, person_id: int | None) -> bool:
    """Record a failed sign-in, unless there were too many lately. ``username`` is empty for an unknown one.

    The text that was typed is never stored: people type passwords into the wrong field.
    """
    actor = _acting.get() or Actor()
    since = clock.now() - FAILURES_WINDOW
    recent = session.execute(
        select(AuditEntry.address)
        .where(AuditEntry.action == AuditAction.SIGN_IN_FAILED.value, AuditEntry.at > since)
        .order_by(AuditEntry.id.desc())
        .limit(FAILURES_OF_ALL)
    ).all()
    same_address = sum(1 for (address,) in recent if address == actor.address)
    if len(recent) >= FAILURES_OF_ALL or same_address >= FAILURES_OF_ADDRESS:
        return False
    is_last = same_address == FAILURES_OF_ADDRESS - 1 or len(recent) == FAILURES_OF_ALL - 1
    record(
        session,
        AuditAction.SIGN_IN_FAILED,
        AuditObject.PERSON,
        person_id if person_id is not None else "",
        name=username or "unknown_user",
        reason="sign_in_limit" if is_last else "",
        actor=Actor("", None, "", actor.address, actor.user_agent),
    )
    return True


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values that differ between two states: the old ones and the new ones."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in names}, {name: after.get(name) for name in names}


def _as_text(values: Mapping[str, Any] | None) -> str:
    if not values:
        return ""
    return _storable(
        json.dumps({name: _bounded(value) for name, value in values.items()}, ensure_ascii=False)
    )


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= VALUE_MAX else value[: VALUE_MAX - 1] + "…"
    if isinstance(value, (list, tuple)):
        return [_bounded(part) for part in value[:200]]
    if isinstance(value, Mapping):
        return {str(name): _bounded(part) for name, part in value.items()}
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return str(value)


def _storable(value: str, longest: int | None = None) -> str:
    """Text that both databases store exactly: without NUL and lone surrogates."""
    value = value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return value if longest is None or len(value) <= longest else value[: longest - 1] + "…"
