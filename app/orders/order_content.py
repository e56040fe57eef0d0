"""The content of a revision: documented fields as typed values, and the rest as received."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.network.messages import ReqSend, parse
from app.network.reader import read_json
from app.network.vocabulary import Kind
from app.orders.models import Revision

SECTIONS = {
    "poInfos": "Terms",
    "shippingTermsDetails": "Shipping",
    "paymentMilestones": "Payment",
    "poValueDetails": "Values",
    "contractReferenceDetails": "Contract",
    "additionalDocumentDetails": "Documents",
}
BYTES_MAX = 64 * 1024 * 1024
"""Bytes; a stored revision is read even if the current limit for incoming messages is lower."""


@dataclass(frozen=True, slots=True)
class Document:
    """The content of one revision."""

    message: ReqSend
    sections: dict[str, Any]
    unrecognized: dict[str, Any]

    @property
    def sent(self) -> Any:
        """The purchase order itself."""
        return self.message.purchase_order


def document(revision: Revision) -> Document:
    """Parse a revision's body, which was validated when it was received."""
    return _read(revision.body)


# A page reads the same version for its form, its document and its activity.
@lru_cache(maxsize=4)
def _read(body: bytes) -> Document:
    value = read_json(body, max_bytes=BYTES_MAX)
    message = parse(Kind.REQ_SEND, value)
    sent = value["purchaseOrder"]
    sections = {
        title: sent[name] for name, title in SECTIONS.items() if sent.get(name) not in (None, [], {}, "")
    }
    if value["additionalInfos"]:
        sections["Additional information"] = value["additionalInfos"]
    unrecognized = {
        **{name: field for name, field in value.items() if name not in KNOWN_PARTS},
        **(message.purchase_order.model_extra or {}),
    }
    return Document(message, sections, unrecognized)


KNOWN_PARTS = frozenset({"device", "b2bIds", "purchaseOrder", "additionalInfos"})
