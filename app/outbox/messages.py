"""Messages: enqueue, cancel, send again. Each takes a session and leaves the commit to the edge."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from ulid import ULID

from app import clock
from app.db import notify
from app.outbox.models import LIVE, Message, MessageState, Trigger

CHANNEL = "outbox"
"""On PostgreSQL the deliverers listen on it."""
REASON_MAX = 200
"""Characters of the reason for sending again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What those who follow messages are told, in the transaction that makes it true."""

    message_id: str
    order_id: int | None
    state: MessageState


class CannotResend(Exception):
    """The message's state does not allow it; the text is the sentence for the button."""


@dataclass(frozen=True, slots=True)
class Frozen:
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
    about: Frozen,
    body: bytes,
    by: str,
    wait_seconds: float = 0,
) -> Message:
    """Record a message that must reach the partner; it may leave ``wait_seconds`` after the commit."""
    now = clock.now()
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
        next_at=datetime.fromtimestamp(now.timestamp() + wait_seconds, now.tzinfo),
    )
    session.add(message)
    session.flush()
    tell(session, [Change(message.id, message.order_id, message.state)])
    notify(session, CHANNEL)
    return message


def why_not_resend(session: Session, message: Message) -> str | None:
    """Why a person may not send this message again now, in one sentence; None if they may."""
    if message.state is MessageState.SENDING:
        return "It is being sent right now."
    if message.state is MessageState.DELIVERED:
        return "The network has it already."
    if message.state is MessageState.CANCELLED:
        return "It was withdrawn before it left."
    if message.trigger is not Trigger.AUTO:
        return "Somebody has asked for it already; it leaves as soon as it can."
    newest = session.scalar(
        select(func.max(Message.decision_number)).where(Message.order_id == message.order_id)
    )
    if newest is not None and newest != message.decision_number:
        return "The order has been answered again since."
    return None


def resend(session: Session, message: Message, *, by: str, reason: str) -> None:
    """Ask for one more attempt of the same bytes under the same id, now.

    ``message`` was loaded for update. If this attempt fails, the message stands where it stood before,
    with the schedule it had.

    Errors: CannotResend.
    """
    why_not = why_not_resend(session, message)
    if why_not:
        raise CannotResend(why_not)
    message.resume_state = message.state
    message.resume_at = message.next_at
    message.state = MessageState.PENDING
    message.next_at = clock.now()
    message.trigger = Trigger.MANUAL
    message.asked_by = by
    message.asked_reason = reason[:REASON_MAX]
    session.flush()
    tell(session, [Change(message.id, message.order_id, message.state)])
    notify(session, CHANNEL)


def is_live(message: Message) -> bool:
    """Whether it may still leave or is leaving."""
    return message.state in LIVE


def tell(session: Session, changes: Sequence[Change]) -> None:
    """Tell those who follow messages, so that what they keep of them changes in this very transaction."""
    if changes:
        for follow in session.info["followers"]:
            follow(session, changes)
