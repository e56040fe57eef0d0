"""Delivery health: attempts, latency, failures and backlog of a range of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.delivery.statistics import Totals, failure_counts, step_start, totals
from app.webhooks.partner_status import PartnerStatus, Waiting


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the page looks, in steps that are one bar each. The last step is still running."""

    name: str
    label: str
    step: timedelta
    count: int

    def since(self, now: datetime) -> datetime:
        """The start of the first step."""
        return self.until(now) - self.step * self.count

    def until(self, now: datetime) -> datetime:
        """The end of the running step."""
        return step_start(now, self.step) + self.step


RANGES = {
    time_range.name: time_range
    for time_range in (
        Range("1h", "1 hour", timedelta(minutes=1), 60),
        Range("24h", "24 hours", timedelta(minutes=30), 48),
        Range("7d", "7 days", timedelta(hours=3), 56),
        Range("30d", "30 days", timedelta(hours=12), 60),
    )
}
DEFAULT_RANGE = "24h"


@dataclass(frozen=True, slots=True)
class TimeStep:
    """The attempts that ended in one step of the range."""

    starts_at: datetime
    ends_at: datetime
    totals: Totals


@dataclass(frozen=True, slots=True)
class Failure:
    """Attempts that failed with the same outcome and HTTP status, which is 0 without a response."""

    outcome: str
    status: int
    count: int


@dataclass(frozen=True, slots=True)
class PartnerHealth:
    """The attempts and the present status of one partner."""

    status: PartnerStatus
    totals: Totals


@dataclass(frozen=True, slots=True)
class DeliveryHealth:
    """Everything on the page. ``paused_count`` is how much of the backlog belongs to paused partners."""

    range: Range
    since: datetime
    until: datetime
    totals: Totals
    backlog: Waiting
    paused_count: int
    steps: Sequence[TimeStep]
    failures: Sequence[Failure]
    partners: Sequence[PartnerHealth]

    @property
    def is_all_paused(self) -> bool:
        """Whether the whole backlog belongs to paused partners."""
        return 0 < self.paused_count == self.backlog.count


def delivery_health(
    session: Session,
    time_range: Range,
    now: datetime,
    statuses: Sequence[PartnerStatus],
) -> DeliveryHealth:
    """The health of the deliveries to these partners. ``session`` must see a snapshot."""
    since, until = time_range.since(now), time_range.until(now)
    by_step: dict[datetime, Totals] = defaultdict(Totals)
    by_partner = {status.partner.id: Totals() for status in statuses}
    overall = Totals()
    for (start, partner_id), step_totals in totals(session, since, until, time_range.step).items():
        if partner_id in by_partner:
            by_step[start].add(step_totals)
            by_partner[partner_id].add(step_totals)
            overall.add(step_totals)
    starts = [since + time_range.step * number for number in range(time_range.count)]
    return DeliveryHealth(
        range=time_range,
        since=since,
        until=until,
        totals=overall,
        backlog=_sum(status.waiting for status in statuses),
        paused_count=sum(status.waiting.count for status in statuses if status.partner.paused),
        steps=[TimeStep(start, start + time_range.step, by_step[start]) for start in starts],
        failures=_failures(session, since, until, by_partner.keys()),
        partners=[PartnerHealth(status, by_partner[status.partner.id]) for status in statuses],
    )


def _failures(
    session: Session, since: datetime, until: datetime, partner_ids: Collection[int]
) -> list[Failure]:
    """The most frequent first."""
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for row in failure_counts(session, since, until):
        if row.partner_id in partner_ids:
            counts[row.outcome, row.status] += row.count
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Failure(outcome, status, count) for (outcome, status), count in most_first]


def _sum(backlogs: Iterable[Waiting]) -> Waiting:
    counted = [backlog for backlog in backlogs if backlog.count]
    oldest = min((backlog.oldest_at for backlog in counted if backlog.oldest_at), default=None)
    return Waiting(sum(backlog.count for backlog in counted), oldest)
