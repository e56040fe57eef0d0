"""Attempt statistics: how many attempts ended, with which result, and how long they took.

``record`` adds ended attempts to the rows of their minute, in the transaction that records their end. Counts
only grow, so ``/metrics`` can read its counters from them. An attempt that counts as interrupted and is later
reported by its own worker is counted with both outcomes.

``fold`` merges the rows of old minutes, so that there are few rows for a long time.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

from sqlalchemy import Table, bindparam, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery.models import AttemptStatistics, Measure
from app.delivery.retry_policy import ACCEPTED_OUTCOMES
from app.partners.models import Partner

BUCKETS = {
    "le_5ms": 5.0,
    "le_10ms": 10.0,
    "le_25ms": 25.0,
    "le_50ms": 50.0,
    "le_100ms": 100.0,
    "le_250ms": 250.0,
    "le_500ms": 500.0,
    "le_1s": 1_000.0,
    "le_2500ms": 2_500.0,
    "le_5s": 5_000.0,
    "le_10s": 10_000.0,
    "le_30s": 30_000.0,
    "le_1min": 60_000.0,
    "le_5min": 300_000.0,
    "le_30min": 1_800_000.0,
    "le_2h": 7_200_000.0,
    "le_8h": 28_800_000.0,
    "le_1d": 86_400_000.0,
    "le_3d": 259_200_000.0,
    "le_inf": math.inf,
}
"""Columns and the longest duration that each counts, in milliseconds. A delivery may take days."""
ALL_TIME = 10**9
"""Minutes of a period so long that everything is in the same one, which begins in 1970."""
FOLDS = (
    (timedelta(hours=2), 30),
    (timedelta(days=2), 180),
    (timedelta(days=8), 720),
    (timedelta(days=35), ALL_TIME),
)
"""The age from which rows are merged, and the length of the merged periods in minutes."""

_table = cast(Table, AttemptStatistics.__table__)
_UPPER_BOUNDS = tuple(BUCKETS.values())
_KEY = tuple(column.name for column in _table.primary_key)
_COUNTERS = ("count", "milliseconds", *BUCKETS)

Key = tuple[int, int, str, str, int]
"""Minute, partner id, measure, outcome and HTTP status: the primary key of a row."""


@dataclass(frozen=True, slots=True)
class CountedAttempt:
    """One attempt to count. ``delivery_ms`` is the time since its message was created, if it delivered it."""

    partner_id: int
    ended_at: datetime
    outcome: str
    status: int | None
    duration_ms: float | None
    delivery_ms: float | None = None


@dataclass(slots=True)
class Durations:
    """Durations, counted cumulatively in ``BUCKETS``."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    milliseconds: int = 0

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return self.counts[-1]

    def add(self, other: Durations) -> None:
        """Add the durations of ``other``."""
        self.counts = [mine + others for mine, others in zip(self.counts, other.counts, strict=True)]
        self.milliseconds += other.milliseconds

    def percentile(self, share: float) -> float | None:
        """The milliseconds that a ``share`` (0 to 1) of all durations do not exceed; None without durations.

        The value is interpolated within its bucket, as Prometheus does it, and at most the sum of all
        durations: otherwise a single duration of 6 s would have a percentile of up to 10 s.
        """
        rank = share * self.count
        lower_bound, below = 0.0, 0
        for upper_bound, count in zip(BUCKETS.values(), self.counts, strict=True):
            if count > below and count >= rank:
                if upper_bound == math.inf:
                    return lower_bound
                interpolated = lower_bound + (upper_bound - lower_bound) * (rank - below) / (count - below)
                return min(interpolated, self.milliseconds)
            lower_bound, below = upper_bound, count
        return None


@dataclass(slots=True)
class Totals:
    """Attempts of a period. ``time_to_delivery`` has one duration for each message that was delivered."""

    attempts: int = 0
    delivered: int = 0
    latency: Durations = field(default_factory=Durations)
    time_to_delivery: Durations = field(default_factory=Durations)

    @property
    def failed(self) -> int:
        """Attempts that did not deliver their message, as far as we know."""
        return self.attempts - self.delivered

    def add(self, other: Totals) -> None:
        """Add the attempts of ``other``."""
        self.attempts += other.attempts
        self.delivered += other.delivered
        self.latency.add(other.latency)
        self.time_to_delivery.add(other.time_to_delivery)


@dataclass(frozen=True, slots=True)
class FailureCount:
    """Failed attempts of a partner with the same outcome. ``status`` is 0 without an HTTP response."""

    partner_id: int
    outcome: str
    status: int
    count: int


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """All attempts of a partner that ever ended with the same outcome."""

    partner: str
    outcome: str
    count: int
    latency: Durations


def record(session: Session, attempts: Iterable[CountedAttempt]) -> None:
    """Count attempts that ended. Call it last in a transaction: other workers wait for these rows."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0] * len(_COUNTERS))
    for attempt in attempts:
        minute, partner_id = _minute(attempt.ended_at), attempt.partner_id
        key = (minute, partner_id, Measure.ATTEMPT.value, attempt.outcome, attempt.status or 0)
        _count(sums[key], attempt.duration_ms)
        if attempt.delivery_ms is not None:
            _count(sums[minute, partner_id, Measure.DELIVERY.value, "", 0], attempt.delivery_ms)
    _add(session, sums)


def fold(database: Database) -> int:
    """Merge rows of old minutes into longer periods; returns how many rows were merged."""
    folded = 0
    for age, minutes in FOLDS:
        before = _minute(clock.now() - age)
        with database.writing() as session:
            rows = session.execute(
                delete(_table)
                .where(_table.c.minute < before, _table.c.minute % minutes != 0)
                .returning(*(_table.c[name] for name in (*_KEY, *_COUNTERS)))
            ).all()
            sums: dict[Key, list[int]] = defaultdict(lambda: [0] * len(_COUNTERS))
            for minute, partner_id, measure, outcome, status, *counters in rows:
                key = (minute - minute % minutes, partner_id, measure, outcome, status)
                sums[key] = [sum(pair) for pair in zip(sums[key], counters, strict=True)]
            _add(session, sums)
            session.commit()
        folded += len(rows)
    return folded


def totals(
    session: Session, since: datetime, until: datetime, step: timedelta
) -> dict[tuple[datetime, int], Totals]:
    """The attempts that ended from ``since`` up to ``until``, by the beginning of their step and by partner.

    Both times must be the beginning of a step, and the step one that ``fold`` has kept apart for that long.
    """
    minutes = int(step.total_seconds()) // 60
    columns = AttemptStatistics
    start = (columns.minute - columns.minute % minutes).label("start")
    delivered = func.sum(case((columns.outcome.in_(ACCEPTED_OUTCOMES), columns.count), else_=0))
    rows = session.execute(
        select(start, columns.partner_id, columns.measure, delivered, *_sums())
        .where(columns.minute >= _minute(since), columns.minute < _minute(until))
        .group_by(start, columns.partner_id, columns.measure)
    )
    result: dict[tuple[datetime, int], Totals] = defaultdict(Totals)
    for minute, partner_id, measure, delivered_count, count, milliseconds, *buckets in rows:
        entry = result[datetime.fromtimestamp(minute * 60, UTC), partner_id]
        durations = _durations(milliseconds, buckets)
        if measure == Measure.DELIVERY:
            entry.time_to_delivery = durations
        else:
            entry.attempts, entry.delivered, entry.latency = int(count), int(delivered_count), durations
    return result


def failure_counts(session: Session, since: datetime, until: datetime) -> list[FailureCount]:
    """The failed attempts that ended from ``since`` up to ``until``."""
    columns = AttemptStatistics
    key = (columns.partner_id, columns.outcome, columns.status)
    rows = session.execute(
        select(*key, func.sum(columns.count))
        .where(
            columns.measure == Measure.ATTEMPT.value,
            columns.outcome.not_in(ACCEPTED_OUTCOMES),
            columns.minute >= _minute(since),
            columns.minute < _minute(until),
        )
        .group_by(*key)
    )
    return [
        FailureCount(partner_id, outcome, status, int(count)) for partner_id, outcome, status, count in rows
    ]


def outcome_counts(session: Session) -> list[OutcomeCount]:
    """All attempts that ever ended, by partner and outcome."""
    columns = AttemptStatistics
    rows = session.execute(
        select(Partner.name, columns.outcome, *_sums())
        .join(Partner, Partner.id == columns.partner_id)
        .where(columns.measure == Measure.ATTEMPT.value)
        .group_by(Partner.name, columns.outcome)
        .order_by(Partner.name, columns.outcome)
    )
    return [
        OutcomeCount(name, outcome, int(count), _durations(milliseconds, buckets))
        for name, outcome, count, milliseconds, *buckets in rows
    ]


def step_start(moment: datetime, step: timedelta) -> datetime:
    """The beginning of the step that contains a moment: steps are counted from 1970, in UTC."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(step.total_seconds()), UTC)


def _minute(moment: datetime) -> int:
    return int(moment.timestamp()) // 60


def _count(sums: list[int], milliseconds: float | None) -> None:
    """Add one duration to the ``_COUNTERS``; None is counted without a duration."""
    sums[0] += 1
    if milliseconds is not None:
        sums[1] += round(milliseconds)
        for index in range(2 + bisect_left(_UPPER_BOUNDS, milliseconds), len(sums)):
            sums[index] += 1


def _durations(milliseconds: Any, counts: list[Any]) -> Durations:
    """PostgreSQL returns sums of integers as decimals."""
    return Durations([int(count) for count in counts], int(milliseconds))


def _sums() -> list[Any]:
    return [func.sum(_table.c[name]) for name in _COUNTERS]


def _add(session: Session, sums: Mapping[Key, list[int]]) -> None:
    """Add to the rows with these keys, in the order of keys so that concurrent workers cannot deadlock."""
    if not sums:
        return
    rows = [
        dict(zip((*_KEY, *_COUNTERS), (*key, *counters), strict=True))
        for key, counters in sorted(sums.items())
    ]
    session.connection().execute(_upsert(session.get_bind().dialect.name), rows)


@cache
def _upsert(dialect: str) -> Any:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(_table).values({name: bindparam(name) for name in (*_KEY, *_COUNTERS)})
    return statement.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={name: _table.c[name] + statement.excluded[name] for name in _COUNTERS},
    )
