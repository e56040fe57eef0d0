"""Mails that must reach people."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_type


class Topic(StrEnum):
    """What a mail is about."""

    HELD = "held"
    RECOVERED = "recovered"
    # Written when it is sent: many messages that fail in a row make one mail.
    ATTENTION = "attention"
    DEADLINES = "deadlines"


class MailState(StrEnum):
    """Where a mail stands."""

    WAITING = "waiting"
    SENT = "sent"
    # There was nothing to say any more when its time came.
    NEEDLESS = "needless"
    FAILED = "failed"


class Mail(Base):
    """One mail. It is written in the transaction that makes it true, and sent by a chore."""

    __tablename__ = "mail"
    __table_args__ = (
        Index(
            "ix_mail_due",
            "next_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime]
    subject: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[MailState] = mapped_column(enum_type(MailState), default=MailState.WAITING)
    # When it may be sent; ahead of now while somebody sends it.
    next_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]
    # The same over all tries, so that a mailbox can tell a repeat.
    message_id: Mapped[str] = mapped_column(String(120))
    # Who has it already, or never will: the others are tried again.
    sent_to: Mapped[str] = mapped_column(Text, default="")
    trouble: Mapped[str] = mapped_column(Text, default="")
