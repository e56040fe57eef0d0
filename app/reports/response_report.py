"""How orders are answered: by day, by person, against their deadline, and why they are turned down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from app.network.vocabulary import SupplierResponse
from app.orders.response_counts import NEGATIVE_RESPONSES, ResponseCount, response_counts
from app.reports import charts
from app.reports.charts import Picture, Tick
from app.reports.delivery_health import share
from app.ui.numbers import number, things

LONGEST = 92
"""Days of a report at most."""
USUAL = 7
"""Days of a report where none are asked for."""
REASONS_MOST = 12
Scope = frozenset[str] | None


@dataclass(slots=True)
class DecisionInput:
    """Answers of a day, a person, or all: ``early`` in the first half of their time, ``late`` after it."""

    count: int = 0
    accepted: int = 0
    rejected: int = 0
    returned: int = 0
    early: int = 0
    late: int = 0
    seconds: int = 0

    def add(self, some: ResponseCount) -> None:
        """Count these in."""
        self.count += some.count
        self.accepted += some.count if some.response == SupplierResponse.ACCEPT else 0
        self.rejected += some.count if some.response == SupplierResponse.REJECT else 0
        self.returned += some.count if some.response == SupplierResponse.RETURN else 0
        self.early += some.early
        self.late += some.late
        self.seconds += some.seconds

    @property
    def in_time(self) -> int:
        """Answers before their deadline."""
        return self.count - self.late

    @property
    def mean_milliseconds(self) -> float | None:
        """How long an answer took on average, from the receipt of the order's version."""
        return self.seconds * 1000 / self.count if self.count else None

    def share_of(self, part: int) -> str:
        """A part of these answers, in percent."""
        return share(part, self.count)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why orders were turned down, in the words that the network got."""

    response: str
    remarks: str
    count: int
    share: str
    percent: float


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page says."""

    first: date
    last: date
    all: DecisionInput
    days: Sequence[tuple[date, DecisionInput]]
    people: Sequence[tuple[str, DecisionInput]]
    reasons: Sequence[Reason]
    responses: Picture
    deadlines: Picture


def report(session: Session, scope: Scope, first: date, last: date, zone: ZoneInfo) -> Report:
    """What was answered from the day ``first`` to the day ``last``, both of the zone and both whole.

    ``scope`` is the supplier ids that count; None is all. The session must see one moment:
    ``Database.snapshot``.
    """
    days = {first + timedelta(days=place): DecisionInput() for place in range((last - first).days + 1)}
    every, people = DecisionInput(), defaultdict[str, DecisionInput](DecisionInput)
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    for some in response_counts(session, scope, first, last, zone):
        for given in (every, days[some.day], people[some.person]):
            given.add(some)
        if some.response in NEGATIVE_RESPONSES:
            reasons[some.response, some.remarks] += some.count
    return Report(
        first=first,
        last=last,
        all=every,
        days=list(days.items()),
        people=sorted(people.items(), key=lambda one: (-one[1].count, one[0])),
        reasons=_reasons(reasons),
        responses=_picture(list(days.items()), _responses, _RESPONSES),
        deadlines=_picture(list(days.items()), _deadlines, _DEADLINES),
    )


def _reasons(counts: dict[tuple[str, str], int]) -> list[Reason]:
    most_first = sorted(counts.items(), key=lambda one: (-one[1], one[0][1], one[0][0]))
    whole = sum(counts.values())
    return [
        Reason(response, remarks, count, share(count, whole), count * 100 / most_first[0][1])
        for (response, remarks), count in most_first[:REASONS_MOST]
    ]


_RESPONSES = [("accept", "confirmed"), ("return", "returned"), ("reject", "rejected")]
_DEADLINES = [("early", "in the first half of the time"), ("in-time", "in time"), ("late", "late")]


def _responses(given: DecisionInput) -> list[tuple[str, int]]:
    return [("accept", given.accepted), ("return", given.returned), ("reject", given.rejected)]


def _deadlines(given: DecisionInput) -> list[tuple[str, int]]:
    return [("early", given.early), ("in-time", given.in_time - given.early), ("late", given.late)]


def _picture(
    days: Sequence[tuple[date, DecisionInput]],
    parts_of: Callable[[DecisionInput], list[tuple[str, int]]],
    kinds: Sequence[tuple[str, str]],
) -> Picture:
    names = dict(kinds)

    def words(day: date, given: DecisionInput) -> str:
        if not given.count:
            return ""
        told = ", ".join(f"{number(count)} {names[kind]}" for kind, count in parts_of(given) if count)
        return f"{day.day} {day:%b}: {things(given.count, 'answer')}, {told}"

    every = ceil(len(days) / 8)
    ticks = [
        Tick((place + 0.5) * 100 / len(days), f"{day.day} {day:%b}", minor=place // every % 2 == 1)
        for place, (day, _) in enumerate(days)
        if place % every == 0
    ]
    return charts.bars(
        [(words(day, given), parts_of(given)) for day, given in days],
        kinds=kinds,
        across=ticks,
        words_of=number,
    )
