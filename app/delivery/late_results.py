"""Late results: a partner reports on a message after its HTTP response, or before we recorded that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.delivery.events import MessageChange, message_events
from app.delivery.models import Message, MessageNote, MessageState, ResultFrom
from app.delivery.retry_policy import TEXT_MAX, Reason
from app.delivery.service import clear_manual_request
from app.network.vocabulary import REQ_MSG_ID_MAX


class Contradicted(Exception):
    """The message already has a late result that says the opposite."""


@dataclass(frozen=True, slots=True)
class LateResult:
    """What the partner reported, in which inbound message, and when it was received."""

    inbound_id: str
    at: datetime
    succeeded: bool
    result: str
    req_msg_id: str
    error_cd: str = ""
    error_dtl: str = ""
    error_field: str = ""


def apply_late_result(session: Session, message: Message, late: LateResult) -> None:
    """Apply the late result of a message with at least one attempt; it was loaded for update.

    Success makes it delivered, whatever its attempts ended with. Failure makes it refused; a canceled message
    stays canceled. After that no attempt changes it.

    Errors: Contradicted, and nothing changes.
    """
    if message.result_from is ResultFrom.RESP_CONFIRM and _succeeded(message) != late.succeeded:
        raise Contradicted
    previous, state = message.state, _state_after(message, late)
    _copy_result(message, late)
    message.note_code = MessageNote.LATE_DELIVERY if late.succeeded else MessageNote.LATE_REFUSAL
    message.note_params = {}
    if state is not previous:
        message.closed_at_attempt = None  # it was resolved without this result
        _end(message, state, late.at)
    session.flush()
    if state is not previous:
        message_events.publish(session, [MessageChange(message.id, message.order_id, state, previous)])


def _succeeded(message: Message) -> bool:
    return message.reason == Reason.DELIVERED


def _state_after(message: Message, late: LateResult) -> MessageState:
    if late.succeeded:
        return MessageState.DELIVERED
    is_being_canceled = message.state is MessageState.SENDING and message.cancel_requested
    if is_being_canceled or message.state is MessageState.CANCELED:
        return MessageState.CANCELED
    return MessageState.REFUSED


def _copy_result(message: Message, late: LateResult) -> None:
    message.reason = (Reason.DELIVERED if late.succeeded else Reason.REFUSED_BY_PARTNER).value
    message.result = late.result[:TEXT_MAX]
    message.req_msg_id = message.req_msg_id or late.req_msg_id[:REQ_MSG_ID_MAX]
    message.error_cd = late.error_cd[:TEXT_MAX]
    message.error_dtl = late.error_dtl[:TEXT_MAX]
    message.error_field = late.error_field[:TEXT_MAX]
    message.result_from = ResultFrom.RESP_CONFIRM
    message.result_at = late.at
    message.result_inbound_id = late.inbound_id


def _end(message: Message, state: MessageState, at: datetime) -> None:
    message.state = state
    message.next_at = None
    message.finished_at = at
    # lease_until stays: the HTTP call may still last until then, and nothing else of its order may be sent.
    message.lease_token = None
    clear_manual_request(message)
