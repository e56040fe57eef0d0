"""Example orders: from a file, with current dates, and generated, with exact totals."""

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from app.network.reader import read_json

ORDERS_FILE = Path(__file__).with_name("orders.jsonl")
PERIOD = timedelta(hours=26)
"""The age of the oldest example order after all dates are shifted."""
NEWEST_AGE = timedelta(minutes=10)

_ALPHANUMERICS = string.ascii_letters + string.digits
_SYSTEM_RANDOM = random.SystemRandom()
_PAISA = Decimal("0.01")
_SUBJECTS = (
    "Monthly schedule",
    "Spares",
    "Rate contract call-off",
    "Project material",
    "Urgent: line stoppage",
)
_LINE_COUNTS = (1, 1, 2, 2, 3, 4, 5, 8)


@dataclass(frozen=True, slots=True)
class _Article:
    description: str
    hsn: str
    unit: str
    price: str
    gst: int
    service: bool = False
    by_weight: bool = False


_ARTICLES = (
    _Article("Hex bolt M12x80 grade 8.8 zinc plated", "73181500", "NOS", "14.250", 18),
    _Article("Deep groove ball bearing 6205-2RS", "84821011", "NOS", "186.400", 18),
    _Article("O-ring NBR 70, 25x3 mm", "40169330", "NOS", "1.375", 18),
    _Article("Stainless steel sheet 304, 2 mm", "72193390", "KGS", "247.500", 18, by_weight=True),
    _Article("Gear coupling GC-4", "84836090", "SET", "5620.000", 18),
    _Article("Hydraulic oil ISO VG 46, 210 L drum", "27101980", "DRM", "21350.000", 18),
    _Article("Safety gloves, cut level 5", "61161000", "PRS", "129.000", 5),
    _Article("Corrugated box 450x300x250 mm, 5 ply", "48191010", "NOS", "38.750", 12),
    _Article("Copper cable 3C x 2.5 sq mm, FRLS", "85444999", "MTR", "142.905", 18),
    _Article("Annual maintenance visit, press line 2", "998717", "OTH", "48000.000", 18, service=True),
)


def example_orders(now: datetime) -> Iterator[dict[str, Any]]:
    """The `req-send` bodies of the file, dated within `PERIOD` before `now` (aware).

    Sequence, objectIds, PO numbers, amounts and delivery periods do not change.
    """
    orders = [_copy(line) for line in _lines()]
    sent = [_instant(order["purchaseOrder"]["ts"]) for order in orders]
    oldest, newest = min(sent), max(sent)
    scale = (PERIOD - NEWEST_AGE) / ((newest - oldest) or timedelta(1))
    for order, at in zip(orders, sent, strict=True):
        _date(order["purchaseOrder"], now - NEWEST_AGE - (newest - at) * scale)
        yield order


def new_order(rng: random.Random, now: datetime) -> dict[str, Any]:
    """A new `req-send` body, ordered at `now` (aware), with the parties of the file."""
    example = _copy(rng.choice(_lines()))
    old = example["purchaseOrder"]
    same_state = old["supplierDetails"]["stateCode"] == old["buyerDetails"]["stateCode"]
    lines = [new_line(rng, number, same_state) for number in range(1, rng.choice(_LINE_COUNTS) + 1)]
    order = old | {
        "objectId": new_id("POR", rng),
        "buyerPONumber": f"{old['buyerPONumber'][:3]}/{now:%y%m}/{rng.randrange(50_000, 100_000)}",
        "subject": rng.choice(_SUBJECTS),
        "objectVersion": {"currentVersion": 0, "newVersion": 1},
        "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "CREATED"},
        "itemLists": lines,
        "poValueDetails": totals(lines),
        "poInfos": [{"name": "Freight", "value": rng.choice(("Paid", "To pay"))}],
    }
    _date(order, now, days_to_deliver=rng.randrange(5, 31))
    infos = [{"name": "costCentre", "value": f"CC{rng.randrange(100, 500)}"}]
    return example | {"purchaseOrder": order, "additionalInfos": infos}


def new_id(prefix: str, rng: random.Random = _SYSTEM_RANDOM) -> str:
    """An id in the format of the network: three capitals and 32 alphanumerics."""
    return prefix + "".join(rng.choices(_ALPHANUMERICS, k=32))


@cache
def _lines() -> tuple[bytes, ...]:
    return tuple(ORDERS_FILE.read_bytes().splitlines())


def _copy(line: bytes) -> dict[str, Any]:
    order: dict[str, Any] = read_json(line)
    return order


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _date(order: dict[str, Any], at: datetime, days_to_deliver: int | None = None) -> None:
    if days_to_deliver is None:
        wait = date.fromisoformat(order["deliveryDate"]) - date.fromisoformat(order["orderDate"])
        days_to_deliver = wait.days
    at = at.astimezone(UTC).replace(microsecond=0)
    order["ts"] = at.isoformat().replace("+00:00", "Z")
    order["orderDate"] = at.date().isoformat()
    order["deliveryDate"] = (at.date() + timedelta(days=days_to_deliver)).isoformat()


def new_line(rng: random.Random, number: int, same_state: bool) -> dict[str, Any]:
    """A line with exact totals; within a state its tax is CGST and SGST."""
    article = rng.choice(_ARTICLES)
    quantity = _quantity(rng, article)
    amounts, tax = line_amounts(quantity, Decimal(article.price), article.gst)
    return {
        "serialno": str(number),
        "productDescription": article.description,
        "isService": "Y" if article.service else "N",
        "hsnCode": article.hsn,
        "barCode": "",
        "quantity": quantity,
        "freeQuantity": 0,
        "unit": article.unit,
        "unitPrice": Decimal(article.price),
        "gstRate": article.gst,
        **amounts,
        "orderLineReference": f"{number * 10:05}",
        "originCountry": "IN",
        "productSerialNumber": "",
        "itemValueDetails": [{"type": "CGST_SGST" if same_state else "IGST", "value": tax}],
        "rates": [{"type": "GST", "value": article.gst}],
    }


def with_quantity(line: dict[str, Any], quantity: int | Decimal, price: Decimal) -> dict[str, Any]:
    """A line of these orders with another quantity and unit price, and the amounts that follow."""
    amounts, tax = line_amounts(quantity, price, line["gstRate"])
    details = [{**line["itemValueDetails"][0], "value": tax}]
    return line | {"quantity": quantity, "unitPrice": price, **amounts, "itemValueDetails": details}


def line_amounts(
    quantity: int | Decimal, price: Decimal, gst_rate: int | Decimal
) -> tuple[dict[str, Decimal], Decimal]:
    """The amounts of a line in INR, and its tax."""
    amount = _paise(quantity * price)
    tax = _paise(amount * gst_rate / 100)
    return {"totalAmt": amount, "assessmentAmount": amount, "totalItemValue": amount + tax}, tax


def _quantity(rng: random.Random, article: _Article) -> int | Decimal:
    if article.by_weight:
        return Decimal(rng.randrange(10_000, 1_000_000)).scaleb(-3)
    return 1 if article.service else rng.choice((1, 2, 5, 10, 24, 100, 250, 1000))


def totals(lines: list[dict[str, Any]]) -> dict[str, Decimal]:
    """The totals of an order's lines, in INR. KeyError if a line has no amounts."""
    value = sum((line["assessmentAmount"] for line in lines), Decimal("0.00"))
    total = sum((line["totalItemValue"] for line in lines), Decimal("0.00"))
    return {"assessmentValue": value, "totalTaxValue": total - value, "totalPOValue": total}


def _paise(amount: Decimal) -> Decimal:
    """INR rounded to the paisa, half up."""
    return amount.quantize(_PAISA, ROUND_HALF_UP)
