"""Metrics in the text format of Prometheus. Every number comes from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.accounts import throttle
from app.delivery.queue_metrics import Queue
from app.delivery.retry_policy import Reason
from app.delivery.statistics import BUCKETS, Durations, OutcomeCount

_STATES = ("due", "scheduled", "held", "sending", "refused", "failed")
_LATENCY_BOUNDS_MS = [bound for bound in BUCKETS.values() if bound <= 30_000]
"""No attempt takes much longer than this; the other buckets are for the time to delivery."""


def as_text(
    queues: Sequence[Queue],
    outcomes: Sequence[OutcomeCount],
    *,
    failed_attempts: Mapping[throttle.ThrottleKind, int],
    blocked: Mapping[throttle.ThrottleKind, int],
) -> bytes:
    """The metrics as a scrape gets them. The last two arguments count sign-ins and partner keys, by kind."""
    registry = CollectorRegistry(auto_describe=False)
    throttling = _throttling(failed_attempts, blocked)
    registry.register(_Metrics([*_gauges(queues), *_counters(outcomes), _latency(outcomes), *throttling]))
    return generate_latest(registry)


class _Metrics(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """The metrics, for the registry."""
        return self._metrics


def _gauges(queues: Sequence[Queue]) -> Iterator[Metric]:
    messages = GaugeMetricFamily(
        "po_confirm_messages",
        "Webhooks that are queued, in progress or need attention, by state.",
        labels=["partner", "state"],
    )
    oldest = GaugeMetricFamily(
        "po_confirm_oldest_due_seconds",
        "Seconds since the oldest due webhook became due.",
        labels=["partner"],
    )
    breaker = GaugeMetricFamily(
        "po_confirm_breaker_open", "1 while the partner's circuit breaker is open.", labels=["partner"]
    )
    paused = GaugeMetricFamily(
        "po_confirm_partner_paused", "1 while delivery to the partner is paused.", labels=["partner"]
    )
    for queue in queues:
        for state in _STATES:
            messages.add_metric([queue.partner, state], getattr(queue, state))
        oldest.add_metric([queue.partner], queue.oldest_due_seconds)
        breaker.add_metric([queue.partner], queue.breaker_open)
        paused.add_metric([queue.partner], queue.paused)
    yield from (messages, oldest, breaker, paused)


def _throttling(
    failed_attempts: Mapping[throttle.ThrottleKind, int], blocked: Mapping[throttle.ThrottleKind, int]
) -> Iterator[Metric]:
    failures = GaugeMetricFamily(
        "po_confirm_failed_attempts",
        "Failed sign-ins and wrong partner keys in the last hour, by kind.",
        labels=["kind"],
    )
    waiting = GaugeMetricFamily(
        "po_confirm_throttled",
        "Accounts and addresses that have to wait after failed attempts.",
        labels=["kind"],
    )
    for kind, count in failed_attempts.items():
        failures.add_metric([kind], count)
    for kind, count in blocked.items():
        waiting.add_metric([kind], count)
    yield from (failures, waiting)


def _counters(outcomes: Sequence[OutcomeCount]) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "po_confirm_attempts", "Attempts that ended, by outcome.", labels=["partner", "outcome"]
    )
    for row in outcomes:
        attempts.add_metric([row.partner, row.outcome], row.count)
    losses = CounterMetricFamily(
        "po_confirm_lease_losses", "Attempts whose worker died before it recorded the result."
    )
    losses.add_metric([], sum(row.count for row in outcomes if row.outcome == Reason.INTERRUPTED))
    yield from (attempts, losses)


def _latency(outcomes: Sequence[OutcomeCount]) -> Metric:
    histogram = HistogramMetricFamily(
        "po_confirm_attempt_duration_seconds", "Duration of attempts.", labels=["partner"]
    )
    by_partner: dict[str, Durations] = defaultdict(Durations)
    for row in outcomes:
        by_partner[row.partner].add(row.latency)
    for partner, latency in by_partner.items():
        buckets = [
            (f"{bound / 1000:g}", float(count))
            for bound, count in zip(_LATENCY_BOUNDS_MS, latency.counts, strict=False)
        ]
        buckets.append(("+Inf", float(latency.count)))
        histogram.add_metric([partner], buckets, latency.milliseconds / 1000)
    return histogram
