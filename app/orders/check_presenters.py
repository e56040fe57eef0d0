"""Order checks as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from app.network.reference_codes import unit_label
from app.network.text import pluralize
from app.orders.checks import Check, CheckKind, GstinProblem
from app.orders.document_presenters import TOTAL_LABELS
from app.orders.models import OrderCheckDismissal
from app.orders.totals import TotalKind
from app.ui.numbers import money, number
from app.ui.times import moment

SHOWN = 4
"""Checks that are shown at first; more are collapsed."""
LISTED_MAX = 50
"""Open checks that are listed; the panel says how many more there are."""
GSTIN_PROBLEMS = {
    GstinProblem.FORMAT: "a GSTIN has two digits and 13 letters or digits",
    GstinProblem.CHECK_DIGIT: "its check digit is wrong",
}


@dataclass(frozen=True, slots=True)
class CheckView:
    """A check as a sentence: the parts before and after the link to the order that it compares with."""

    number: int
    check: Check
    before: str
    after: str
    dismissal: OrderCheckDismissal | None

    @property
    def label(self) -> str:
        """What the check is about."""
        return f"Line {self.check.line}" if self.check.line else "Order"


@dataclass(frozen=True, slots=True)
class ChecksView:
    """The panel: what is open, and what was dismissed. ``unlisted`` open checks are only counted."""

    shown: Sequence[CheckView]
    more: Sequence[CheckView]
    dismissed: Sequence[CheckView]
    unlisted: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.shown and not self.dismissed


def checks_view(
    checks: Sequence[Check],
    dismissals: Mapping[tuple[str, str], OrderCheckDismissal],
    zone: ZoneInfo,
    now: datetime,
) -> ChecksView:
    """The checks of an order as sentences."""
    views = [
        CheckView(number, check, *_sentence(check, zone, now), dismissals.get((check.kind, check.reference)))
        for number, check in enumerate(checks, 1)
    ]
    open_checks = [view for view in views if view.dismissal is None]
    return ChecksView(
        open_checks[:SHOWN],
        open_checks[SHOWN:LISTED_MAX],
        [view for view in views if view.dismissal is not None],
        unlisted=max(len(open_checks) - LISTED_MAX, 0),
    )


def _sentence(check: Check, zone: ZoneInfo, now: datetime) -> tuple[str, str]:
    if check.kind is CheckKind.DUPLICATE and check.other:
        received = moment(check.other.received_at, zone, now)
        return "Possible duplicate of ", f": same items and quantities, received {received}."
    return _SENTENCES[check.kind](check.params, check.reference)


def _price(params: Mapping[str, str], _reference: str) -> tuple[str, str]:
    now, before = Decimal(params["now"]), Decimal(params["before"])
    after = f": {money(params['before'])})."
    if not before:
        return f"Unit price is {money(params['now'])} (last order of this item, ", after
    change = abs(now - before) / before * 100
    shown = number(change.quantize(Decimal("0.1"))) if change >= Decimal("0.1") else "less than 0.1"
    direction = "above" if now > before else "below"
    return f"Unit price is {shown}% {direction} the last order of this item (", after


def _changed(what: str, suffix: str = "") -> Callable[[Mapping[str, str], str], tuple[str, str]]:
    def sentence(params: Mapping[str, str], _reference: str) -> tuple[str, str]:
        now, before = params["now"], params["before"]
        return f"{what} is {now}{suffix} instead of {before}{suffix} in the last order of this item (", ")."

    return sentence


def _quantity(params: Mapping[str, str], _reference: str) -> tuple[str, str]:
    amount = f"{number(params['now'])} {unit_label(params['unit'])}".strip()
    direction = "large" if Decimal(params["now"]) > Decimal(params["most"]) else "small"
    least, most = number(params["least"]), number(params["most"])
    usual = least if least == most else f"{least} to {most}"
    return f"Quantity {amount} is unusually {direction}: earlier orders had {usual} (last one: ", ")."


def _sooner(params: Mapping[str, str], _reference: str) -> tuple[str, str]:
    days = pluralize(int(params["days"]), "day")
    usual = pluralize(int(params["usual"]), "day")
    return f"Delivery is {days} sooner than usual for this item: usually {usual} (last order: ", ")."


def _total(params: Mapping[str, str], reference: str) -> tuple[str, str]:
    label = TOTAL_LABELS[TotalKind(reference)]
    return f"{label} is {money(params['stated'])}, but the lines add up to {money(params['calculated'])}.", ""


def _gstin(params: Mapping[str, str], reference: str) -> tuple[str, str]:
    problem = GSTIN_PROBLEMS[GstinProblem(params["problem"])]
    return f"GSTIN {params['gstin']} of the {reference} is not valid: {problem}.", ""


_SENTENCES: Mapping[CheckKind, Callable[[Mapping[str, str], str], tuple[str, str]]] = {
    CheckKind.PRICE: _price,
    CheckKind.QUANTITY: _quantity,
    CheckKind.SOONER: _sooner,
    CheckKind.HSN: _changed("HSN code"),
    CheckKind.GST_RATE: _changed("GST rate", "%"),
    CheckKind.TOTAL: _total,
    CheckKind.GSTIN: _gstin,
}
