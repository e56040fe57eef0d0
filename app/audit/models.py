"""The audit trail: entries that are only ever added, the seals over them, and what was pruned of them."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class AuditAction(StrEnum):
    """What somebody did."""

    SIGNED_IN = "signed in"
    SIGN_IN_FAILED = "sign-in failed"
    SIGNED_OUT = "signed out"
    ANSWERED = "answered"
    UNDONE = "took an answer back"
    WITHDREW = "withdrew"
    RESENT = "resent"
    APPLIED_AGAIN = "applied again"
    HELD = "held"
    RESUMED = "resumed"
    NOTED = "noted"
    EXPORTED = "exported"
    IMPORTED = "imported"
    PARTNER_ADDED = "added a partner"
    PARTNER_CHANGED = "changed a partner"
    KEY_ADDED = "added a key"
    KEY_ENDED = "ended a key"
    PERSON_ADDED = "added a person"
    PERSON_CHANGED = "changed a person"
    SUPPLIER_CHANGED = "changed a supplier"
    HANDED_OVER = "handed over"
    CLOSED = "closed"
    OPENED_AGAIN = "opened again"
    CANCELLED = "cancelled"
    PRUNED = "pruned"


class AuditObject(StrEnum):
    """On what it was done."""

    ORDER = "order"
    MESSAGE = "message"
    INBOUND = "inbound"
    PARTNER = "partner"
    PERSON = "person"
    SUPPLIER = "supplier"
    JOB = "job"
    EXPORT = "export"
    RECORDS = "records"


class AuditEntry(Base):
    """One deed. It names people and objects in words, so that it outlives them.

    ``before`` and ``after`` are JSON objects as text, since their bytes are what is sealed.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_deed_id", "deed", "id"),
        Index("ix_audit_entry_actor_id", "actor", "id"),
        Index("ix_audit_entry_object", "object_kind", "object_id", "id"),
        Index("ix_audit_entry_at", "at"),
        Index("ix_audit_entry_address", "address", "id"),
        # An id is never given twice, not even after the newest entry was removed by force.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    deed: Mapped[str] = mapped_column(String(40))
    # The name that other people see; empty for what the app does by itself.
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
    def was(self) -> dict[str, Any]:
        """What it was before, by name; empty where nothing was."""
        return _read(self.before)

    @property
    def became(self) -> dict[str, Any]:
        """What it became, by name."""
        return _read(self.after)


class AuditSeal(Base):
    """One link of the chain: a digest over some entries and over the link before (see ``seals``)."""

    __tablename__ = "audit_seal"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_id: Mapped[int]
    last_id: Mapped[int]
    # Of each covered entry its id and its digest, so that a fault can be named; 40 bytes each.
    leaves: Mapped[bytes]
    previous: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    sealed_at: Mapped[datetime]


class AuditPruning(Base):
    """All entries up to this one may be gone: their age was over. Only such entries can be deleted."""

    __tablename__ = "audit_pruning"

    up_to: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # The entry that tells of it.
    entry_id: Mapped[int]
    at: Mapped[datetime]


def _read(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:  # somebody wrote into the table by hand
        return {"unreadable": text}
    return found if isinstance(found, dict) else {"unreadable": text}
