"""Builds the `req-confirm` message: the exact bytes that are previewed, stored and sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from app.network.messages import parse
from app.network.reader import dumps
from app.network.vocabulary import DEFAULT_TAG, FORBIDDEN_CHARACTERS, REMARKS_MAX, Kind, status_after
from app.orders.line_responses import LineResponse, encode
from app.orders.models import PurchaseOrder

OWN_NUMBER, PROMISED_DATE = "supplierOrderNumber", "promisedDate"
"""Names in ``additionalInfos`` of the supplier's order number and of the promised date."""


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """A response as a person entered it.

    ``infos`` are names and values; either may be empty. ``line_responses`` are for lines that differ from
    the order.
    """

    response: str
    remarks: str
    device_tag_name: str = DEFAULT_TAG[0]
    device_tag_value: str = DEFAULT_TAG[1]
    infos: tuple[tuple[str, str], ...] = ()
    line_responses: tuple[LineResponse, ...] = ()


def remark_error(text: str, noun: str = "remark") -> str:
    """Why the partner would not accept a remark or reason; empty if it would."""
    if len(text) > REMARKS_MAX:
        return f"Enter at most {REMARKS_MAX} characters; the {noun} has {len(text)}."
    if any(character in text for character in FORBIDDEN_CHARACTERS):
        return f'{noun.capitalize()}s cannot contain " or \\.'
    return ""


def own_infos(order_number: str, promised: date | None) -> tuple[tuple[str, str], ...]:
    """The infos of the supplier's order number and the promised date, where they are set."""
    infos = ((OWN_NUMBER, order_number), (PROMISED_DATE, promised.isoformat() if promised else ""))
    return tuple((name, value) for name, value in infos if value)


def req_confirm(order: PurchaseOrder, data: DecisionInput) -> bytes:
    """The message: exactly the fields of the partner contract, in its order, as compact UTF-8 JSON.

    Both versions are the order's, since a response does not change the content.
    Errors: network.messages.Invalid where the contract does not allow the response.
    """
    body = {
        "device": {"tag": {"name": data.device_tag_name, "value": data.device_tag_value}},
        "b2bIds": {"buyerB2BId": order.buyer_b2b_id, "supplierB2BId": order.supplier_b2b_id},
        "poConfirmation": {
            "objectId": order.object_id,
            "buyerPONumber": order.buyer_po_number,
            "supplierResponse": data.response,
            "supplierRemarks": data.remarks,
            "objectVersion": {"currentVersion": order.version, "newVersion": order.version},
            "poStatusTransition": {
                "currentStatus": order.status,
                "newStatus": str(status_after(data.response)),
            },
        },
        "additionalInfos": [
            _info(name, value) for name, value in (*data.infos, *encode(data.line_responses))
        ],
    }
    parse(Kind.REQ_CONFIRM, body)
    return dumps(body)


def _info(name: str, value: str) -> dict[str, str]:
    return {key: text for key, text in (("name", name), ("value", value)) if text}
