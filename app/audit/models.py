"""The audit trail: append-only entries, the seals over them, and records of pruning."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class AuditAction(StrEnum):
    """What was done. The values never change, since seals cover them; the labels are in ``presenters``."""

    SIGNED_IN = "signed in"
    SIGN_IN_FAILED = "sign-in failed"
    THROTTLED = "throttled"
    SIGNED_OUT = "signed out"
    SESSION_REVOKED = "revoked a session"
    RESPONDED = "answered"
    RESPONSE_UNDONE = "took an answer back"
    CHECK_DISMISSED = "dismissed a check"
    WEBHOOK_CANCELED = "withdrew"
    WEBHOOK_FAILED = "failed"
    RESENT = "resent"
    REPROCESSED = "applied again"
    PAUSED = "held"
    RESUMED = "resumed"
    BREAKER_OPENED = "stopped responding"
    BREAKER_CLOSED = "responded again"
    ANNOUNCED = "noted"
    EXPORTED = "exported"
    IMPORTED = "imported"
    PARTNER_ADDED = "added a partner"
    PARTNER_CHANGED = "changed a partner"
    KEY_ADDED = "added a key"
    KEY_REVOKED = "ended a key"
    PERSON_ADDED = "added a person"
    PERSON_CHANGED = "changed a person"
    SUPPLIER_CHANGED = "changed a supplier"
    ASSIGNED = "handed over"
    COMMENTED = "commented"
    COMMENT_DELETED = "deleted a comment"
    RESOLVED = "closed"
    REOPENED = "opened again"
    CANCELED = "cancelled"
    VIEW_SAVED = "saved a view"
    VIEW_CHANGED = "changed a view"
    VIEW_DELETED = "deleted a view"
    PRUNED = "pruned"


class AuditObject(StrEnum):
    """The kind of object of an action."""

    ORDER = "order"
    MESSAGE = "message"
    INBOUND = "inbound"
    PARTNER = "partner"
    PERSON = "person"
    SUPPLIER = "supplier"
    JOB = "job"
    EXPORT = "export"
    VIEW = "view"
    RECORDS = "records"


class AuditEntry(Base):
    """One action. It holds the names of person and object, so that it outlives them.

    ``before`` and ``after`` are JSON objects stored as text, because the seals cover their exact bytes.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_action_id", "action", "id"),
        Index("ix_audit_entry_actor_id", "actor", "id"),
        Index("ix_audit_entry_object", "object_kind", "object_id", "id"),
        Index("ix_audit_entry_at", "at"),
        Index("ix_audit_entry_address", "address", "id"),
        # Ids are never reused, even if the newest entry was deleted from outside.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(40))
    # The display name of the person; empty for automatic actions.
    actor: Mapped[str] = mapped_column(String(120))
    person_id: Mapped[int | None]
    role: Mapped[str] = mapped_column(String(24))
    address: Mapped[str] = mapped_column(String(60))
    user_agent: Mapped[str] = mapped_column(String(300))
    object_kind: Mapped[str] = mapped_column(String(24))
    object_id: Mapped[str] = mapped_column(String(60))
    object_name: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    before: Mapped[str] = mapped_column(Text)
    after: Mapped[str] = mapped_column(Text)

    @property
    def old_values(self) -> dict[str, Any]:
        """The values before the action, by name."""
        return _read(self.before)

    @property
    def new_values(self) -> dict[str, Any]:
        """The values after the action, by name."""
        return _read(self.after)


class AuditSeal(Base):
    """A seal: a digest over a range of entries and the previous seal (see ``seals``)."""

    __tablename__ = "audit_seal"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_id: Mapped[int]
    last_id: Mapped[int]
    # Id and digest of each covered entry, 40 bytes each, so that a changed entry can be named.
    leaves: Mapped[bytes]
    previous: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    sealed_at: Mapped[datetime]


class AuditPruning(Base):
    """Permission to delete all entries up to an id, because of their age. No other entry can be deleted."""

    __tablename__ = "audit_pruning"

    up_to: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # The audit entry that records the pruning.
    entry_id: Mapped[int]
    at: Mapped[datetime]


def _read(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        values = json.loads(text)
    except ValueError:  # the table was changed from outside
        return {"unreadable": text}
    return values if isinstance(values, dict) else {"unreadable": text}
