"""The response report: how orders were responded to, by day and person, and against their deadline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.db.filters import Scope, in_scope
from app.network.vocabulary import SupplierResponse
from app.orders.models import Decision

DAYS_MAX = 92
DEFAULT_DAYS = 7
REASONS_MAX = 12
NEGATIVE_RESPONSES = (SupplierResponse.REJECT.value, SupplierResponse.RETURN.value)
"""Responses whose remarks give a reason."""


@dataclass(frozen=True, slots=True)
class ResponseCount:
    """Responses of one day, person and kind. ``remarks`` are empty for confirmations.

    ``early`` were given in the first half of the time to respond, ``late`` after the deadline. ``seconds`` is
    the sum of the times from the receipt of an order's version to its response.
    """

    day: date
    person: str
    response: str
    remarks: str
    count: int
    early: int
    late: int
    seconds: int


@dataclass(slots=True)
class ResponseTotals:
    """Responses of a day, a person, or all. ``early``, ``late`` and ``seconds`` as in ``ResponseCount``."""

    count: int = 0
    confirmed: int = 0
    rejected: int = 0
    returned: int = 0
    early: int = 0
    late: int = 0
    seconds: int = 0

    def add(self, row: ResponseCount) -> None:
        """Add these responses."""
        self.count += row.count
        if row.response == SupplierResponse.ACCEPT:
            self.confirmed += row.count
        elif row.response == SupplierResponse.REJECT:
            self.rejected += row.count
        else:
            self.returned += row.count
        self.early += row.early
        self.late += row.late
        self.seconds += row.seconds

    @property
    def on_time(self) -> int:
        """Responses before the deadline."""
        return self.count - self.late

    @property
    def average_milliseconds(self) -> float | None:
        """The average time from the receipt of an order's version to the response."""
        return self.seconds * 1000 / self.count if self.count else None


@dataclass(frozen=True, slots=True)
class RemarkCount:
    """Rejections or returns with the same remarks."""

    response: str
    remarks: str
    count: int


@dataclass(frozen=True, slots=True)
class ResponseReport:
    """Everything on the page. ``reasons`` are the most frequent ones of ``reason_count`` responses."""

    first: date
    last: date
    totals: ResponseTotals
    days: Sequence[tuple[date, ResponseTotals]]
    people: Sequence[tuple[str, ResponseTotals]]
    reasons: Sequence[RemarkCount]
    reason_count: int


def response_report(
    session: Session, scope: Scope, first: date, last: date, zone: ZoneInfo
) -> ResponseReport:
    """The responses from the day ``first`` to the day ``last`` of the zone.

    ``scope`` limits them to these supplier ids; None is all. ``session`` must see a snapshot.
    """
    days = {first + timedelta(days=number): ResponseTotals() for number in range((last - first).days + 1)}
    people: dict[str, ResponseTotals] = defaultdict(ResponseTotals)
    totals = ResponseTotals()
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    for row in response_counts(session, scope, first, last, zone):
        for entry in (totals, days[row.day], people[row.person]):
            entry.add(row)
        if row.response in NEGATIVE_RESPONSES:
            reasons[row.response, row.remarks] += row.count
    most_first = sorted(reasons.items(), key=lambda item: (-item[1], item[0][1], item[0][0]))
    return ResponseReport(
        first=first,
        last=last,
        totals=totals,
        days=list(days.items()),
        people=sorted(people.items(), key=lambda item: (-item[1].count, item[0])),
        reasons=[RemarkCount(*key, count) for key, count in most_first[:REASONS_MAX]],
        reason_count=sum(reasons.values()),
    )


def response_counts(
    session: Session, scope: Scope, first: date, last: date, zone: ZoneInfo
) -> Iterator[ResponseCount]:
    """The responses from the day ``first`` to the day ``last`` of the zone, without those that were undone.

    ``scope`` limits them to these supplier ids; None is all. Each day is one query, since SQLite knows no
    time zones.
    """
    remarks = case((Decision.response.in_(NEGATIVE_RESPONSES), Decision.remarks), else_="")
    key = (Decision.person_name, Decision.response, remarks)
    query = select(
        *key,
        func.count(),
        func.sum(case((Decision.took_seconds <= Decision.left_seconds, 1), else_=0)),
        func.sum(case((Decision.left_seconds < 0, 1), else_=0)),
        func.sum(Decision.took_seconds),
    ).group_by(*key)
    query = in_scope(query.where(Decision.undone.is_(False)), Decision.supplier_b2b_id, scope)
    for days in range((last - first).days + 1):
        day = first + timedelta(days=days)
        start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        rows = session.execute(query.where(Decision.decided_at >= start, Decision.decided_at < end))
        for person, response, reason, *sums in rows:
            yield ResponseCount(day, person, response, reason, *map(int, sums))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
