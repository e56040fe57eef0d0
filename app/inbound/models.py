"""Incoming messages: the request, the response, and the result."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, enum_type, literal_condition
from app.partners.models import Partner


class Effect(StrEnum):
    """The result of an incoming message; labels are in ``presenters``."""

    APPLIED = "applied"
    REPEATED = "repeated"
    # The same message with different content, or a result that contradicts an earlier one.
    CONFLICT = "conflict"
    # It violates the contract, or the current state of the order does not allow it.
    REJECTED = "refused"
    # It refers to an unknown order or response; support handles these.
    UNMATCHED = "unmatched"
    UNAUTHENTICATED = "no_credentials"


NEEDS_ATTENTION = "coalesce(effect, '') = 'unmatched' AND closed_at IS NULL"
"""``InboundMessage.needs_attention`` as the condition of a partial index."""


class InboundMessage(Base):
    """One request of a partner, stored as received with the response it got."""

    __tablename__ = "inbound_message"
    __table_args__ = (
        # At most one applied message per key: the same message in two parallel requests is applied once.
        Index(
            "uq_inbound_message_same",
            "partner_id",
            "duplicate_key",
            unique=True,
            sqlite_where=text("effect = 'applied'"),
            postgresql_where=text("effect = 'applied'"),
        ),
        Index("ix_inbound_message_effect_id", "effect", "id"),
        Index("ix_inbound_message_order_id", "order_id"),
        Index("ix_inbound_message_supplier_b2b_id_id", "supplier_b2b_id", "id"),
        Index("ix_inbound_message_partner_id_id", "partner_id", "id"),
        Index("ix_inbound_message_answer_status_id", "response_status", "id"),
        Index("ix_inbound_message_buyer_po_number", "buyer_po_number"),
        Index("ix_inbound_message_object_id", "object_id"),
        Index("ix_inbound_message_repeat_of", "repeat_of"),
        Index(
            "ix_inbound_message_needing",
            "id",
            "supplier_b2b_id",
            "effect",
            "closed_at",
            sqlite_where=text(NEEDS_ATTENTION),
            postgresql_where=text(NEEDS_ATTENTION),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    partner_id: Mapped[int | None] = mapped_column(ForeignKey("partner.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("purchase_order.id"))
    received_at: Mapped[datetime]
    remote_address: Mapped[str] = mapped_column(String(60), default="")
    path: Mapped[str] = mapped_column(String(200), default="")
    headers: Mapped[list[list[str]]] = mapped_column(default=list)
    size: Mapped[int]
    body: Mapped[bytes] = mapped_column(default=b"", deferred=True)

    object_id: Mapped[str] = mapped_column(String(100), default="")
    buyer_po_number: Mapped[str] = mapped_column(String(50), default="")
    supplier_b2b_id: Mapped[str] = mapped_column(String(100), default="")
    # Kind, object, version and new status: two messages with the same value are duplicates ...
    duplicate_key: Mapped[str | None] = mapped_column("same_as", Text, key="duplicate_key")
    # ... if this hash matches too; otherwise they are in conflict.
    content_sha256: Mapped[str] = mapped_column(String(64), default="")
    repeat_of: Mapped[str | None] = mapped_column(String(40))

    # The current result. The response below is the one the partner got.
    effect: Mapped[Effect] = mapped_column(enum_type(Effect))
    error_cd: Mapped[str] = mapped_column(String(40), default="")
    error_field: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    response_status: Mapped[int] = mapped_column("answer_status", key="response_status")
    response_body: Mapped[bytes] = mapped_column(
        "answer_body", key="response_body", default=b"", deferred=True
    )

    # Reprocessed manually: when, by whom, why, the new error if any, and the result before.
    reprocessed_at: Mapped[datetime | None] = mapped_column("again_at", key="reprocessed_at")
    reprocessed_by: Mapped[str | None] = mapped_column("again_by", String(120), key="reprocessed_by")
    reprocess_reason: Mapped[str | None] = mapped_column("again_reason", String(200), key="reprocess_reason")
    reprocess_error: Mapped[str | None] = mapped_column("again_detail", Text, key="reprocess_error")
    first_effect: Mapped[Effect | None] = mapped_column(enum_type(Effect))
    # When a person resolved it.
    closed_at: Mapped[datetime | None]

    partner: Mapped[Partner | None] = relationship(lazy="raise")

    @hybrid_property
    def needs_attention(self) -> bool:
        """Whether it is unmatched and not resolved."""
        return self.effect is Effect.UNMATCHED and self.closed_at is None

    @needs_attention.inplace.expression
    @classmethod
    def _needs_attention(cls) -> ColumnElement[bool]:
        return literal_condition(NEEDS_ATTENTION)
