"""Partners: the systems that send us orders and take our answers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Partner(Base):
    """One partner. Secrets stand in ``headers`` and are shown to nobody."""

    __tablename__ = "partner"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    base_url: Mapped[str] = mapped_column(String(500))
    headers: Mapped[list[list[str]]] = mapped_column(default=list)
    allow_addresses: Mapped[list[str]] = mapped_column(default=list)
    deadline_seconds: Mapped[float] = mapped_column(default=15.0)
    retry_schedule: Mapped[list[float]] = mapped_column(default=list)
    success_codes: Mapped[list[int]] = mapped_column(default=lambda: [0])
    concurrency: Mapped[int] = mapped_column(default=4)
    # Messages a second over all deliverers; None is as many as it takes.
    rate_per_second: Mapped[float | None]
    accepts_return: Mapped[bool] = mapped_column(default=False)
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str] = mapped_column(String(500), default="")
    credential_failures: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]

    @property
    def paused(self) -> bool:
        """Whether its messages are held."""
        return self.paused_at is not None


class InboundKey(Base):
    """A secret with which a partner's messages come. Only its digest is kept."""

    __tablename__ = "inbound_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
