"""Labels, tones and sentences for orders, and the template filters that give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Flask

from app import clock
from app.accounts import access
from app.accounts.models import Person
from app.accounts.permissions import Permission
from app.delivery.models import Attempt, Message, MessageState
from app.network.reference_codes import gst_state_label, unit_name
from app.network.vocabulary import DeviceTag, Status, SupplierResponse, is_known_status
from app.orders.comments import parts_of, unknown_mentions
from app.orders.decisions import DELIVERIES_IN_EFFECT, ResponseBlocker, response_blocker
from app.orders.document_presenters import (
    address_line,
    change_brief,
    document_view,
    phone_number,
    trade_name,
)
from app.orders.line_presenters import (
    ACTIONS,
    REASONS,
    decision_lines,
    entered_fields,
    line_response_views,
    line_sentence,
    lines_brief,
    lines_in_body,
    response_summary,
)
from app.orders.models import Comment, Decision, Delivery, PurchaseOrder, ResponseState
from app.orders.queries import COUNTED_MOST, SOON, QueueCounts
from app.orders.queue import Place
from app.orders.req_confirm import OWN_NUMBER, PROMISED_DATE
from app.orders.timeline import Event, EventKind
from app.ui.chips import Chip
from app.ui.listing import EmptyList
from app.ui.numbers import things
from app.webhooks.presenters import MESSAGE_STATES, message_sentence, outcome_sentence

STATUS_LABELS = {
    Status.CREATED: "Open",
    Status.ACCEPTED: "Accepted",
    Status.REJECTED: "Rejected",
    Status.RETURNED: "Returned",
    Status.CANCELLED: "Canceled by the buyer",
    Status.CLOSED: "Closed by the buyer",
}
RESPONSE_LABELS = {
    ResponseState.NONE: "No response",
    ResponseState.ACCEPT: "Confirmed",
    ResponseState.REJECT: "Rejected",
    ResponseState.RETURN: "Returned",
    ResponseState.CHANGED: "Changed since response",
}
RESPONSE_VERBS = {
    SupplierResponse.ACCEPT: "Confirm",
    SupplierResponse.REJECT: "Reject",
    SupplierResponse.RETURN: "Return",
}
DELIVERY_LABELS = {
    Delivery.NONE: "Not sent",
    Delivery.PENDING: "Queued or retrying",
    Delivery.SENDING: MESSAGE_STATES["sending"].words,
    Delivery.DELIVERED: MESSAGE_STATES["delivered"].words,
    Delivery.REFUSED: MESSAGE_STATES["refused"].words,
    Delivery.FAILED: MESSAGE_STATES["failed"].words,
    Delivery.CANCELLED: MESSAGE_STATES["cancelled"].words,
}
"""Labels of the inbox filter; a chip shows the state of the message itself."""
BLOCKER_SENTENCES = {
    ResponseBlocker.UNKNOWN_STATUS: "This app does not support the status “{status}”.",
    ResponseBlocker.RETURN_NOT_SUPPORTED: (
        "This partner does not support returns. Confirm or reject the order."
    ),
    ResponseBlocker.LINES_NOT_SUPPORTED: (
        "This partner does not accept responses to single lines. Respond to the whole order."
    ),
    ResponseBlocker.FINAL_STATUS: "The order is {label}. It can no longer be responded to.",
    ResponseBlocker.EARLIER_RESPONSE_SENDING: (
        "The response to the earlier version is being sent. Wait until that has ended."
    ),
}
STALE_FORM = "The buyer changed this order. It is now version {version}. Reload the page to see the changes."
NOT_ALLOWED_BY_PARTNER = "The partner would not accept this: {detail}"
PAGE_GONE = "That page no longer exists. Showing page 1."

INFO_LABELS = {OWN_NUMBER: "Own order number", PROMISED_DATE: "Promised date"}

NEEDS_RESPONSE = Chip("waiting", "Needs response")
CHANGED = Chip("warn", "Changed, needs response")
UNKNOWN_STATUS = Chip("warn", "Unknown status")
_ENDED_BY_BUYER = {
    Status.CANCELLED: Chip("quiet", "Canceled"),
    Status.CLOSED: Chip("quiet", "Closed"),
}


# --- Labels


def info_label(name: str) -> str:
    """The label of a name in ``additionalInfos``."""
    return INFO_LABELS.get(name, name) or "No name"


def status_label(status: str) -> str:
    """The order status at the partner; an unknown one in quotes."""
    return STATUS_LABELS[Status(status)] if is_known_status(status) else f"“{status}” (unknown)"


def response_label(response: str) -> str:
    """``Confirmed`` for ``ACCEPT``; an unknown response unchanged."""
    return RESPONSE_LABELS[ResponseState(response)] if response in set(ResponseState) else response


def decision_label(decision: Decision) -> str:
    """``Confirmed``, or ``Confirmed with changes`` if lines differ from the order."""
    differs = bool(decision.lines) and decision.response != SupplierResponse.REJECT
    return response_label(decision.response) + (" with changes" if differs else "")


def decision_chip(decision: Decision) -> Chip:
    """The response of a decision, with ``decision_label`` as its words."""
    return Chip(response_chip(decision.response).tone, decision_label(decision))


def response_chip(response: str) -> Chip:
    """A response that was sent. Rejecting is a legitimate response: it is not shown as an error."""
    return Chip("ok" if response == ResponseState.ACCEPT else "ink", response_label(response))


def order_chip(order: PurchaseOrder) -> Chip:
    """The response of an order, or that it needs one."""
    if not is_known_status(order.status):
        return UNKNOWN_STATUS
    status = Status(order.status)
    if status in _ENDED_BY_BUYER:
        return _ENDED_BY_BUYER[status]
    if order.response is ResponseState.CHANGED:
        return CHANGED
    if is_superseded(order):
        return NEEDS_RESPONSE
    if order.response is ResponseState.NONE:
        return NEEDS_RESPONSE if status is Status.CREATED else Chip("quiet", STATUS_LABELS[status])
    return response_chip(order.response)


def delivery_chip(order: PurchaseOrder) -> Chip | None:
    """The state of the last response's webhook, as lists know it; None where nothing was sent."""
    if order.delivery is Delivery.NONE:
        return None
    if order.delivery is Delivery.PENDING:
        if order.partner.paused:
            return MESSAGE_STATES["held"]
        return MESSAGE_STATES["retrying" if order.is_retrying else "pending"]
    return MESSAGE_STATES[order.delivery.value]


def is_superseded(order: PurchaseOrder) -> bool:
    """Whether the last response is no longer in effect: the buyer changed the order, or it was undone."""
    was_undone = order.delivery is Delivery.CANCELLED and order.needs_response
    return order.response is ResponseState.CHANGED or was_undone


def urgency(order: PurchaseOrder, now: datetime) -> str:
    """The CSS class for the deadline of an open order: ``late``, ``soon`` or nothing."""
    if not order.needs_response:
        return ""
    if order.respond_by < now:
        return "late"
    return "soon" if order.respond_by <= now + SOON else ""


def blocker_sentence(order: PurchaseOrder, blocker: ResponseBlocker | None) -> str:
    """Why the order cannot be responded to; empty if it can."""
    if blocker is None:
        return ""
    label = status_label(order.status)
    return BLOCKER_SENTENCES[blocker].format(status=order.status, label=label[:1].lower() + label[1:])


# --- The inbox


@dataclass(frozen=True, slots=True)
class Queue:
    """The work queue that a filter amounts to; ``is_exact`` if nothing else narrows the list."""

    name: str
    title: str
    is_exact: bool


QUEUE_TITLES = {
    "overdue": "Overdue",
    "soon": "Due soon",
    "to_answer": "Needs response",
    "changed": "Changed since response",
    "all": "All orders",
}
_EMPTY_QUEUES = {
    "overdue": "No orders are overdue.",
    "soon": "No orders are due in the next 4 hours.",
    "to_answer": "Every order has a response.",
    "changed": "No order was changed after a response.",
}


def order_queue(values: Mapping[str, Any]) -> Queue:
    """The work queue of the list's filter values."""
    due, response = values.get("due"), values.get("answer")
    by_response = {"open": "to_answer", "changed": "changed"}
    name = due or by_response.get(response or "", "all")
    narrowing = set(values) - {"due", "answer", "sort", "after"}
    return Queue(name, QUEUE_TITLES[name], is_exact=not narrowing and not (due and response))


def list_query(filters: Mapping[str, Any]) -> str:
    """The query string of a list, which its orders carry in their URLs; it is never empty."""
    return urlencode(filters) or "sort=respond_by"


def place_label(place: Place) -> str:
    """Where an order is in its list, such as ``1 of 47``."""
    total = "1,000+" if place.total >= COUNTED_MOST else str(place.total)
    if place.position is None:
        return f"{total} in this list"
    if place.position >= COUNTED_MOST:
        return f"beyond 1,000 of {total}"
    return f"{place.position} of {total}"


def end_of_list(remaining: int) -> tuple[str, str]:
    """The title and the sentence after the last order of a list."""
    if not remaining:
        return "All done", "Every order in this list has a response."
    verb = "needs" if remaining == 1 else "need"
    count = "1,000+ orders" if remaining >= COUNTED_MOST else things(remaining, "order")
    return "End of the list", f"{count} that you skipped still {verb} a response."


def queue_summary(queue: Queue, counts: QueueCounts | None, shown: int, *, first: bool, last: bool) -> str:
    """How many orders the list has: exact for a work queue, else as far as the page tells.

    ``counts`` is None where they are not at hand; ``first`` and ``last`` say which page is shown.
    """
    if counts and queue.is_exact and queue.name != "all":
        total: int = getattr(counts, queue.name)
        if total > 1000:
            return "1,000+ orders"
        late = f", {counts.overdue} overdue" if queue.name == "to_answer" and counts.overdue else ""
        return things(total, "order") + late
    if not first:
        return f"{things(shown, 'order')} on this page"
    return things(shown, "order") if last else f"{shown}+ orders"


SHOW_ALL = "Show all orders"


def empty_list(queue: Queue, values: Mapping[str, Any]) -> EmptyList:
    """Why the list is empty: no match, a queue that is done, or no orders at all."""
    if query := values.get("q"):
        return EmptyList("nothing", "No matches", f"No orders match “{query}”.", SHOW_ALL)
    if queue.is_exact and queue.name != "all":
        return EmptyList("done", "All done", _EMPTY_QUEUES[queue.name], SHOW_ALL)
    if set(values) - {"sort", "after"}:
        return EmptyList("nothing", "No matches", "No orders match these filters.", SHOW_ALL)
    return EmptyList("empty", "No orders yet", "Orders appear here when a partner sends one.")


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in the list. ``css`` is the class of its state cell."""

    order: PurchaseOrder
    chip: Chip
    delivery: Chip | None
    delivery_prefix: str
    urgency: str
    can_select: bool
    css: str


def order_row(order: PurchaseOrder, *, can_assign: bool) -> OrderRow:
    """An order in the list; ``can_assign`` is a permission that all have who may respond."""
    is_plain = order.response is ResponseState.NONE and order.needs_response
    return OrderRow(
        order=order,
        chip=order_chip(order),
        delivery=delivery_chip(order),
        delivery_prefix="previous response: " if is_superseded(order) else "",
        urgency=urgency(order, clock.now()),
        can_select=can_assign and order.needs_response,
        css="col-state plain" if is_plain else "col-state",
    )


# --- The response


def unsuccessful_title(message: Message) -> str:
    """What happened to a response that is not in effect."""
    if message.state is MessageState.CANCELLED:
        return "Your last response was canceled before sending."
    if message.state is MessageState.FAILED:
        return "Your last response could not be delivered."
    return "The partner refused your last response."


def form_state(
    order: PurchaseOrder, form: Any, conflict: str, last: Decision | None, message: Message | None
) -> str:
    """Which notice the form shows: decided, closed, stale, unsuccessful or none.

    ``conflict`` is what a POST ran into. A form for another version than the current one is stale.
    """
    if conflict in ("decided", "closed"):
        return conflict
    if conflict == "stale" or (not form.version.errors and str(form.version.data) != str(order.version)):
        return "stale"
    if not last or not message or last.version != order.version:
        return ""
    ended_badly = message.is_final and message.state is not MessageState.DELIVERED
    return "unsuccessful" if ended_badly else ""


def decided_title(decision: Decision | None) -> str:
    """Who responded first."""
    if decision is None:
        return "This order has a response already."
    return f"{decision.person_name} already {response_label(decision.response).lower()} this order."


def form_news(order: PurchaseOrder, version: int | None, message_id: str) -> str:
    """What happened since the form for this version and last webhook was opened; empty if nothing did."""
    if order.version != version:
        return f"The buyer changed this order. It is now version {order.version}."
    if order.message_id != (message_id or None) and order.delivery in DELIVERIES_IN_EFFECT:
        return f"{order.responded_by} already {response_label(order.response).lower()} this order."
    blocker = response_blocker(order, accepts_return=order.partner.accepts_return)
    return blocker_sentence(order, blocker)


def delivery_phase(message: Message) -> str:
    """Which sentence describes the delivery: paused, delivered, sending, queued, retrying or ended."""
    if message.is_held:
        return "paused"
    if message.state is MessageState.PENDING:
        return "retrying" if message.attempts_made else "queued"
    if message.state in (MessageState.DELIVERED, MessageState.SENDING):
        return message.state.value
    return "ended"


_FORM_FIELDS = {
    "supplierRemarks": "supplier_remarks",
    "supplierResponse": "supplier_response",
    "additionalInfos": "additional_infos",
    "device": "device_tag_value",
}
_REFUSALS = {
    "supplier_remarks": "The partner rejected this remark{code}. Edit it and try again.",
    "supplier_response": "The partner rejected this response{code}.",
    "supplier_order_number": "The partner rejected this number{code}.",
    "promised_date": "The partner rejected this date{code}.",
    "additional_infos": "The partner rejected one of these fields{code}.",
    "lines": "The partner rejected a line response{code}.",
    "device_tag_value": "The partner rejected this tag or value{code}.",
}


def refused_field(
    message: Message | None, infos: Sequence[Sequence[str]] = (), *, has_lines: bool = False
) -> str:
    """The form field that the partner's refusal names; empty if it names none.

    ``infos`` are the additional infos that were sent: two of them have their own form fields. With
    ``has_lines``, those after them are line responses.
    """
    if message is None or message.state is not MessageState.REFUSED:
        return ""
    path = re.split(r"[.\[\]]+", message.error_field)
    field = next((_FORM_FIELDS[step] for step in path if step in _FORM_FIELDS), "")
    if field == "additional_infos":
        place = next((int(step) for step in path if re.fullmatch(r"\d{1,5}", step)), None)
        if has_lines and place is not None and place >= len(infos):
            return "lines"
        name = infos[place][0] if place is not None and place < len(infos) else ""
        return {OWN_NUMBER: "supplier_order_number", PROMISED_DATE: "promised_date"}.get(name, field)
    return field


def refusals(order: PurchaseOrder, last: Decision | None, message: Message | None) -> dict[str, str]:
    """The error of the partner by form field, while the refused response is the last one."""
    if message is None or last is None or last.version != order.version:
        return {}
    field = refused_field(message, last.infos, has_lines=bool(last.lines))
    code = f" ({message.error_cd})" if message.error_cd else ""
    return {field: _REFUSALS[field].format(code=code)} if field else {}


@dataclass(frozen=True, slots=True)
class InfoRow:
    """A row of custom fields in the form."""

    number: int
    name_field: str
    name: str
    value_field: str
    value: str
    errors: Sequence[str] = ()


def info_rows(form: Any) -> list[InfoRow]:
    """The custom fields of the form, followed by empty rows: at least 3 rows, 2 of them empty."""
    rows = [
        InfoRow(
            number,
            entry["name"].name,
            entry["name"]._value(),
            entry["value"].name,
            entry["value"]._value(),
            [*entry["name"].errors, *entry["value"].errors],
        )
        for number, entry in enumerate(form.additional_infos, 1)
    ]
    empty = sum(not row.name and not row.value for row in rows)
    for place in range(len(rows), max(3, len(rows) + 2 - empty)):
        rows.append(
            InfoRow(place + 1, f"additional_infos-{place}-name", "", f"additional_infos-{place}-value", "")
        )
    return rows


FORM_SECTIONS = {
    "reference": ("supplier_order_number", "promised_date"),
    "custom": ("additional_infos",),
    "device": ("device_tag_name", "device_tag_value"),
}
"""The sections of further fields in the response form, with their fields."""


def open_sections(form: Any, refused: Mapping[str, str]) -> set[str]:
    """The sections that start open: something in them is filled in by a person, wrong or refused."""
    sections = {
        section
        for section, names in FORM_SECTIONS.items()
        if any(form[name].errors or name in refused for name in names)
    }
    if form.supplier_order_number.data or form.promised_date.data:
        sections.add("reference")
    if any(entry["name"].data or entry["value"].data for entry in form.additional_infos):
        sections.add("custom")
    return sections


# --- The team


def initials(name: str) -> str:
    """Up to two letters for a person: ``OF`` for ``Omar Farooq``."""
    words = name.split()
    return "".join(word[0] for word in [*words[:1], *words[1:][-1:]]).upper()


def can_claim(order: PurchaseOrder, assignable: Sequence[Person]) -> bool:
    """Whether the reader may assign the order to themselves, and has not."""
    me = access.current_person()
    is_assignable = any(person.id == me.id for person in assignable)
    return is_assignable and order.assignee_id != me.id and access.can(me, Permission.ASSIGN)


def open_form_sentence(people: Sequence[Person]) -> str:
    """Who else has the form open; empty for nobody."""
    names = [person.display_name for person in people]
    if len(names) > 2:
        return f"{names[0]} and {len(names) - 1} others have this form open."
    return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} this form open." if names else ""


# --- The activity


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """An event as text: a title, a sentence where the title does not say it all, and a tone."""

    title: str
    note: str = ""
    tone: str = ""


EVENT_TITLES = {
    EventKind.RECEIVED: "Received",
    EventKind.EDITED: "Changed by the buyer",
    EventKind.VIEWED: "Viewed by {actor}",
    EventKind.RESPONDED: "{response} by {actor}",
    EventKind.ATTEMPTED: "Delivery failed",
    EventKind.RESENT: "Resent by {actor}",
    EventKind.DELIVERED: "Delivered to the partner",
    EventKind.REFUSED: "Refused by the partner",
    EventKind.FAILED: "Gave up delivery",
    EventKind.WITHDRAWN: "Response canceled",
    EventKind.RESULT: "Result from the partner",
    EventKind.CANCELED: "Canceled by the buyer",
    EventKind.CLOSED: "Closed by the buyer",
    EventKind.COMMENTED: "Comment by {actor}",
    EventKind.ASSIGNED: "Assigned to {assignee} by {actor}",
    EventKind.CLAIMED: "Claimed by {actor}",
    EventKind.UNASSIGNED: "Unassigned by {actor}",
}
EVENT_TONES = {
    EventKind.EDITED: "warn",
    EventKind.ATTEMPTED: "warn",
    EventKind.REFUSED: "bad",
    EventKind.FAILED: "bad",
}


def activity_entry(event: Event) -> ActivityEntry:
    """The text of an event."""
    kind, message, attempt = event.kind, event.message, event.attempt
    if message and attempt and attempt.in_flight:
        return _unfinished(message)
    if kind is EventKind.RESULT and message and message.state is MessageState.REFUSED:
        kind = EventKind.REFUSED
    title = EVENT_TITLES[kind].format(
        actor=event.actor or "an unknown user",
        assignee=event.assignee,
        response=response_label(event.response),
    )
    return ActivityEntry(title, _event_note(event), EVENT_TONES.get(kind, ""))


def _event_note(event: Event) -> str:
    message, attempt = event.message, event.attempt
    if event.comment:
        return _mention_note(event.comment)
    if event.kind is EventKind.RESPONDED:
        return lines_brief(event.lines)
    if event.changes is not None:
        brief = event.changes.in_brief
        return f"{brief[:1].upper()}{brief[1:]}."
    if message is None or event.kind is EventKind.DELIVERED:
        return ""
    if attempt is None or _decided_message(event.kind, message, attempt):
        return message_sentence(message)
    return outcome_sentence(attempt)


def _mention_note(comment: Comment) -> str:
    """That nobody was notified for some names; this must not tell whether such a person exists."""
    names = unknown_mentions(comment)
    if not names:
        return ""
    verb = "was" if len(names) == 1 else "were"
    return f"{', '.join(names)} {verb} not notified: no such user can see this order."


def _decided_message(kind: EventKind, message: Message, attempt: Attempt) -> bool:
    """Whether the partner refused the message in this attempt: then its note has the details."""
    is_newest = attempt.number == message.attempts_made
    return kind is EventKind.REFUSED and is_newest and message.state is MessageState.REFUSED


def _unfinished(message: Message) -> ActivityEntry:
    if message.state is MessageState.SENDING:
        return ActivityEntry("Sending", "", "waiting")
    return ActivityEntry("Delivery attempted", "The outcome is unknown.", "warn")


def event_sentence(event: Event) -> str:
    """The text of an event on one line."""
    entry = activity_entry(event)
    return f"{entry.title}. {entry.note}".strip() if entry.note else f"{entry.title}."


def ended_title(action: str) -> str:
    """What the buyer did to end the order."""
    return "The buyer canceled this order." if action == "CANCEL" else "The buyer closed this order."


_RESPONSES_IN_SENTENCE = {
    SupplierResponse.ACCEPT: "confirmed it",
    SupplierResponse.REJECT: "rejected it",
    SupplierResponse.RETURN: "returned it",
}


def changed_title(decision: Decision | None, *, is_mine: bool) -> str:
    """That the buyer changed an order after a response."""
    if decision is None or decision.response not in set(SupplierResponse):
        return "The buyer changed this order after a response."
    who = "you" if is_mine else decision.person_name
    action = _RESPONSES_IN_SENTENCE[SupplierResponse(decision.response)]
    return f"The buyer changed this order after {who} {action}."


def changed_consequence(decision: Decision, message: Message | None, *, is_mine: bool) -> str:
    """What happened to the response to the earlier version."""
    article = "Your" if is_mine else "The"
    if message and message.state is MessageState.CANCELLED:
        if message.unknown_outcome:
            return (
                f"{article} response to version {decision.version} was canceled,"
                " but the partner may already have received it."
            )
        return f"{article} response to version {decision.version} was canceled before sending."
    return f"{article} response to version {decision.version} is in the activity log."


def order_chips() -> dict[str, list[Chip]]:
    """All states of an order that a page can show, for the style guide."""
    sent = [response_chip(response) for response in RESPONSE_VERBS]
    return {
        "Response": [NEEDS_RESPONSE, CHANGED, *sent, UNKNOWN_STATUS],
        "Order ended": list(_ENDED_BY_BUYER.values()),
    }


def init_app(app: Flask) -> None:
    """Register this package's template filters and functions."""
    app.jinja_env.filters.update(
        response_label=response_label,
        response_chip=response_chip,
        decision_label=decision_label,
        decision_chip=decision_chip,
        status_label=status_label,
        order_chip=order_chip,
        change_brief=change_brief,
        event_sentence=event_sentence,
        gst_state_label=gst_state_label,
        unit_name=unit_name,
        urgency=lambda order: urgency(order, clock.now()),
        initials=initials,
        comment_parts=parts_of,
    )
    app.jinja_env.tests.update(superseded=is_superseded)
    app.jinja_env.globals.update(
        activity_entry=activity_entry,
        address_line=address_line,
        can_claim=can_claim,
        open_form_sentence=open_form_sentence,
        changed_consequence=changed_consequence,
        changed_title=changed_title,
        decided_title=decided_title,
        delivery_phase=delivery_phase,
        device_tags=[tag.value for tag in DeviceTag],
        document_view=document_view,
        end_of_list=end_of_list,
        ended_title=ended_title,
        form_state=form_state,
        open_sections=open_sections,
        decision_lines=decision_lines,
        entered_fields=entered_fields,
        info_label=info_label,
        info_rows=info_rows,
        line_actions={action.value: label for action, (label, _) in ACTIONS.items()},
        line_reasons=REASONS,
        line_response_views=line_response_views,
        line_sentence=line_sentence,
        lines_in_body=lines_in_body,
        response_summary=response_summary,
        phone_number=phone_number,
        place_label=place_label,
        refusals=refusals,
        trade_name=trade_name,
        response_verbs={response.value: verb for response, verb in RESPONSE_VERBS.items()},
        unsuccessful_title=unsuccessful_title,
    )
