"""The `req-confirm` message as a pure function: the exact bytes that are previewed, frozen and sent."""

from __future__ import annotations

from dataclasses import dataclass

from app.network.messages import parse
from app.network.reader import dumps
from app.network.vocabulary import Kind, status_after


@dataclass(frozen=True, slots=True)
class OrderReference:
    """What an answer needs to know of the order: its keys, and the version and status that it answers."""

    object_id: str
    buyer_po_number: str
    buyer_b2b_id: str
    supplier_b2b_id: str
    version: int
    status: str


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """An answer as the supplier gave it. ``infos`` are names and values; either may be empty."""

    response: str
    remarks: str
    device_tag_name: str
    device_tag_value: str
    infos: tuple[tuple[str, str], ...] = ()


def req_confirm(about: OrderReference, given: DecisionInput) -> bytes:
    """The message: exactly the fields of the network's page, in its order, compact UTF-8 JSON.

    Both versions are the order's, since a confirmation keeps the content.
    Errors: contract.messages.Invalid where the answer cannot be said in the network's words.
    """
    body = {
        "device": {"tag": {"name": given.device_tag_name, "value": given.device_tag_value}},
        "b2bIds": {"buyerB2BId": about.buyer_b2b_id, "supplierB2BId": about.supplier_b2b_id},
        "poConfirmation": {
            "objectId": about.object_id,
            "buyerPONumber": about.buyer_po_number,
            "supplierResponse": given.response,
            "supplierRemarks": given.remarks,
            "objectVersion": {"currentVersion": about.version, "newVersion": about.version},
            "poStatusTransition": {
                "currentStatus": about.status,
                "newStatus": str(status_after(given.response)),
            },
        },
        "additionalInfos": [_info(name, value) for name, value in given.infos],
    }
    parse(Kind.REQ_CONFIRM, body)
    return dumps(body)


def _info(name: str, value: str) -> dict[str, str]:
    return {key: text for key, text in (("name", name), ("value", value)) if text}
