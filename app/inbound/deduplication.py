"""Which two incoming messages are duplicates. Pure."""

from __future__ import annotations

from app.network.messages import (
    Confirmation,
    ConfirmationEcho,
    Message,
    PurchaseOrderBody,
    ReqSend,
    ReqStatusChange,
    RespConfirm,
    StatusChangeBody,
)
from app.network.vocabulary import Kind


def object_of(message: Message) -> PurchaseOrderBody | StatusChangeBody | ConfirmationEcho | Confirmation:
    """The object that a message carries."""
    if isinstance(message, ReqSend):
        return message.purchase_order
    return message.po_status if isinstance(message, ReqStatusChange) else message.po_confirmation


def duplicate_key(kind: Kind, message: Message) -> str:
    """Two messages with the same key are duplicates: kind, object, version, and the requested status."""
    message_object = object_of(message)
    parts = [
        kind,
        message_object.object_id,
        str(message_object.object_version.new_version),
        message_object.po_status_transition.new_status,
    ]
    if isinstance(message, RespConfirm):
        parts.append(message.resp.req_msg_id)
    return " ".join(map(_escape, parts))


def _escape(text: str) -> str:
    """Escape spaces, since a space separates the parts."""
    return text.replace("%", "%25").replace(" ", "%20")
