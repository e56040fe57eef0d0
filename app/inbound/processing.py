"""Applying what a partner sent: idempotent, and every call is kept with the answer that it got.

The edge commits. An inbound message has no id of its own: it is the same message when its keys are the same
(keys.py), and it is a repeat only if the content is the same too. What was refused has no claim on its keys:
the same message, come again, is looked at anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, undefer

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.config import Settings
from app.db import advisory_lock
from app.delivery.service import new_id
from app.inbound.deduplication import Keys, keys_of
from app.inbound.handlers import VERBS, Terms
from app.inbound.models import Effect, InboundMessage
from app.network.messages import Invalid, Message, parse
from app.network.reader import Unreadable, canonical_sha256, dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind
from app.orders.validation import ValidationFailed

NO_CREDENTIALS_KEPT = 1000
"""How many calls without valid credentials are kept: the newest, and only their metadata."""
REASON_MAX = 200
"""Characters of the reason for applying again."""
EFFECTS = {
    ErrorCode.CREDENTIALS: Effect.NO_CREDENTIALS,
    ErrorCode.CONFLICT: Effect.CONFLICT,
    ErrorCode.UNKNOWN_OBJECT: Effect.UNMATCHED,
}
"""What became of a message, by what was wrong with it; anything else is refused."""


class CannotApply(Exception):
    """There is nothing to apply again; the text is the sentence that says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came in. ``headers`` are masked already."""

    kind: Kind
    path: str
    remote_address: str = ""
    headers: Sequence[tuple[str, str]] = ()
    received_at: datetime = field(default_factory=clock.now)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator set for taking messages in."""

    max_body_bytes: int
    respond_within: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The rules that the settings name."""
        return cls(settings.max_body_bytes, timedelta(hours=settings.respond_within_hours))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What we answer, and what became of the message."""

    inbound_id: str
    effect: Effect
    status: int
    body: bytes
    order_id: int | None = None
    error_field: str = ""
    detail: str = ""


def receive_message(session: Session, partner_id: int, call: Call, raw: bytes, rules: Rules) -> Receipt:
    """Read, check and apply one message of an authenticated partner, and keep it with its answer."""
    row = _row(call, partner_id=partner_id, size=len(raw), body=raw)
    value: Any = None
    try:
        value = read_json(raw, max_bytes=rules.max_body_bytes)
        message = parse(call.kind, value)
        first = _apply_once(session, row, message, value, Terms(row.received_at, rules.respond_within))
    except Unreadable as error:
        return _refuse(session, row, None, error.code, error.detail)
    except (Invalid, ValidationFailed) as error:
        return _refuse(session, row, value, error.code, error.detail, error.field)
    if first and first.answer_status == 200:
        return _answer(session, row, 200, first.answer_body)
    # The first was refused when it came and applied later: its repeat is told so.
    return _answer(session, row, 200, dumps(build_reply(call.kind, value, req_msg_id=(first or row).id)))


def refuse_call(
    session: Session, call: Call, code: ErrorCode, detail: str, *, partner_id: int | None, size: int
) -> Receipt:
    """Refuse a call whose body was not even read. Without credentials only so many are kept."""
    receipt = _refuse(session, _row(call, partner_id=partner_id, size=size), None, code, detail)
    if partner_id is None:
        _forget_old_strangers(session)
    return receipt


def apply_again(
    session: Session, row: InboundMessage, *, by: str, reason: str, rules: Rules
) -> InboundMessage:
    """Apply a stored message once more, now that its cause is mended; ``row`` was loaded for update.

    Its row tells who did it and why, and what came of it: applied, or refused once more. What the partner
    was answered stays as it was. The order counts it as received now, since until now it was not taken.

    Errors: CannotApply, and nothing changes.
    """
    blocker = why_not_again(row)
    if blocker:
        raise CannotApply(blocker)
    before = row.effect
    row.first_effect = row.first_effect or row.effect
    row.again_at, row.again_by, row.again_reason = clock.now(), by, reason[:REASON_MAX]
    try:
        value = read_json(row.body, max_bytes=len(row.body))
        message = parse(Kind(row.kind), value)
        _apply_once(session, row, message, value, Terms(row.again_at, rules.respond_within))
        row.again_detail = ""
    except (Unreadable, Invalid, ValidationFailed) as error:
        row.effect, row.again_detail = EFFECTS.get(error.code, Effect.REFUSED), error.detail
    session.flush()
    trail.record(
        session,
        AuditAction.APPLIED_AGAIN,
        AuditObject.INBOUND,
        row.id,
        name=row.buyer_po_number,
        by=by,
        reason=reason,
        before={"effect": before.value},
        after={"effect": row.effect.value, "why": row.again_detail},
    )
    return row


def why_not_again(row: InboundMessage) -> str | None:
    """Why a message cannot be applied again, in one sentence; None if it can."""
    if row.effect in (Effect.APPLIED, Effect.REPEATED):
        return "It was applied already."
    if row.partner_id is None or not row.body:
        return "Its content was not kept, so there is nothing to apply."
    return None


def _row(call: Call, *, partner_id: int | None, size: int, body: bytes = b"") -> InboundMessage:
    return InboundMessage(
        id=new_id("in", call.received_at),
        kind=call.kind,
        partner_id=partner_id,
        received_at=call.received_at,
        remote_address=call.remote_address,
        path=call.path[:200],
        headers=[list(header) for header in call.headers],
        size=size,
        body=body,
    )


def _apply_once(
    session: Session, row: InboundMessage, message: Message, value: Any, terms: Terms
) -> InboundMessage | None:
    """Apply a message unless it was; returns the first of which it is a repeat, or None.

    Errors: ValidationFailed, and no order and no message of ours has changed.
    """
    kind = Kind(row.kind)
    keys = keys_of(kind, message)
    _name(row, keys, value)
    advisory_lock(session, row.partner_id, keys.object_id)
    first = _first_of(session, row)
    if first is None:
        VERBS[kind](session, row, message, terms)
        row.effect = Effect.APPLIED
        return None
    row.order_id = first.order_id
    if first.content_sha256 != row.content_sha256:
        path = f"{keys.name}.objectId"
        detail = f"{path}: {first.id} has the same object, version and status, but other content."
        raise ValidationFailed(ErrorCode.CONFLICT, path, detail)
    row.effect, row.repeat_of = Effect.REPEATED, first.id
    return first


def _name(row: InboundMessage, keys: Keys, value: Any) -> None:
    row.object_id, row.buyer_po_number = keys.object_id, keys.buyer_po_number
    row.supplier_b2b_id = keys.supplier_b2b_id
    row.content_sha256 = canonical_sha256(value)
    row.same_as = keys.same_as


def _first_of(session: Session, row: InboundMessage) -> InboundMessage | None:
    return session.scalar(
        select(InboundMessage)
        .options(undefer(InboundMessage.answer_body))
        .where(
            InboundMessage.partner_id == row.partner_id,
            InboundMessage.same_as == row.same_as,
            InboundMessage.effect == Effect.APPLIED,
        )
    )


def _refuse(
    session: Session, row: InboundMessage, value: Any, code: ErrorCode, detail: str, path: str = ""
) -> Receipt:
    row.effect = EFFECTS.get(code, Effect.REFUSED)
    row.error_cd, row.error_field, row.detail = code, path, detail
    said = build_reply(Kind(row.kind), value, req_msg_id=row.id, code=code, detail=detail, field=path)
    return _answer(session, row, HTTP_STATUS[code], dumps(said))


def _answer(session: Session, row: InboundMessage, status: int, body: bytes) -> Receipt:
    row.answer_status, row.answer_body = status, body
    session.add(row)
    session.flush()
    return Receipt(
        inbound_id=row.id,
        effect=row.effect,
        status=status,
        body=body,
        order_id=row.order_id,
        error_field=row.error_field,
        detail=row.detail,
    )


def _forget_old_strangers(session: Session) -> None:
    """Keep the newest calls without credentials, so that nobody fills the disk by knocking."""
    oldest_kept = session.scalar(
        select(InboundMessage.id)
        .where(InboundMessage.effect == Effect.NO_CREDENTIALS)
        .order_by(InboundMessage.id.desc())
        .offset(NO_CREDENTIALS_KEPT - 1)
        .limit(1)
    )
    if oldest_kept:
        session.execute(
            delete(InboundMessage).where(
                InboundMessage.effect == Effect.NO_CREDENTIALS, InboundMessage.id < oldest_kept
            )
        )
