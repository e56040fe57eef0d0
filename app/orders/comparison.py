"""Differences between two versions of an order. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.network.messages import ItemLine, ReqSend

Value = Any
"""A text, an exact number, a boolean, or None if the field is missing."""

HEADER = {
    "buyerPONumber": "PO number",
    "orderDate": "Order date",
    "deliveryDate": "Delivery date",
    "subject": "Subject",
    "poValueDetails": "Totals",
    "supplierDetails": "Supplier",
    "buyerDetails": "Buyer",
    "addressDetails": "Addresses",
    "poInfos": "Terms",
    "shippingTermsDetails": "Shipping",
    "paymentMilestones": "Payment",
    "contractReferenceDetails": "Contract",
    "additionalDocumentDetails": "Documents",
    "additionalInfos": "Additional information",
}
"""Display names of the parts of an order, in the order in which they are compared."""
LINE = {
    "productDescription": "Description",
    "quantity": "Quantity",
    "unit": "Unit",
    "unitPrice": "Unit price",
    "freeQuantity": "Free quantity",
    "totalAmt": "Amount",
    "assessmentAmount": "Taxable value",
    "gstRate": "GST rate",
    "totalItemValue": "Line total",
    "itemValueDetails": "Tax",
    "rates": "Rates",
    "hsnCode": "HSN code",
    "batchDetails": "Batch",
}
"""Display names of the fields of a line."""
NAMES = ("name", "type", "addressType", "milestone")
"""Fields that identify an entry of a list, if their values are unique in the list."""
NOT_COMPARED = frozenset({"objectId", "ts", "objectVersion", "poStatusTransition", "itemLists"})
LINE_KEYS = frozenset({"serialno", "orderLineReference"})
"""Fields that identify a line."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: its path of wire names, its label, and the old and new value; None if it is missing."""

    path: str
    label: str
    old: Value
    new: Value


@dataclass(frozen=True, slots=True)
class LineDifference:
    """A line that was added, removed or changed; ``fields`` are the changes of a changed line."""

    kind: Literal["added", "removed", "changed"]
    label: str
    old: ItemLine | None
    new: ItemLine | None
    fields: tuple[Difference, ...] = ()

    @property
    def line(self) -> ItemLine:
        """The new line; for a removed line, the old one."""
        line = self.new or self.old
        assert line
        return line


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences between two versions of an order."""

    header: tuple[Difference, ...]
    lines: tuple[LineDifference, ...]

    def __bool__(self) -> bool:
        return bool(self.header or self.lines)


def compare(old: ReqSend, new: ReqSend) -> Differences:
    """Compare two versions of an order; numbers are equal if their values are, as 18 and 18.00."""
    return Differences(tuple(_header(old, new)), tuple(_lines(old, new)))


def _header(old: ReqSend, new: ReqSend) -> Iterator[Difference]:
    before, after = old.purchase_order.wire(), new.purchase_order.wire()
    others = [name for name in [*before, *after] if name not in HEADER and name not in NOT_COMPARED]
    for name in dict.fromkeys([*HEADER, *others]):
        yield from _differences(name, HEADER.get(name, name), before.get(name), after.get(name))
    infos = [[info.wire() for info in message.additional_infos] for message in (old, new)]
    yield from _differences("additionalInfos", HEADER["additionalInfos"], *infos)


def _differences(path: str, label: str, old: Any, new: Any) -> Iterator[Difference]:
    """The differences below one field, leaf by leaf; missing, null and empty are the same."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for steps in dict.fromkeys([*before, *after]):
        if before.get(steps) != after.get(steps):
            yield Difference(
                ".".join([path, *steps]),
                ": ".join([label, " ".join(steps)]) if steps else label,
                before.get(steps),
                after.get(steps),
            )


def _leaves(value: Any, steps: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Value]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, (*steps, name))
    elif isinstance(value, list | tuple):
        for name, part in _entries(value):
            yield from _leaves(part, (*steps, name))
    elif value is not None and value != "":
        yield steps, value


def _entries(entries: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a list by name if possible, so that an inserted entry does not change all others."""
    key = next((name for name in NAMES if _is_key(entries, name)), None)
    for number, entry in enumerate(entries, start=1):
        if key is None:
            yield str(number), entry
            continue
        rest = {name: part for name, part in entry.items() if name != key}
        # An entry with a name and one value becomes a leaf with that value; a name alone is its own value.
        only = next(iter(rest.values())) if len(rest) == 1 else rest
        yield entry[key], only if rest else entry[key]


def _is_key(entries: Sequence[Any], name: str) -> bool:
    keys = [entry.get(name) if isinstance(entry, Mapping) else None for entry in entries]
    return all(isinstance(key, str) and key for key in keys) and len(set(keys)) == len(keys)


def _lines(old: ReqSend, new: ReqSend) -> Iterator[LineDifference]:
    """Line differences in the order of the new version; removed lines come last."""
    before, after = old.purchase_order.item_lists, new.purchase_order.item_lists
    matches = _matched(before, after)
    for index, line in enumerate(after):
        if index not in matches:
            yield LineDifference("added", _line_label(line, index), None, line)
            continue
        was = before[matches[index]]
        fields = tuple(_line_fields(was, line))
        if fields:
            yield LineDifference("changed", _line_label(line, index), was, line, fields)
    matched = set(matches.values())
    for index, line in enumerate(before):
        if index not in matched:
            yield LineDifference("removed", _line_label(line, index), line, None)


def _line_label(line: ItemLine, index: int) -> str:
    return line.serialno or line.order_line_reference or str(index + 1)


def _line_fields(old: ItemLine, new: ItemLine) -> Iterator[Difference]:
    before, after = old.wire(), new.wire()
    others = [name for name in [*before, *after] if name not in LINE and name not in LINE_KEYS]
    for name in dict.fromkeys([*LINE, *others]):
        yield from _differences(name, LINE.get(name, name), before.get(name), after.get(name))


def _matched(old: Sequence[ItemLine], new: Sequence[ItemLine]) -> dict[int, int]:
    """Map new lines to old ones: by reference if it is unique in both versions, else by serialno.

    Two lines with different references are never the same line.
    """
    matches: dict[int, int] = {}
    old_references, new_references = _unique_references(old), _unique_references(new)
    for reference, index in new_references.items():
        if reference in old_references:
            matches[index] = old_references[reference]
    matched = set(matches.values())
    unmatched: dict[str, list[int]] = defaultdict(list)
    for index, line in enumerate(old):
        if index not in matched:
            unmatched[line.serialno or ""].append(index)
    for index, line in enumerate(new):
        if index not in matches:
            candidates = unmatched[line.serialno or ""]
            match = next((number for number in candidates if _may_match(old[number], line)), None)
            if match is not None:
                candidates.remove(match)
                matches[index] = match
    return matches


def _unique_references(lines: Sequence[ItemLine]) -> dict[str, int]:
    counter = Counter(line.order_line_reference for line in lines)
    return {
        line.order_line_reference: index
        for index, line in enumerate(lines)
        if line.order_line_reference and counter[line.order_line_reference] == 1
    }


def _may_match(old: ItemLine, new: ItemLine) -> bool:
    both = old.order_line_reference and new.order_line_reference
    return not both or old.order_line_reference == new.order_line_reference
