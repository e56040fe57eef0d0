"""The keys of an incoming message: which two messages are duplicates, and what the log can search by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.network.messages import ConfirmationEcho, Message, PurchaseOrderBody, RespConfirm, StatusChangeBody
from app.network.vocabulary import Kind

MessageObject = PurchaseOrderBody | StatusChangeBody | ConfirmationEcho


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one message. ``name`` is the JSON key of the object it carries."""

    name: str
    object_id: str
    buyer_po_number: str
    supplier_b2b_id: str
    duplicate_key: str


def keys_of(kind: Kind, message: Message) -> Keys:
    """The keys of a message of this kind; the kind is one of ``OBJECTS``."""
    name, get_object = OBJECTS[kind]
    message_object = get_object(message)
    parts = [
        kind,
        message_object.object_id,
        str(message_object.object_version.new_version),
        message_object.po_status_transition.new_status,
    ]
    if isinstance(message, RespConfirm):
        parts.append(message.resp.req_msg_id)
    return Keys(
        name=name,
        object_id=message_object.object_id,
        buyer_po_number=message_object.buyer_po_number,
        supplier_b2b_id=message.b2b_ids.supplier_b2b_id,
        duplicate_key=" ".join(map(_escape, parts)),
    )


OBJECTS: dict[Kind, tuple[str, Callable[[Any], MessageObject]]] = {
    Kind.REQ_SEND: ("purchaseOrder", lambda message: message.purchase_order),
    Kind.REQ_EDIT: ("purchaseOrder", lambda message: message.purchase_order),
    Kind.REQ_STATUS_CHANGE: ("poStatus", lambda message: message.po_status),
    Kind.RESP_CONFIRM: ("poConfirmation", lambda message: message.po_confirmation),
}
"""For each kind: the JSON key of its object, and how to get the object from the parsed message."""


def _escape(text: str) -> str:
    """Escape spaces, since a space separates the parts."""
    return text.replace("%", "%25").replace(" ", "%20")
