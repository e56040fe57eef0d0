"""Partners: the systems that send orders and receive responses."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ForeignKey, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_type
from app.db.encryption import EncryptedJSON, EncryptedText


class PauseCode(StrEnum):
    """Why the app paused a partner; parameters are in ``pause_params``."""

    NONE = ""
    # url
    GONE = "gone"
    # count, status
    CREDENTIALS = "credentials"


class Partner(Base):
    """A partner. Its secrets (see ``masking.named_secrets``) are never shown."""

    __tablename__ = "partner"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    base_url: Mapped[str] = mapped_column(String(500))
    headers: Mapped[list[list[str]]] = mapped_column(EncryptedJSON, default=list)
    allow_addresses: Mapped[list[str]] = mapped_column(default=list)
    deadline_seconds: Mapped[float] = mapped_column(default=15.0)
    retry_schedule: Mapped[list[float]] = mapped_column(default=list)
    success_codes: Mapped[list[int]] = mapped_column(default=lambda: [0])
    concurrency: Mapped[int] = mapped_column(default=4)
    # Webhooks sent per minute; None means no limit.
    rate_per_minute: Mapped[int | None]
    accepts_return: Mapped[bool] = mapped_column(default=False)
    # Whether responses may change or reject single lines.
    accepts_line_responses: Mapped[bool] = mapped_column("line_responses", default=True)
    # A request with only an inbound key is then rejected.
    signature_required: Mapped[bool] = mapped_column(default=False)
    contact: Mapped[str] = mapped_column(String(500), default="")

    # Outbound authentication, besides ``headers``.
    bearer_token: Mapped[str] = mapped_column(EncryptedText, default="")
    # token_url, client_id, client_secret, scope, in_body: OAuth 2 client credentials.
    oauth: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJSON)
    # id, secret, created_at, valid_until (ISO 8601 or None): newest first. In the row, so that the
    # delivery worker reads everything at once.
    signing_secrets: Mapped[list[dict[str, Any]]] = mapped_column(EncryptedJSON, default=list)
    # Certificate, chain and key as one PEM text, so that every delivery worker has them.
    client_certificate: Mapped[str] = mapped_column(EncryptedText, default="")
    # Trusted CA certificates as PEM; empty means the public ones.
    ca_bundle: Mapped[str] = mapped_column(Text, default="")

    paused_at: Mapped[datetime | None]
    # A person's reason; empty if the app paused it.
    paused_reason: Mapped[str] = mapped_column(String(500), default="")
    # The app's reason; empty if a person paused it.
    pause_code: Mapped[PauseCode] = mapped_column(enum_type(PauseCode), default=PauseCode.NONE)
    pause_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Empty if the app paused it.
    paused_by: Mapped[str] = mapped_column(String(120), default="")
    credential_failures: Mapped[int] = mapped_column(default=0)
    # Shown on every page.
    announcement: Mapped[str] = mapped_column("incident_note", String(500), default="")
    announced_at: Mapped[datetime | None] = mapped_column("incident_at")
    announced_by: Mapped[str] = mapped_column("incident_by", String(120), default="")
    # Facts of the last successful diagnostics, to compare the next with.
    baseline: Mapped[dict[str, Any] | None] = mapped_column("last_good")
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime | None]

    @property
    def paused(self) -> bool:
        """Whether its webhooks wait until it is resumed."""
        return self.paused_at is not None


LISTED = (Partner.name, Partner.paused_at, Partner.accepts_return)
"""The columns that lists load: with the others, each row would load all settings again."""


class InboundKey(Base):
    """An API key of a partner. Only its digest is stored."""

    __tablename__ = "inbound_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    # The last characters, so that users can tell keys apart; empty for older keys.
    ends_in: Mapped[str] = mapped_column(String(8), default="")
    created_at: Mapped[datetime]
    # Set by a rotation; None means no expiry.
    valid_until: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class InboundSecret(Base):
    """A secret with which a partner signs its messages. Verifying needs the secret, not only a digest."""

    __tablename__ = "inbound_secret"

    id: Mapped[int] = mapped_column(primary_key=True)
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id", ondelete="CASCADE"), index=True)
    secret: Mapped[str] = mapped_column(EncryptedText)
    created_at: Mapped[datetime]
    valid_until: Mapped[datetime | None]


# For Core statements, which cost less than the ORM's.
partners = cast(Table, Partner.__table__)
