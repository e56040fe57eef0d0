"""Messages: enqueue, withdraw, send again. Each takes a session and leaves the commit to the edge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, aliased
from ulid import ULID

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import notify
from app.delivery.events import MessageChange, message_events
from app.delivery.models import (
    LIVE,
    Attempt,
    Message,
    MessageState,
    ResultFrom,
    Trigger,
)

CHANNEL = "outbox"
"""On PostgreSQL the deliverers listen on it."""
REASON_MAX = 200
"""Characters of the reason for sending again, or for withdrawing."""
MAYBE_ARRIVED = "An earlier try of it may have reached the partner."
NO_MANUAL_REQUEST: dict[str, Any] = {
    "trigger": Trigger.AUTO,
    "asked_by": None,
    "asked_reason": None,
    "resume_state": None,
    "resume_at": None,
}
"""The columns of a message whose next attempt nobody asked for."""


class CannotResend(Exception):
    """The message's state does not allow it; the text is the sentence for the button."""


class CannotCancel(Exception):
    """The message is not under way any more, or withdrawn already; the text says which."""


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """What a message's log and its access need of the order, as it was when the message was made."""

    order_id: int
    decision_number: int
    object_id: str
    buyer_po_number: str
    buyer_b2b_id: str
    supplier_b2b_id: str
    object_version: int


def new_id(prefix: str, at: datetime) -> str:
    """A new id that sorts by its time, such as ``msg_01JD6K…``."""
    return f"{prefix}_{ULID.from_datetime(at)}"


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
    """Record a message that must reach the partner; it may leave ``wait_seconds`` after the commit.

    What a late result ended while it was being sent may be on its way still: the next one of its order waits.
    """
    now = clock.now()
    leaves_at = datetime.fromtimestamp(now.timestamp() + wait_seconds, now.tzinfo)
    earlier_until = _under_way_until(session, about.order_id, now) if about.decision_number > 1 else None
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
        next_at=max(leaves_at, earlier_until or leaves_at),
    )
    session.add(message)
    session.flush()
    message_events.publish(session, [MessageChange(message.id, message.order_id, message.state, is_new=True)])
    notify(session, CHANNEL)
    return message


NOT_KEPT = "Its content is not kept any more: its time was over."
_NOT_FROM = {
    MessageState.SENDING: "It is being sent right now.",
    MessageState.DELIVERED: "The network has it already.",
    MessageState.CANCELLED: "It was withdrawn.",
}


def under_way(order_id: Any, now: datetime) -> ColumnElement[bool]:
    """Whether a message of an order is being sent, also one that has ended already, by a late result.

    Such a one keeps ``lease_until``: who has not recorded the end of its POST by then is gone.
    """
    sent = aliased(Message)
    return exists().where(sent.order_id == order_id, *_in_flight(sent, now))


def _under_way_until(session: Session, order_id: int, now: datetime) -> datetime | None:
    in_flight = _in_flight(Message, now)
    return session.scalar(
        select(func.max(Message.lease_until)).where(Message.order_id == order_id, *in_flight)
    )


def _in_flight(sent: Any, now: datetime) -> tuple[ColumnElement[bool], ...]:
    unended = exists().where(Attempt.message_id == sent.id, Attempt.ended_at.is_(None))
    return sent.lease_until > now, unended


def resend_blocker(session: Session, message: Message, *, delivered_too: bool = False) -> str | None:
    """Why a person may not send this message again now, in one sentence; None if they may.

    ``delivered_too`` is the stronger permission: to send once more what the network has.
    """
    again = delivered_too and message.state is MessageState.DELIVERED
    not_from = None if again else _NOT_FROM.get(message.state)
    if not_from or not message.body:
        return not_from if message.body else NOT_KEPT
    if message.result_from is ResultFrom.RESP_CONFIRM and not again:
        return "The network looked at exactly this message and refused it later. Answer the order again."
    if message.cancel_requested:
        return f"It must not leave any more. {message.cancel_requested}"
    if message.trigger is not Trigger.AUTO:
        return "Somebody has asked for it already; it leaves as soon as it can."
    return _why_not_beside_others(session, message)


def _why_not_beside_others(session: Session, message: Message) -> str | None:
    """What the other messages of its order, and earlier tries of its own, say against sending it now."""
    if message.order_id is not None and session.scalar(select(under_way(message.order_id, clock.now()))):
        return "An answer to this order is still under way. Wait until that try has ended."
    newest = session.scalar(
        select(func.max(Message.decision_number)).where(Message.order_id == message.order_id)
    )
    if newest is not None and newest != message.decision_number:
        return "The order has been answered again since."
    return None


def resend(
    session: Session,
    message: Message,
    *,
    by: str,
    reason: str,
    trigger: Trigger = Trigger.MANUAL,
    delivered_too: bool = False,
) -> None:
    """Ask for one more attempt of the same bytes under the same id, now.

    ``message`` was loaded for update. If this attempt fails, the message stands where it stood before,
    with the schedule it had; what was delivered stays so whatever is said to the repeat.

    Errors: CannotResend.
    """
    blocker = resend_blocker(session, message, delivered_too=delivered_too)
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
        before={"state": message.state.value, "what came of it": message.reason},
    )
    message.resume_state = message.state
    message.resume_at = message.next_at
    message.state = MessageState.PENDING
    message.next_at = clock.now()
    message.trigger = trigger
    message.asked_by = by
    message.asked_reason = reason[:REASON_MAX]
    session.flush()
    message_events.publish(session, [MessageChange(message.id, message.order_id, message.state)])
    notify(session, CHANNEL)


def cancel_blocker(message: Message) -> str | None:
    """Why a person may not keep this message from leaving now, in one sentence; None if they may."""
    if not is_live(message):
        return "It is not under way any more. Nothing was withdrawn."
    if message.state is MessageState.SENDING and message.resume_state is MessageState.DELIVERED:
        return "The network has it already, and one more copy is being sent right now."
    return message.cancel_requested


def cancel_manually(session: Session, message: Message, *, by: str, reason: str) -> None:
    """Keep a message from leaving (any more) because a person says so.

    ``message`` was loaded for update. The order it answers can then be answered anew. Errors: CannotCancel.
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
        before={"state": message.state.value, "tries": message.attempts_made},
    )
    withdraw(session, message.id, f"{by} withdrew it: {reason.rstrip('.')}"[: REASON_MAX - 1] + ".")


def withdraw(session: Session, message_id: str, why: str) -> bool:
    """Keep a message from leaving (any more); ``why`` is a sentence that people read.

    What waits is cancelled. What is being sent is marked: a delivery still counts, anything else ends as
    cancelled. What was refused or has failed stays so, but is not sent again. What is delivered stays.
    Returns whether anything was kept from leaving.
    """
    message = session.scalar(
        select(Message)
        .where(Message.id == message_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if message is None or message.state in (MessageState.DELIVERED, MessageState.CANCELLED):
        return False
    was_live = is_live(message)
    if message.resume_state is MessageState.DELIVERED:
        # It is with the partner already: only the asking for one more time is taken back.
        if message.state is not MessageState.PENDING:
            return False
        message.state, message.next_at = MessageState.DELIVERED, message.resume_at
        clear_manual_request(message)
        session.flush()
        message_events.publish(session, [MessageChange(message.id, message.order_id, message.state)])
        return True
    message.cancel_requested = why[:REASON_MAX]
    if message.state is MessageState.PENDING:
        _cancel(message)
        session.flush()
        message_events.publish(session, [MessageChange(message.id, message.order_id, message.state)])
    return was_live


def _cancel(message: Message) -> None:
    why = message.cancel_requested or ""
    message.state = MessageState.CANCELLED
    message.next_at = None
    message.finished_at = clock.now()
    message.note = f"{why} {MAYBE_ARRIVED}" if message.unknown_outcome else why
    clear_manual_request(message)


def clear_manual_request(message: Message) -> None:
    """Forget that a person asked for the next attempt: there is none."""
    for column, value in NO_MANUAL_REQUEST.items():
        setattr(message, column, value)


def lock_messages_of(session: Session, *order_ids: int) -> None:
    """Lock all messages of these orders until the transaction ends; to be called before an order is locked.

    By id, as the deliverer does, which changes a message first and its order second: who locks them the
    other way round would sooner or later wait for it in a circle.
    """
    session.execute(
        select(Message.id).where(Message.order_id.in_(order_ids)).order_by(Message.id).with_for_update()
    ).all()


def is_live(message: Message) -> bool:
    """Whether it may still leave or is leaving."""
    return message.state in LIVE
