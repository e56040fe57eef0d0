"""Counting attempts as they end, in the transaction that records them.

The totals of all time are counted at once. Counts by time are made later from the rows (``rollup``): here
only the minutes are marked that must be counted anew.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.delivery.models import Mark, Tally

BUCKETS_MS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0)
"""Upper bounds of the latency histogram's buckets; one more holds the rest."""
SHARDS = 16
_SHARD = secrets.randbelow(SHARDS)
"""This process's own: in containers many processes have the same number, so that says nothing."""
TALLIED = ("shard", "partner_id", "outcome", "bucket", "count", "milliseconds")

tallies = cast(Table, Tally.__table__)
marks = cast(Table, Mark.__table__)


def _upsert(dialect: type[sqlite.Insert] | type[postgresql.Insert]) -> Any:
    adding = dialect(tallies).values({name: bindparam(name) for name in TALLIED})
    return adding.on_conflict_do_update(
        index_elements=["shard", "partner_id", "outcome", "bucket"],
        set_={
            "count": tallies.c.count + adding.excluded.count,
            "milliseconds": tallies.c.milliseconds + adding.excluded.milliseconds,
        },
    )


def _marking(dialect: type[sqlite.Insert] | type[postgresql.Insert]) -> Any:
    marking = dialect(marks).values(minute=bindparam("minute"), shard=bindparam("shard"))
    # An update of nothing: it waits for who is just taking the mark away, and then makes it anew.
    return marking.on_conflict_do_update(
        index_elements=["minute", "shard"], set_={"shard": marking.excluded.shard}
    )


_MARK = {"sqlite": _marking(sqlite.Insert), "postgresql": _marking(postgresql.Insert)}
_ADD = {"sqlite": _upsert(sqlite.Insert), "postgresql": _upsert(postgresql.Insert)}


def count_ends(session: Session, ends: Iterable[tuple[int, str, float]]) -> None:
    """Count ended attempts: partner, outcome, milliseconds each."""
    sums: dict[tuple[int, str, int], list[float]] = defaultdict(lambda: [0, 0.0])
    for partner_id, outcome, milliseconds in ends:
        entry = sums[partner_id, outcome, bisect_left(BUCKETS_MS, milliseconds)]
        entry[0] += 1
        entry[1] += milliseconds
    if not sums:
        return
    session.execute(
        _ADD[session.get_bind().dialect.name],
        # In one order everywhere: two who share a shard then wait for each other, but never in a circle.
        [
            {
                "shard": _SHARD,
                "partner_id": partner_id,
                "outcome": outcome,
                "bucket": bucket,
                "count": count,
                "milliseconds": total,
            }
            for (partner_id, outcome, bucket), (count, total) in sorted(sums.items())
        ],
    )


def mark(session: Session, moments: Iterable[datetime]) -> None:
    """Mark the minutes of these moments: what ended in them must be counted (again)."""
    minutes = {moment.astimezone(UTC).replace(second=0, microsecond=0) for moment in moments}
    if minutes:
        rows = [{"minute": minute, "shard": _SHARD} for minute in sorted(minutes)]
        session.execute(_MARK[session.get_bind().dialect.name], rows)
