"""Adding to the trail, in the very transaction of the deed. Nothing here commits, changes or removes.

Who acts and from where is said once at the edge (``acting``), so that whatever a request, a command or a job
sets in motion is recorded with it, however deep it is done.
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
"""What the trail says of a secret instead of what it was and is."""
WRITERS = 0x50_4F_41_55_44_49_54
"""The advisory lock that writers share on PostgreSQL, so that sealing sees who has not committed yet."""
FAILURES_WINDOW = timedelta(minutes=10)
FAILURES_OF_ADDRESS = 20
FAILURES_OF_ALL = 300
"""Failed sign-ins that are written down within the window: nobody fills the disk by knocking."""
LONGEST_VALUE = 2000
"""Characters of one text before or after."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where. No name: the app by itself."""

    name: str = ""
    person_id: int | None = None
    role: str = ""
    address: str = ""
    user_agent: str = ""


COMMAND_LINE = Actor("the command line")
_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Whatever is recorded within was done by this actor."""
    token = begin(actor)
    try:
        yield
    finally:
        end(token)


def begin(actor: Actor) -> Token[Actor | None]:
    """From here on this actor acts, until ``end``; for edges that are no block."""
    return _acting.set(actor)


def end(token: Token[Actor | None]) -> None:
    """Nobody acts any more, or who did before."""
    _acting.reset(token)


def record(
    session: Session,
    action: AuditAction,
    thing: AuditObject,
    object_id: object,
    *,
    name: str = "",
    by: str = "",
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
) -> AuditEntry:
    """Add a deed to the trail. It stands if this transaction commits.

    ``name`` is what people call the object; ``by`` names who asked for it, where nobody acts at the edge (a
    job that works off somebody's order). Values before and after are what JSON can hold; no secrets.
    """
    actor = actor or _acting.get() or Actor(by)
    if session.get_bind().dialect.name == "postgresql":
        # Before the id is taken: who looks for it afterwards finds every id that is given but not committed.
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": WRITERS})
    entry = AuditEntry(
        at=clock.now(),
        action=action.value,
        actor=_sayable(actor.name or by, 120),
        person_id=actor.person_id,
        role=actor.role,
        address=_sayable(actor.address, 60),
        user_agent=_sayable(actor.user_agent, 300),
        object_kind=thing.value,
        object_id=_sayable(str(object_id), 60),
        object_name=_sayable(name, 200),
        reason=_sayable(reason, LONGEST_VALUE),
        before=_as_text(before),
        after=_as_text(after),
    )
    session.add(entry)
    session.flush()
    return entry


def record_failed_sign_in(session: Session, known: str, person_id: int | None) -> bool:
    """Add a failed sign-in, unless there were too many of late. ``known`` is empty for a name nobody has.

    What was typed is not kept then: people type passwords into the wrong field.
    """
    actor = _acting.get() or Actor()
    since = clock.now() - FAILURES_WINDOW
    recent = session.execute(
        select(AuditEntry.address)
        .where(AuditEntry.action == AuditAction.SIGN_IN_FAILED.value, AuditEntry.at > since)
        .order_by(AuditEntry.id.desc())
        .limit(FAILURES_OF_ALL)
    ).all()
    from_here = sum(1 for (address,) in recent if address == actor.address)
    if len(recent) >= FAILURES_OF_ALL or from_here >= FAILURES_OF_ADDRESS:
        return False
    is_last = from_here == FAILURES_OF_ADDRESS - 1 or len(recent) == FAILURES_OF_ALL - 1
    record(
        session,
        AuditAction.SIGN_IN_FAILED,
        AuditObject.PERSON,
        person_id if person_id is not None else "",
        name=known or "a name that nobody has",
        reason="Many in a row; further ones are left out for ten minutes." if is_last else "",
        actor=Actor("", None, "", actor.address, actor.user_agent),
    )
    return True


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of two states what differs: as it was, and as it became."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in names}, {name: after.get(name) for name in names}


def _as_text(values: Mapping[str, Any] | None) -> str:
    if not values:
        return ""
    return _sayable(json.dumps({name: _bounded(value) for name, value in values.items()}, ensure_ascii=False))


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
    if isinstance(value, (list, tuple)):
        return [_bounded(part) for part in value[:200]]
    if isinstance(value, Mapping):
        return {str(name): _bounded(part) for name, part in value.items()}
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return str(value)


def _sayable(words: str, longest: int | None = None) -> str:
    """What every database keeps exactly: no NUL, no halves of characters."""
    words = words.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return words if longest is None or len(words) <= longest else words[: longest - 1] + "…"
