"""The seals of the audit trail: verification names entries that were changed, removed or added."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.audit import seals, trail
from app.audit.models import AuditAction, AuditEntry, AuditObject, AuditSeal
from app.db import Database

Force = Callable[[str], None]


def record_entries(database: Database, count: int) -> None:
    with database.writing() as session:
        for number in range(count):
            trail.record(
                session,
                AuditAction.ANNOUNCED,
                AuditObject.PARTNER,
                1,
                name="Bharat",
                after={"note": f"№ {number}"},
            )
        session.commit()


def verified(session: Session, **more: Any) -> seals.Verdict:
    session.rollback()
    session.expire_all()
    return seals.verify(session, **more)


def test_empty_trail_is_valid(database: Database, session: Session) -> None:
    assert seals.seal(database) == 0
    assert verified(session) == seals.Verdict(0, 0, 0, 0, "")


def test_seals_form_a_chain_and_unsealed_entries_are_counted(
    database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "BATCH", 4)
    record_entries(database, 10)
    assert seals.seal(database) == 10
    record_entries(database, 3)
    result = verified(session)
    assert (result.seals, result.entries, result.unsealed, result.fault) == (3, 10, 3, None)
    links = session.scalars(select(AuditSeal).order_by(AuditSeal.number)).all()
    assert [seal.previous for seal in links] == ["0" * 64, links[0].sha256, links[1].sha256]
    assert result.last_sha256 == links[2].sha256
    assert seals.seal(database) == 3
    assert seals.seal(database) == 0, "no new entries, no empty seal"


def test_digests_match_the_documentation(database: Database, session: Session) -> None:
    with database.writing() as writing:
        asha = trail.Actor("Asha", 7, "supplier", "10.0.0.9", "Firefox")
        trail.record(
            writing,
            AuditAction.RESPONDED,
            AuditObject.ORDER,
            5,
            name="PO/1",
            after={"remarks": "₹ 5"},
            actor=asha,
        )
        writing.commit()
    seals.seal(database)
    entry, seal = session.scalars(select(AuditEntry)).one(), session.scalars(select(AuditSeal)).one()
    at = entry.at.isoformat(timespec="microseconds")
    fields = [
        entry.id,
        at,
        "answered",
        "Asha",
        7,
        "supplier",
        "10.0.0.9",
        "Firefox",
        "order",
        "5",
        "PO/1",
        "",
    ]
    line = json.dumps([*fields, "", '{"remarks": "₹ 5"}'], ensure_ascii=False, separators=(",", ":"))
    leaves = entry.id.to_bytes(8, "big") + hashlib.sha256(line.encode()).digest()
    assert seal.leaves == leaves
    sealed_at = seal.sealed_at.isoformat(timespec="microseconds")
    fields = [
        "PO Confirm seal 1",
        1,
        entry.id,
        entry.id,
        sealed_at,
        "0" * 64,
        hashlib.sha256(leaves).hexdigest(),
    ]
    assert seal.sha256 == hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit_entry SET actor = 'Nobody' WHERE id = 5", "Entry 5 was changed"),
        ("UPDATE audit_entry SET person_id = 1 WHERE id = 2", "Entry 2 was changed"),
        ("UPDATE audit_entry SET id = 99 WHERE id = 6", "Entry 6 is missing"),
        ("DELETE FROM audit_entry WHERE id = 3", "Entry 3 is missing"),
        ("DELETE FROM audit_entry WHERE id IN (7, 3)", "Entry 3 is missing"),
        ("DELETE FROM audit_seal WHERE number = 1", "Seal 1 is missing"),
        ("UPDATE audit_seal SET last_id = 7 WHERE number = 2", "Seal 2 was changed"),
        ("UPDATE audit_seal SET previous = sha256 WHERE number = 2", "Seal 2 does not follow"),
        (
            "INSERT INTO audit_pruning (up_to, entry_id, at) VALUES (5, 6, '2026-11-23 10:00:00')",
            "the trail has no entry about this",
        ),
    ],
)
def test_tampering_is_detected(
    database: Database, session: Session, as_owner: Force, statement: str, fault: str
) -> None:
    record_entries(database, 4)
    seals.seal(database)
    record_entries(database, 4)
    seals.seal(database)
    as_owner(statement)
    result = verified(session)
    assert fault in (result.fault or "")


COLUMNS = (
    "at, action, actor, role, address, user_agent, object_kind, object_id, object_name, reason, before, after"
)


@pytest.mark.parametrize("gap", [3, 0, -4])
def test_inserted_entry_is_detected(database: Database, session: Session, as_owner: Force, gap: int) -> None:
    record_entries(database, 2)
    if gap == 3:  # a rolled back insert leaves a gap in the ids
        as_owner(f"INSERT INTO audit_entry (id, {COLUMNS}) SELECT 4, {COLUMNS} FROM audit_entry WHERE id = 2")
    seals.seal(database)
    as_owner(f"INSERT INTO audit_entry (id, {COLUMNS}) SELECT {gap}, {COLUMNS} FROM audit_entry WHERE id = 2")
    assert f"Entry {gap} was added" in (verified(session).fault or "")


def test_rewritten_seals_are_detected_by_an_external_digest(
    database: Database, session: Session, as_owner: Force
) -> None:
    record_entries(database, 4)
    seals.seal(database)
    digest = verified(session).last_sha256
    as_owner("DELETE FROM audit_seal")
    as_owner("UPDATE audit_entry SET actor = 'Nobody' WHERE id = 2")
    seals.seal(database)
    assert verified(session).fault is None
    assert "were removed or replaced" in (verified(session, expected=digest).fault or "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'Nobody'",
        "DELETE FROM audit_entry",
        "UPDATE audit_seal SET sha256 = ''",
        "DELETE FROM audit_seal",
    ],
)
def test_database_refuses_changes_of_the_trail(database: Database, session: Session, statement: str) -> None:
    record_entries(database, 2)
    seals.seal(database)
    with pytest.raises(DBAPIError, match="audit trail"), database.engine.begin() as connection:
        connection.execute(text(statement))
    assert verified(session).fault is None


def test_truncate_is_refused_on_postgresql(database: Database) -> None:
    record_entries(database, 1)
    statement = "TRUNCATE audit_entry" if database.is_postgresql else "DELETE FROM audit_entry"
    with pytest.raises(DBAPIError, match="audit trail"), database.engine.begin() as connection:
        connection.execute(text(statement))


def test_late_commit_is_sealed_without_waiting(
    database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the slower transaction has the lower id; SQLite has one writer at a time."""
    record_entries(database, 1)
    if not database.is_postgresql:
        assert seals.seal(database) == 1
        return
    monkeypatch.setattr(seals, "WAIT_SECONDS", 0.1)
    with database.writing() as slow:
        trail.record(slow, AuditAction.ANNOUNCED, AuditObject.PARTNER, 1, name="slow")
        record_entries(database, 1)
        assert seals.seal(database) == 0, "ids above an open transaction are not sealed"
        slow.commit()
    assert seals.seal(database) == 3
    assert verified(session).fault is None


def test_sealing_waits_only_for_earlier_writers(database: Database, session: Session) -> None:
    if not database.is_postgresql:
        record_entries(database, 2)
        assert seals.seal(database) == 2
        return
    record_entries(database, 1)
    with database.writing() as first, database.writing() as later:
        trail.record(first, AuditAction.ANNOUNCED, AuditObject.PARTNER, 1, name="first")
        record_entries(database, 1)
        sealed: list[int] = []
        sealing = threading.Thread(target=lambda: sealed.append(seals.seal(database)))
        sealing.start()
        trail.record(later, AuditAction.ANNOUNCED, AuditObject.PARTNER, 1, name="later")
        first.commit()
        later.rollback()
        sealing.join()
    assert sealed == [3]
    assert verified(session).fault is None


def test_parallel_sealing_makes_one_chain(
    database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "BATCH", 5)
    record_entries(database, 60)
    threads = [threading.Thread(target=seals.seal, args=(database,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = verified(session)
    assert (result.seals, result.entries, result.fault) == (12, 60, None)


def test_verify_command_reports_the_fault(app: Flask, database: Database, as_owner: Force) -> None:
    record_entries(database, 3)
    runner = app.test_cli_runner()
    assert "sealed=3" in runner.invoke(args=["audit", "seal"]).output
    intact = runner.invoke(args=["audit", "verify"])
    assert intact.exit_code == 0 and "seals=1 entries=3 pruned=0 unsealed=0" in intact.output
    digest = intact.output.split("last=")[1].split()[0]
    assert runner.invoke(args=["audit", "verify", "--expect", digest]).exit_code == 0
    as_owner("UPDATE audit_entry SET reason = 'x' WHERE id = 2")
    changed = runner.invoke(args=["audit", "verify"])
    assert changed.exit_code == 1 and "Entry 2 was changed" in changed.output


def test_parallel_writing_and_sealing_loses_no_entry(
    database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "BATCH", 7)
    done = threading.Event()

    def writer(number: int) -> None:
        for turn in range(15):
            with database.writing() as writing:
                for _ in range(1 + turn % 3):
                    trail.record(
                        writing, AuditAction.ANNOUNCED, AuditObject.PARTNER, number, name=f"turn {turn}"
                    )
                if (turn + number) % 4:
                    writing.commit()
                else:
                    writing.rollback()

    def sealer() -> None:
        while not done.is_set():
            seals.seal(database)

    writers = [threading.Thread(target=writer, args=(number,)) for number in range(5)]
    sealers = [threading.Thread(target=sealer) for _ in range(2)]
    for thread in writers + sealers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in sealers:
        thread.join()
    seals.seal(database)
    result = verified(session)
    count = len(session.scalars(select(AuditEntry.id)).all())
    assert (result.fault, result.unsealed, result.entries) == (None, 0, count)
    assert count == sum(1 + turn % 3 for number in range(5) for turn in range(15) if (turn + number) % 4)
