"""The rules of line responses: what a person may enter for each line, and the totals that follow. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from app.network.messages import ItemLine, PurchaseOrderBody
from app.network.text import iso_day, one_line, read_date
from app.network.vocabulary import SupplierResponse
from app.orders.line_responses import SPLITS_MAX, LineAction, LineResponse, Split
from app.orders.req_confirm import remark_error
from app.orders.totals import line_tax, order_totals, read_amount

LINES_MAX = 1000
"""Lines of one response that may differ from the order: it keeps the message below a megabyte."""
REFERENCE_MAX = 100
"""Maximum length of a reference, in characters. Longer ones are not used."""
NUMBER_MAX = Decimal(10) ** 12
"""Quantities and prices are below this."""
DECIMALS_MAX = 3
"""Decimals of a quantity or price, as the partner contract has them; more if the order has more."""
YEARS = range(2000, 2100)
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


@dataclass(slots=True)
class EnteredSplit:
    """One delivery of a split line as entered."""

    quantity: str = ""
    delivery_date: str = ""


@dataclass(slots=True)
class EnteredLine:
    """The response to one line as entered, with an error by field name where it is not valid."""

    reference: str = ""
    response: str = ""
    quantity: str = ""
    delivery_date: str = ""
    unit_price: str = ""
    remarks: str = ""
    splits: dict[int, EnteredSplit] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def is_blank(self) -> bool:
        """Whether nothing was entered."""
        values = (self.response, self.quantity, self.delivery_date, self.unit_price, self.remarks)
        return not any(values) and not self.filled_splits()

    def filled_splits(self) -> list[EnteredSplit]:
        """The deliveries that are not blank."""
        splits = (self.splits[number] for number in sorted(self.splits))
        return [split for split in splits if split.quantity or split.delivery_date]


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


def read_lines(ordered: Sequence[OrderedLine], entered: Iterable[EnteredLine]) -> tuple[LineResponse, ...]:
    """The responses that differ from the order, in its order; errors are added to what was entered.

    The caller checks ``errors``: a line with an error has no response.
    """
    by_reference = {line.reference: line for line in ordered}
    responses: dict[int, LineResponse] = {}
    entered_references: set[str] = set()
    for line in entered:
        if line.is_blank:
            continue
        known = by_reference.get(line.reference)
        if known is None:
            line.errors["reference"] = f"This order has no line “{line.reference[:REFERENCE_MAX]}”."
            continue
        if line.reference in entered_references:
            line.errors["reference"] = f"Line “{line.reference}” is entered twice."
            continue
        entered_references.add(line.reference)
        response = _read_line(known, line)
        if response and not line.errors:
            responses[known.index] = response
    return tuple(responses[index] for index in sorted(responses))


def response_mismatch(kind: str, responses: Sequence[LineResponse], line_count: int) -> str:
    """Why the lines contradict the response to the whole order; empty if they do not."""
    rejected = sum(line.response is LineAction.REJECTED for line in responses)
    if kind == SupplierResponse.REJECT and responses and rejected < line_count:
        return "Reject applies to the whole order. Choose Confirm to reject only some of its lines."
    if kind != SupplierResponse.REJECT and rejected and rejected == line_count:
        return "Every line is rejected. Choose Reject."
    return ""


# --- Reading one line


def _reference(text: str | None) -> str:
    reference = one_line(text or "")
    return reference if len(reference) <= REFERENCE_MAX else ""


def _unique(references: Sequence[str]) -> list[str]:
    count = Counter(references)
    return [reference if count[reference] == 1 else "" for reference in references]


def _read_line(ordered: OrderedLine, entered: EnteredLine) -> LineResponse | None:
    """The response; None if the line is as ordered or has an error."""
    item = ordered.item
    quantity = _number(entered, "quantity", item.quantity, "quantity")
    price = _number(entered, "unit_price", item.unit_price, "unit price")
    day = _day(entered)
    remarks = _remarks(entered)
    splits = _splits(ordered, entered, quantity)
    response = LineResponse(
        ordered.reference,
        LineAction.CHANGED,
        quantity=None if quantity == item.quantity else quantity,
        delivery_date=None if day == ordered.delivery_date else day,
        unit_price=None if price == item.unit_price else price,
        remarks=remarks,
        splits=splits,
    )
    _check_action(entered, response)
    if entered.errors:
        return None
    if entered.response == LineAction.REJECTED:
        return LineResponse(ordered.reference, LineAction.REJECTED, remarks=remarks)
    return response if _differs(response) else None


def _check_action(entered: EnteredLine, response: LineResponse) -> None:
    """Check that the chosen response matches the values of the line."""
    differs = _differs(response)
    action = entered.response
    if action and action not in set(LineAction):
        entered.errors["response"] = "Choose As ordered, Change or Reject."
    elif action == LineAction.REJECTED and differs:
        entered.errors["response"] = "You can't reject and change a line. Choose Change, or clear the values."
    elif action == LineAction.REJECTED and not response.remarks:
        entered.errors.setdefault("remarks", "Enter a reason for rejecting this line.")
    elif action == LineAction.AS_ORDERED and differs:
        entered.errors["response"] = "The values differ from the order. Choose Change."
    elif action == LineAction.CHANGED and not differs and not entered.errors:
        entered.errors["response"] = "Nothing differs from the order. Change a value, or choose As ordered."
    elif action in ("", LineAction.AS_ORDERED) and response.remarks and not differs:
        entered.errors["response"] = "Change or reject the line, or remove the reason."


def _differs(response: LineResponse) -> bool:
    values = (response.quantity, response.delivery_date, response.unit_price)
    return bool(response.splits) or any(value is not None for value in values)


def _number(entered: EnteredLine, name: str, ordered: Decimal | None, label: str) -> Decimal | None:
    """The entered number; the ordered one if blank. Quantities are above 0, prices at least 0."""
    text = getattr(entered, name).strip()
    if not text:
        return ordered
    number = read_amount(text)
    decimals = max(DECIMALS_MAX, _decimals(ordered))
    if number is None:
        entered.errors[name] = f"Enter the {label} as a number, such as 40 or 12.5."
    elif number < 0 or (name == "quantity" and not number):
        least = "above 0. To deliver none, reject the line" if name == "quantity" else "at least 0"
        entered.errors[name] = f"The {label} must be {least}."
    elif number >= NUMBER_MAX:
        entered.errors[name] = f"The {label} is too large."
    elif _decimals(number) > decimals:
        entered.errors[name] = f"The {label} has more than {decimals} decimals."
    else:
        return number
    return ordered


def _decimals(number: Decimal | None) -> int:
    return -int(number.as_tuple().exponent) if number is not None else 0


def _day(entered: EnteredLine) -> date | None:
    text = entered.delivery_date.strip()
    if not text:
        return None
    day = iso_day(text)
    if day is None or day.year not in YEARS:
        entered.errors["delivery_date"] = "Enter a date such as 2026-12-18."
        return None
    return day


def _remarks(entered: EnteredLine) -> str:
    text = one_line(entered.remarks)
    if error := remark_error(text, "reason"):
        entered.errors["remarks"] = error
    return text


def _splits(ordered: OrderedLine, entered: EnteredLine, quantity: Decimal | None) -> tuple[Split, ...]:
    """The deliveries of a split line, which add up to its quantity."""
    rows = entered.filled_splits()
    if not rows:
        return ()
    if len(rows) > SPLITS_MAX:
        entered.errors["splits"] = f"Enter at most {SPLITS_MAX} deliveries."
        return ()
    splits = []
    for row in rows:
        part = EnteredLine(quantity=row.quantity, delivery_date=row.delivery_date)
        amount = _number(part, "quantity", None, "quantity of each delivery")
        day = _day(part)
        if part.errors:
            entered.errors["splits"] = next(iter(part.errors.values()))
            return ()
        if amount is None or day is None:
            entered.errors["splits"] = "Each delivery needs a quantity and a date."
            return ()
        splits.append(Split(amount, day))
    total = sum((split.quantity for split in splits if split.quantity), Decimal(0))
    if quantity is not None and total != quantity and "quantity" not in entered.errors:
        unit = f" {ordered.item.unit}" if ordered.item.unit else ""
        entered.errors["splits"] = f"The deliveries add up to {total:f} instead of {quantity:f}{unit}."
    return tuple(splits)


# --- Totals


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
