"""What a buyer changed, in words and beside each field."""

from __future__ import annotations

from app.network.messages import ItemLine
from app.orders.comparison import (
    FURTHER,
    HEADER,
    LINE,
    Difference,
    Differences,
    LineDifference,
)
from app.ui.bodies import spoken

_FOLLOWS = {"totalAmt", "assessmentAmount", "totalItemValue", "itemValueDetails"}
"""Fields of a line that change of themselves when its quantity, price or rate does."""


_MOST_TOLD = 4
"""Differences told one by one; more are counted."""


def header_change(changes: Differences | None, path: str) -> Difference | None:
    """How a field of the order changed; None where it did not."""
    return next((one for one in changes.header if one.path == path), None) if changes else None


def line_change(changes: Differences | None, line: ItemLine) -> LineDifference | None:
    """How a line of the newest version changed; None where it did not."""
    return next((one for one in changes.lines if one.new is line), None) if changes else None


def field_change(change: LineDifference | None, path: str) -> Difference | None:
    """How a field of a changed line changed; None where it did not."""
    return next((one for one in change.fields if one.path == path), None) if change else None


def change_label(one: Difference) -> str:
    """What people call a field that changed: ``Buyer: address city``."""
    label, _, steps = one.label.partition(": ")
    return f"{label}: {' '.join(spoken(step) for step in steps.split()).lower()}" if steps else label


def change_brief(changes: Differences) -> str:
    """What changed, for a sentence: ``quantity of line 1, line 3 removed, delivery date``."""
    told = [_line_brief(line) for line in changes.lines]
    if len(told) > _MOST_TOLD:
        return changes.in_brief
    paths = dict.fromkeys(one.path.split(".")[0] for one in changes.header)
    if told:
        paths.pop("poValueDetails", None)  # the totals follow the lines
    labels = [HEADER.get(path, FURTHER if path == "additionalInfos" else path) for path in paths]
    return ", ".join([*told, *(_lower(label) for label in labels)]) or changes.in_brief


def _line_brief(line: LineDifference) -> str:
    if line.kind != "changed":
        return f"line {line.label} {line.kind}"
    paths = dict.fromkeys(one.path.split(".")[0] for one in line.fields)
    own = [path for path in paths if path not in _FOLLOWS] or list(paths)
    labels = [_lower(LINE.get(path, path)) for path in own]
    named = f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else labels[0]
    return f"{named} of line {line.label}"


def _lower(label: str) -> str:
    return label if label[:2].isupper() else label[:1].lower() + label[1:]
