"""Late results: what a partner tells of a message after its own answer to it, or before we saw that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.delivery.events import MessageChange, message_events
from app.delivery.models import Message, MessageState, ResultFrom
from app.delivery.retry_policy import SAID_MAX, Reason, Step, sentence
from app.delivery.service import clear_manual_request
from app.network.vocabulary import FIELD_NAMES, REQ_MSG_ID_MAX


class Contradicted(Exception):
    """The message has another late result already; which of the two is true, a person must find out."""


@dataclass(frozen=True, slots=True)
class LateResult:
    """What the partner told, in which inbound message, and when it was taken in."""

    inbound_id: str
    at: datetime
    succeeded: bool
    result: str
    req_msg_id: str
    error_cd: str = ""
    error_dtl: str = ""
    error_field: str = ""


def settle(session: Session, message: Message, late: LateResult) -> None:
    """Take over the late result of a message that was tried at least once; it was loaded for update.

    A success makes it delivered, whatever we saw of our tries; a failure makes it refused, or leaves it
    cancelled where it was withdrawn. From then on no attempt of ours changes it.

    Errors: Contradicted, and nothing changes.
    """
    if message.result_from is ResultFrom.RESP_CONFIRM and _succeeded(message) != late.succeeded:
        raise Contradicted
    was, state = message.state, _state_after(message, late)
    _take_over(message, late)
    message.note = _in_words(message, late, state)
    if state is not was:
        message.closed_at_attempt = None  # whoever closed it did not know this
        _end(message, state, late.at)
    session.flush()
    if state is not was:
        message_events.publish(session, [MessageChange(message.id, message.order_id, state, was)])


def _succeeded(message: Message) -> bool:
    return message.reason == Reason.DELIVERED


def _state_after(message: Message, late: LateResult) -> MessageState:
    if late.succeeded:
        return MessageState.DELIVERED
    leaving = message.state is MessageState.SENDING and message.cancel_requested
    if leaving or message.state is MessageState.CANCELLED:
        return MessageState.CANCELLED
    return MessageState.REFUSED


def _take_over(message: Message, late: LateResult) -> None:
    message.reason = (Reason.DELIVERED if late.succeeded else Reason.REFUSED_BY_PARTNER).value
    message.result = late.result[:SAID_MAX]
    message.req_msg_id = message.req_msg_id or late.req_msg_id[:REQ_MSG_ID_MAX]
    message.error_cd = late.error_cd[:SAID_MAX]
    message.error_dtl = late.error_dtl[:SAID_MAX]
    message.error_field = late.error_field[:SAID_MAX]
    message.result_from = ResultFrom.RESP_CONFIRM
    message.result_at = late.at
    message.result_inbound_id = late.inbound_id


def _end(message: Message, state: MessageState, at: datetime) -> None:
    message.state = state
    message.next_at = None
    message.finished_at = at
    # Its POST may be under way; until when at most, stays: nothing of its order is sent beside it.
    message.lease_token = None
    clear_manual_request(message)


def _in_words(message: Message, late: LateResult, state: MessageState) -> str:
    if late.succeeded:
        return "The network reported later that it took the answer."
    said = sentence(
        Reason.REFUSED_BY_PARTNER,
        Step.REFUSED,
        said=late.error_dtl,
        field=FIELD_NAMES.get(late.error_field, ""),
    )
    return f"{message.cancel_requested} {said}" if state is MessageState.CANCELLED else said
