"""Labels and tones of orders, sentences that several pages show, and their template filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import Flask

from app import clock
from app.accounts import access
from app.accounts.models import Person
from app.accounts.permissions import Permission
from app.delivery.models import RETRYING, MessageState
from app.network.reference_codes import gst_state_label, unit_name
from app.network.vocabulary import DeviceTag, Status, SupplierResponse, is_known_status
from app.orders.decisions import ResponseBlocker
from app.orders.document_presenters import (
    address_line,
    change_brief,
    document_view,
    phone_number,
    trade_name,
)
from app.orders.models import Decision, Delivery, PurchaseOrder, ResponseState
from app.orders.queries import SOON
from app.orders.req_confirm import OWN_NUMBER, PROMISED_DATE
from app.orders.team import parts_of
from app.ui.chips import Chip
from app.webhooks.presenters import MESSAGE_STATES

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
    Delivery.NONE: "No webhook",
    Delivery.PENDING: "Queued or retrying",
    Delivery.SENDING: MESSAGE_STATES[MessageState.SENDING].label,
    Delivery.DELIVERED: MESSAGE_STATES[MessageState.DELIVERED].label,
    Delivery.REFUSED: MESSAGE_STATES[MessageState.REFUSED].label,
    Delivery.FAILED: MESSAGE_STATES[MessageState.FAILED].label,
    Delivery.CANCELED: MESSAGE_STATES[MessageState.CANCELED].label,
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
    ResponseBlocker.FINAL_STATUS: "The order is {label}. It no longer accepts responses.",
    ResponseBlocker.EARLIER_RESPONSE_SENDING: (
        "The response to the earlier version is still being sent. Wait until it has finished."
    ),
}
NOT_ALLOWED_BY_PARTNER = "The partner would not accept this: {detail}"

INFO_LABELS = {OWN_NUMBER: "Supplier order number", PROMISED_DATE: "Promised date"}

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
    differs = bool(decision.line_responses) and decision.response != SupplierResponse.REJECT
    return response_label(decision.response) + (" with changes" if differs else "")


def decision_chip(decision: Decision) -> Chip:
    """The response of a decision, with ``decision_label`` as its label."""
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
    """The state of the last response's webhook, as lists show it; None if there is no webhook."""
    if order.delivery is Delivery.NONE:
        return None
    if order.delivery_shown == Delivery.PENDING and order.is_retrying:
        return MESSAGE_STATES[RETRYING]
    return MESSAGE_STATES[order.delivery_shown]


def is_superseded(order: PurchaseOrder) -> bool:
    """Whether the last response is no longer in effect: the buyer changed the order, or it was canceled."""
    was_canceled = order.delivery is Delivery.CANCELED and order.needs_response
    return order.response is ResponseState.CHANGED or was_canceled


def urgency(order: PurchaseOrder, now: datetime) -> str:
    """The CSS class for the deadline of an open order: ``late``, ``soon`` or nothing."""
    if not order.needs_response:
        return ""
    if order.respond_by < now:
        return "late"
    return "soon" if order.respond_by <= now + SOON else ""


def blocker_sentence(order: PurchaseOrder, blocker: ResponseBlocker | None) -> str:
    """Why the order accepts no response; empty if it does."""
    if blocker is None:
        return ""
    label = status_label(order.status)
    return BLOCKER_SENTENCES[blocker].format(status=order.status, label=label[:1].lower() + label[1:])


# --- The team


def initials(name: str) -> str:
    """Up to two letters for a person: ``OF`` for ``Omar Farooq``."""
    words = name.split()
    return "".join(word[0] for word in [*words[:1], *words[1:][-1:]]).upper()


def can_claim(order: PurchaseOrder, assignable: Sequence[Person]) -> bool:
    """Whether the reader may assign the order to themselves, and has not."""
    me = access.current_person()
    is_assignable = any(person.id == me.id for person in assignable)
    return is_assignable and order.assignee_id != me.id and access.can(Permission.ASSIGN)


def open_form_sentence(people: Sequence[Person]) -> str:
    """Who else has the form open; empty if no one has."""
    names = [person.display_name for person in people]
    if len(names) > 2:
        return f"{names[0]} and {len(names) - 1} others have this form open."
    return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} this form open." if names else ""


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
        gst_state_label=gst_state_label,
        unit_name=unit_name,
        urgency=lambda order: urgency(order, clock.now()),
        initials=initials,
        comment_parts=parts_of,
    )
    app.jinja_env.tests.update(superseded=is_superseded)
    app.jinja_env.globals.update(
        address_line=address_line,
        can_claim=can_claim,
        open_form_sentence=open_form_sentence,
        device_tags=[tag.value for tag in DeviceTag],
        document_view=document_view,
        info_label=info_label,
        phone_number=phone_number,
        trade_name=trade_name,
        response_verbs={response.value: verb for response, verb in RESPONSE_VERBS.items()},
    )
