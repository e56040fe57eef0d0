"""Inbound messages: what came, what we answered, what it changed."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, enum_type, literal_condition
from app.partners.models import Partner


class Effect(StrEnum):
    """What became of an inbound message."""

    APPLIED = "applied"
    REPEATED = "repeated"
    # The same message with other content, or a result that contradicts an earlier one.
    CONFLICT = "conflict"
    # It breaks the contract, or the order as it stands does not allow it.
    REFUSED = "refused"
    # It fits no order, or no answer, that we know: support looks at these.
    UNMATCHED = "unmatched"
    NO_CREDENTIALS = "no_credentials"


NEEDS_ATTENTION = "coalesce(effect, '') = 'unmatched' AND closed_at IS NULL"
"""``InboundMessage.needs_attention`` as the condition of a partial index."""


class InboundMessage(Base):
    """One call of a partner, kept as received with the answer that it got."""

    __tablename__ = "inbound_message"
    __table_args__ = (
        # One applied message a key: the same one in two parallel calls is applied once.
        Index(
            "uq_inbound_message_same",
            "partner_id",
            "same_as",
            unique=True,
            sqlite_where=text("effect = 'applied'"),
            postgresql_where=text("effect = 'applied'"),
        ),
        Index("ix_inbound_message_effect_id", "effect", "id"),
        Index("ix_inbound_message_order_id", "order_id"),
        Index("ix_inbound_message_supplier_b2b_id_id", "supplier_b2b_id", "id"),
        Index("ix_inbound_message_partner_id_id", "partner_id", "id"),
        Index("ix_inbound_message_answer_status_id", "answer_status", "id"),
        Index("ix_inbound_message_buyer_po_number", "buyer_po_number"),
        Index("ix_inbound_message_object_id", "object_id"),
        Index("ix_inbound_message_repeat_of", "repeat_of"),
        Index(
            "ix_inbound_message_needing",
            *("id", "supplier_b2b_id", "effect", "closed_at"),
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
    # Kind, object, version and new status in one text: what makes two messages the same one ...
    same_as: Mapped[str | None] = mapped_column(Text)
    # ... if their content is the same too.
    content_sha256: Mapped[str] = mapped_column(String(64), default="")
    repeat_of: Mapped[str | None] = mapped_column(String(40))

    # What became of it; the answer below is what the partner was told when it came.
    effect: Mapped[Effect] = mapped_column(enum_type(Effect))
    error_cd: Mapped[str] = mapped_column(String(40), default="")
    error_field: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    answer_status: Mapped[int]
    answer_body: Mapped[bytes] = mapped_column(default=b"", deferred=True)

    # Applied again by hand: who, why, when, what came of it, and what had come of it when it was answered.
    again_at: Mapped[datetime | None]
    again_by: Mapped[str | None] = mapped_column(String(120))
    again_reason: Mapped[str | None] = mapped_column(String(200))
    again_detail: Mapped[str | None] = mapped_column(Text)
    first_effect: Mapped[Effect | None] = mapped_column(enum_type(Effect))
    # When somebody said that nothing more is to be done about it.
    closed_at: Mapped[datetime | None]

    partner: Mapped[Partner | None] = relationship(lazy="raise")

    @hybrid_property
    def needs_attention(self) -> bool:
        """Whether it is unmatched and nobody has resolved it."""
        return self.effect is Effect.UNMATCHED and self.closed_at is None

    @needs_attention.inplace.expression
    @classmethod
    def _needs_attention(cls) -> ColumnElement[bool]:
        return literal_condition(NEEDS_ATTENTION)
