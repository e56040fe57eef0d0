"""An order's life as one list: what the buyer did, what we did, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby, pairwise

from sqlalchemy.orm import Session

from app.delivery.models import Attempt, Message, MessageState, ResultFrom, Trigger
from app.delivery.retry_policy import Reason, Step, sentence
from app.network.vocabulary import BuyerAction, SupplierResponse
from app.orders.comparison import compare
from app.orders.models import Decision, OrderView, PurchaseOrder, Revision, StatusChange
from app.orders.order_content import document
from app.orders.order_views import list_views

SYSTEM = ""
"""The actor of what happens by itself."""
DELIVERIES = (Reason.DELIVERED, Reason.ALREADY_RECEIVED)
REFUSALS = (Reason.REFUSED_BY_PARTNER, Reason.REFUSED_STATUS)
ANSWERED = {
    SupplierResponse.ACCEPT: "Confirmed",
    SupplierResponse.REJECT: "Rejected",
    SupplierResponse.RETURN: "Returned for changes",
}
ENDED = {BuyerAction.CANCEL: "Cancelled by the buyer.", BuyerAction.CLOSE: "Closed by the buyer."}


class EventKind(StrEnum):
    """The kinds of events; a page has a sign for each."""

    RECEIVED = "received"
    EDITED = "edited"
    SEEN = "seen"
    ANSWERED = "answered"
    TRIED = "tried"
    ASKED = "asked"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    RESULT = "result"
    CANCELLED = "cancelled"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``sentence`` is ours, ``said`` somebody's own words. Ids link to the logs where not empty.

    ``actor`` is a person or the buyer, and empty for what happens by itself; ``count`` is of tries.
    """

    at: datetime
    kind: EventKind
    actor: str
    sentence: str
    said: str = ""
    version: int | None = None
    message_id: str = ""
    inbound_id: str = ""
    count: int = 1


def timeline(session: Session, order: PurchaseOrder, messages: Sequence[Message]) -> list[Event]:
    """All events of an order, oldest first.

    ``order`` is loaded with its revisions, decisions and status changes, ``messages`` with their attempts.
    """
    events = [
        *_revisions(order),
        *(_seen(sight) for sight in list_views(session, order.id)),
        *(_decided(decision) for decision in reversed(order.decisions)),
        *(event for message in reversed(messages) for event in _sent(message)),
        *(_moved(order, change) for change in reversed(order.status_changes)),
    ]
    # The order above breaks ties: of two things at one moment the cause comes first.
    return sorted(events, key=lambda event: event.at)


def _revisions(order: PurchaseOrder) -> Iterator[Event]:
    oldest_first = list(reversed(order.revisions))
    for first in oldest_first[:1]:
        yield _arrived(order, first, EventKind.RECEIVED, "Received.")
    for old, new in pairwise(oldest_first):
        brief = compare(document(old).message, document(new).message).in_brief
        yield _arrived(order, new, EventKind.EDITED, f"Changed by the buyer: {brief}.")


def _arrived(order: PurchaseOrder, revision: Revision, kind: EventKind, words: str) -> Event:
    return Event(
        revision.received_at,
        kind,
        order.buyer_name,
        words,
        version=revision.version,
        inbound_id=revision.inbound_id,
    )


def _seen(sight: OrderView) -> Event:
    return Event(sight.seen_at, EventKind.SEEN, sight.person_name, "Seen.", version=sight.version)


def _decided(decision: Decision) -> Event:
    known = decision.response in set(SupplierResponse)
    answered = ANSWERED[SupplierResponse(decision.response)] if known else f"Answered {decision.response}"
    return Event(
        decision.decided_at,
        EventKind.ANSWERED,
        decision.person_name,
        f"{answered}.",
        said=decision.remarks,
        version=decision.version,
        message_id=decision.message_id,
    )


def _moved(order: PurchaseOrder, change: StatusChange) -> Event:
    cancelled = change.action == BuyerAction.CANCEL
    return Event(
        change.received_at,
        EventKind.CANCELLED if cancelled else EventKind.CLOSED,
        order.buyer_name,
        ENDED[BuyerAction(change.action)],
        said=change.remarks,
        version=change.version,
        inbound_id=change.inbound_id,
    )


def _sent(message: Message) -> Iterator[Event]:
    """What became of one message: its tries, how they ended, and what came after."""
    oldest_first = sorted(message.attempts, key=lambda attempt: attempt.number)
    for kind, run in groupby(oldest_first, key=_kind_of):
        yield from _tries(message, kind, list(run))
    if message.state is MessageState.FAILED:
        yield _fate(message, EventKind.FAILED)
    elif message.state is MessageState.CANCELLED:
        yield _fate(message, EventKind.WITHDRAWN)
    if message.result_from is ResultFrom.RESP_CONFIRM and message.result_at:
        yield _result(message, message.result_at)


def _kind_of(attempt: Attempt) -> EventKind:
    if attempt.outcome in DELIVERIES:
        return EventKind.DELIVERED
    return EventKind.REFUSED if attempt.outcome in REFUSALS else EventKind.TRIED


def _tries(message: Message, kind: EventKind, run: Sequence[Attempt]) -> Iterator[Event]:
    """A run of tries that ended alike is one event; what a person asked for is told besides."""
    for attempt in run:
        if attempt.trigger is not Trigger.AUTO:
            yield Event(
                attempt.started_at,
                EventKind.ASKED,
                attempt.actor or "",
                "Sent again by hand.",
                said=attempt.asked_reason or "",
                message_id=message.id,
            )
    last = run[-1]
    yield Event(
        last.ended_at or last.started_at,
        kind,
        SYSTEM,
        _words(message, kind, last, len(run)),
        message_id=message.id,
        count=len(run),
    )


def _words(message: Message, kind: EventKind, last: Attempt, count: int) -> str:
    if kind is EventKind.DELIVERED:
        return "Delivered to the network."
    if last.in_flight:
        return "Being sent." if message.state is MessageState.SENDING else "Sent; nobody saw how it ended."
    outcome = last.outcome or ""
    reason = Reason(outcome) if outcome in set(Reason) else Reason.INTERNAL
    if kind is EventKind.REFUSED:
        is_its_own = message.state is MessageState.REFUSED and message.result_from is ResultFrom.ANSWER
        return message.note if is_its_own else sentence(reason, Step.DELIVERED, status=last.status)
    happened = sentence(reason, Step.DELIVERED, detail=last.detail, status=last.status)
    return f"Not delivered by {count} tries; of the last: {happened}" if count > 1 else happened


def _fate(message: Message, kind: EventKind) -> Event:
    at = message.finished_at or message.created_at
    return Event(at, kind, SYSTEM, message.note, message_id=message.id)


def _result(message: Message, at: datetime) -> Event:
    return Event(
        at,
        EventKind.RESULT,
        SYSTEM,
        message.note,
        message_id=message.id,
        inbound_id=message.result_inbound_id or "",
    )
