"""The lines of an order, and what they are worth before and after a response. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from app.network.messages import ItemLine, PurchaseOrderBody
from app.network.text import one_line, read_date
from app.orders.line_responses import LineAction, LineResponse
from app.orders.totals import line_tax, order_totals

REFERENCE_MAX = 100
"""Maximum length of a reference, in characters. Longer ones are not used."""
_PAISA = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class OrderedLine:
    """A line of the order, with the reference that names it in a response and its delivery date."""

    index: int
    reference: str
    item: ItemLine
    delivery_date: date | None

    @property
    def number(self) -> str:
        """The number of the line as people see it."""
        return self.item.serialno or str(self.index + 1)


def ordered_lines(body: PurchaseOrderBody) -> list[OrderedLine]:
    """The lines of an order, each with a reference of its own.

    That is its ``orderLineReference``, else its ``serialno``, else ``#`` and its position.
    """
    day = read_date(body.delivery_date)
    first = [_reference(item.order_line_reference) for item in body.item_lists]
    second = [_reference(item.serialno) for item in body.item_lists]
    chosen = _unique(first)
    chosen_references = {reference for reference in chosen if reference}
    for index, reference in enumerate(_unique(second)):
        if not chosen[index]:
            chosen[index] = reference if reference not in chosen_references else ""
    return [
        OrderedLine(index, chosen[index] or f"#{index + 1}", item, day)
        for index, item in enumerate(body.item_lists)
    ]


def _reference(text: str | None) -> str:
    reference = one_line(text or "")
    return reference if len(reference) <= REFERENCE_MAX else ""


def _unique(references: Sequence[str]) -> list[str]:
    count = Counter(references)
    return [reference if count[reference] == 1 else "" for reference in references]


class Amounts(NamedTuple):
    """Amounts in INR; None where the order has too little data to calculate one."""

    net: Decimal | None
    tax: Decimal | None
    total: Decimal | None


@dataclass(frozen=True, slots=True)
class ResponseSummary:
    """The number of lines by response, and the value of the order before and after it."""

    lines: int
    changed: int
    rejected: int
    ordered: Amounts
    confirmed: Amounts

    @property
    def as_ordered(self) -> int:
        """Lines without a change."""
        return self.lines - self.changed - self.rejected


def summarize(body: PurchaseOrderBody, responses: Sequence[LineResponse]) -> ResponseSummary:
    """The totals of an order and of the response to its lines."""
    ordered = Amounts(*(total.value for total in order_totals(body)))
    lines = {line.reference: line.item for line in ordered_lines(body)} if responses else {}
    rejected = sum(line.response is LineAction.REJECTED for line in responses)
    confirmed = ordered
    for response in responses:
        if item := lines.get(response.reference):
            confirmed = Amounts(*map(_adjusted, confirmed, line_amounts(item), line_amounts(item, response)))
    if rejected and rejected == len(body.item_lists):
        confirmed = Amounts(Decimal(0), Decimal(0), Decimal(0))
    return ResponseSummary(len(body.item_lists), len(responses) - rejected, rejected, ordered, confirmed)


def line_amounts(item: ItemLine, response: LineResponse | None = None) -> Amounts:
    """The amounts of a line, as ordered or with the response to it; amounts are rounded to paise.

    They change in proportion to quantity and price, so that the line keeps its discounts and tax rates.
    """
    ordered = _ordered_amounts(item)
    if response is None:
        return ordered
    if response.response is LineAction.REJECTED:
        return Amounts(Decimal(0), Decimal(0), Decimal(0))
    factor = _factor(item, response)
    if factor is None:
        return Amounts(None, None, None)
    return Amounts(*(_scaled(value, factor) for value in ordered))


def _ordered_amounts(item: ItemLine) -> Amounts:
    """The amounts that the buyer states; missing ones are calculated from the others if possible."""
    net = item.assessment_amount if item.assessment_amount is not None else item.total_amt
    if net is None and item.quantity is not None and item.unit_price is not None:
        net = (item.quantity * item.unit_price).quantize(_PAISA, ROUND_HALF_UP)
    tax = line_tax(item)
    if tax is None and net is not None and item.total_item_value is not None:
        tax = item.total_item_value - net
    total = item.total_item_value
    if total is None and net is not None:
        total = net + (tax or 0)
    return Amounts(net, tax, total)


def _factor(item: ItemLine, response: LineResponse) -> tuple[Decimal, Decimal] | None:
    """The new and the ordered product of quantity and price; None if unknown."""
    if response.quantity is None and response.unit_price is None:
        return Decimal(1), Decimal(1)
    quantity, price = item.quantity, item.unit_price
    if not quantity or not price:
        return None
    new_quantity = quantity if response.quantity is None else response.quantity
    new_price = price if response.unit_price is None else response.unit_price
    return new_quantity * new_price, quantity * price


def _scaled(amount: Decimal | None, factor: tuple[Decimal, Decimal]) -> Decimal | None:
    new, old = factor
    if amount is None or new == old:
        return amount
    return (amount * new / old).quantize(_PAISA, ROUND_HALF_UP)


def _adjusted(order: Decimal | None, before: Decimal | None, after: Decimal | None) -> Decimal | None:
    """An amount of the order after a change of one line."""
    return None if order is None or before is None or after is None else order + (after - before)
