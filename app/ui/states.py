"""States as chips: a tone, which is shape and colour, and a word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.delivery.models import Attempt, Message
from app.delivery.retry_policy import Reason
from app.inbound.forms import EFFECT_NAMES
from app.inbound.models import Effect, InboundMessage
from app.network.vocabulary import Status, is_known_status
from app.orders.decisions import response_blocker
from app.orders.forms import STATUS_NAMES
from app.orders.models import Answer, Delivery, PurchaseOrder
from app.orders.queries import SOON


@dataclass(frozen=True, slots=True)
class Chip:
    """A state: ``tone`` is its shape and colour, ``words`` its name."""

    tone: str
    words: str


GIVEN = {Answer.ACCEPT: "Confirmed", Answer.REJECT: "Rejected", Answer.RETURN: "Returned for changes"}
"""What the supplier answered. Whether it arrived is told by the delivery."""


VERBS = {Answer.ACCEPT: "Confirm", Answer.REJECT: "Reject", Answer.RETURN: "Return"}


_WITHDRAWN_BY_BUYER = (Status.CANCELLED, Status.CLOSED)


_AGAIN = (Delivery.REFUSED, Delivery.FAILED, Delivery.CANCELLED)


def is_open(order: PurchaseOrder) -> bool:
    """Whether the order waits for a supplier: the rule of ``orders.queries.to_answer`` for one row."""
    if order.status != Status.CREATED:
        return False
    return order.answer in (Answer.NONE, Answer.CHANGED) or order.delivery in _AGAIN


def urgency(order: PurchaseOrder, now: datetime) -> str:
    """``late``, ``soon``, or nothing: how near the deadline of an open order is."""
    if not is_open(order):
        return ""
    if order.respond_by < now:
        return "late"
    return "soon" if order.respond_by <= now + SOON else ""


def given(response: str) -> str:
    """``Confirmed`` for ``ACCEPT``; an unknown answer as it came."""
    return GIVEN.get(Answer(response), response) if response in set(Answer) else response


def status_words(status: str) -> str:
    """What the network knows of an order, in words; an unknown status as it came."""
    return (
        STATUS_NAMES[Status(status)]
        if is_known_status(status)
        else f"“{status}”, which this app does not know"
    )


def is_in_vain(order: PurchaseOrder) -> bool:
    """Whether the last answer no longer stands: the buyer changed the order, or somebody took it back."""
    taken_back = order.delivery is Delivery.CANCELLED and is_open(order)
    return order.answer is Answer.CHANGED or taken_back


def is_answerable(order: PurchaseOrder) -> bool:
    """Whether an answer to the order's present version would be taken, as a list can tell."""
    accepts_return = order.partner.accepts_return
    return is_open(order) and response_blocker(order, accepts_return=accepts_return) is None


def answer_chip(order: PurchaseOrder) -> Chip:
    """What was answered, or that an answer is wanted."""
    if not is_known_status(order.status):
        return Chip("warn", "Unknown status")
    if order.status in _WITHDRAWN_BY_BUYER:  # by whom, the page says itself
        return Chip("quiet", order.status.capitalize())
    if order.answer is Answer.CHANGED:
        return Chip("warn", "Changed: answer again")
    if is_in_vain(order):  # taken back, and nothing of it stands
        return Chip("waiting", "To answer")
    if order.answer is Answer.NONE:
        waits = order.status == Status.CREATED
        return Chip("waiting", "To answer") if waits else Chip("quiet", STATUS_NAMES[Status(order.status)])
    return given_chip(order.answer)


def given_chip(response: str) -> Chip:
    """An answer that was given. Rejecting is a legitimate answer: it wears ink, not red."""
    return Chip("ok" if response == Answer.ACCEPT else "ink", given(response))


DELIVERIES = {
    "pending": Chip("waiting", "Waiting to be sent"),
    "retrying": Chip("waiting", "Not delivered yet"),
    "held": Chip("warn", "Held"),
    "sending": Chip("waiting", "Being sent"),
    "delivered": Chip("ok", "Delivered"),
    "refused": Chip("bad", "Refused by the network"),
    "failed": Chip("bad", "Not delivered"),
    "cancelled": Chip("quiet", "Withdrawn"),
}


_LATER = {"pending": "retrying"}


def order_delivery(order: PurchaseOrder) -> Chip | None:
    """What became of the last answer's message, as lists know it; None where nothing was sent."""
    if order.delivery is Delivery.NONE:
        return None
    if order.delivery is Delivery.PENDING:
        return DELIVERIES["held" if order.partner.paused else "retrying"]
    return DELIVERIES[order.delivery.value]


def message_chip(message: Message) -> Chip:
    """Where a message stands."""
    shown = message.state_shown
    return DELIVERIES[_LATER.get(shown, shown) if message.attempts_made else shown]


_OUTCOMES = {
    Reason.DELIVERED: Chip("ok", "accepted"),
    Reason.ALREADY_RECEIVED: Chip("ok", "had it already"),
    Reason.REFUSED_BY_PARTNER: Chip("bad", "refused"),
    Reason.REFUSED_STATUS: Chip("bad", "refused"),
    Reason.UNREADABLE_ANSWER: Chip("warn", "unreadable answer"),
    Reason.WRONG_OBJECT: Chip("warn", "another order"),
    Reason.REDIRECT: Chip("warn", "redirect"),
    Reason.CREDENTIALS: Chip("warn", "key or address"),
    Reason.GONE: Chip("warn", "gone"),
    Reason.BUSY: Chip("warn", "busy"),
    Reason.SERVER_ERROR: Chip("warn", "their error"),
    Reason.TIMEOUT: Chip("warn", "timed out"),
    Reason.NAME: Chip("warn", "name not found"),
    Reason.ADDRESS_REFUSED: Chip("warn", "address not allowed"),
    Reason.CONNECT: Chip("warn", "not reached"),
    Reason.TLS: Chip("warn", "not secure"),
    Reason.RESET: Chip("warn", "broken off"),
    Reason.ODD_ANSWER: Chip("warn", "odd answer"),
    Reason.BAD_TARGET: Chip("warn", "set up wrong"),
    Reason.INTERNAL: Chip("warn", "our fault"),
    Reason.INTERRUPTED: Chip("warn", "interrupted"),
}


def outcome_words(outcome: str) -> str:
    """What came of tries, as the head of a row: ``Timed out``."""
    words = _OUTCOMES[Reason(outcome)].words if outcome in set(Reason) else outcome
    return words[:1].upper() + words[1:]


_UNDER_WAY = Chip("waiting", "under way")
_UNSEEN = Chip("warn", "end not seen")


def attempt_chip(attempt: Attempt, message: Message, now: datetime) -> Chip:
    """What came of one try of the message: ``200, refused``, ``timed out``."""
    if attempt.outcome is None:
        return _UNDER_WAY if message.may_be_flying(attempt, now) else _UNSEEN
    known = attempt.outcome in set(Reason)
    found = _OUTCOMES[Reason(attempt.outcome)] if known else Chip("warn", attempt.outcome)
    return Chip(found.tone, f"{attempt.status}, {found.words}") if attempt.status else found


def every_chip() -> dict[str, list[Chip]]:
    """All states that a page can show, by what they are states of."""
    answers = [Chip("waiting", "To answer"), Chip("warn", "Changed: answer again")]
    return {
        "Answer": [*answers, *(given_chip(answer.value) for answer in GIVEN), Chip("warn", "Unknown status")],
        "Order ended": [Chip("quiet", status.capitalize()) for status in _WITHDRAWN_BY_BUYER],
        "Delivery": list(DELIVERIES.values()),
        "Try": [_UNDER_WAY, _UNSEEN, *_OUTCOMES.values()],
        "Received": [Chip(_EFFECT_TONES[effect], name) for effect, name in EFFECT_NAMES.items()],
    }


_EFFECT_TONES = {
    Effect.APPLIED: "ok",
    Effect.REPEATED: "quiet",
    Effect.CONFLICT: "warn",
    Effect.REFUSED: "bad",
    Effect.UNMATCHED: "warn",
    Effect.NO_CREDENTIALS: "warn",
}


def effect_chip(message: InboundMessage) -> Chip:
    """What became of a message that a partner sent."""
    return Chip(_EFFECT_TONES[message.effect], EFFECT_NAMES[message.effect])


def state_words(state: str) -> str:
    """Where a message stands or stood, by the name of its state."""
    return DELIVERIES[state].words if state in DELIVERIES else state


def stands(key: str) -> str:
    """Why messages stand where they stand, from ``failed:timeout``: ``Not delivered: timed out``."""
    state, _, reason = key.partition(":")
    words = state_words(_LATER.get(state, state) if reason else state)
    return f"{words}: {_OUTCOMES[Reason(reason)].words}" if reason in set(Reason) else words
