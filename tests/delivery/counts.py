"""Statistics as a plain count over all attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.models import Attempt, Message
from app.delivery.retry_policy import ACCEPTED_OUTCOMES
from app.delivery.statistics import BUCKETS, Durations, Totals, failure_counts, step_start, totals
from app.reports.delivery_health import RANGES

BOUNDS = list(BUCKETS.values())


def durations(values: Sequence[float]) -> Durations:
    """How many values are in each bucket."""
    counts = [sum(value <= bound for value in values) for bound in BOUNDS]
    return Durations(counts, sum(map(round, values)))


def plain_totals(
    session: Session, since: datetime, until: datetime, step: timedelta
) -> tuple[dict[Any, Totals], dict[tuple[int, str, int], int]]:
    """Totals and failures, counted over all attempts in Python."""
    rows = session.execute(
        select(Attempt, Message.partner_id, Message.created_at)
        .join(Message, Message.id == Attempt.message_id)
        .where(Attempt.ended_at.is_not(None))
        .order_by(Attempt.message_id, Attempt.number)
    ).all()
    result: dict[Any, Totals] = defaultdict(Totals)
    failures: dict[tuple[int, str, int], int] = defaultdict(int)
    delivered: set[str] = set()
    for attempt, partner_id, created_at in rows:
        is_delivered = attempt.outcome in ACCEPTED_OUTCOMES
        delivers = is_delivered and attempt.message_id not in delivered
        if delivers:
            delivered.add(attempt.message_id)
        assert attempt.ended_at and attempt.outcome
        if not since <= attempt.ended_at < until:
            continue
        entry = result[step_start(attempt.ended_at, step), partner_id]
        entry.attempts += 1
        entry.delivered += is_delivered
        if attempt.duration_ms is not None:
            entry.latency.add(durations([attempt.duration_ms]))
        if delivers:
            waited = (attempt.ended_at - created_at).total_seconds() * 1000
            entry.time_to_delivery.add(durations([waited]))
        if not is_delivered:
            failures[partner_id, attempt.outcome, attempt.status or 0] += 1
    return dict(result), dict(failures)


def assert_exact(database: Database, now: datetime) -> None:
    """Assert that the statistics of every range equal a plain count."""
    for shown in RANGES.values():
        since, until, step = shown.since(now), shown.until(now), shown.step
        with database.snapshot() as session:
            counted = dict(totals(session, since, until, step))
            failures = failure_counts(session, since, until)
            expected_totals, expected_failures = plain_totals(session, since, until, step)
        assert counted == expected_totals, shown.name
        assert {(row.partner_id, row.outcome, row.status): row.count for row in failures} == expected_failures
