"""Purchase orders, their versions as received, and the supplier's decisions."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    select,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship, validates

from app.accounts.models import Person
from app.db import Base, enum_type
from app.delivery.models import PAUSED, Message, MessageState
from app.network.messages import PurchaseOrderBody, ReqSend, parse
from app.network.reader import read_json
from app.network.vocabulary import Kind, Status
from app.partners.models import Partner


class ResponseState(StrEnum):
    """The last decision on an order; ``changed`` means that it is for an older version."""

    NONE = "none"
    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    RETURN = "RETURN"
    CHANGED = "changed"


class Delivery(StrEnum):
    """The state of the last decision's webhook, or none."""

    NONE = "none"
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELED = "cancelled"


NEEDS_RESPONSE_SQL = (
    "status = 'CREATED'",
    "(answer IN ('none', 'changed') OR delivery IN ('refused', 'failed', 'cancelled'))",
)
"""The rule of ``PurchaseOrder.needs_response`` as SQL text: an index has exactly this text."""
UNSUCCESSFUL_DELIVERIES = (Delivery.REFUSED, Delivery.FAILED, Delivery.CANCELED)
"""After one of these, the supplier must respond again."""


NO_DAY = date.max
"""The delivery day of an order whose date cannot be read: it sorts last."""


NO_TOTAL = -1
"""The paise of an order without a total: it sorts before all others."""
PAISE_MAX = 2**63 - 1
BODY_BYTES_MAX = 64 * 1024 * 1024
"""A stored version is read even if the current limit for incoming messages is lower."""


def to_paise(rupees: Decimal | str | None) -> int:
    """An amount in whole paise for filters and sorting, at least 0; NO_TOTAL for none.

    Amounts that no column can hold count as the largest one.
    """
    if rupees is None:
        return NO_TOTAL
    paise = (Decimal(rupees).min(Decimal(PAISE_MAX)) * 100).to_integral_value(ROUND_HALF_UP)
    return min(max(int(paise), 0), PAISE_MAX)


class PurchaseOrder(Base):
    """One order of one partner, with the values of its newest revision.

    ``status`` is the one at the partner. ``response`` and ``delivery`` are copies from the last decision and
    its webhook, made in the transaction that changes these.
    """

    __tablename__ = "purchase_order"
    __table_args__ = (
        UniqueConstraint("partner_id", "object_id"),
        Index("ix_purchase_order_respond_by", "respond_by", "id"),
        Index("ix_purchase_order_received_at", "received_at", "id"),
        # Every page counts the work queues; the index has only open orders.
        Index(
            "ix_purchase_order_waits",
            "respond_by",
            "id",
            "supplier_b2b_id",
            sqlite_where=text(" AND ".join(NEEDS_RESPONSE_SQL)),
            postgresql_where=text(" AND ".join(NEEDS_RESPONSE_SQL)),
        ),
        Index("ix_purchase_order_answer", "answer", "respond_by", "id"),
        Index("ix_purchase_order_delivery", "delivery", "respond_by", "id"),
        Index("ix_purchase_order_supplier", "supplier_b2b_id", "respond_by", "id"),
        Index("ix_purchase_order_assignee", "assignee_id", "respond_by", "id"),
        # For the other sort orders of the list.
        Index("ix_purchase_order_delivery_day", "delivery_day", "id"),
        Index("ix_purchase_order_buyer_po_number", "buyer_po_number", "id"),
        Index("ix_purchase_order_total", "total_paise", "id"),
        Index("ix_purchase_order_buyer", "buyer_b2b_id", "respond_by", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id"))
    object_id: Mapped[str] = mapped_column(String(100))
    buyer_po_number: Mapped[str] = mapped_column(String(50))
    buyer_b2b_id: Mapped[str] = mapped_column(String(100))
    supplier_b2b_id: Mapped[str] = mapped_column(String(100))
    buyer_name: Mapped[str] = mapped_column(Text)
    supplier_name: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    # Dates as received: a partner may write "soon".
    order_date: Mapped[str] = mapped_column(Text)
    delivery_date: Mapped[str] = mapped_column(Text)
    # The day that the text names, for sorting; NO_DAY if it names none.
    delivery_day: Mapped[date]
    line_count: Mapped[int]
    # Money as text, exact on every database; None if the order has no total.
    total: Mapped[str | None] = mapped_column(String(60))
    # The same for filters and sorting; see ``to_paise``.
    total_paise: Mapped[int] = mapped_column(BigInteger, default=NO_TOTAL)
    search_text: Mapped[str] = mapped_column(Text, deferred=True)

    status: Mapped[str] = mapped_column(String(100))
    version: Mapped[int]
    received_at: Mapped[datetime]
    revised_at: Mapped[datetime]
    respond_by: Mapped[datetime]

    response: Mapped[ResponseState] = mapped_column(
        "answer", enum_type(ResponseState), default=ResponseState.NONE
    )
    delivery: Mapped[Delivery] = mapped_column(enum_type(Delivery), default=Delivery.NONE)
    message_id: Mapped[str | None] = mapped_column(String(40), index=True)
    responded_at: Mapped[datetime | None] = mapped_column("answered_at")
    responded_by: Mapped[str] = mapped_column("answered_by", String(120), default="")
    # The assignee.
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))

    assignee: Mapped[Person | None] = relationship(lazy="raise")
    is_retrying: ClassVar[Any]
    partner: Mapped[Partner] = relationship(lazy="raise")
    revisions: Mapped[list[Revision]] = relationship(lazy="raise", order_by="Revision.version.desc()")
    decisions: Mapped[list[Decision]] = relationship(lazy="raise", order_by="Decision.number.desc()")
    status_changes: Mapped[list[StatusChange]] = relationship(lazy="raise", order_by="StatusChange.id.desc()")
    # The decision whose webhook is the order's last one.
    newest_decision: Mapped[Decision | None] = relationship(
        lazy="raise",
        viewonly=True,
        primaryjoin="foreign(PurchaseOrder.message_id) == remote(Decision.message_id)",
        uselist=False,
    )

    @property
    def content(self) -> PurchaseOrderBody:
        """The order itself as its newest version has it; the order was loaded with its versions."""
        return self.revisions[0].message.purchase_order

    def revision(self, version: int) -> Revision:
        """This version of the order; the order was loaded with its versions."""
        return next(revision for revision in self.revisions if revision.version == version)

    @property
    def last_decision(self) -> Decision | None:
        """The last decision, for any version; the order was loaded with its decisions."""
        return self.decisions[0] if self.decisions else None

    @validates("total")
    def _set_paise(self, _name: str, total: str | None) -> str | None:
        self.total_paise = to_paise(total)
        return total

    @hybrid_property
    def needs_response(self) -> bool:
        """Whether the supplier must respond: open, with no response in effect or on its way."""
        if self.status != Status.CREATED:
            return False
        no_response = self.response in (ResponseState.NONE, ResponseState.CHANGED)
        return no_response or self.delivery in UNSUCCESSFUL_DELIVERIES

    @needs_response.inplace.expression
    @classmethod
    def _needs_response_sql(cls) -> ColumnElement[bool]:
        # Exactly as in the index, otherwise the database does not use it.
        return and_(*(text(condition) for condition in NEEDS_RESPONSE_SQL))

    @hybrid_property
    def is_delivery_paused(self) -> bool:
        """Whether the last webhook waits because the partner is paused. In SQL it needs a join with it."""
        return self.delivery is Delivery.PENDING and self.partner.paused

    @is_delivery_paused.inplace.expression
    @classmethod
    def _is_delivery_paused(cls) -> ColumnElement[bool]:
        return and_(cls.delivery == Delivery.PENDING, Partner.paused_at.is_not(None))

    @property
    def delivery_shown(self) -> str:
        """The delivery in JSON and exports: that of the row, or ``PAUSED``."""
        return PAUSED if self.is_delivery_paused else self.delivery.value


class Revision(Base):
    """One version of an order, immutable, byte for byte as received."""

    __tablename__ = "revision"
    __table_args__ = (UniqueConstraint("order_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    version: Mapped[int]
    inbound_id: Mapped[str] = mapped_column(String(40))
    body: Mapped[bytes]
    received_at: Mapped[datetime]

    @property
    def message(self) -> ReqSend:
        """The parsed body, which was validated when it was received."""
        return _read(self.body)


# A page reads the same version for its form, its document and its activity.
@lru_cache(maxsize=4)
def _read(body: bytes) -> ReqSend:
    return parse(Kind.REQ_SEND, read_json(body, max_bytes=BODY_BYTES_MAX))


class StatusChange(Base):
    """A cancellation or closure by the buyer: the action, the reason, and the status before and after."""

    __tablename__ = "status_change"
    __table_args__ = (Index("ix_status_change_order_id", "order_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    version: Mapped[int]
    action: Mapped[str] = mapped_column(String(24))
    remarks: Mapped[str] = mapped_column(Text)
    status_from: Mapped[str] = mapped_column(String(100))
    status_to: Mapped[str] = mapped_column(String(24))
    inbound_id: Mapped[str] = mapped_column(String(40))
    received_at: Mapped[datetime]


class OrderView(Base):
    """The first view of a version by a person of the supplier."""

    __tablename__ = "order_view"
    __table_args__ = (UniqueConstraint("order_id", "version", "person_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    version: Mapped[int]
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    person_name: Mapped[str] = mapped_column(String(120))
    seen_at: Mapped[datetime]


class Comment(Base):
    """What a person wrote about an order for the team; never sent to the partner."""

    __tablename__ = "order_comment"
    __table_args__ = (Index("ix_order_comment_order_id", "order_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    person_name: Mapped[str] = mapped_column(String(120))
    text: Mapped[str] = mapped_column(Text)
    # The usernames that were notified.
    mentions: Mapped[list[str]]
    created_at: Mapped[datetime]


class OpenForm(Base):
    """A person has the response form of an order open; out of date a minute after ``seen_at``."""

    __tablename__ = "open_form"
    __table_args__ = (Index("ix_open_form_seen_at", "seen_at"),)

    order_id: Mapped[int] = mapped_column(
        ForeignKey("purchase_order.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    seen_at: Mapped[datetime]

    person: Mapped[Person] = relationship(lazy="raise")


class BulkSource(StrEnum):
    """Where the orders of a bulk response come from."""

    SELECTION = "selection"
    FILTER = "filter"
    SPREADSHEET = "spreadsheet"


class BulkStatus(StrEnum):
    """Whether one order accepts its response, or what happened to it."""

    READY = "ready"
    RECORDED = "recorded"
    SAME_RESPONSE = "same_response"
    OTHER_RESPONSE = "other_response"
    CHANGED = "changed"
    BLOCKED = "blocked"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    # The row of the spreadsheet has errors.
    ERRORS = "errors"


class BulkResponse(Base):
    """Responses to several orders: a plan until its author sends it, then their result.

    ``response`` and ``remarks`` are for all orders; a spreadsheet has them per order. ``missing`` orders were
    selected but not found, ``blank`` rows of a spreadsheet have no response.
    """

    __tablename__ = "bulk_response"
    __table_args__ = (Index("ix_bulk_response_created_at", "created_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    source: Mapped[BulkSource] = mapped_column(enum_type(BulkSource))
    file_name: Mapped[str] = mapped_column(String(200), default="")
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    person_name: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    # The background job that records the responses, if there are many.
    job_id: Mapped[str | None] = mapped_column(String(40))
    response: Mapped[str] = mapped_column(String(24), default="")
    remarks: Mapped[str] = mapped_column(Text, default="")
    missing: Mapped[int] = mapped_column(default=0)
    blank: Mapped[int] = mapped_column(default=0)


class BulkItem(Base):
    """One order of a bulk response.

    ``entered`` is what the person entered for this order, by column; ``data`` is the valid response, once it
    is sent. ``result`` is None until the order was processed. ``version`` is the one that the person saw.
    """

    __tablename__ = "bulk_item"
    __table_args__ = (Index("ix_bulk_item_order_id", "order_id"),)

    bulk_id: Mapped[str] = mapped_column(ForeignKey("bulk_response.id", ondelete="CASCADE"), primary_key=True)
    # The position in the selection, or the row of the spreadsheet.
    number: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    version: Mapped[int | None]
    entered: Mapped[dict[str, Any]] = mapped_column(default=dict)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[BulkStatus | None] = mapped_column(enum_type(BulkStatus))
    # The person who responded first, the blocker, the error of the partner contract, or the earlier row with
    # the same order.
    result_detail: Mapped[str] = mapped_column(Text, default="")
    message_id: Mapped[str | None] = mapped_column(String(40))


class Decision(Base):
    """One response to one version of an order."""

    __tablename__ = "decision"
    __table_args__ = (
        UniqueConstraint("order_id", "number"),
        # Covers the response report.
        Index(
            "ix_decision_report",
            "decided_at",
            "supplier_b2b_id",
            "undone",
            "person_name",
            "response",
            "remarks",
            "took_seconds",
            "left_seconds",
        ),
        # The newest responses of one person, for the search.
        Index("ix_decision_person_id_id", "person_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    number: Mapped[int]
    version: Mapped[int]
    response: Mapped[str] = mapped_column(String(24))
    remarks: Mapped[str] = mapped_column(String(100))
    device_tag_name: Mapped[str] = mapped_column(String(100))
    device_tag_value: Mapped[str] = mapped_column(String(200))
    infos: Mapped[list[list[str]]]
    # The lines that differ from the order, as line_responses.to_json has them.
    line_responses: Mapped[list[dict[str, Any]]] = mapped_column("lines", default=list)
    status_from: Mapped[str] = mapped_column(String(100))
    status_to: Mapped[str] = mapped_column(String(24))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    person_name: Mapped[str] = mapped_column(String(120))
    decided_at: Mapped[datetime]
    message_id: Mapped[str] = mapped_column(ForeignKey("message.id"), unique=True)
    # Whole seconds from the receipt of the version to the response, and from the response to the deadline
    # (negative if late). Stored, since later versions have other deadlines.
    took_seconds: Mapped[int] = mapped_column(default=0)
    left_seconds: Mapped[int] = mapped_column(default=0)
    supplier_b2b_id: Mapped[str] = mapped_column(String(100), default="")
    # Whether it was undone before its webhook was sent.
    undone: Mapped[bool] = mapped_column(default=False)


class OrderItem(Base):
    """One line of an order's current version, to compare orders by their items. Numbers are exact text."""

    __tablename__ = "order_item"
    __table_args__ = (
        Index("ix_order_item_history", "supplier_b2b_id", "buyer_b2b_id", "item_key", "order_id"),
        Index("ix_order_item_order_id", "order_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    supplier_b2b_id: Mapped[str] = mapped_column(String(100))
    buyer_b2b_id: Mapped[str] = mapped_column(String(100))
    item_key: Mapped[str] = mapped_column(String(32))
    line_index: Mapped[int] = mapped_column("place")
    quantity: Mapped[str | None] = mapped_column(String(40))
    unit: Mapped[str] = mapped_column(String(40))
    unit_price: Mapped[str | None] = mapped_column(String(40))
    hsn_code: Mapped[str] = mapped_column(String(40))
    gst_rate: Mapped[str | None] = mapped_column(String(40))
    # Days from the order date to the delivery date; None where one of them cannot be read.
    lead_days: Mapped[int | None]


class OrderCheckDismissal(Base):
    """A person dismissed a check of one version of an order, with a note."""

    __tablename__ = "order_check_dismissal"
    __table_args__ = (UniqueConstraint("order_id", "version", "kind", "reference"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id", ondelete="CASCADE"))
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(24))
    reference: Mapped[str] = mapped_column(String(100))
    note: Mapped[str] = mapped_column(String(200))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    person_name: Mapped[str] = mapped_column(String(120))
    dismissed_at: Mapped[datetime]


# Loaded only where it is shown: whether the queued webhook of the last response has failed at least once.
PurchaseOrder.is_retrying = column_property(
    select(and_(Message.state == MessageState.PENDING, Message.attempts_made > 0))
    .where(Message.id == PurchaseOrder.message_id)
    .correlate_except(Message)
    .scalar_subquery(),
    deferred=True,
)
