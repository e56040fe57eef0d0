"""How deliveries go: what the page of health says, from the counts by time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.delivery.statistics import FailureCount, Totals, step_start
from app.partners.models import Partner
from app.reports import charts
from app.reports.charts import Picture
from app.ui.numbers import duration, number, things
from app.webhooks.partner_status import Waiting
from app.webhooks.presenters import outcome_label

NOTHING = Waiting()


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the page looks, in steps of which each is one bar. The last step is still running."""

    name: str
    words: str
    seconds: int
    steps: int

    def since(self, now: datetime) -> datetime:
        """When the first step began."""
        return self.until(now) - timedelta(seconds=self.seconds * self.steps)

    def until(self, now: datetime) -> datetime:
        """When the running step ends."""
        step = timedelta(seconds=self.seconds)
        return step_start(now, step) + step


RANGES = {
    one.name: one
    for one in (
        Range("1h", "1 hour", 60, 60),
        Range("24h", "24 hours", 1800, 48),
        Range("7d", "7 days", 10_800, 56),
        Range("30d", "30 days", 43_200, 60),
    )
}
USUAL = "24h"
TOOK = (0.5, 0.95, 0.99)
WAITED = (0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the range; with the percentiles ``TOOK`` and ``WAITED`` of it, in milliseconds."""

    starts_at: datetime
    ends_at: datetime
    sums: Totals
    took: Sequence[float | None]
    waited: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Ending:
    """Tries that failed in the same way. ``group`` is the class of their code."""

    words: str
    status: int
    group: str
    count: int
    share: str
    percent: float


@dataclass(frozen=True, slots=True)
class OfPartner:
    """How it goes with one partner, and what waits for it now."""

    partner: Partner
    sums: Totals
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class Health:
    """All that the page says. Of what waits, ``held`` are for networks that are paused."""

    range: Range
    since: datetime
    all: Totals
    waiting: Waiting
    held: int
    steps: Sequence[Step]
    endings: Sequence[Ending]
    groups: Sequence[tuple[str, int, str]]
    partners: Sequence[OfPartner]
    tries: Picture
    latencies: Picture
    arrivals: Picture


def health(
    totals: Mapping[tuple[datetime, int], Totals],
    failures: Sequence[FailureCount],
    wanted: Range,
    now: datetime,
    zone: ZoneInfo,
    partners: Sequence[Partner],
    waiting: dict[int, Waiting],
) -> Health:
    """What the counts since ``wanted.since(now)`` say of these partners, and what waits for them."""
    since, step = wanted.since(now), timedelta(seconds=wanted.seconds)
    every = Totals()
    by_step: dict[datetime, Totals] = defaultdict(Totals)
    by_partner = {partner.id: Totals() for partner in partners}
    for (at, partner_id), some in totals.items():
        if partner_id in by_partner:
            by_step[at].add(some)
            by_partner[partner_id].add(some)
    ends: dict[tuple[str, int], int] = defaultdict(int)
    for failure in failures:
        if failure.partner_id in by_partner:
            ends[failure.outcome, failure.status] += failure.count
    for sums in by_partner.values():
        every.add(sums)
    starts = [since + step * place for place in range(wanted.steps)]
    steps = [
        Step(
            starts_at=at,
            ends_at=at + step,
            sums=by_step[at],
            took=[by_step[at].latency.percentile(part) for part in TOOK],
            waited=[by_step[at].time_to_delivery.percentile(part) for part in WAITED],
        )
        for at in starts
    ]
    ticks = tuple(charts.time_ticks(since.astimezone(zone), wanted.until(now).astimezone(zone)))
    endings = _endings(ends)
    return Health(
        range=wanted,
        since=since,
        all=every,
        waiting=_together(waiting.get(partner.id, NOTHING) for partner in partners),
        held=sum(waiting.get(partner.id, NOTHING).count for partner in partners if partner.paused),
        steps=steps,
        endings=endings,
        groups=_groups(endings),
        partners=[
            OfPartner(partner, by_partner[partner.id], waiting.get(partner.id, NOTHING))
            for partner in partners
        ],
        tries=_tries(steps, ticks, zone),
        latencies=_percentiles(steps, ticks, zone),
        arrivals=_arrivals(steps, ticks, zone),
    )


def share(part: int, whole: int) -> str:
    """A share in percent, rounded to one decimal; ``–`` of nothing.

    100 % is said only of all, and 0.0 % only of none.
    """
    if not whole:
        return "–"
    if part == whole:
        return "100 %"
    tenths = (2000 * part + whole) // (2 * whole)
    return f"{min(max(tenths, 1), 999) / 10 if part else 0:.1f} %"


def span(step: Step, zone: ZoneInfo) -> str:
    """A step on the reader's clock: ``22 Nov, 10:30 to 11:00``."""
    first, last = step.starts_at.astimezone(zone), step.ends_at.astimezone(zone)
    words = f"{first.day} {first:%b}, {first:%H:%M}"
    if first.date() == last.date() or step.ends_at - step.starts_at <= timedelta(hours=3):
        return f"{words} to {last:%H:%M}"
    return f"{words} to {last.day} {last:%b}, {last:%H:%M}"


def _together(waits: Iterable[Waiting]) -> Waiting:
    some = [one for one in waits if one.count]
    oldest = min((one.oldest_at for one in some if one.oldest_at), default=None)
    return Waiting(sum(one.count for one in some), oldest)


def _endings(ends: dict[tuple[str, int], int]) -> list[Ending]:
    failed, most = sum(ends.values()), max(ends.values(), default=1)
    return [
        Ending(
            words=outcome_label(outcome),
            status=status,
            group=f"{status // 100}xx" if status else "No answer",
            count=count,
            share=share(count, failed),
            percent=count * 100 / most,
        )
        for (outcome, status), count in sorted(ends.items(), key=lambda item: (-item[1], item[0]))
    ]


def _groups(endings: Sequence[Ending]) -> list[tuple[str, int, str]]:
    counts: dict[str, int] = defaultdict(int)
    for one in endings:
        counts[one.group] += one.count
    return [(group, counts[group], share(counts[group], sum(counts.values()))) for group in sorted(counts)]


def _tries(steps: Sequence[Step], ticks: Sequence[charts.Tick], zone: ZoneInfo) -> Picture:
    def words(step: Step) -> str:
        sums = step.sums
        if not sums.attempts:
            return ""
        attempts = things(sums.attempts, "attempt")
        return f"{span(step, zone)}: {number(sums.delivered)} of {attempts} succeeded"

    return charts.bars(
        [(words(step), [("taken", step.sums.delivered), ("failed", step.sums.failed)]) for step in steps],
        kinds=[("taken", "taken by the network"), ("failed", "not taken")],
        across=ticks,
        words_of=number,
    )


def _percentiles(steps: Sequence[Step], ticks: Sequence[charts.Tick], zone: ZoneInfo) -> Picture:
    return charts.time_lines(
        [(audit_fields(step, TOOK, step.took, zone), step.took) for step in steps],
        kinds=[("p50", "p50, the median"), ("p95", "p95"), ("p99", "p99")],
        across=ticks,
    )


def _arrivals(steps: Sequence[Step], ticks: Sequence[charts.Tick], zone: ZoneInfo) -> Picture:
    return charts.time_lines(
        [(audit_fields(step, WAITED, step.waited, zone), step.waited) for step in steps],
        kinds=[("p50", "p50, the median"), ("p95", "p95")],
        across=ticks,
    )


def audit_fields(step: Step, shares: Sequence[float], values: Sequence[float | None], zone: ZoneInfo) -> str:
    if values[0] is None:
        return ""
    pairs = zip(shares, values, strict=True)
    told = ", ".join(f"p{part * 100:.0f} {duration(value)}" for part, value in pairs)
    return f"{span(step, zone)}: {told}"
