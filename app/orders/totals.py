"""The totals of an order, checked against its lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.network.messages import ItemLine, PurchaseOrderBody
from app.ui.numbers import exact_number


@dataclass(frozen=True, slots=True)
class Sum:
    """One total of an order: as the order says it, and as its lines add up; None where either is silent."""

    words: str
    said: Decimal | None
    added: Decimal | None
    parts: tuple[tuple[str, Decimal], ...] = ()

    @property
    def shown(self) -> Decimal | None:
        """What stands in the document: the order's own number, else that of the lines."""
        return self.added if self.said is None else self.said

    @property
    def differs(self) -> bool:
        """Whether the order says one thing and its lines another."""
        return self.said is not None and self.added is not None and self.said != self.added


@dataclass(frozen=True, slots=True)
class Sums:
    """The totals of an order: taxable value, tax, total, and further values that it names."""

    taxable: Sum
    tax: Sum
    total: Sum
    further: Mapping[str, Any]

    def __iter__(self) -> Iterator[Sum]:
        return iter((self.taxable, self.tax, self.total))


TAX = re.compile(r"(GST|CESS)", re.IGNORECASE)
"""What the names of taxes have in common: IGST, CGST, SGST, UTGST, CGST+SGST, CESS."""


def sums(sent: PurchaseOrderBody) -> Sums:
    """The totals of an order, each checked against its lines."""
    named = sent.po_value_details if isinstance(sent.po_value_details, dict) else {}
    known = ("assessmentValue", "totalTaxValue", "totalPOValue")
    said = [
        exact_number(named[name]) if not isinstance(named.get(name), str | None) else None for name in known
    ]
    unread = {name for name, value in zip(known, said, strict=True) if value is None}
    lines = sent.item_lists
    by_type = _taxes_by_type(lines)
    return Sums(
        Sum("Taxable value", said[0], _added(line.assessment_amount for line in lines)),
        Sum("Tax", said[1], _added(line_tax(line) for line in lines), tuple(by_type.items())),
        Sum("Total", said[2], _added(line.total_item_value for line in lines)),
        {name: value for name, value in named.items() if name not in known or name in unread},
    )


def line_tax(line: ItemLine) -> Decimal | None:
    """The taxes that a line names, added up; None if it names none."""
    return _added(value for _, value in line_taxes(line)) if line_taxes(line) else None


def line_taxes(line: ItemLine) -> list[tuple[str, Decimal]]:
    """The taxes of a line by their names."""
    return [
        (detail.type.replace("_", " + "), detail.value)
        for detail in line.item_value_details or []
        if detail.type and detail.value is not None and TAX.search(detail.type)
    ]


def tax_path(name: str) -> str:
    """Where a tax of a line stands among what changed: by its name, as ``line_taxes`` gives it."""
    return f"itemValueDetails.{name.replace(' + ', '_')}"


def _taxes_by_type(lines: Iterable[ItemLine]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for line in lines:
        for kind, value in line_taxes(line):
            found[kind] = found.get(kind, Decimal(0)) + value
    return found


def _added(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None if there is nothing to add or any part is not known."""
    listed = list(values)
    if not listed or any(value is None for value in listed):
        return None
    return sum((value for value in listed if value is not None), Decimal(0))


LINE_SHOWN = frozenset(
    {
        "serialno",
        "product_description",
        "hsn_code",
        "quantity",
        "free_quantity",
        "unit",
        "unit_price",
        "assessment_amount",
        "gst_rate",
        "total_item_value",
    }
)
"""Fields of a line that have a place of their own in the table."""


def line_rest(line: ItemLine) -> dict[str, Any]:
    """What else came with a line, by its names on the wire, without what is empty or stands in the table."""
    rest = {name: value for name, value in line.wire().items() if value not in (None, "", [], {})}
    said = {ItemLine.model_fields[name].alias for name in LINE_SHOWN}
    if rest.get("totalAmt") == rest.get("assessmentAmount"):
        said.add("totalAmt")
    if rest.get("isService") == "N":
        said.add("isService")
    taxes = rest.get("itemValueDetails")
    if isinstance(taxes, list) and len(taxes) == len(line_taxes(line)):
        said.add("itemValueDetails")
    if rest.get("rates") == [{"type": "GST", "value": line.gst_rate}]:
        said.add("rates")
    return {name: value for name, value in rest.items() if name not in said}
