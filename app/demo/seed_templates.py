"""The partners, people and example orders that seeded rows are made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from app.demo.orders import with_quantity
from app.network.messages import parse
from app.network.reader import dumps
from app.network.text import read_date
from app.network.vocabulary import Kind
from app.orders.models import NO_DAY, to_paise
from app.orders.order_items import item_rows

QUANTITIES = 100
"""Different quantities of each example order, so that few orders look like duplicates."""
KEPT_FIELDS = (
    "objectId",
    "buyerPONumber",
    "ts",
    "orderDate",
    "deliveryDate",
    "subject",
    "currency",
    "objectVersion",
    "poStatusTransition",
    "itemLists",
    "buyerDetails",
    "poValueDetails",
)


@dataclass(frozen=True, slots=True)
class Template:
    """An example order: the body, the texts to replace in it, the columns of its row, and its items."""

    body: bytes
    object_id: bytes
    po_number: bytes
    columns: dict[str, Any]
    items: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ExampleData:
    """The partners, the staff, the example orders, and the templates made of them."""

    partners: Sequence[int]
    paused: int
    staff: Sequence[tuple[int, str]]
    bodies: Sequence[dict[str, Any]]
    templates: dict[tuple[int, int], Template] = field(default_factory=dict)

    def template(self, rng: random.Random) -> Template:
        """A random example order with a random quantity."""
        index, size = rng.randrange(len(self.bodies)), rng.randrange(QUANTITIES)
        if (index, size) not in self.templates:
            self.templates[index, size] = _template(self.bodies[index], size)
        return self.templates[index, size]


def _template(body: dict[str, Any], size: int) -> Template:
    """An example order with one line, only the fields of KEPT_FIELDS, and a multiple of a small quantity.

    Some sizes have a higher price, so that order checks have something to report.
    """
    sent = body["purchaseOrder"]
    content = {name: sent[name] for name in KEPT_FIELDS if name in sent}
    content |= {name: value for name, value in sent.items() if isinstance(value, str)}
    line = sent["itemLists"][0]
    price = Decimal(line["unitPrice"])
    if size % 20 == 0:
        price = (price * Decimal("1.04")).quantize(Decimal("0.001"))
    line = with_quantity(line, max(1, round(line["quantity"] / 50)) * (size + 1), price)
    total = line["totalItemValue"]
    content |= {"itemLists": [line], "poValueDetails": {"totalPOValue": total}}
    content_body = {**body, "purchaseOrder": content}
    parties = (sent["buyerDetails"], sent["supplierDetails"])
    names = [party.get("tradeName") or party.get("legalName") for party in parties]
    buyer_b2b_id, supplier_b2b_id = body["b2bIds"]["buyerB2BId"], body["b2bIds"]["supplierB2BId"]
    words = [content["subject"], *names, line["productDescription"]]
    columns = {
        "buyer_b2b_id": buyer_b2b_id,
        "supplier_b2b_id": supplier_b2b_id,
        "buyer_name": names[0],
        "supplier_name": names[1],
        "subject": content["subject"],
        "order_date": content["orderDate"],
        "delivery_date": content["deliveryDate"],
        "delivery_day": read_date(content["deliveryDate"]) or NO_DAY,
        "line_count": 1,
        "total": format(total, "f"),
        "total_paise": to_paise(total),
        "search_text": "\n".join(word.casefold() for word in words if word),
    }
    parsed = parse(Kind.REQ_SEND, content_body).purchase_order
    return Template(
        dumps(content_body),
        content["objectId"].encode(),
        content["buyerPONumber"].encode(),
        columns,
        item_rows(0, supplier_b2b_id, buyer_b2b_id, parsed),
    )
