"""Answers counted by day: an exact report over hundreds of thousands of them, at once.

A decision is never changed and never removed: who answers again adds one, and who takes an answer back leaves
it in the history. So each is counted once, in the order of ids: ``count_answers`` adds those after the last
counted one to the counts of their days and notes how far it came, in one transaction, so that it may break
off anywhere. ``answered`` takes what came since from the decisions themselves, in the same snapshot.

On SQLite an id is given and committed before the next one is given. On PostgreSQL a later id may be committed
first; so the newest id is noted, and nothing is counted up to it before all have ended who were writing then.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Table, bindparam, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app import clock
from app.db import Database, serialise
from app.network.vocabulary import SupplierResponse
from app.orders.models import AnswerCount, AnswersCounted, Decision

BATCH = 4_000
"""Answers a transaction: on SQLite nobody else writes meanwhile."""
CHORE_SECONDS = 15.0
"""A chore ends after so long; the next one goes on."""
WAIT_SECONDS = 5.0
"""How long to wait for those who write; what they hold up is counted the next time."""
TURNED_DOWN = (SupplierResponse.REJECT.value, SupplierResponse.RETURN.value)
"""Responses whose remarks say why."""

Scope = frozenset[str] | None
Key = tuple[date, str, str, str, str]
"""Day, supplier id, person, response and, of what was turned down, the remarks."""

counts = cast(Table, AnswerCount.__table__)
_KEY = ("day", "supplier_b2b_id", "person_name", "response", "remarks")
_SUMS = ("count", "early", "late", "seconds")
_COLUMNS = (
    *(Decision.id, Decision.decided_at, Decision.supplier_b2b_id, Decision.person_name, Decision.response),
    *(Decision.remarks, Decision.took_seconds, Decision.left_seconds),
)


@dataclass(slots=True)
class Answered:
    """Answers of a day, a person and a response: ``early`` in the first half of their time, ``late`` after.

    ``remarks`` are empty where nothing was turned down; ``seconds`` is how long all of them took.
    """

    day: date
    person: str
    response: str
    remarks: str
    count: int
    early: int
    late: int
    seconds: int


def answered(session: Session, scope: Scope, first: date, last: date, zone: ZoneInfo) -> list[Answered]:
    """What was answered from the day ``first`` to the day ``last``, both of the zone and both whole.

    ``scope`` is the supplier ids that count; None is all. The session must see one moment:
    ``Database.snapshot``.
    """
    counted = select(
        AnswerCount.day,
        AnswerCount.person_name,
        AnswerCount.response,
        AnswerCount.remarks,
        *(func.sum(getattr(AnswerCount, name)) for name in _SUMS),
    ).where(AnswerCount.zone == zone.key, AnswerCount.day >= first, AnswerCount.day <= last)
    if scope is not None:
        counted = counted.where(AnswerCount.supplier_b2b_id.in_(scope))
    counted = counted.group_by(
        AnswerCount.day, AnswerCount.person_name, AnswerCount.response, AnswerCount.remarks
    )
    found = [Answered(row[0], row[1], row[2], row[3], *map(int, row[4:])) for row in session.execute(counted)]
    span = _start_of(first, zone), _start_of(last + timedelta(days=1), zone)
    for key, sums in _added_up(_uncounted(session, zone, scope, span), zone).items():
        found.append(Answered(key[0], *key[2:], *sums))
    return found


def count_answers(database: Database, zone: ZoneInfo, *, for_seconds: float | None = None) -> int:
    """Count what was answered since the last time, by day of the zone; returns how many answers that were."""
    ends_at = None if for_seconds is None else clock.ticks() + for_seconds
    with database.reading() as session:
        newest = session.scalar(select(func.max(Decision.id))) or 0
        if newest <= _counted_up_to(session, zone):
            return 0
    settled, counted = _settled_id(database), 0
    while settled is not None:
        with database.writing() as session:
            serialise(session, "answers by day")
            some = _count_next(session, zone, settled)
            session.commit()
        counted += some
        if not some or (ends_at is not None and clock.ticks() > ends_at):
            break
    return counted


def _count_next(session: Session, zone: ZoneInfo, settled: int) -> int:
    after = _counted_up_to(session, zone)
    rows = session.execute(
        select(*_COLUMNS)
        .where(Decision.id > after, Decision.id <= settled)
        .order_by(Decision.id)
        .limit(BATCH)
    ).all()
    if not rows:
        return 0
    added = [
        {"zone": zone.key, **dict(zip(_KEY, key, strict=True)), **dict(zip(_SUMS, sums, strict=True))}
        for key, sums in sorted(_added_up(rows, zone).items())
    ]
    session.execute(_ADD[session.get_bind().dialect.name], added)
    session.merge(AnswersCounted(zone=zone.key, up_to=rows[-1].id))
    return len(rows)


def _counted_up_to(session: Session, zone: ZoneInfo) -> int:
    return session.scalar(select(AnswersCounted.up_to).where(AnswersCounted.zone == zone.key)) or 0


def _uncounted(
    session: Session, zone: ZoneInfo, scope: Scope, span: tuple[datetime, datetime]
) -> Sequence[Any]:
    query = select(*_COLUMNS).where(
        Decision.id > _counted_up_to(session, zone),
        Decision.decided_at >= span[0],
        Decision.decided_at < span[1],
    )
    return session.execute(query if scope is None else query.where(Decision.supplier_b2b_id.in_(scope))).all()


def _added_up(rows: Iterable[Any], zone: ZoneInfo) -> dict[Key, list[int]]:
    """Count, early, late and seconds of each."""
    found: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for _, at, supplier, person, response, remarks, took, left in rows:
        why = remarks if response in TURNED_DOWN else ""
        sums = found[at.astimezone(zone).date(), supplier, person, response, why]
        sums[0] += 1
        sums[1] += took <= left
        sums[2] += left < 0
        sums[3] += took
    return found


def _start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time_of_day(), zone)


def _settled_id(database: Database) -> int | None:
    """An id up to which no answer can appear any more; None where those who write take their time."""
    with database.reading() as session:
        newest = session.scalar(select(func.max(Decision.id)))
        if not database.is_postgresql:
            return newest
        # An answer's message is written before it: whoever got an id up to this one is numbered below us.
        mine = session.scalar(text("SELECT pg_current_xact_id()::text::bigint")) or 0
    until = time.monotonic() + WAIT_SECONDS
    while True:
        with database.reading() as session:
            oldest = session.scalar(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")) or 0
        if oldest > mine:
            return newest
        if time.monotonic() > until:
            return None
        time.sleep(0.02)


def _adding(dialect: type[sqlite.Insert] | type[postgresql.Insert]) -> Any:
    adding = dialect(counts).values({name: bindparam(name) for name in ("zone", *_KEY, *_SUMS)})
    return adding.on_conflict_do_update(
        index_elements=["zone", *_KEY],
        set_={name: counts.c[name] + adding.excluded[name] for name in _SUMS},
    )


_ADD = {"sqlite": _adding(sqlite.Insert), "postgresql": _adding(postgresql.Insert)}
