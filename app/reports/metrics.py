"""The metrics, in the text format of Prometheus; every number comes from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from app.delivery.queue_metrics import Ended, Queue
from app.delivery.retry_policy import Reason
from app.delivery.tally import BUCKETS_MS

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STATES = ("due", "scheduled", "held", "sending", "refused", "failed")
_BOUNDS = (*(f"{bound / 1000:g}" for bound in BUCKETS_MS), "+Inf")


def as_text(queues: Sequence[Queue], ended: Sequence[Ended]) -> bytes:
    """The metrics as a scrape gets them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*_gauges(queues), *_counters(ended), _latencies(ended)]))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """What was given."""
        return self._metrics


def _gauges(queues: Sequence[Queue]) -> Iterator[Metric]:
    messages = GaugeMetricFamily(
        "po_confirm_messages", "Messages that wait or need a person, by state.", labels=["partner", "state"]
    )
    oldest = GaugeMetricFamily(
        "po_confirm_oldest_due_seconds", "How long the first message has been due.", labels=["partner"]
    )
    breaker = GaugeMetricFamily(
        "po_confirm_breaker_open", "1 while only probes are sent to the partner.", labels=["partner"]
    )
    paused = GaugeMetricFamily(
        "po_confirm_partner_paused", "1 while the partner's messages are held.", labels=["partner"]
    )
    for queue in queues:
        for state in _STATES:
            messages.add_metric([queue.partner, state], getattr(queue, state))
        oldest.add_metric([queue.partner], queue.oldest_due_seconds)
        breaker.add_metric([queue.partner], queue.breaker_open)
        paused.add_metric([queue.partner], queue.paused)
    yield from (messages, oldest, breaker, paused)


def _counters(ended: Sequence[Ended]) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "po_confirm_attempts",
        "Attempts that came to an end, by what came of them.",
        labels=["partner", "outcome"],
    )
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for one in ended:
        sums[one.partner, one.outcome] += one.count
    for (partner, outcome), count in sums.items():
        attempts.add_metric([partner, outcome], count)
    losses = CounterMetricFamily(
        "po_confirm_lease_losses", "Attempts whose deliverer was lost before it recorded their end."
    )
    losses.add_metric([], sum(count for (_, outcome), count in sums.items() if outcome == Reason.INTERRUPTED))
    yield from (attempts, losses)


def _latencies(ended: Sequence[Ended]) -> Metric:
    latencies = HistogramMetricFamily(
        "po_confirm_attempt_duration_seconds",
        "How long attempts took, whatever came of them.",
        labels=["partner"],
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * len(_BOUNDS))
    seconds: dict[str, float] = defaultdict(float)
    for one in ended:
        if one.outcome != Reason.INTERRUPTED:  # nobody saw how long it took
            counts[one.partner][one.bucket] += one.count
            seconds[one.partner] += one.milliseconds / 1000
    for partner, of_bucket in counts.items():
        cumulative = [sum(of_bucket[: place + 1]) for place in range(len(_BOUNDS))]
        latencies.add_metric(
            [partner], list(zip(_BOUNDS, map(float, cumulative), strict=True)), seconds[partner]
        )
    return latencies
