"""Labels, charts and cards of the home page and the reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from flask import url_for

from app.delivery.statistics import Durations
from app.inbound.models import Effect
from app.network.text import pluralize
from app.network.vocabulary import Kind
from app.orders.queries import SOON_HOURS, QueueCounts
from app.partners.presenters import pause_sentence
from app.reports.charts import Chart, Series, StepData, Tick, bar_chart, duration_chart, time_ticks
from app.reports.delivery_health import DeliveryHealth, Failure, TimeStep
from app.reports.home import Day, Home
from app.reports.response_report import ResponseReport, ResponseTotals
from app.ui.numbers import duration, number, percent
from app.ui.sidebar import Sidebar
from app.ui.times import short_day
from app.webhooks.partner_status import PartnerStatus

LATENCY_PERCENTILES = (0.5, 0.95, 0.99)
DELIVERY_PERCENTILES = (0.5, 0.95)
_PERCENTILE_KINDS = (Series("p50", "p50 (median)"), Series("p95", "p95"), Series("p99", "p99"))
_ATTEMPT_KINDS = (Series("delivered", "delivered"), Series("failed", "failed"))
_RESPONSE_KINDS = (
    Series("accept", "confirmed"),
    Series("return", "returned"),
    Series("reject", "rejected"),
)
_DEADLINE_KINDS = (
    Series("early", "on time, first half"),
    Series("in-time", "on time, second half"),
    Series("late", "late"),
)


# --- Home


@dataclass(frozen=True, slots=True)
class Card:
    """One work queue: its length and the list that it leads to. ``tone`` colors it unless it is empty."""

    count: int
    title: str
    text: str
    url: str
    tone: str = ""


def webhook_cards(sidebar: Sidebar, *, sees_all: bool, sees_unmatched: bool) -> list[Card]:
    """The queues of webhooks that a person may see."""
    cards = []
    if sees_all:
        cards.append(
            Card(
                sidebar.retried,
                "Retrying",
                "Failed; retrying automatically. A spike usually means an outage.",
                url_for("webhooks.log", state="pending", attempts=1),
                "warn",
            )
        )
    if sees_unmatched:
        cards.append(
            Card(
                sidebar.unmatched,
                "Unmatched",
                "Messages for unknown orders",
                url_for("inbound.log", effect="unmatched"),
                "warn",
            )
        )
    return cards


BAR_WIDTH = 100.0
"""Units of the progress bar."""
TREND_HEIGHT = 48
"""Units of the tallest bar of the trend."""
TREND_STEP = 40
"""Units from one bar of the trend to the next."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the progress bar and its entry in the legend."""

    css: str
    label: str
    url: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class TrendBar:
    """A day of the trend: its bar, the count above it and the name below it."""

    label: str
    count: int
    x: int
    y: int
    height: int
    is_today: bool


def greeting(name: str, now: datetime) -> str:
    """``Good morning, Asha``; ``now`` is in the zone of the reader."""
    part = "morning" if now.hour < 12 else "afternoon" if now.hour < 17 else "evening"
    first_name = name.split(maxsplit=1)[0] if name.split() else name
    return f"Good {part}, {first_name}"


def home_summary(queues: QueueCounts) -> str:
    """How urgent the orders are, in a sentence."""
    if queues.overdue:
        soon = f"; {number(queues.soon)} due in the next {SOON_HOURS} hours" if queues.soon else ""
        return f"{pluralize(queues.overdue, 'order')} overdue{soon}."
    if queues.soon:
        return f"{pluralize(queues.soon, 'order')} due in the next {SOON_HOURS} hours."
    if queues.needs_response:
        return f"{pluralize(queues.needs_response, 'open order')}, none due in the next {SOON_HOURS} hours."
    return "Every order has a response."


def progress_parts(today: Day) -> list[Part]:
    """The parts of the progress bar: responded, overdue, and due later today."""
    counts = (
        ("ok", today.responded, "responded", ""),
        ("bad", today.overdue, "overdue", url_for("orders.inbox", due="overdue")),
        ("left", today.left, "due later today", ""),
    )
    whole = max(1, sum(count for _, count, _, _ in counts))
    parts, x = [], 0.0
    for css, count, label, url in counts:
        width = round(count * BAR_WIDTH / whole, 2)
        parts.append(Part(css, f"{number(count)} {label}", url if count else "", round(x, 2), width))
        x += width
    return parts


def trend_bars(report: ResponseReport) -> list[TrendBar]:
    """One bar for each day, the last one is today."""
    most = max((totals.count for _, totals in report.days), default=0) or 1
    return [
        TrendBar(
            label="Today" if day == report.last else f"{day:%a}",
            count=totals.count,
            x=place * TREND_STEP,
            y=TREND_HEIGHT - totals.count * TREND_HEIGHT // most,
            height=totals.count * TREND_HEIGHT // most,
            is_today=day == report.last,
        )
        for place, (day, totals) in enumerate(report.days)
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened in the last 24 hours, and the list that shows it."""

    text: str
    url: str


def recent_changes(home: Home) -> list[Change]:
    """What happened in the last 24 hours."""
    since, received = home.since.isoformat(timespec="seconds"), home.received
    changes = []
    if received.orders:
        text = f"{pluralize(received.orders, 'new order')} from {pluralize(received.buyers, 'buyer')}"
        changes.append(Change(text, url_for("orders.inbox", received_since=since, sort="-received_at")))
    for count, label, kind in (
        (home.changed, "changed", Kind.REQ_EDIT),
        (home.ended, "canceled or closed", Kind.REQ_STATUS_CHANGE),
    ):
        if count:
            url = url_for("inbound.log", kind=kind.value, effect=Effect.APPLIED.value, since=since)
            changes.append(Change(f"{pluralize(count, 'order')} {label}", url))
    report = url_for("reports.response_report")
    changes += [
        Change(f"{name} responded to {pluralize(count, 'order')}", report) for name, count in home.colleagues
    ]
    return changes


def time_trend(home: Home) -> str:
    """How the average response time of this week differs from that of the week before."""
    now, before = home.week.totals.average_milliseconds, home.week_before.average_milliseconds
    if now is None or before is None:
        return "last 7 days"
    direction = "less" if now < before else "more"
    return f"{duration(abs(now - before))} {direction} than the week before"


def partner_summary(status: PartnerStatus) -> str:
    """Why a partner is in its state, or that nothing is wrong. Without counts: they include all suppliers."""
    if status.partner.paused:
        return pause_sentence(status.partner)
    if status.outage:
        return "Several attempts in a row failed. Webhooks are sent when the partner recovers."
    if status.waiting.retrying:
        return "Some responses are being retried."
    return "Responses are delivered as usual."


# --- Delivery health


@dataclass(frozen=True, slots=True)
class HealthCharts:
    """The charts of the delivery health page."""

    attempts: Chart
    latency: Chart
    time_to_delivery: Chart


def health_charts(health: DeliveryHealth, zone: ZoneInfo) -> HealthCharts:
    """The charts of these steps, in the zone of the reader."""
    ticks = list(time_ticks(health.since.astimezone(zone), health.until.astimezone(zone)))
    names = [step_label(step, zone) for step in health.steps]
    return HealthCharts(
        attempts=bar_chart(
            [
                StepData(name, _attempts_label(step), [step.totals.delivered, step.totals.failed])
                for name, step in zip(names, health.steps, strict=True)
            ],
            kinds=_ATTEMPT_KINDS,
            ticks=ticks,
            format_value=number,
        ),
        latency=_percentile_chart(
            names, [step.totals.latency for step in health.steps], LATENCY_PERCENTILES, ticks
        ),
        time_to_delivery=_percentile_chart(
            names, [step.totals.time_to_delivery for step in health.steps], DELIVERY_PERCENTILES, ticks
        ),
    )


def failure_summary(failures: Sequence[Failure]) -> str:
    """Failures by the class of their status: ``5xx: 3 (75.0%), no response: 1 (25.0%)``."""
    counts: dict[str, int] = {}
    for failure in failures:
        name = failure_class(failure)
        counts[name] = counts.get(name, 0) + failure.count
    total = sum(counts.values())
    return ", ".join(
        f"{name}: {number(counts[name])} ({percent(counts[name], total)})" for name in sorted(counts)
    )


def failure_class(failure: Failure) -> str:
    """The class of the HTTP status, such as ``5xx``, or ``no response``."""
    return f"{failure.status // 100}xx" if failure.status else "no response"


def step_label(step: TimeStep, zone: ZoneInfo) -> str:
    """A step in the zone of the reader: ``22 Nov, 10:30 to 11:00``."""
    start, end = step.starts_at.astimezone(zone), step.ends_at.astimezone(zone)
    label = f"{short_day(start)}, {start:%H:%M}"
    if start.date() == end.date() or step.ends_at - step.starts_at <= timedelta(hours=3):
        return f"{label} to {end:%H:%M}"
    return f"{label} to {short_day(end)}, {end:%H:%M}"


def _attempts_label(step: TimeStep) -> str:
    if not step.totals.attempts:
        return ""
    return f"{number(step.totals.delivered)} of {pluralize(step.totals.attempts, 'attempt')} delivered"


def _percentile_chart(
    names: Sequence[str], durations: Sequence[Durations], shares: Sequence[float], ticks: Iterable[Tick]
) -> Chart:
    kinds = _PERCENTILE_KINDS[: len(shares)]
    columns = []
    for name, step_durations in zip(names, durations, strict=True):
        values = [step_durations.percentile(share) for share in shares]
        description = ", ".join(
            f"{kind.name} {duration(value)}" for kind, value in zip(kinds, values, strict=True)
        )
        columns.append(StepData(name, description if step_durations.count else "", values))
    return duration_chart(columns, kinds=kinds, ticks=ticks)


# --- Response report


@dataclass(frozen=True, slots=True)
class ReportCharts:
    """The charts of the response report."""

    responses: Chart
    deadlines: Chart


def report_charts(report: ResponseReport) -> ReportCharts:
    """Responses by day, by kind and against their deadline."""
    return ReportCharts(
        responses=_day_chart(
            report.days, _RESPONSE_KINDS, lambda day: [day.confirmed, day.returned, day.rejected]
        ),
        deadlines=_day_chart(
            report.days, _DEADLINE_KINDS, lambda day: [day.early, day.on_time - day.early, day.late]
        ),
    )


def _day_chart(
    days: Sequence[tuple[date, ResponseTotals]],
    kinds: Sequence[Series],
    counts_of: Callable[[ResponseTotals], list[int]],
) -> Chart:
    columns = []
    for day, day_totals in days:
        counts = counts_of(day_totals)
        parts = [f"{number(count)} {kind.label}" for kind, count in zip(kinds, counts, strict=True) if count]
        description = f"{pluralize(day_totals.count, 'response')}, {', '.join(parts)}" if parts else ""
        columns.append(StepData(short_day(day), description, counts))
    every = ceil(len(days) / 8)
    ticks = [
        Tick((place + 0.5) * 100 / len(days), short_day(day), minor=place // every % 2 == 1)
        for place, (day, _) in enumerate(days)
        if place % every == 0
    ]
    return bar_chart(columns, kinds=kinds, ticks=ticks, format_value=number)
