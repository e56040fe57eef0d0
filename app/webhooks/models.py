"""The messages of a bulk resend."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class ResendItem(Base):
    """One message of a bulk resend: skipped because of a blocker, or requested as an attempt."""

    __tablename__ = "resend_item"

    job_id: Mapped[str] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    buyer_po_number: Mapped[str] = mapped_column(String(50))
    # The ``labeled_state`` of the message when the bulk resend was created.
    state_before: Mapped[str] = mapped_column("was", String(24))
    blocker: Mapped[str] = mapped_column("why_not", String(200), default="")
    requested_at: Mapped[datetime | None] = mapped_column("asked_at")
    # The number of the attempt.
    attempt: Mapped[int | None]
