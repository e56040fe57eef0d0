"""Attempts counted by time: exact numbers over millions of them, at once.

How it stays exact. Whoever ends an attempt marks its minute in the same transaction (``tally.mark``).
``roll`` takes marks away and counts their minutes anew from the attempts themselves, and the longer spans
from the minutes: it adds nothing to anything, so it may be repeated, cut off or run late, and never counts
twice. ``measured`` takes minutes that are still marked from the attempts, in the same snapshot. So it
matters neither when an attempt is recorded, nor by whom, nor by whose clock it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, bindparam, case, delete, exists, func, insert, select
from sqlalchemy.orm import Session, aliased

from app import clock
from app.db import Database, serialise
from app.delivery.histogram import Histogram
from app.delivery.models import Attempt, Mark, Message, Rollup
from app.delivery.retry_policy import Reason

MINUTE = 60
SPANS = (MINUTE, 1800, 10_800, 43_200)
"""Seconds of the spans that are counted: each is made of whole ones before it."""
KEPT = timedelta(days=35)
"""How long counts are kept. What is recorded later than this after its end is counted no more."""
SETTLING = timedelta(seconds=10)
"""A minute is rolled up when it has been over for this long: most of it is then recorded."""
AT_ONCE = 60
"""Minutes a transaction: on SQLite nobody else writes meanwhile."""
LIVE_MOST = 240
"""Marked minutes that are counted from the attempts for a page, the newest."""
BRIDGED = timedelta(minutes=15)
"""Minutes no farther apart are read together: what lies between is looked at in vain, but by one query."""
CHORE_SECONDS = 30.0
"""A chore ends after so long; the next one goes on."""
TAKEN = (Reason.DELIVERED.value, Reason.ALREADY_RECEIVED.value)
"""Outcomes by which the partner has the message."""

rollups = cast(Table, Rollup.__table__)
marks = cast(Table, Mark.__table__)
_UNMARK = delete(marks).where(
    marks.c.minute == bindparam("of_minute"), marks.c.shard == bindparam("of_shard")
)
_COLUMNS = (
    *(Rollup.starts_at, Rollup.partner_id, Rollup.measure, Rollup.outcome, Rollup.status),
    *(Rollup.count, Rollup.latencies),
)


class Measure(StrEnum):
    """What is counted: tries by their end; what tries took; arrivals, with the time since the answer."""

    TRIES = "tries"
    TIMES = "times"
    ARRIVALS = "arrivals"


_MEASURES = {measure.value: measure for measure in Measure}


@dataclass(frozen=True, slots=True)
class Key:
    """What is counted. Only tries have an outcome; their ``status`` is 0 where no answer came."""

    partner_id: int
    measure: Measure
    outcome: str = ""
    status: int = 0


@dataclass(slots=True)
class Cell:
    """How many, and their milliseconds if they are measured."""

    count: int = 0
    latencies: Histogram = field(default_factory=Histogram)

    def add(self, other: Cell, sign: int = 1) -> None:
        """Add another cell, or with -1 take it away."""
        self.count += sign * other.count
        self.latencies.merge(other.latencies, sign)


Cells = dict[tuple[datetime, Key], Cell]
"""Cells by the beginning of their span."""
Place = tuple[datetime, int]
"""The beginning of a span, and a partner."""


@dataclass(slots=True)
class Tried:
    """Tries that ended, and how many of them the partner took."""

    tries: int = 0
    taken: int = 0


@dataclass(slots=True)
class Measured:
    """What ended between two times: in spans, by partner. ``uncounted`` minutes are not yet in it.

    ``ends`` are the tries that were not taken: by partner, outcome and status, 0 where no answer came.
    """

    tries: dict[Place, Tried] = field(default_factory=lambda: defaultdict(Tried))
    times: dict[Place, Cell] = field(default_factory=lambda: defaultdict(Cell))
    arrivals: dict[Place, Cell] = field(default_factory=lambda: defaultdict(Cell))
    ends: dict[tuple[int, str, int], int] = field(default_factory=lambda: defaultdict(int))
    uncounted: int = 0


def beginning(moment: datetime, seconds: int) -> datetime:
    """When the span began in which a moment lies: spans are whole since 1970, in UTC."""
    whole = int(moment.timestamp())
    return datetime.fromtimestamp(whole - whole % seconds, UTC)


def measured(session: Session, since: datetime, until: datetime, seconds: int) -> Measured:
    """All that ended from ``since`` up to ``until``, both beginnings of spans of so many ``seconds``.

    The session must see one moment: ``Database.snapshot``.
    """
    marked = select(Mark.minute).distinct().where(Mark.minute >= since, Mark.minute < until)
    live = sorted(session.scalars(marked.order_by(Mark.minute.desc()).limit(LIVE_MOST)))
    uncounted = 0
    if len(live) == LIVE_MOST:
        every = session.scalar(select(func.count()).select_from(marked.subquery())) or 0
        uncounted = every - len(live)
    found = Measured(uncounted=uncounted)
    _add_rolled(session, found, seconds, seconds, 1, Rollup.starts_at >= since, Rollup.starts_at < until)
    if live:
        _add_rolled(session, found, seconds, MINUTE, -1, Rollup.starts_at.in_(live))
        for (at, key), cell in _count(session, live).items():
            _add_cell(found, (beginning(at, seconds), key.partner_id), key, cell)
    return found


def _add_rolled(
    session: Session, found: Measured, into: int, seconds: int, sign: int, *conditions: ColumnElement[bool]
) -> None:
    """Add what is rolled up in spans of ``seconds``, or with -1 take it away.

    Hundreds of numbers are added here, thousands by the database: most rows are tries by their many ends.
    """
    conditions = (Rollup.seconds == seconds, *conditions)

    def place(at: datetime, partner_id: int) -> Place:
        return at if into == seconds else beginning(at, into), partner_id

    by_measure = {Measure.TIMES.value: found.times, Measure.ARRIVALS.value: found.arrivals}
    measured_ones = select(
        Rollup.starts_at, Rollup.partner_id, Rollup.measure, Rollup.count, Rollup.latencies
    ).where(Rollup.measure.in_(by_measure), *conditions)
    for at, partner_id, measure, count, latencies in session.execute(measured_ones):
        by_measure[measure][place(at, partner_id)].add(Cell(count, Histogram.unpacked(latencies)), sign)
    tries = (Rollup.measure == Measure.TRIES.value, *conditions)
    taken = func.sum(case((Rollup.outcome.in_(TAKEN), Rollup.count), else_=0))
    by_place = (
        select(Rollup.starts_at, Rollup.partner_id, func.sum(Rollup.count), taken)
        .where(*tries)
        .group_by(Rollup.starts_at, Rollup.partner_id)
    )
    for at, partner_id, every, good in session.execute(by_place):
        tried = found.tries[place(at, partner_id)]
        tried.tries += sign * int(every)
        tried.taken += sign * int(good)
    by_end = (
        select(Rollup.partner_id, Rollup.outcome, Rollup.status, func.sum(Rollup.count))
        .where(Rollup.outcome.not_in(TAKEN), *tries)
        .group_by(Rollup.partner_id, Rollup.outcome, Rollup.status)
    )
    for partner_id, outcome, status, count in session.execute(by_end):
        found.ends[partner_id, outcome, status] += sign * int(count)


def _add_cell(found: Measured, place: Place, key: Key, cell: Cell) -> None:
    if key.measure is Measure.TIMES:
        found.times[place].add(cell)
    elif key.measure is Measure.ARRIVALS:
        found.arrivals[place].add(cell)
    else:
        taken = key.outcome in TAKEN
        found.tries[place].tries += cell.count
        found.tries[place].taken += cell.count if taken else 0
        if not taken:
            found.ends[key.partner_id, key.outcome, key.status] += cell.count


def roll(database: Database, *, for_seconds: float | None = None) -> int:
    """Count all marked minutes that are over, newest first; returns how many it counted."""
    ends_at = None if for_seconds is None else clock.ticks() + for_seconds
    counted = 0
    while True:
        with database.writing() as session:
            serialise(session, "rollup")
            some = roll_some(session, clock.now())
            session.commit()
        counted += some
        if not some or (ends_at is not None and clock.ticks() > ends_at):
            return counted


def roll_some(session: Session, now: datetime, *, most: int = AT_ONCE) -> int:
    """Count up to ``most`` marked minutes and the spans that they lie in; returns how many it counted.

    One transaction at a time may do so.
    """
    _forget(session, now - KEPT)
    minutes = _take_marks(session, beginning(now - SETTLING, MINUTE), most)
    if not minutes:
        return 0
    _replace(session, MINUTE, minutes, _count(session, minutes))
    for finer, seconds in pairwise(SPANS):
        spans = sorted({beginning(minute, seconds) for minute in minutes})
        cells: Cells = defaultdict(Cell)
        for first, last in _runs(spans, seconds):
            for at, key, cell in _rolled(session, finer, Rollup.starts_at >= first, Rollup.starts_at < last):
                cells[beginning(at, seconds), key].add(cell)
        _replace(session, seconds, spans, cells)
    return len(minutes)


def _take_marks(session: Session, before: datetime, most: int) -> list[datetime]:
    """Take marks away. What is just being marked is left: it is counted the next time."""
    chosen = (
        select(Mark.minute).distinct().where(Mark.minute < before).order_by(Mark.minute.desc()).limit(most)
    )
    found = session.execute(
        select(Mark.minute, Mark.shard)
        .where(Mark.minute.in_(session.scalars(chosen).all()))
        .with_for_update(skip_locked=True)
    ).all()
    if found:
        # Counted by a later statement: it sees whatever was committed with a mark that is taken here.
        session.connection().execute(_UNMARK, [{"of_minute": at, "of_shard": shard} for at, shard in found])
    return sorted({minute for minute, _ in found})


def _forget(session: Session, before: datetime) -> None:
    """Drop what is too old to be shown."""
    if session.scalar(
        select(Rollup.starts_at).where(Rollup.seconds == MINUTE, Rollup.starts_at < before).limit(1)
    ):
        for seconds in SPANS:
            old = beginning(before, seconds)
            session.execute(delete(Rollup).where(Rollup.seconds == seconds, Rollup.starts_at < old))
    session.execute(delete(Mark).where(Mark.minute < before))


def _count(session: Session, minutes: Sequence[datetime]) -> Cells:
    """Count these minutes from the attempts."""
    earlier = aliased(Attempt)
    again = and_(
        Attempt.number > 1,
        exists().where(
            earlier.message_id == Attempt.message_id,
            earlier.number < Attempt.number,
            earlier.outcome.in_(TAKEN),
        ),
    )
    query = select(
        Message.partner_id,
        Attempt.outcome,
        Attempt.status,
        Attempt.duration_ms,
        Attempt.ended_at,
        Message.created_at,
        and_(Attempt.outcome.in_(TAKEN), ~again).label("arrived"),
    ).join(Message, Message.id == Attempt.message_id)
    # Of each kind the milliseconds, None where they are not measured.
    found: dict[tuple[datetime, Key], list[float | None]] = defaultdict(list)
    wanted = set(minutes)
    for first, last in _runs(minutes, MINUTE, most_between=BRIDGED):
        for row in session.execute(query.where(Attempt.ended_at >= first, Attempt.ended_at < last)):
            minute = row.ended_at.replace(second=0, microsecond=0)
            if minute not in wanted:
                continue
            found[minute, Key(row.partner_id, Measure.TRIES, row.outcome, row.status or 0)].append(None)
            if row.duration_ms is not None:
                found[minute, Key(row.partner_id, Measure.TIMES)].append(row.duration_ms)
            if row.arrived:
                waited = (row.ended_at - row.created_at).total_seconds() * 1000
                found[minute, Key(row.partner_id, Measure.ARRIVALS)].append(waited)
    return {
        place: Cell(len(some), Histogram.of(one for one in some if one is not None))
        for place, some in found.items()
    }


def _rolled(session: Session, seconds: int, *conditions: Any) -> Iterator[tuple[datetime, Key, Cell]]:
    rows = session.execute(select(*_COLUMNS).where(Rollup.seconds == seconds, *conditions))
    for at, partner_id, measure, outcome, status, count, latencies in rows:
        key = Key(partner_id, _MEASURES[measure], outcome, status)
        yield at, key, Cell(count, Histogram.unpacked(latencies))


def _replace(session: Session, seconds: int, spans: Sequence[datetime], cells: Cells) -> None:
    old = delete(Rollup).where(Rollup.seconds == seconds, Rollup.starts_at.in_(spans))
    session.execute(old.execution_options(synchronize_session=False))
    rows = [
        {
            "seconds": seconds,
            "starts_at": at,
            "partner_id": key.partner_id,
            "measure": key.measure.value,
            "outcome": key.outcome,
            "status": key.status,
            "count": cell.count,
            "latencies": cell.latencies.packed(),
        }
        for (at, key), cell in cells.items()
    ]
    if rows:
        session.execute(insert(rollups), rows)


def _runs(
    spans: Iterable[datetime], seconds: int, *, most_between: timedelta = timedelta(0)
) -> Iterator[tuple[datetime, datetime]]:
    """Spans in a row as one, from where to where; ``spans`` are in order. Gaps up to ``most_between`` count
    as part of the row.
    """
    step = timedelta(seconds=seconds)
    first: datetime | None = None
    last = datetime.min.replace(tzinfo=UTC)
    for span in spans:
        if first is None:
            first = span
        elif span - last > most_between:
            yield first, last
            first = span
        last = span + step
    if first is not None:
        yield first, last
