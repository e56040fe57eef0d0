"""What a person enters for each line of a response, and the rules for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from app.network.text import iso_day, one_line
from app.network.vocabulary import SupplierResponse
from app.orders.line_responses import SPLITS_MAX, LineAction, LineResponse, Split
from app.orders.lines import REFERENCE_MAX, OrderedLine
from app.orders.req_confirm import remark_error
from app.orders.totals import read_amount

LINES_MAX = 1000
"""Lines of one response that may differ from the order: it keeps the message below a megabyte."""
NUMBER_MAX = Decimal(10) ** 12
"""Quantities and prices are below this."""
DECIMALS_MAX = 3
"""Decimals of a quantity or price, as the partner contract has them; more if the order has more."""
YEARS = range(2000, 2100)
ALL_REJECTED = "Every line is rejected. Choose Reject instead."


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
        return ALL_REJECTED
    return ""


# --- Reading one line


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
        entered.errors[name] = f"The {label} has more than {decimals} decimal places."
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
