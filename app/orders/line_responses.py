"""Responses to single lines of an order, and how they are sent.

The partner contract has no lines in a response, so they are sent as pairs in ``additionalInfos``:
``line/<reference>/response``, ``…/quantity``, ``…/deliveryDate``, ``…/unitPrice`` and ``…/remarks``, and for
each delivery of a split line ``…/split/1/quantity`` and ``…/split/1/deliveryDate``. In a reference, ``/`` is
written ``%2F`` and ``%`` is written ``%25``. Lines as ordered are not sent. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.network.vocabulary import LINE_PREFIX

SPLITS_MAX = 20
"""Deliveries of one line."""
_NAME = re.compile(
    re.escape(LINE_PREFIX) + r"([^/]+)/"
    r"(?:(response|quantity|deliveryDate|unitPrice|remarks)|split/([1-9]\d?)/(quantity|deliveryDate))"
)
_NUMBER = re.compile(r"\d{1,30}(\.\d{1,10})?")


class LineAction(StrEnum):
    """What the supplier responds to one line."""

    AS_ORDERED = "AS_ORDERED"
    CHANGED = "CHANGED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Split:
    """One delivery of a split line; the quantity is in the unit of the line."""

    quantity: Decimal | None = None
    delivery_date: date | None = None


@dataclass(frozen=True, slots=True)
class LineResponse:
    """The response to one line. None and empty mean as ordered; the price is in INR for one unit."""

    reference: str
    response: LineAction
    quantity: Decimal | None = None
    delivery_date: date | None = None
    unit_price: Decimal | None = None
    remarks: str = ""
    splits: tuple[Split, ...] = ()


def encode(lines: Iterable[LineResponse]) -> tuple[tuple[str, str], ...]:
    """The names and values that carry the responses in ``additionalInfos``."""
    return tuple(pair for line in lines for pair in _pairs(line))


def decode(infos: Iterable[tuple[str, str]]) -> tuple[tuple[LineResponse, ...], tuple[tuple[str, str], ...]]:
    """The responses to lines in ``additionalInfos``, and the other pairs.

    A pair with a value that cannot be read counts as one of the others.
    """
    lines: dict[str, dict[str, Any]] = {}
    others: list[tuple[str, str]] = []
    for name, value in infos:
        if not _take(lines, name, value):
            others.append((name, value))
    return tuple(map(_line, lines.values())), tuple(others)


def is_line_name(name: str) -> bool:
    """Whether a name in ``additionalInfos`` is reserved for line responses."""
    return name.startswith(LINE_PREFIX)


def to_json(line: LineResponse) -> dict[str, Any]:
    """The response as JSON, without what is as ordered; numbers are text, so that they stay exact."""
    fields = {
        "reference": line.reference,
        "response": line.response.value,
        "quantity": as_text(line.quantity),
        "delivery_date": as_text(line.delivery_date),
        "unit_price": as_text(line.unit_price),
        "remarks": line.remarks,
        "splits": [
            {"quantity": as_text(split.quantity), "delivery_date": as_text(split.delivery_date)}
            for split in line.splits
        ],
    }
    return {name: value for name, value in fields.items() if value}


def from_json(fields: Mapping[str, Any]) -> LineResponse:
    """The response that ``to_json`` wrote."""
    return LineResponse(
        reference=fields["reference"],
        response=LineAction(fields["response"]),
        quantity=_decimal(fields.get("quantity")),
        delivery_date=_day(fields.get("delivery_date")),
        unit_price=_decimal(fields.get("unit_price")),
        remarks=fields.get("remarks", ""),
        splits=tuple(
            Split(_decimal(split["quantity"]), _day(split["delivery_date"]))
            for split in fields.get("splits", ())
        ),
    )


def as_text(value: Decimal | date | str | None) -> str:
    """A value as a form or message has it; empty for None."""
    if value is None:
        return ""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _pairs(line: LineResponse) -> Iterator[tuple[str, str]]:
    prefix = LINE_PREFIX + line.reference.replace("%", "%25").replace("/", "%2F")
    splits = ((f"{prefix}/split/{number}", split) for number, split in enumerate(line.splits, 1))
    for path, part in ((prefix, line), *splits):
        for wire_name, (name, _) in _FIELDS.items():
            if text := as_text(getattr(part, name, None)):
                yield f"{path}/{wire_name}", text


def _take(lines: dict[str, dict[str, Any]], path: str, value: str) -> bool:
    """Add one pair to the fields of its line. False if it is not a pair of a line response."""
    match = _NAME.fullmatch(path)
    if not match:
        return False
    name, read = _FIELDS[match[2] or match[4]]
    try:
        field = read(value)
    except ValueError:
        return False
    reference = match[1].replace("%2F", "/").replace("%25", "%")
    default: dict[str, Any] = {"reference": reference, "response": LineAction.CHANGED, "splits": {}}
    fields = lines.setdefault(reference, default)
    if match[3]:
        fields = fields["splits"].setdefault(int(match[3]), {})
    fields[name] = field
    return True


def _line(fields: Mapping[str, Any]) -> LineResponse:
    splits = tuple(Split(**split) for _, split in sorted(fields["splits"].items()))
    return LineResponse(**{**fields, "splits": splits})


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


_FIELDS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "response": ("response", LineAction),
    "quantity": ("quantity", _number),
    "deliveryDate": ("delivery_date", date.fromisoformat),
    "unitPrice": ("unit_price", _number),
    "remarks": ("remarks", str),
}
"""The fields of a line by their names on the wire: the attribute, and the function that reads it."""
