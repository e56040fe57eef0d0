"""Seals over the audit trail, and their verification.

The digest of an entry (its *leaf*) is SHA-256 over the UTF-8 of one line of JSON without spaces and without
escaped characters: the array of ``id, at, action, actor, person_id, role, address, user_agent, object_kind,
object_id, object_name, reason, before, after``, where ``at`` is ISO 8601 in UTC with six digits of a second
(``2026-11-23T10:31:07.000000+00:00``) and ``before`` and ``after`` are the stored texts.

A seal covers all entries after those of the seal before, up to ``last_id``. Its ``leaves`` are, in the order
of ids, eight bytes of id (big-endian) and the 32 bytes of the digest of each. Its own digest is SHA-256 over
such a line: ``"PO Confirm seal 1", number, first_id, last_id, sealed_at, previous, sha256(leaves)``, with
``previous`` the digest of the seal before, and of the first one 64 zeros.

Writers never wait for sealing. On SQLite an id is committed before the next one is assigned. On PostgreSQL a
later id may be committed first, so sealing notes the newest id and the transactions that were writing then
(``trail.WRITERS``), and seals up to that id when all of them have ended.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditAction, AuditEntry, AuditPruning, AuditSeal
from app.audit.trail import WRITERS
from app.db import Database, advisory_lock

BATCH = 1000
"""Entries per seal."""
FIRST = "0" * 64
WAIT_SECONDS = 5.0
"""Seconds to wait for writers; the rest is sealed the next time."""
SEALED_FIELDS = [
    "id",
    "at",
    "action",
    "actor",
    "person_id",
    "role",
    "address",
    "user_agent",
    "object_kind",
    "object_id",
    "object_name",
    "reason",
    "before",
    "after",
]
_LEAF = struct.Struct(">q32s")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification. ``fault`` describes the first fault; None if there is none."""

    seals: int
    entries: int
    pruned: int
    unsealed: int
    last_sha256: str
    fault: str | None = None


def leaf(entry: AuditEntry) -> bytes:
    """The digest of one entry."""
    return _digest(*sealed_fields(entry).values())


def sealed_fields(entry: AuditEntry) -> dict[str, Any]:
    """The fields of an entry as they are sealed, in this order."""
    fields = {name: getattr(entry, name) for name in SEALED_FIELDS}
    return {**fields, "at": _moment(entry.at)}


def seal_digest(seal: AuditSeal) -> str:
    """The expected digest of a seal."""
    return _digest(
        "PO Confirm seal 1",
        seal.number,
        seal.first_id,
        seal.last_id,
        _moment(seal.sealed_at),
        seal.previous,
        hashlib.sha256(seal.leaves).hexdigest(),
    ).hex()


def seal(database: Database) -> int:
    """Seal all settled entries; returns the number. Several processes may run it at once."""
    settled = _settled_id(database)
    sealed = 0
    while settled is not None:
        with database.writing() as session:
            count = _seal_next(session, settled)
            session.commit()
        sealed += count
        if not count:
            break
    return sealed


def verify(session: Session, expected: str = "") -> Verdict:
    """Check every seal and every entry; ``expected`` is the digest of a seal that was stored elsewhere.

    Reads the whole trail once, in batches.
    """
    seals = entries = pruned = 0
    previous, last_id, seen_expected = FIRST, 0, False

    def verdict(fault: str | None = None, unsealed: int = 0) -> Verdict:
        return Verdict(seals, entries, pruned, unsealed, previous if seals else "", fault)

    pruned_up_to, fault = _pruned_up_to(session)
    if fault:
        return verdict(fault)
    for number, current in enumerate(_seals(session), start=1):
        fault = _fault_of_seal(current, number, previous, last_id)
        if fault is None:
            covered = dict(_LEAF.iter_unpack(current.leaves))
            stored = {entry.id: leaf(entry) for entry in _entries(session, last_id, current.last_id)}
            fault = _fault_of_entries(current, covered, stored, pruned_up_to)
        if fault:
            return verdict(fault)
        seals, entries, pruned = seals + 1, entries + len(stored), pruned + len(covered) - len(stored)
        previous, last_id = current.sha256, current.last_id
        seen_expected = seen_expected or current.sha256 == expected
    first_id = session.scalar(select(func.min(AuditEntry.id)))
    if first_id is not None and first_id < 1:
        return verdict(f"Entry {first_id} was added: ids begin at 1.")
    if expected and not seen_expected:
        return verdict(f"No seal has the digest {expected}: seals were removed or replaced.")
    unsealed = session.scalar(select(func.count()).where(AuditEntry.id > last_id)) or 0
    return verdict(unsealed=unsealed)


def last_seal(session: Session) -> AuditSeal | None:
    """The newest seal."""
    return session.scalar(select(AuditSeal).order_by(AuditSeal.number.desc()).limit(1))


def _seal_next(session: Session, settled: int) -> int:
    advisory_lock(session, "audit seal")
    before = last_seal(session)
    after = before.last_id if before else 0
    entries = session.scalars(
        select(AuditEntry)
        .where(AuditEntry.id > after, AuditEntry.id <= settled)
        .order_by(AuditEntry.id)
        .limit(BATCH)
    ).all()
    if not entries:
        return 0
    new_seal = AuditSeal(
        number=before.number + 1 if before else 1,
        first_id=entries[0].id,
        last_id=entries[-1].id,
        leaves=b"".join(_LEAF.pack(entry.id, leaf(entry)) for entry in entries),
        previous=before.sha256 if before else FIRST,
        sealed_at=clock.now(),
    )
    new_seal.sha256 = seal_digest(new_seal)
    session.add(new_seal)
    session.flush()
    return len(entries)


def _settled_id(database: Database) -> int | None:
    """An id below which no entry can appear anymore; None if there is none, or writers take too long."""
    with database.reading() as session:
        newest: int | None = session.scalar(select(func.max(AuditEntry.id)))
        if newest is None or not database.is_postgresql:
            return newest
        waited_for = _writers(session)
    until = time.monotonic() + WAIT_SECONDS
    while waited_for:
        with database.reading() as session:
            waited_for &= _writers(session)
        if waited_for:
            if time.monotonic() > until:
                return None
            time.sleep(0.02)
    return newest


def _writers(session: Session) -> set[str]:
    """The transactions that hold the writers' lock."""
    rows = session.execute(
        text(
            "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
            " AND ((classid::bigint << 32) | objid::bigint) = :key"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        {"key": WRITERS},
    )
    return {row[0] for row in rows}


def _seals(session: Session) -> Iterator[AuditSeal]:
    """All seals in order, loaded in batches."""
    number = None
    while True:
        query = select(AuditSeal).order_by(AuditSeal.number).limit(50)
        seals = session.scalars(query if number is None else query.where(AuditSeal.number > number)).all()
        if not seals:
            return
        yield from seals
        number = seals[-1].number
        for loaded in seals:
            session.expunge(loaded)


def _entries(session: Session, after: int, up_to: int) -> Sequence[AuditEntry]:
    entries = session.scalars(select(AuditEntry).where(AuditEntry.id > after, AuditEntry.id <= up_to)).all()
    for entry in entries:
        session.expunge(entry)
    return entries


def _pruned_up_to(session: Session) -> tuple[int, str | None]:
    """The id up to which entries may be deleted, and the fault of that record if any."""
    newest = session.scalar(select(AuditPruning).order_by(AuditPruning.up_to.desc()).limit(1))
    if newest is None:
        return 0, None
    entry = session.get(AuditEntry, newest.entry_id)
    is_recorded = (
        entry is not None
        and entry.action == AuditAction.PRUNED
        and entry.new_values.get("audit_up_to") == newest.up_to
    )
    if not is_recorded:
        return 0, f"Entries up to {newest.up_to} are marked as pruned, but the trail has no entry about this."
    return newest.up_to, None


def _fault_of_seal(row: AuditSeal, number: int, previous: str, last_id: int) -> str | None:
    if row.number != number:
        return f"Seal {number} is missing." if row.number > number else f"Seal {row.number} was added."
    if row.previous != previous:
        return f"Seal {number} does not follow the seal before it."
    if row.sha256 != seal_digest(row):
        return f"Seal {number} was changed."
    if len(row.leaves) % _LEAF.size or row.first_id <= last_id:
        return f"Seal {number} does not cover the entries after seal {number - 1}."
    return None


def _fault_of_entries(
    row: AuditSeal, covered: dict[int, bytes], stored: dict[int, bytes], pruned_up_to: int
) -> str | None:
    """The fault of the first entry that differs from its seal."""
    when = f"It was sealed at {_moment(row.sealed_at)} by seal {row.number}."
    for entry_id in sorted({*covered, *stored}):
        if entry_id not in covered:
            return f"Entry {entry_id} was added to a range that seal {row.number} had already sealed."
        if entry_id not in stored:
            if entry_id > pruned_up_to:
                return f"Entry {entry_id} is missing. {when}"
        elif stored[entry_id] != covered[entry_id]:
            return f"Entry {entry_id} was changed. {when}"
    return None


def _digest(*values: Any) -> bytes:
    line = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(line.encode("utf-8", "surrogatepass")).digest()


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds")
