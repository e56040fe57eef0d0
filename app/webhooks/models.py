"""What a resend of many takes in, one row a message, from the press to what came of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class ResendItem(Base):
    """One message of one resend: left out and why, or asked for, and by which attempt it is answered."""

    __tablename__ = "resend_item"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    buyer_po_number: Mapped[str] = mapped_column(String(50))
    # Where it stood when the resend was asked for.
    was: Mapped[str] = mapped_column(String(24))
    blocker: Mapped[str] = mapped_column("why_not", String(200), default="")
    asked_at: Mapped[datetime | None]
    attempt: Mapped[int | None]
