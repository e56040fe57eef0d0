"""Labels, tones and sentences for orders, and the template filters that give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Flask

from app import clock
from app.delivery.models import Message, MessageState
from app.network.vocabulary import DeviceTag, Status, is_known_status
from app.orders.change_summary import change_brief, change_label, field_change, header_change, line_change
from app.orders.decisions import response_blocker
from app.orders.forms import OWN_NUMBER, PROMISED_DATE, STATUS_NAMES
from app.orders.models import Delivery, PurchaseOrder, ResponseState
from app.orders.queries import SOON
from app.orders.timeline import Event, EventKind
from app.orders.totals import line_rest, line_taxes, sums, tax_path
from app.ui.chips import Chip
from app.webhooks.presenters import MESSAGE_STATES, lasting

GIVEN = {
    ResponseState.ACCEPT: "Confirmed",
    ResponseState.REJECT: "Rejected",
    ResponseState.RETURN: "Returned for changes",
}
"""What the supplier answered. Whether it arrived is told by the delivery."""


VERBS = {ResponseState.ACCEPT: "Confirm", ResponseState.REJECT: "Reject", ResponseState.RETURN: "Return"}


_WITHDRAWN_BY_BUYER = (Status.CANCELLED, Status.CLOSED)


def urgency(order: PurchaseOrder, now: datetime) -> str:
    """``late``, ``soon``, or nothing: how near the deadline of an open order is."""
    if not order.needs_response:
        return ""
    if order.respond_by < now:
        return "late"
    return "soon" if order.respond_by <= now + SOON else ""


def given(response: str) -> str:
    """``Confirmed`` for ``ACCEPT``; an unknown answer as it came."""
    return GIVEN.get(ResponseState(response), response) if response in set(ResponseState) else response


def status_words(status: str) -> str:
    """What the network knows of an order, in words; an unknown status as it came."""
    return (
        STATUS_NAMES[Status(status)]
        if is_known_status(status)
        else f"“{status}”, which this app does not know"
    )


def is_in_vain(order: PurchaseOrder) -> bool:
    """Whether the last answer no longer stands: the buyer changed the order, or somebody took it back."""
    taken_back = order.delivery is Delivery.CANCELLED and order.needs_response
    return order.response is ResponseState.CHANGED or taken_back


def is_answerable(order: PurchaseOrder) -> bool:
    """Whether an answer to the order's present version would be taken, as a list can tell."""
    accepts_return = order.partner.accepts_return
    return order.needs_response and response_blocker(order, accepts_return=accepts_return) is None


def answer_chip(order: PurchaseOrder) -> Chip:
    """What was answered, or that an answer is wanted."""
    if not is_known_status(order.status):
        return Chip("warn", "Unknown status")
    if order.status in _WITHDRAWN_BY_BUYER:  # by whom, the page says itself
        return Chip("quiet", order.status.capitalize())
    if order.response is ResponseState.CHANGED:
        return Chip("warn", "Changed: answer again")
    if is_in_vain(order):  # taken back, and nothing of it stands
        return Chip("waiting", "To answer")
    if order.response is ResponseState.NONE:
        waits = order.status == Status.CREATED
        return Chip("waiting", "To answer") if waits else Chip("quiet", STATUS_NAMES[Status(order.status)])
    return given_chip(order.response)


def given_chip(response: str) -> Chip:
    """An answer that was given. Rejecting is a legitimate answer: it wears ink, not red."""
    return Chip("ok" if response == ResponseState.ACCEPT else "ink", given(response))


def order_delivery(order: PurchaseOrder) -> Chip | None:
    """What became of the last answer's message, as lists know it; None where nothing was sent."""
    if order.delivery is Delivery.NONE:
        return None
    if order.delivery is Delivery.PENDING:
        return MESSAGE_STATES["held" if order.partner.paused else "retrying"]
    return MESSAGE_STATES[order.delivery.value]


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """An event as the page tells it: a few words, a sentence where they do not say it all, and its colour."""

    title: str
    note: str = ""
    tone: str = ""


_HAPPENINGS = {
    EventKind.DELIVERED: ("Delivered to the network", ""),
    EventKind.REFUSED: ("Refused by the network", "bad"),
    EventKind.FAILED: ("Could not be delivered", "bad"),
    EventKind.WITHDRAWN: ("Answer withdrawn", ""),
    EventKind.RESULT: ("Result from the network", ""),
}


def activity_entry(event: Event, messages: Iterable[Message] = ()) -> ActivityEntry:
    """How the page tells an event; ``messages`` are the order's, for how a result came out."""
    words = event.sentence.rstrip(".")
    if event.kind in (EventKind.SEEN, EventKind.ANSWERED, EventKind.ASKED):
        return ActivityEntry(f"{words.removesuffix(' by hand')} by {event.actor or 'somebody'}")
    if event.kind is EventKind.EDITED:
        title, _, note = words.partition(": ")
        return ActivityEntry(title, note and f"{note[:1].upper()}{note[1:]}.", "warn")
    if event.kind is EventKind.TRIED:
        tried = ActivityEntry("Tried in vain", event.sentence, "warn")
        return ActivityEntry(words, "", "waiting") if event.sentence == "Being sent." else tried
    if event.kind not in _HAPPENINGS:
        return ActivityEntry(words)
    title, tone = _HAPPENINGS[event.kind]
    if event.kind is EventKind.RESULT:
        about = next((message for message in messages if message.id == event.message_id), None)
        refused = about is not None and about.state is MessageState.REFUSED
        tone, title = ("bad", "Refused by the network") if refused else ("", title)
    return ActivityEntry(title, "" if event.kind is EventKind.DELIVERED else lasting(event.sentence), tone)


_FORM_FIELDS = {
    "supplierRemarks": "supplier_remarks",
    "supplierResponse": "supplier_response",
    "additionalInfos": "additional_infos",
    "device": "device_tag_value",
}


def refused_field(message: Message | None, infos: Sequence[Sequence[str]] = ()) -> str:
    """The field of the answer form that the network's refusal names, empty if it names none.

    ``infos`` are the further names and values that were sent: two of them have fields of their own.
    """
    if message is None or message.state is not MessageState.REFUSED:
        return ""
    path = re.split(r"[.\[\]]+", message.error_field)
    field = next((_FORM_FIELDS[step] for step in path if step in _FORM_FIELDS), "")
    if field == "additional_infos":
        place = next((int(step) for step in path if re.fullmatch(r"\d{1,3}", step)), len(infos))
        name = infos[place][0] if place < len(infos) else ""
        return {OWN_NUMBER: "supplier_order_number", PROMISED_DATE: "promised_date"}.get(name, field)
    return field


def order_chips() -> dict[str, list[Chip]]:
    """All states of an order that a page can show, for the style guide."""
    answers = [Chip("waiting", "To answer"), Chip("warn", "Changed: answer again")]
    return {
        "Answer": [*answers, *(given_chip(answer.value) for answer in GIVEN), Chip("warn", "Unknown status")],
        "Order ended": [Chip("quiet", status.capitalize()) for status in _WITHDRAWN_BY_BUYER],
    }


def init_app(app: Flask) -> None:
    """Give the filters, tests and functions of this package to the templates."""
    app.jinja_env.filters.update(
        tax_path=tax_path,
        given=given,
        given_chip=given_chip,
        status_words=status_words,
        answer_chip=answer_chip,
        order_delivery=order_delivery,
        change_brief=change_brief,
        change_label=change_label,
        urgency=lambda order: urgency(order, clock.now()),
    )
    app.jinja_env.tests.update(answerable=is_answerable, answered_in_vain=is_in_vain)
    app.jinja_env.globals.update(
        header_change=header_change,
        line_change=line_change,
        field_change=field_change,
        activity_entry=activity_entry,
        sums=sums,
        line_taxes=line_taxes,
        line_rest=line_rest,
        refused_field=refused_field,
        device_tags=[tag.value for tag in DeviceTag],
        answer_verbs={response.value: verb for response, verb in VERBS.items()},
    )
