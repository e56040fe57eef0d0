"""Processing of incoming messages: idempotent, and every request is stored with its response.

Nothing here commits. Incoming messages have no id: two messages are the same if their keys are the same
(``deduplication``), and the second is a repeat only if its content is the same too. A rejected message does
not block its keys: if it is sent again, it is processed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, undefer

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.config import Settings
from app.db import advisory_lock, new_id
from app.inbound.deduplication import duplicate_key, object_of
from app.inbound.handlers import HANDLERS
from app.inbound.models import Effect, InboundMessage
from app.network.messages import Invalid, Message, parse
from app.network.reader import Unreadable, canonical_sha256, dumps, read_json
from app.network.replies import OBJECT_NAMES, build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind
from app.orders.incoming import Receipt

UNAUTHENTICATED_KEPT = 1000
"""Maximum number of unauthenticated requests that are kept: the newest, without their bodies."""
REASON_MAX = 200
"""Maximum length of the reason for reprocessing, in characters."""
EFFECTS = {
    ErrorCode.CREDENTIALS: Effect.UNAUTHENTICATED,
    ErrorCode.CONFLICT: Effect.CONFLICT,
    ErrorCode.UNKNOWN_OBJECT: Effect.UNMATCHED,
}
"""The result of a message for each error code; with any other it is rejected."""


class ReprocessBlocker(StrEnum):
    """Why a message cannot be reprocessed; the sentences are in ``presenters``."""

    ALREADY_APPLIED = "already_applied"
    NO_BODY = "no_body"


class CannotReprocess(Exception):
    """The message cannot be reprocessed; ``blocker`` says why."""

    def __init__(self, blocker: ReprocessBlocker) -> None:
        super().__init__(blocker.value)
        self.blocker = blocker


@dataclass(frozen=True, slots=True)
class Call:
    """One incoming request. Secrets in ``headers`` are already masked."""

    kind: Kind
    path: str
    remote_address: str = ""
    headers: Sequence[tuple[str, str]] = ()
    received_at: datetime = field(default_factory=clock.now)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings for incoming messages."""

    max_body_bytes: int
    respond_within: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The rules of these settings."""
        return cls(settings.max_body_bytes, timedelta(hours=settings.respond_within_hours))


def receive_message(
    session: Session, partner_id: int, call: Call, raw: bytes, rules: Rules
) -> InboundMessage:
    """Parse, validate and apply one message of an authenticated partner, and store it with its response."""
    row = _row(call, partner_id=partner_id, size=len(raw), body=raw)
    value: Any = None
    try:
        value = read_json(raw, max_bytes=rules.max_body_bytes)
        message = parse(call.kind, value)
        receipt = Receipt(row.id, raw, row.received_at, rules.respond_within)
        first = _apply_once(session, row, message, value, receipt)
    except Unreadable as error:
        return _reject(session, row, None, error.code, error.detail)
    except Invalid as error:
        return _reject(session, row, value, error.code, error.detail, error.field)
    if first and first.response_status == 200:
        return _store(session, row, 200, first.response_body)
    # The first one was rejected on receipt and applied later, so its stored response does not fit.
    return _store(session, row, 200, dumps(build_reply(call.kind, value, req_msg_id=(first or row).id)))


def reject_call(
    session: Session, call: Call, code: ErrorCode, detail: str, *, partner_id: int | None, size: int
) -> InboundMessage:
    """Reject a request without reading its body. Only the newest unauthenticated requests are kept."""
    row = _reject(session, _row(call, partner_id=partner_id, size=size), None, code, detail)
    if partner_id is None:
        _delete_old_unauthenticated(session)
    return row


def reprocess(session: Session, row: InboundMessage, *, by: str, reason: str, rules: Rules) -> InboundMessage:
    """Apply a stored message again after the cause of its failure was fixed; ``row`` must be locked.

    The row stores who did it, why, and the new result. The stored response to the partner does not change.
    The order gets a new deadline, counted from now.

    Errors: CannotReprocess, and nothing changes.
    """
    blocker = reprocess_blocker(row)
    if blocker:
        raise CannotReprocess(blocker)
    before = row.effect
    row.first_effect = row.first_effect or row.effect
    row.reprocessed_at, row.reprocessed_by, row.reprocess_reason = clock.now(), by, reason[:REASON_MAX]
    try:
        value = read_json(row.body, max_bytes=len(row.body))
        message = parse(Kind(row.kind), value)
        receipt = Receipt(row.id, row.body, row.reprocessed_at, rules.respond_within)
        _apply_once(session, row, message, value, receipt)
        row.reprocess_error = ""
    except (Unreadable, Invalid) as error:
        row.effect, row.reprocess_error = EFFECTS.get(error.code, Effect.REJECTED), error.detail
    session.flush()
    trail.record(
        session,
        AuditAction.REPROCESSED,
        AuditObject.INBOUND,
        row.id,
        name=row.buyer_po_number,
        by=by,
        reason=reason,
        before={"effect": before.value},
        after={"effect": row.effect.value, "error": row.reprocess_error},
    )
    return row


def reprocess_blocker(row: InboundMessage) -> ReprocessBlocker | None:
    """Why a message cannot be reprocessed; None if it can."""
    if row.effect in (Effect.APPLIED, Effect.REPEATED):
        return ReprocessBlocker.ALREADY_APPLIED
    if row.partner_id is None or not row.body:
        return ReprocessBlocker.NO_BODY
    return None


def _row(call: Call, *, partner_id: int | None, size: int, body: bytes = b"") -> InboundMessage:
    return InboundMessage(
        id=new_id("in", call.received_at),
        kind=call.kind,
        partner_id=partner_id,
        received_at=call.received_at,
        remote_address=call.remote_address[:60],
        path=call.path[:200],
        headers=[list(header) for header in call.headers],
        size=size,
        body=body,
    )


def _apply_once(
    session: Session, row: InboundMessage, message: Message, value: Any, receipt: Receipt
) -> InboundMessage | None:
    """Apply a message unless it was applied before; returns the message that it repeats, or None.

    Errors: Invalid, and no order or webhook has changed.
    """
    kind = Kind(row.kind)
    _set_keys(row, message, value)
    advisory_lock(session, row.partner_id, row.object_id)
    first = _applied_duplicate(session, row)
    if first is None:
        HANDLERS[kind](session, row, message, receipt)
        row.effect = Effect.APPLIED
        return None
    row.order_id = first.order_id
    if first.content_sha256 != row.content_sha256:
        path = f"{OBJECT_NAMES[kind]}.objectId"
        detail = f"{path}: {first.id} has the same object, version and status, but different content."
        raise Invalid(ErrorCode.CONFLICT, path, detail)
    row.effect, row.repeat_of = Effect.REPEATED, first.id
    return first


def _set_keys(row: InboundMessage, message: Message, value: Any) -> None:
    message_object = object_of(message)
    row.object_id, row.buyer_po_number = message_object.object_id, message_object.buyer_po_number
    row.supplier_b2b_id = message.b2b_ids.supplier_b2b_id
    row.content_sha256 = canonical_sha256(value)
    row.duplicate_key = duplicate_key(Kind(row.kind), message)


def _applied_duplicate(session: Session, row: InboundMessage) -> InboundMessage | None:
    return session.scalar(
        select(InboundMessage)
        .options(undefer(InboundMessage.response_body))
        .where(
            InboundMessage.partner_id == row.partner_id,
            InboundMessage.duplicate_key == row.duplicate_key,
            InboundMessage.effect == Effect.APPLIED,
        )
    )


def _reject(
    session: Session, row: InboundMessage, value: Any, code: ErrorCode, detail: str, path: str = ""
) -> InboundMessage:
    row.effect = EFFECTS.get(code, Effect.REJECTED)
    row.error_cd, row.error_field, row.detail = code, path, detail
    reply = build_reply(Kind(row.kind), value, req_msg_id=row.id, code=code, detail=detail, field=path)
    return _store(session, row, HTTP_STATUS[code], dumps(reply))


def _store(session: Session, row: InboundMessage, status: int, body: bytes) -> InboundMessage:
    row.response_status, row.response_body = status, body
    session.add(row)
    session.flush()
    return row


def _delete_old_unauthenticated(session: Session) -> None:
    """Delete all but the newest unauthenticated requests, so that they cannot fill the disk."""
    oldest_kept = session.scalar(
        select(InboundMessage.id)
        .where(InboundMessage.effect == Effect.UNAUTHENTICATED)
        .order_by(InboundMessage.id.desc())
        .offset(UNAUTHENTICATED_KEPT - 1)
        .limit(1)
    )
    if oldest_kept:
        session.execute(
            delete(InboundMessage).where(
                InboundMessage.effect == Effect.UNAUTHENTICATED, InboundMessage.id < oldest_kept
            )
        )
