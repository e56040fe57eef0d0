"""The totals of an order, checked against its lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.network.messages import ItemLine, PurchaseOrderBody
from app.network.text import exact_number


class TotalKind(StrEnum):
    """The totals of an order; the values are their names on the wire, within ``poValueDetails``."""

    TAXABLE = "assessmentValue"
    TAX = "totalTaxValue"
    TOTAL = "totalPOValue"


@dataclass(frozen=True, slots=True)
class Total:
    """One total: as the order states it, and calculated from its lines; None where unknown.

    ``parts`` are the amounts by tax, for the tax total. ``unreadable`` is a stated value that is not a
    number.
    """

    kind: TotalKind
    stated: Decimal | None
    calculated: Decimal | None
    parts: tuple[tuple[str, Decimal], ...] = ()
    unreadable: str = ""

    @property
    def value(self) -> Decimal | None:
        """The stated number, else the calculated one."""
        return self.calculated if self.stated is None else self.stated

    @property
    def differs(self) -> bool:
        """Whether the order states one number and its lines add up to another."""
        return self.stated is not None and self.calculated is not None and self.stated != self.calculated


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of an order, and its other values by their names on the wire."""

    taxable: Total
    tax: Total
    total: Total
    others: Mapping[str, Any]

    def __iter__(self) -> Iterator[Total]:
        return iter((self.taxable, self.tax, self.total))


ADJUSTMENTS = ("discount", "otherCharges", "roundOffAmount")
"""Values of the order that its total includes besides those of its lines; a discount is subtracted."""
TAX = re.compile(r"(GST|CESS)", re.IGNORECASE)
"""Matches the names of taxes: IGST, CGST, SGST, UTGST, CGST+SGST, CESS."""


def order_totals(body: PurchaseOrderBody) -> Totals:
    """The totals of an order, each with the sum of its lines."""
    values = body.po_value_details if isinstance(body.po_value_details, dict) else {}
    lines = body.item_lists
    line_total = _sum(line.total_item_value for line in lines)
    calculated = (
        None
        if line_total is None
        else line_total + sum((_signed(name, values) for name in ADJUSTMENTS), Decimal(0))
    )
    return Totals(
        _total(TotalKind.TAXABLE, values, _sum(line.assessment_amount for line in lines)),
        replace(
            _total(TotalKind.TAX, values, _sum(line_tax(line) for line in lines)),
            parts=tuple(_taxes_by_name(lines).items()),
        ),
        _total(TotalKind.TOTAL, values, calculated),
        {name: value for name, value in values.items() if name not in set(TotalKind)},
    )


def read_amount(value: object) -> Decimal | None:
    """An amount, also as text with grouping commas; None for anything else."""
    if isinstance(value, str):
        value = value.strip()
        if re.fullmatch(r"-?\d{1,3}(,\d{2,3})+(\.\d+)?", value):
            value = value.replace(",", "")
    return exact_number(value)


def _signed(name: str, values: Mapping[str, Any]) -> Decimal:
    amount = read_amount(values.get(name)) or Decimal(0)
    return -abs(amount) if name == "discount" else amount


def _total(kind: TotalKind, values: Mapping[str, Any], calculated: Decimal | None) -> Total:
    value = values.get(kind)
    stated = read_amount(value)
    unreadable = "" if stated is not None or value in (None, "") else str(value)
    return Total(kind, stated, calculated, unreadable=unreadable)


def line_tax(line: ItemLine) -> Decimal | None:
    """The sum of a line's taxes; None if it has none."""
    return _sum(value for _, value in line_taxes(line))


def line_taxes(line: ItemLine) -> list[tuple[str, Decimal]]:
    """The taxes of a line: names and amounts."""
    return [
        (detail.type, detail.value)
        for detail in line.item_value_details or []
        if detail.type and detail.value is not None and TAX.search(detail.type)
    ]


def _taxes_by_name(lines: Iterable[ItemLine]) -> dict[str, Decimal]:
    amounts: dict[str, Decimal] = {}
    for line in lines:
        for name, value in line_taxes(line):
            amounts[name] = amounts.get(name, Decimal(0)) + value
    return amounts


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None if there are no values or one of them is unknown."""
    listed = list(values)
    if not listed or any(value is None for value in listed):
        return None
    return sum((value for value in listed if value is not None), Decimal(0))
