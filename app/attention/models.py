"""What people did about something that needs attention."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base

REASON_MAX = 200
"""Characters of the reason why something is closed."""


class Case(Base):
    """One thing that needed attention and that somebody handled.

    Whether it still needs attention is told by the thing itself; a case is made by the first hand on it.
    ``subject`` is its kind and id. ``mark`` is how the thing stood when it was closed: once it stands
    otherwise, it is open again.
    """

    __tablename__ = "attention_case"
    __table_args__ = (
        Index("ix_attention_case_closed_at", "closed_at", "id"),
        Index("ix_attention_case_assigned_to", "assigned_to"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(60), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    # Whose it is; empty where only those who see everything see it.
    supplier_b2b_id: Mapped[str] = mapped_column(String(100), default="")
    assigned_to: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    assigned_name: Mapped[str] = mapped_column(String(120), default="")
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str] = mapped_column(String(120), default="")
    closed_reason: Mapped[str] = mapped_column(String(REASON_MAX), default="")
    mark: Mapped[str] = mapped_column(String(80), default="")

    events: Mapped[list[CaseEvent]] = relationship(lazy="raise", order_by="CaseEvent.id.desc()")


class CaseEvent(Base):
    """Who did what about it: ``assigned``, ``let go``, ``closed``, ``opened again``. Never changed."""

    __tablename__ = "attention_event"
    __table_args__ = (Index("ix_attention_event_case_id", "case_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("attention_case.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(120))
    what: Mapped[str] = mapped_column(String(24))
    words: Mapped[str] = mapped_column(String(REASON_MAX), default="")
