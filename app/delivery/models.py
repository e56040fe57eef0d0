"""Webhooks and their attempts. A row of ``message`` is both the queue entry and the log entry."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    case,
    text,
    type_coerce,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import clock
from app.db import Base, enum_type, literal_condition
from app.delivery.call_result import Detail, DetailCode
from app.partners.models import Partner
from app.request_context import ID_MAX, current_request_id


class MessageState(StrEnum):
    """The state of a message. *Paused* is not stored: it is a pending message of a paused partner."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELED = "cancelled"


NEEDS_ATTENTION = (
    "(coalesce(state, '') IN ('refused', 'failed')"
    " OR (coalesce(state, '') = 'cancelled' AND unknown_outcome))"
    " AND (closed_at_attempt IS NULL OR closed_at_attempt < attempts_made)"
)
"""``Message.needs_attention`` as the condition of a partial index.

``coalesce`` keeps SQLite from using the index on the state, which also holds all resolved messages.
"""
PAUSED = "held"
"""The state shown for a queued message while its partner is paused."""
RETRYING = "retrying"
"""The state shown for a queued message that had an attempt."""
LIVE = (MessageState.PENDING, MessageState.SENDING)
FINAL = tuple(state for state in MessageState if state not in LIVE)


class Trigger(StrEnum):
    """What made an attempt happen."""

    AUTO = "auto"
    MANUAL = "manual"
    BULK = "bulk"


class ResultFrom(StrEnum):
    """Where a webhook's result came from: the HTTP response to an attempt, or a later message."""

    RESPONSE = "answer"
    RESP_CONFIRM = "resp-confirm"


class MessageNote(StrEnum):
    """What happened last to a message; parameters are in ``note_params`` and in the message's columns."""

    NONE = ""
    # detail, detail_params, maybe_received: the newest attempt, with ``reason`` and the response.
    ATTEMPT = "attempt"
    # reason, status, detail, detail_params, text, field, maybe_received: of a resend that changed nothing.
    FAILED_RESEND = "failed_resend"
    # count
    REPEATEDLY_INTERRUPTED = "repeatedly_interrupted"
    LATE_DELIVERY = "late_delivery"
    LATE_REFUSAL = "late_refusal"
    # maybe_received; why is in ``cancel_requested``.
    CANCELED = "canceled"
    # text: from a version that stored sentences.
    TEXT = "text"


class CancelReason(StrEnum):
    """Why a message must not be sent, or not again; parameters are in ``cancel_params``."""

    # version
    ORDER_CHANGED = "order_changed"
    ORDER_CANCELED = "order_canceled"
    ORDER_CLOSED = "order_closed"
    # name, why
    PERSON = "person"
    # name
    UNDO = "undo"
    # text: from a version that stored sentences.
    TEXT = "text"


class Message(Base):
    """A webhook to a partner. Its body is stored when it is enqueued and never changes.

    The log and the access rules read copies of the order's data, so this package never reads orders.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("order_id", "decision_number"),
        # At most one message of an order is queued or being sent, so that they are sent in order.
        Index(
            "uq_message_live_order_id",
            "order_id",
            unique=True,
            sqlite_where=text("state IN ('pending', 'sending')"),
            postgresql_where=text("state IN ('pending', 'sending')"),
        ),
        # The worker's claims. Finished messages are not in it, so a long history does not slow them.
        Index(
            "ix_message_due",
            "partner_id",
            "next_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_message_leased",
            "lease_until",
            sqlite_where=text("state = 'sending'"),
            postgresql_where=text("state = 'sending'"),
        ),
        # Manual sends bypass a paused partner, and must be found quickly in a long queue.
        Index(
            "ix_message_asked",
            "partner_id",
            "next_at",
            sqlite_where=text("state = 'pending' AND trigger <> 'auto'"),
            postgresql_where=text("state = 'pending' AND trigger <> 'auto'"),
        ),
        Index("ix_message_state_id", "state", "id"),
        Index("ix_message_supplier_b2b_id_id", "supplier_b2b_id", "id"),
        Index("ix_message_buyer_po_number", "buyer_po_number"),
        Index("ix_message_partner_id_id", "partner_id", "id"),
        Index("ix_message_partner_id_state_id", "partner_id", "state", "id"),
        Index("ix_message_object_id", "object_id"),
        Index(
            "ix_message_req_msg_id",
            "req_msg_id",
            sqlite_where=text("req_msg_id <> ''"),
            postgresql_where=text("req_msg_id <> ''"),
        ),
        # A filter shows messages with several attempts. There are few.
        Index(
            "ix_message_retried",
            "attempts_made",
            "id",
            sqlite_where=text("attempts_made > 1"),
            postgresql_where=text("attempts_made > 1"),
        ),
        # Every page counts these from the index alone.
        Index(
            "ix_message_needing",
            "id",
            "supplier_b2b_id",
            "state",
            "unknown_outcome",
            "closed_at_attempt",
            "attempts_made",
            sqlite_where=text(NEEDS_ATTENTION),
            postgresql_where=text(NEEDS_ATTENTION),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("purchase_order.id"))
    decision_number: Mapped[int]
    object_id: Mapped[str] = mapped_column(String(100))
    buyer_po_number: Mapped[str] = mapped_column(String(50))
    buyer_b2b_id: Mapped[str] = mapped_column(String(100))
    supplier_b2b_id: Mapped[str] = mapped_column(String(100))
    object_version: Mapped[int]
    body: Mapped[bytes]
    body_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))

    state: Mapped[MessageState] = mapped_column(enum_type(MessageState))
    next_at: Mapped[datetime | None]
    claims: Mapped[int] = mapped_column(default=0)
    # Consecutive claims that ended without a recorded result.
    interruptions: Mapped[int] = mapped_column(default=0)
    # Finished automatic attempts, which the retry schedule counts. Manual attempts do not count.
    automatic_attempts: Mapped[int] = mapped_column("tries", key="automatic_attempts", default=0)
    # All attempts, automatic or manual; the number of the newest one.
    attempts_made: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    # A message that is being sent is canceled when its attempt has ended without a delivery.
    cancel_requested: Mapped[CancelReason | None] = mapped_column(enum_type(CancelReason, length=200))
    cancel_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Whether the partner may have processed an earlier attempt although it failed.
    unknown_outcome: Mapped[bool] = mapped_column(default=False)

    # The next attempt, if a person requested it: who, why, and the state and time to return to.
    trigger: Mapped[Trigger] = mapped_column(enum_type(Trigger), default=Trigger.AUTO)
    requested_by: Mapped[str | None] = mapped_column("asked_by", String(120), key="requested_by")
    request_reason: Mapped[str | None] = mapped_column("asked_reason", String(200), key="request_reason")
    # The request that queued or resent it: its attempts name it, as the log does.
    request_id: Mapped[str | None] = mapped_column(String(ID_MAX), default=current_request_id)
    resume_state: Mapped[MessageState | None] = mapped_column(enum_type(MessageState))
    resume_at: Mapped[datetime | None]

    # The result of the newest attempt, or the partner's later result.
    finished_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(String(40), default="")
    note_code: Mapped[MessageNote] = mapped_column(enum_type(MessageNote), default=MessageNote.NONE)
    note_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status_code: Mapped[int | None]
    response_code: Mapped[int | None]
    response_message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[str] = mapped_column(Text, default="")
    req_msg_id: Mapped[str] = mapped_column(Text, default="")
    error_cd: Mapped[str] = mapped_column(Text, default="")
    error_dtl: Mapped[str] = mapped_column(Text, default="")
    error_field: Mapped[str] = mapped_column(Text, default="")
    result_from: Mapped[ResultFrom | None] = mapped_column(enum_type(ResultFrom))
    # The late result, if one was received: when, and in which inbound message.
    result_at: Mapped[datetime | None]
    result_inbound_id: Mapped[str | None] = mapped_column(String(40))
    # The number of attempts when a person resolved it; a further attempt reopens it.
    closed_at_attempt: Mapped[int | None]

    partner: Mapped[Partner] = relationship(lazy="raise")
    attempts: Mapped[list[Attempt]] = relationship(lazy="raise", order_by="Attempt.number.desc()")

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens automatically."""
        return self.state in FINAL

    @property
    def has_problem(self) -> bool:
        """Whether it was refused, has failed, or was canceled although the partner may have received it."""
        if self.state is MessageState.CANCELED:
            return self.unknown_outcome
        return self.state in (MessageState.REFUSED, MessageState.FAILED)

    @hybrid_property
    def needs_attention(self) -> bool:
        """Whether it has a problem that nobody has resolved since its last attempt."""
        is_resolved = self.closed_at_attempt is not None and self.closed_at_attempt >= self.attempts_made
        return self.has_problem and not is_resolved

    @needs_attention.inplace.expression
    @classmethod
    def _needs_attention(cls) -> ColumnElement[bool]:
        return literal_condition(NEEDS_ATTENTION)

    @property
    def has_order_ended(self) -> bool:
        """Whether the buyer canceled or closed its order, so that no new response is possible."""
        return self.cancel_requested in (CancelReason.ORDER_CANCELED, CancelReason.ORDER_CLOSED)

    @property
    def has_late_result(self) -> bool:
        """Whether the partner sent the result later, in a message of its own."""
        return self.result_from is ResultFrom.RESP_CONFIRM and self.result_at is not None

    @hybrid_property
    def is_paused(self) -> bool:
        """Whether it waits because its partner is paused. In SQL it needs a join with the partner."""
        return self.state is MessageState.PENDING and self.partner.paused

    @is_paused.inplace.expression
    @classmethod
    def _is_paused(cls) -> ColumnElement[bool]:
        return and_(cls.state == MessageState.PENDING, Partner.paused_at.is_not(None))

    def may_be_in_flight(self, attempt: Attempt, now: datetime) -> bool:
        """Whether an attempt without a recorded end may still be in progress.

        A message that a late result ended keeps its lease, until which the HTTP call may last.
        """
        if not attempt.in_flight or attempt.number != self.attempts_made:
            return False
        return self.state is MessageState.SENDING or (self.lease_until is not None and self.lease_until > now)

    @hybrid_property
    def is_undoable(self) -> bool:
        """Whether its response can still be undone: it waits until the undo period ends."""
        is_unsent = self.state is MessageState.PENDING and self.attempts_made == 0
        return is_unsent and self.next_at is not None and self.next_at > clock.now()

    @is_undoable.inplace.expression
    @classmethod
    def _is_undoable(cls) -> ColumnElement[bool]:
        return and_(cls.state == MessageState.PENDING, cls.attempts_made == 0, cls.next_at > clock.now())

    @property
    def state_shown(self) -> str:
        """The state in JSON and exports: that of the row, or ``PAUSED``."""
        return PAUSED if self.is_paused else self.state.value

    @hybrid_property
    def labeled_state(self) -> str:
        """The state that pages show: that of the row, or ``PAUSED`` or ``RETRYING`` if it is pending.

        In SQL it needs a join with the partner.
        """
        if self.state is MessageState.PENDING and not self.is_paused and self.attempts_made:
            return RETRYING
        return self.state_shown

    @labeled_state.inplace.expression
    @classmethod
    def _labeled_state(cls) -> ColumnElement[str]:
        is_pending = cls.state == MessageState.PENDING
        return case(
            (cls.is_paused, PAUSED),
            (and_(is_pending, cls.attempts_made > 0), RETRYING),
            else_=type_coerce(cls.state, String),
        )


class Attempt(Base):
    """One attempt to send a message. Committed before the POST, and never overwritten after its end."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("message_id", "number"),
        # Only attempts that have ended, so that each is added to the index once.
        Index(
            "ix_attempt_status_message_id",
            "status",
            "message_id",
            sqlite_where=text("outcome IS NOT NULL"),
            postgresql_where=text("outcome IS NOT NULL"),
        ),
        Index(
            "ix_attempt_by_hand",
            "trigger",
            "message_id",
            sqlite_where=text("trigger <> 'auto'"),
            postgresql_where=text("trigger <> 'auto'"),
        ),
        # Attempts that ended in a period.
        Index(
            "ix_attempt_ended_at",
            "ended_at",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    number: Mapped[int]
    trigger: Mapped[Trigger] = mapped_column(enum_type(Trigger))
    actor: Mapped[str | None] = mapped_column(String(120))
    request_reason: Mapped[str | None] = mapped_column("asked_reason", String(200), key="request_reason")
    request_id: Mapped[str | None] = mapped_column(String(ID_MAX))
    url: Mapped[str] = mapped_column(String(600))
    request_headers: Mapped[list[list[str]]] = mapped_column(default=list)
    remote_address: Mapped[str | None] = mapped_column(String(60))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    # None while it is in flight, so that an attempt without a recorded end stays visible.
    outcome: Mapped[str | None] = mapped_column(String(40))
    detail_code: Mapped[DetailCode] = mapped_column(enum_type(DetailCode, length=40), default=DetailCode.NONE)
    detail_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[int | None]
    response_headers: Mapped[list[list[str]]] = mapped_column(default=list)
    response_body: Mapped[bytes] = mapped_column(default=b"", deferred=True)
    response_size: Mapped[int | None]
    duration_ms: Mapped[float | None]

    @property
    def detail(self) -> Detail:
        """What exactly went wrong."""
        return Detail(self.detail_code, self.detail_params)

    @property
    def in_flight(self) -> bool:
        """Whether nobody has recorded its end."""
        return self.outcome is None


class CircuitBreaker(Base):
    """The circuit breaker and rate allowance of one partner, shared by all workers."""

    __tablename__ = "lane"

    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id", ondelete="CASCADE"), primary_key=True)
    # Consecutive attempts without a valid response.
    failures: Mapped[int] = mapped_column(default=0)
    # Concurrent messages allowed during recovery; None is the partner's own limit.
    width: Mapped[int | None]
    # When the breaker opened, when the next probe may be sent, and how many have failed.
    opened_at: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]
    probes: Mapped[int] = mapped_column(default=0)
    # Messages that the rate permitted at ``allowance_at``.
    allowance: Mapped[float] = mapped_column(default=0.0)
    allowance_at: Mapped[datetime | None]
    # Consecutive automatic attempts that failed, with or without response, and when the first ended.
    failed_attempts: Mapped[int] = mapped_column(default=0)
    failed_since: Mapped[datetime | None]


class Measure(StrEnum):
    """What a row counts: attempts with their latency, or messages with their time to delivery."""

    ATTEMPT = "attempt"
    DELIVERY = "delivery"


Counter = Annotated[int, mapped_column(BigInteger)]


class AttemptStatistics(Base):
    """Attempts of one partner that ended in the same period with the same result; see ``statistics``."""

    __tablename__ = "attempt_statistics"

    # The first minute of the period, in minutes since 1970-01-01 UTC.
    minute: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id", ondelete="CASCADE"), primary_key=True)
    measure: Mapped[str] = mapped_column(String(12), primary_key=True)
    # Of attempts only; the status is 0 if there was no HTTP response.
    outcome: Mapped[str] = mapped_column(String(40), primary_key=True)
    status: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[Counter]
    # The sum of all durations, and how many were at most this long.
    milliseconds: Mapped[Counter]
    le_5ms: Mapped[Counter]
    le_10ms: Mapped[Counter]
    le_25ms: Mapped[Counter]
    le_50ms: Mapped[Counter]
    le_100ms: Mapped[Counter]
    le_250ms: Mapped[Counter]
    le_500ms: Mapped[Counter]
    le_1s: Mapped[Counter]
    le_2500ms: Mapped[Counter]
    le_5s: Mapped[Counter]
    le_10s: Mapped[Counter]
    le_30s: Mapped[Counter]
    le_1min: Mapped[Counter]
    le_5min: Mapped[Counter]
    le_30min: Mapped[Counter]
    le_2h: Mapped[Counter]
    le_8h: Mapped[Counter]
    le_1d: Mapped[Counter]
    le_3d: Mapped[Counter]
    le_inf: Mapped[Counter]


# For Core statements, which cost less than the ORM's.
attempts = cast(Table, Attempt.__table__)
breakers = cast(Table, CircuitBreaker.__table__)
messages = cast(Table, Message.__table__)
