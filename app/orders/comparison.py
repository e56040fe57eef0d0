"""Old and new: what differs between two versions of an order. Pure; for pages and sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.network.messages import ItemLine, ReqSend

Value = Any
"""A text, an exact number, a truth value, or None where there is nothing."""

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
}
"""What people call the parts of an order, in the order in which they are compared."""
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
"""The same for a line."""
FURTHER = "Additional information"
NAMES = ("name", "type", "addressType", "milestone")
"""By what an entry of a list is known, where that is unique in its list."""
NOT_COMPARED = frozenset({"objectId", "ts", "objectVersion", "poStatusTransition", "itemLists"})
KEPT_APART = frozenset({"serialno", "orderLineReference"})
"""A line's own names: they tell which line it is."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: its path in wire names, what people call it, old and new; None where it is not there."""

    path: str
    label: str
    old: Value
    new: Value


@dataclass(frozen=True, slots=True)
class LineDifference:
    """One line that was added, removed or changed; ``fields`` say how, for a changed one."""

    kind: Literal["added", "removed", "changed"]
    label: str
    old: ItemLine | None
    new: ItemLine | None
    fields: tuple[Difference, ...] = ()

    @property
    def line(self) -> ItemLine:
        """The line as it is now, or as it was where it is gone."""
        found = self.new or self.old
        assert found
        return found


@dataclass(frozen=True, slots=True)
class Differences:
    """All that differs between two versions of an order."""

    header: tuple[Difference, ...]
    lines: tuple[LineDifference, ...]

    def __bool__(self) -> bool:
        return bool(self.header or self.lines)

    @property
    def in_brief(self) -> str:
        """One clause, such as ``2 lines changed, 1 added; delivery date, subject``."""
        counted = Counter(line.kind for line in self.lines)
        counts = [f"{counted[kind]} {kind}" for kind in ("changed", "added", "removed") if counted[kind]]
        if counts:
            first, _, rest = counts[0].partition(" ")
            counts[0] = f"{first} {'line' if first == '1' else 'lines'} {rest}"
        labels = list(dict.fromkeys(_part_of(one.path) for one in self.header))
        names = ", ".join(label if label[:2].isupper() else label[:1].lower() + label[1:] for label in labels)
        return "; ".join(part for part in (", ".join(counts), names) if part) or "nothing that is shown"


def compare(old: ReqSend, new: ReqSend) -> Differences:
    """What differs between two versions of an order; equal numbers do, however they are written."""
    return Differences(tuple(_header(old, new)), tuple(_lines(old, new)))


def _header(old: ReqSend, new: ReqSend) -> Iterator[Difference]:
    before, after = old.purchase_order.wire(), new.purchase_order.wire()
    others = [name for name in [*before, *after] if name not in HEADER and name not in NOT_COMPARED]
    for name in dict.fromkeys([*HEADER, *others]):
        yield from _differences(name, HEADER.get(name, name), before.get(name), after.get(name))
    infos = [[info.wire() for info in message.additional_infos] for message in (old, new)]
    yield from _differences("additionalInfos", FURTHER, *infos)


def _part_of(path: str) -> str:
    first = path.split(".", maxsplit=1)[0]
    return FURTHER if first == "additionalInfos" else HEADER.get(first, first)


def _differences(path: str, label: str, old: Any, new: Any) -> Iterator[Difference]:
    """What differs below one field, leaf by leaf; nothing, null and empty are the same."""
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
    """A list's entries under their own names: with a new first one not all of them have changed."""
    by = next((name for name in NAMES if _is_key(entries, name)), None)
    for number, entry in enumerate(entries, start=1):
        if by is None:
            yield str(number), entry
            continue
        rest = {name: part for name, part in entry.items() if name != by}
        # Of a name and one value the value is the leaf; a name alone is its own.
        only = next(iter(rest.values())) if len(rest) == 1 else rest
        yield entry[by], only if rest else entry[by]


def _is_key(entries: Sequence[Any], name: str) -> bool:
    keys = [entry.get(name) if isinstance(entry, Mapping) else None for entry in entries]
    return all(isinstance(key, str) and key for key in keys) and len(set(keys)) == len(keys)


def _lines(old: ReqSend, new: ReqSend) -> Iterator[LineDifference]:
    """In the new version's order; what is gone comes last."""
    before, after = old.purchase_order.item_lists, new.purchase_order.item_lists
    partners = _matched(before, after)
    for place, line in enumerate(after):
        if place not in partners:
            yield LineDifference("added", _called(line, place), None, line)
            continue
        was = before[partners[place]]
        fields = tuple(_line_fields(was, line))
        if fields:
            yield LineDifference("changed", _called(line, place), was, line, fields)
    found = set(partners.values())
    for place, line in enumerate(before):
        if place not in found:
            yield LineDifference("removed", _called(line, place), line, None)


def _called(line: ItemLine, place: int) -> str:
    return line.serialno or line.order_line_reference or str(place + 1)


def _line_fields(old: ItemLine, new: ItemLine) -> Iterator[Difference]:
    before, after = old.wire(), new.wire()
    others = [name for name in [*before, *after] if name not in LINE and name not in KEPT_APART]
    for name in dict.fromkeys([*LINE, *others]):
        yield from _differences(name, LINE.get(name, name), before.get(name), after.get(name))


def _matched(old: Sequence[ItemLine], new: Sequence[ItemLine]) -> dict[int, int]:
    """Which old line each new one was: by its reference where that is unique on both sides, else by serialno.

    Two lines that both have a reference, and not the same, are never one line.
    """
    found: dict[int, int] = {}
    references, news = _unique_references(old), _unique_references(new)
    for reference, place in news.items():
        if reference in references:
            found[place] = references[reference]
    left: dict[str, list[int]] = defaultdict(list)
    for place, line in enumerate(old):
        if place not in set(found.values()):
            left[line.serialno or ""].append(place)
    for place, line in enumerate(new):
        if place not in found:
            waiting = left[line.serialno or ""]
            fit = next((one for one in waiting if _may_be_one(old[one], line)), None)
            if fit is not None:
                waiting.remove(fit)
                found[place] = fit
    return found


def _unique_references(lines: Sequence[ItemLine]) -> dict[str, int]:
    counted = Counter(line.order_line_reference for line in lines)
    return {
        line.order_line_reference: place
        for place, line in enumerate(lines)
        if line.order_line_reference and counted[line.order_line_reference] == 1
    }


def _may_be_one(old: ItemLine, new: ItemLine) -> bool:
    both = old.order_line_reference and new.order_line_reference
    return not both or old.order_line_reference == new.order_line_reference
