"""The response to an order and its form: notices, refused fields, and what starts open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import Flask

from app.delivery.models import Message, MessageState
from app.network.vocabulary import SupplierResponse
from app.orders.decisions import DELIVERIES_IN_EFFECT, response_blocker
from app.orders.models import Decision, PurchaseOrder
from app.orders.presenters import blocker_sentence, response_label
from app.orders.req_confirm import OWN_NUMBER, PROMISED_DATE

STALE_FORM = "The buyer changed this order. It is now version {version}. Reload the page to see the changes."


def canceled_sentence(subject: str, message: Message) -> str:
    """Says that a response was canceled, and whether the partner may have received it."""
    if message.unknown_outcome:
        return f"{subject} was canceled, but the partner may already have received it."
    return f"{subject} was canceled before it was delivered."


def unsuccessful_title(message: Message) -> str:
    """What happened to a response that is not in effect."""
    if message.state is MessageState.CANCELED:
        return canceled_sentence("Your last response", message)
    if message.state is MessageState.FAILED:
        return "Your last response could not be delivered."
    return "Your last response is not in effect."


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
    is_unsuccessful = message.is_final and message.state is not MessageState.DELIVERED
    return "unsuccessful" if is_unsuccessful else ""


def decided_title(decision: Decision | None) -> str:
    """Says who responded first."""
    if decision is None:
        return "This order already has a response."
    return _already_responded(decision.person_name, decision.response)


def _already_responded(name: str, response: str) -> str:
    return f"{name} already {response_label(response).lower()} this order."


def form_updates(order: PurchaseOrder, version: int | None, message_id: str) -> str:
    """What happened since the form for this version and last webhook was opened; empty if nothing did."""
    if order.version != version:
        return f"The buyer changed this order. It is now version {order.version}."
    if order.message_id != (message_id or None) and order.delivery in DELIVERIES_IN_EFFECT:
        return _already_responded(order.responded_by, order.response)
    return blocker_sentence(order, response_blocker(order))


def delivery_phase(message: Message) -> str:
    """Which sentence describes the delivery: paused, delivered, sending, queued, retrying or ended."""
    if message.is_paused:
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
    "supplier_remarks": "The partner refused this remark{code}. Edit it and try again.",
    "supplier_response": "The partner refused this response{code}.",
    "supplier_order_number": "The partner refused this number{code}.",
    "promised_date": "The partner refused this date{code}.",
    "additional_infos": "The partner refused one of these fields{code}.",
    "lines": "The partner refused a line response{code}.",
    "device_tag_value": "The partner refused this tag or value{code}.",
}


def refusals(order: PurchaseOrder, last: Decision | None, message: Message | None) -> dict[str, str]:
    """The error of the partner by form field, while the refused response is the last one."""
    if message is None or last is None or last.version != order.version:
        return {}
    field = _refused_field(message, last) if message.state is MessageState.REFUSED else ""
    code = f" ({message.error_cd})" if message.error_cd else ""
    return {field: _REFUSALS[field].format(code=code)} if field else {}


def _refused_field(message: Message, decision: Decision) -> str:
    """The form field that the partner's refusal names; empty if it names none.

    Two of the additional infos have form fields of their own; those after them are line responses.
    """
    path = re.split(r"[.\[\]]+", message.error_field)
    field = next((_FORM_FIELDS[step] for step in path if step in _FORM_FIELDS), "")
    index = next((int(step) for step in path if re.fullmatch(r"\d{1,5}", step)), None)
    if field != "additional_infos" or index is None:
        return field
    if index < len(decision.infos):
        name = decision.infos[index][0]
        return {OWN_NUMBER: "supplier_order_number", PROMISED_DATE: "promised_date"}.get(name, field)
    return "lines" if decision.line_responses else field


def info_rows(form: Any) -> Any:
    """The custom fields of the form, with empty rows added: at least 3 rows, 2 of them empty."""
    rows = form.additional_infos
    empty = sum(not entry["name"].data and not entry["value"].data for entry in rows)
    for _ in range(max(3 - len(rows), 2 - empty)):
        rows.append_entry()
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


def ended_title(action: str) -> str:
    """What the buyer did to end the order."""
    return "The buyer canceled this order." if action == "CANCEL" else "The buyer closed this order."


def changed_title(decision: Decision | None, *, is_own_response: bool) -> str:
    """Says that the buyer changed an order after a response."""
    if decision is None or decision.response not in set(SupplierResponse):
        return "The buyer changed this order after a response."
    who = "you" if is_own_response else decision.person_name
    return f"The buyer changed this order after {who} {response_label(decision.response).lower()} it."


def changed_consequence(decision: Decision, message: Message | None, *, is_own_response: bool) -> str:
    """What happened to the response to the earlier version."""
    subject = f"{'Your' if is_own_response else 'The'} response to version {decision.version}"
    if message and message.state is MessageState.CANCELED:
        return canceled_sentence(subject, message)
    return f"{subject} is in the activity log."


def init_app(app: Flask) -> None:
    """Register the template functions of responses."""
    app.jinja_env.globals.update(
        canceled_sentence=canceled_sentence,
        changed_consequence=changed_consequence,
        changed_title=changed_title,
        decided_title=decided_title,
        delivery_phase=delivery_phase,
        ended_title=ended_title,
        form_state=form_state,
        info_rows=info_rows,
        open_sections=open_sections,
        refusals=refusals,
        unsuccessful_title=unsuccessful_title,
    )
