"""Applying what a partner sent: idempotent, and every call is kept with the answer that it got.

The edge commits. An inbound message has no id of its own: it is the same message when kind, object, version
and new status are the same, and it is a repeat only if the content is the same too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, undefer

from app import clock
from app.contract.answers import answer
from app.contract.messages import Invalid, Message, ReqSend, parse
from app.contract.reader import Unreadable, canonical_sha256, dumps, read_json
from app.contract.vocabulary import HTTP_STATUS, ErrorCode, Kind
from app.db import serialise
from app.inbound.models import Effect, InboundMessage
from app.orders import receive
from app.outbox.messages import new_id

NO_CREDENTIALS_KEPT = 1000
"""How many calls without valid credentials are kept: the newest, and only their metadata."""


class Refused(Exception):
    """A message that is readable and well formed, but cannot be applied."""

    def __init__(self, code: ErrorCode, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field


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
        return _applied_once(session, row, message, value, rules)
    except Unreadable as error:
        return _refuse(session, row, None, error.code, error.detail)
    except (Invalid, Refused) as error:
        return _refuse(session, row, value, error.code, error.detail, error.field)


def refuse_call(
    session: Session, call: Call, code: ErrorCode, detail: str, *, partner_id: int | None, size: int
) -> Receipt:
    """Refuse a call whose body was not even read. Without credentials only so many are kept."""
    receipt = _refuse(session, _row(call, partner_id=partner_id, size=size), None, code, detail)
    if partner_id is None:
        _forget_old_strangers(session)
    return receipt


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


def _applied_once(
    session: Session, row: InboundMessage, message: Message, value: Any, rules: Rules
) -> Receipt:
    about = _keys(message)
    row.object_id, row.buyer_po_number = about.object_id, about.buyer_po_number
    row.supplier_b2b_id = about.supplier_b2b_id
    row.content_sha256 = canonical_sha256(value)
    row.same_as = about.same_as(row.kind)
    serialise(session, row.partner_id, about.object_id)
    first = _first_of(session, row)
    if first is None:
        row.order_id = APPLY[type(message)](session, row, message, rules)
        row.effect = Effect.APPLIED
        return _answer(session, row, 200, dumps(answer(Kind(row.kind), value, req_msg_id=row.id)))
    row.order_id = first.order_id
    if first.content_sha256 != row.content_sha256:
        raise Refused(
            ErrorCode.CONFLICT,
            f"{about.name}.objectId: {first.id} has the same object, version and status, but other content.",
            f"{about.name}.objectId",
        )
    row.effect, row.repeat_of = Effect.REPEATED, first.id
    return _answer(session, row, first.answer_status, first.answer_body)


@dataclass(frozen=True, slots=True)
class _Keys:
    name: str
    object_id: str
    buyer_po_number: str
    supplier_b2b_id: str
    version: int
    new_status: str

    def same_as(self, kind: str) -> str:
        return f"{kind} {self.object_id} {self.version} {self.new_status}"


def _keys(message: Message) -> _Keys:
    if not isinstance(message, ReqSend):
        raise Refused(ErrorCode.UNKNOWN_RESOURCE, "This message is not taken here.")
    sent = message.purchase_order
    return _Keys(
        name="purchaseOrder",
        object_id=sent.object_id,
        buyer_po_number=sent.buyer_po_number,
        supplier_b2b_id=message.b2b_ids.supplier_b2b_id,
        version=sent.object_version.new_version,
        new_status=sent.po_status_transition.new_status,
    )


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


def _apply_send(session: Session, row: InboundMessage, message: ReqSend, rules: Rules) -> int:
    assert row.partner_id is not None
    if receive.order_of(session, row.partner_id, message.purchase_order.object_id):
        raise Refused(
            ErrorCode.CONFLICT,
            "purchaseOrder.objectId was sent before, in another version or status; send changes as req-edit.",
            "purchaseOrder.objectId",
        )
    order = receive.take(
        session,
        row.partner_id,
        message,
        inbound_id=row.id,
        raw=row.body,
        received_at=row.received_at,
        respond_within=rules.respond_within,
    )
    return order.id


APPLY: dict[type, Callable[..., int]] = {ReqSend: _apply_send}


def _refuse(
    session: Session, row: InboundMessage, value: Any, code: ErrorCode, detail: str, path: str = ""
) -> Receipt:
    status = HTTP_STATUS[code]
    if code is ErrorCode.CREDENTIALS:
        row.effect = Effect.NO_CREDENTIALS
    else:
        row.effect = Effect.CONFLICT if status == 409 else Effect.REFUSED
    row.error_cd, row.error_field, row.detail = code, path, detail
    said = answer(Kind(row.kind), value, req_msg_id=row.id, code=code, detail=detail, field=path)
    return _answer(session, row, status, dumps(said))


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
