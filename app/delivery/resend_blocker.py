"""Whether a message can be resent. The rule is one SQL expression, for one message and for many."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Case, ColumnElement, and_, case, exists, false, func, not_, select
from sqlalchemy.orm import Session, aliased

from app import clock
from app.delivery.models import Attempt, Message, MessageState, ResultFrom, Trigger


class ResendBlocker(StrEnum):
    """Why a message cannot be resent now."""

    SENDING = "sending"
    DELIVERED = "delivered"
    CANCELED = "canceled"
    CONTENT_DELETED = "content_deleted"
    REFUSED_LATER = "refused_later"
    REQUESTED = "requested"
    IN_FLIGHT = "in_flight"
    SUPERSEDED = "superseded"
    # Of a bulk resend only:
    ORDER_ENDED = "order_ended"
    PARTNER_PAUSED = "partner_paused"
    DELETED = "deleted"


def resend_blocker(
    session: Session, message: Message, *, include_delivered: bool = False
) -> ResendBlocker | None:
    """Why a person cannot resend this message now; None if they can.

    ``include_delivered`` permits another copy of a delivered message.
    """
    session.flush()
    blocker = session.scalar(
        select(blocker_case(include_delivered=include_delivered)).where(Message.id == message.id)
    )
    return None if blocker is None else ResendBlocker(blocker)


def blocker_case(*, include_delivered: bool) -> Case[Any]:
    """The ``ResendBlocker`` of each ``Message`` of a query; null for those that can be resent now."""
    newer = aliased(Message)
    has_newer = exists().where(
        newer.order_id == Message.order_id, newer.decision_number > Message.decision_number
    )
    is_copy = Message.state == MessageState.DELIVERED if include_delivered else false()
    is_refused_later = Message.result_from == ResultFrom.RESP_CONFIRM
    return case(
        (func.length(Message.body) == 0, ResendBlocker.CONTENT_DELETED.value),
        (Message.state == MessageState.SENDING, ResendBlocker.SENDING.value),
        (and_(Message.state == MessageState.DELIVERED, not_(is_copy)), ResendBlocker.DELIVERED.value),
        (Message.state == MessageState.CANCELED, ResendBlocker.CANCELED.value),
        (and_(is_refused_later, not_(is_copy)), ResendBlocker.REFUSED_LATER.value),
        (Message.cancel_requested.is_not(None), ResendBlocker.CANCELED.value),
        (Message.trigger != Trigger.AUTO, ResendBlocker.REQUESTED.value),
        (order_in_flight(Message.order_id, clock.now()), ResendBlocker.IN_FLIGHT.value),
        (has_newer, ResendBlocker.SUPERSEDED.value),
    )


def order_in_flight(order_id: Any, now: datetime) -> ColumnElement[bool]:
    """Whether a message of an order is being sent, even if a late result has already ended it.

    Such a message keeps its ``lease_until``, until which its HTTP call may last.
    """
    sent = aliased(Message)
    return exists().where(sent.order_id == order_id, *in_flight(sent, now))


def in_flight(message: Any, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a message, perhaps aliased, is being sent."""
    has_open_attempt = exists().where(Attempt.message_id == message.id, Attempt.ended_at.is_(None))
    return message.lease_until > now, has_open_attempt
