"""How people handled the items that needed attention."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.audit.models import AuditObject
from app.db import Base

REASON_MAX = 200
"""Maximum length of the reason for resolving an item, in characters."""


class CaseAction(StrEnum):
    """What happened to a case. The last two are done by the app, not by a person."""

    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    RECURRED = "recurred"
    SUPERSEDED = "superseded"


def item_key(kind: AuditObject, object_id: str = "") -> str:
    """The key of an item: ``message-msg_…``, ``partner-3``, ``inbound-in_…``, ``order-7``."""
    return f"{kind}-{object_id}"


def split_key(key: str) -> tuple[str, str]:
    """The kind of an item and the id of its object."""
    kind, _, object_id = key.partition("-")
    return kind, object_id


class Case(Base):
    """The assignment and resolution of one item; created when a person, or a new response, first acts on it.

    Whether the item needs attention is a fact of its message, order or partner, not of the case.
    """

    __tablename__ = "attention_case"
    __table_args__ = (
        Index("ix_attention_case_closed_at", "closed_at", "id"),
        Index("ix_attention_case_assigned_to", "assigned_to"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    item_key: Mapped[str] = mapped_column("subject", String(60), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    # Empty where only people who see all suppliers may see it.
    supplier_b2b_id: Mapped[str] = mapped_column(String(100), default="")
    assigned_to: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    assigned_name: Mapped[str] = mapped_column(String(120), default="")
    resolved_at: Mapped[datetime | None] = mapped_column("closed_at")
    resolved_by: Mapped[str] = mapped_column("closed_by", String(120), default="")
    # Empty where a newer response resolved it.
    resolved_reason: Mapped[str] = mapped_column("closed_reason", String(REASON_MAX), default="")

    events: Mapped[list[CaseEvent]] = relationship(lazy="raise", order_by="CaseEvent.id.desc()")


class CaseEvent(Base):
    """One entry in the history of a case. Never changed."""

    __tablename__ = "attention_event"
    __table_args__ = (Index("ix_attention_event_case_id", "case_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("attention_case.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column("what", String(24))
    # The reason, or the name of the assignee or of who had resolved it before.
    note: Mapped[str] = mapped_column("words", String(REASON_MAX), default="")
