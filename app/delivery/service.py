"""Commands on messages: enqueue, resend, cancel. None of them commits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import new_id, notify
from app.delivery.events import MessageChange, message_events
from app.delivery.models import (
    LIVE,
    CancelReason,
    Message,
    MessageNote,
    MessageState,
    Trigger,
)
from app.delivery.resend_blocker import ResendBlocker, in_flight, resend_blocker
from app.request_context import current_request_id

CHANNEL = "outbox"
"""The channel of PostgreSQL that delivery workers listen on."""
REASON_MAX = 200
"""Maximum length of a reason to resend or cancel, in characters."""
NO_MANUAL_REQUEST: dict[str, Any] = {
    "trigger": Trigger.AUTO,
    "requested_by": None,
    "request_reason": None,
    "resume_state": None,
    "resume_at": None,
}
"""The columns of a message whose next attempt no person requested."""


class CancelBlocker(StrEnum):
    """Why a message cannot be canceled now."""

    ENDED = "ended"
    COPY_SENDING = "copy_sending"
    CANCELED = "canceled"


class CannotResend(Exception):
    """The message cannot be resent now."""

    def __init__(self, blocker: ResendBlocker) -> None:
        super().__init__(blocker)
        self.blocker = blocker


class CannotCancel(Exception):
    """The message cannot be canceled now."""

    def __init__(self, blocker: CancelBlocker) -> None:
        super().__init__(blocker)
        self.blocker = blocker


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """What the log and the access rules need of the order, as it was when the message was created."""

    order_id: int
    decision_number: int
    object_id: str
    buyer_po_number: str
    buyer_b2b_id: str
    supplier_b2b_id: str
    object_version: int


def enqueue(
    session: Session,
    *,
    kind: str,
    partner_id: int,
    about: OrderSnapshot,
    body: bytes,
    by: str,
    wait_seconds: float = 0,
) -> Message:
    """Create a message, to be sent ``wait_seconds`` after the commit.

    It waits longer while an earlier message of its order is in flight, ended by a late result.
    """
    now = clock.now()
    send_at = now + timedelta(seconds=wait_seconds)
    earlier_until = _in_flight_until(session, about.order_id, now) if about.decision_number > 1 else None
    message = Message(
        id=new_id("msg", now),
        kind=kind,
        partner_id=partner_id,
        order_id=about.order_id,
        decision_number=about.decision_number,
        object_id=about.object_id,
        buyer_po_number=about.buyer_po_number,
        buyer_b2b_id=about.buyer_b2b_id,
        supplier_b2b_id=about.supplier_b2b_id,
        object_version=about.object_version,
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        created_at=now,
        created_by=by,
        state=MessageState.PENDING,
        next_at=max(send_at, earlier_until or send_at),
    )
    session.add(message)
    session.flush()
    _publish(session, message, is_new=True)
    notify(session, CHANNEL)
    return message


def _in_flight_until(session: Session, order_id: int, now: datetime) -> datetime | None:
    return session.scalar(
        select(func.max(Message.lease_until)).where(Message.order_id == order_id, *in_flight(Message, now))
    )


def resend(
    session: Session,
    message: Message,
    *,
    by: str,
    reason: str,
    trigger: Trigger = Trigger.MANUAL,
    include_delivered: bool = False,
) -> None:
    """Request one more attempt now, with the same body and id.

    ``message`` was loaded for update. If the attempt fails, the message returns to its present state and
    schedule. A delivered message stays delivered whatever the partner responds to the copy.

    Errors: CannotResend.
    """
    blocker = resend_blocker(session, message, include_delivered=include_delivered)
    if blocker:
        raise CannotResend(blocker)
    trail.record(
        session,
        AuditAction.RESENT,
        AuditObject.MESSAGE,
        message.id,
        name=message.buyer_po_number,
        by=by,
        reason=reason,
        before={"state": _labeled_state(session, message), "result": message.reason},
    )
    message.resume_state = message.state
    message.resume_at = message.next_at
    message.state = MessageState.PENDING
    message.next_at = clock.now()
    message.trigger = trigger
    message.requested_by = by
    message.request_reason = reason[:REASON_MAX]
    message.request_id = current_request_id()
    session.flush()
    _publish(session, message)
    notify(session, CHANNEL)


def _labeled_state(session: Session, message: Message) -> str:
    """``Message.labeled_state``, of a message whose partner may not be loaded."""
    return session.scalars(
        select(Message.labeled_state).join(Message.partner).where(Message.id == message.id)
    ).one()


def cancel_blocker(message: Message) -> CancelBlocker | None:
    """Why a person cannot cancel this message now; None if they can."""
    if not is_live(message):
        return CancelBlocker.ENDED
    if message.state is MessageState.SENDING and message.resume_state is MessageState.DELIVERED:
        return CancelBlocker.COPY_SENDING
    return CancelBlocker.CANCELED if message.cancel_requested else None


def cancel_manually(session: Session, message: Message, *, by: str, reason: str) -> None:
    """Cancel a message for a person. Its order then needs a new response.

    ``message`` was loaded for update. Errors: CannotCancel.
    """
    blocker = cancel_blocker(message)
    if blocker:
        raise CannotCancel(blocker)
    trail.record(
        session,
        AuditAction.WEBHOOK_CANCELED,
        AuditObject.MESSAGE,
        message.id,
        name=message.buyer_po_number,
        by=by,
        reason=reason,
        before={"state": _labeled_state(session, message), "attempts": message.attempts_made},
    )
    cancel(session, message.id, CancelReason.PERSON, name=by, why=reason[:REASON_MAX])


def cancel(session: Session, message_id: str, reason: CancelReason, **params: Any) -> bool:
    """Keep a message from being sent (again); ``params`` are those of the reason.

    A queued message is canceled. One that is being sent is canceled when its attempt ends, unless that
    delivers it. A refused or failed one keeps its state but cannot be resent. A delivered one does not
    change. Returns whether anything was canceled or will be.
    """
    message = session.scalar(
        select(Message)
        .where(Message.id == message_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if message is None or message.state in (MessageState.DELIVERED, MessageState.CANCELED):
        return False
    if message.resume_state is MessageState.DELIVERED:
        return _cancel_copy(session, message)
    was_live = is_live(message)
    message.cancel_requested, message.cancel_params = reason, params
    if message.state is MessageState.PENDING:
        message.state = MessageState.CANCELED
        message.next_at = None
        message.finished_at = clock.now()
        message.note_code = MessageNote.CANCELED
        message.note_params = {"maybe_received": message.unknown_outcome}
        clear_manual_request(message)
        session.flush()
        _publish(session, message)
    return was_live


def _cancel_copy(session: Session, message: Message) -> bool:
    """Cancel the requested copy of a delivered message, unless it is being sent."""
    if message.state is not MessageState.PENDING:
        return False
    message.state, message.next_at = MessageState.DELIVERED, message.resume_at
    clear_manual_request(message)
    session.flush()
    _publish(session, message)
    return True


def _publish(session: Session, message: Message, *, is_new: bool = False) -> None:
    change = MessageChange(message.id, message.order_id, message.state, is_new=is_new)
    message_events.publish(session, [change])


def clear_manual_request(message: Message) -> None:
    """Clear the columns of a person's request for the next attempt."""
    for column, value in NO_MANUAL_REQUEST.items():
        setattr(message, column, value)


def lock_messages_of(session: Session, *order_ids: int) -> None:
    """Lock all messages of these orders, in the order of their ids. Call it before locking an order.

    The worker too locks messages first and orders second: a consistent lock order prevents deadlock.
    """
    session.execute(
        select(Message.id)
        .where(Message.order_id.in_(order_ids))
        .order_by(Message.id)
        .with_for_update(key_share=True)
    ).all()


def is_live(message: Message) -> bool:
    """Whether it is queued or being sent."""
    return message.state in LIVE
