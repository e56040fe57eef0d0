"""How orders are answered: by day, by person, against their deadline, and why they are turned down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from app.contract.vocabulary import SupplierResponse
from app.orders.models import Decision
from app.reports import charts
from app.reports.charts import Picture, Tick
from app.reports.health import share
from app.shown.numbers import number, things

LONGEST = 92
"""Days of a report at most."""
USUAL = 7
"""Days of a report where none are asked for."""
REASONS_MOST = 12
TURNED_DOWN = (SupplierResponse.REJECT.value, SupplierResponse.RETURN.value)
Scope = frozenset[str] | None


@dataclass(slots=True)
class Given:
    """Answers of a day, a person, or all: ``early`` in the first half of their time, ``late`` after it."""

    count: int = 0
    accepted: int = 0
    rejected: int = 0
    returned: int = 0
    early: int = 0
    late: int = 0
    seconds: int = 0

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
    all: Given
    days: Sequence[tuple[date, Given]]
    people: Sequence[tuple[str, Given]]
    reasons: Sequence[Reason]
    responses: Picture
    deadlines: Picture


def report(session: Session, scope: Scope, first: date, last: date, zone: ZoneInfo) -> Report:
    """What was answered from the day ``first`` to the day ``last``, both of the zone and both whole.

    ``scope`` is the supplier ids that count; None is all.
    """
    every, people = Given(), defaultdict[str, Given](Given)
    days = []
    for day in (first + timedelta(days=place) for place in range((last - first).days + 1)):
        of_day = Given()
        for row in _counted(session, _between(day, day, zone), scope):
            for given in (every, of_day, people[row.person_name]):
                _add(given, row.response, *row[2:])
        days.append((day, of_day))
    return Report(
        first=first,
        last=last,
        all=every,
        days=days,
        people=sorted(people.items(), key=lambda one: (-one[1].count, one[0])),
        reasons=_reasons(session, _between(first, last, zone), scope),
        responses=_picture(days, _responses, _RESPONSES),
        deadlines=_picture(days, _deadlines, _DEADLINES),
    )


def _between(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    begins = datetime.combine(first, time(), zone)
    return begins, datetime.combine(last + timedelta(days=1), time(), zone)


def _where(span: tuple[datetime, datetime], scope: Scope) -> list[ColumnElement[bool]]:
    conditions = [Decision.decided_at >= span[0], Decision.decided_at < span[1]]
    return conditions if scope is None else [*conditions, Decision.supplier_b2b_id.in_(scope)]


def _counted(session: Session, span: tuple[datetime, datetime], scope: Scope) -> Sequence[Any]:
    took, left = Decision.took_seconds, Decision.left_seconds
    return session.execute(
        select(
            Decision.person_name,
            Decision.response,
            func.count(),
            func.sum(case((took <= left, 1), else_=0)),
            func.sum(case((left < 0, 1), else_=0)),
            func.sum(took),
        )
        .where(*_where(span, scope))
        .group_by(Decision.person_name, Decision.response)
    ).all()


def _add(given: Given, response: str, count: int, early: int, late: int, seconds: int) -> None:
    given.count += count
    given.accepted += count if response == SupplierResponse.ACCEPT else 0
    given.rejected += count if response == SupplierResponse.REJECT else 0
    given.returned += count if response == SupplierResponse.RETURN else 0
    given.early += int(early)
    given.late += int(late)
    given.seconds += int(seconds)


def _reasons(session: Session, span: tuple[datetime, datetime], scope: Scope) -> list[Reason]:
    rows = session.execute(
        select(Decision.response, Decision.remarks, func.count())
        .where(Decision.response.in_(TURNED_DOWN), *_where(span, scope))
        .group_by(Decision.response, Decision.remarks)
        .order_by(func.count().desc(), Decision.remarks)
    ).all()
    whole = sum(count for *_, count in rows)
    return [
        Reason(response, remarks, count, share(count, whole), count * 100 / rows[0][2])
        for response, remarks, count in rows[:REASONS_MOST]
    ]


_RESPONSES = [("accept", "confirmed"), ("return", "returned"), ("reject", "rejected")]
_DEADLINES = [("early", "in the first half of the time"), ("in-time", "in time"), ("late", "late")]


def _responses(given: Given) -> list[tuple[str, int]]:
    return [("accept", given.accepted), ("return", given.returned), ("reject", given.rejected)]


def _deadlines(given: Given) -> list[tuple[str, int]]:
    return [("early", given.early), ("in-time", given.in_time - given.early), ("late", given.late)]


def _picture(
    days: Sequence[tuple[date, Given]],
    parts_of: Callable[[Given], list[tuple[str, int]]],
    kinds: Sequence[tuple[str, str]],
) -> Picture:
    names = dict(kinds)

    def words(day: date, given: Given) -> str:
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
