"""The migrations produce the schema of the models, also for databases with data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text

from app.db import Base, Database, migrations
from app.db.text_search import TextIndex, matching_ids
from app.delivery.call_result import Detail, DetailCode
from app.delivery.models import Attempt, AttemptStatistics, Message, MessageState, ResultFrom
from app.inbound.models import Effect, InboundMessage
from app.orders.models import Decision, Delivery, OrderView, PurchaseOrder, StatusChange
from app.tasks.models import JobNote, JobState, Task
from app.webhooks.models import ResendItem
from app.webhooks.presenters import message_sentence
from tests.postgresql import Server

WHEN = "2026-11-20 10:00:00"


def differences(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        # Full-text indexes create their own tables, named after the index.
        options = {"compare_type": True, "include_name": lambda name, *_: "_words" not in (name or "")}
        context = MigrationContext.configure(connection, opts=options)
        diff: list[Any] = compare_metadata(context, Base.metadata)
    return diff


def test_migrated_schema_matches_the_models(empty_database: Database) -> None:
    empty_database.upgrade()
    assert empty_database.is_current()
    assert differences(empty_database) == []


def test_upgrade_from_first_version_keeps_data(empty_database: Database) -> None:
    empty_database.upgrade("0001")
    assert not empty_database.is_current()
    with empty_database.engine.begin() as connection:
        for statement in FIRST_VERSION:
            connection.execute(text(statement))
    empty_database.upgrade()
    assert differences(empty_database) == []
    with empty_database.reading() as session:
        order = session.scalars(select(PurchaseOrder)).one()
        assert (order.status, order.delivery) == ("ACCEPTED", Delivery.DELIVERED)
        result_sources = dict(session.execute(select(Message.state, Message.result_from)).all())
        assert session.scalar(select(func.count()).select_from(Attempt)) == 1
        # Attempts that ended before statistics existed are counted.
        rows = {row.measure: row for row in session.scalars(select(AttemptStatistics))}
        attempt, delivery = rows["attempt"], rows["delivery"]
        assert attempt.minute == delivery.minute == datetime.fromisoformat(WHEN + "Z").timestamp() // 60
        assert (attempt.outcome, attempt.status, attempt.count, attempt.milliseconds) == (
            "delivered",
            200,
            1,
            5,
        )
        assert (attempt.le_5ms, attempt.le_inf, delivery.count, delivery.le_5ms) == (1, 1, 1, 1)
        decision = session.scalars(select(Decision)).one()
        assert (decision.took_seconds, decision.left_seconds) == (2 * 3600, 22 * 3600)
        assert decision.supplier_b2b_id == "S"
        # Rows from before the full-text indexes are in them.
        assert matching_ids(session, TextIndex.ORDERS, "a/1", limit=9) == [1]
        assert result_sources == {
            MessageState.DELIVERED: ResultFrom.RESPONSE,
            MessageState.REFUSED: ResultFrom.RESPONSE,
            MessageState.FAILED: None,
        }
        inbound = session.scalars(select(InboundMessage)).one()
        assert (inbound.effect, inbound.first_effect, inbound.reprocessed_at) == (Effect.APPLIED, None, None)
        for table in (StatusChange, OrderView):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_downgrade_keeps_data_of_first_version(empty_database: Database) -> None:
    empty_database.upgrade("0001")
    with empty_database.engine.begin() as connection:
        for statement in FIRST_VERSION:
            connection.execute(text(statement))
    empty_database.upgrade()
    with empty_database.engine.connect() as connection:
        migrations.downgrade(connection, "0001")
    with empty_database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM message")) == 3
        assert connection.scalar(text("SELECT count(*) FROM attempt")) == 1
        assert connection.scalar(text("SELECT effect FROM inbound_message")) == "applied"
    empty_database.upgrade()
    assert differences(empty_database) == []


def test_upgrade_removes_old_statistics_and_collects_new_ones(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    database.upgrade("0001")
    with database.engine.begin() as connection:
        for statement in FIRST_VERSION:
            connection.execute(text(statement))
        connection.exec_driver_sql("ANALYZE partner")
        connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES ('message', 'x', '200000 1 stale')")
    database.upgrade()
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT tbl, stat FROM sqlite_stat1")).all()
    database.engine.dispose()
    assert not [stat for _, stat in rows if "stale" in stat]
    assert "message" in {table for table, _ in rows}


def test_upgrade_turns_task_notes_into_codes(empty_database: Database) -> None:
    sha256 = "0f" * 32
    notes = {
        "job_1": (f"1,234 bytes, SHA-256 {sha256}.", JobNote.FILE_WRITTEN, {"bytes": 1234, "sha256": sha256}),
        "job_2": ("It waits: what was handed out has to leave first.", JobNote.WAITING, {}),
        "job_3": ("No such partner.", JobNote.IMPOSSIBLE, {"cause": "No such partner."}),
        "job_4": ("", JobNote.NONE, {}),
    }
    empty_database.upgrade("0028")
    with empty_database.engine.begin() as connection:
        for job_id, (note, _, _) in notes.items():
            values = (
                f"('{job_id}', 'count', '', 'done', '{{}}', '{{}}', '', '{note}', '', 0, 0, 1, '{WHEN}', '')"
            )
            connection.execute(
                text(
                    "INSERT INTO task (id, kind, title, state, parameters, cursor, reason, note, error, done,"
                    f" total, attempts, created_at, created_by) VALUES {values}"
                )
            )
    empty_database.upgrade()
    with empty_database.reading() as session:
        tasks = session.scalars(select(Task).where(Task.kind == "count")).all()
        assert {task.id: (task.note_code, task.note_params) for task in tasks} == {
            job_id: (code, params) for job_id, (_, code, params) in notes.items()
        }


def test_upgrade_turns_details_of_attempts_into_codes(empty_database: Database) -> None:
    details = {
        "": Detail(),
        "No connection to 127.0.0.1:9: Connection refused.": Detail(
            DetailCode.CONNECTION_REFUSED, {"address": "127.0.0.1:9", "cause": "Connection refused"}
        ),
        "No response within 15 s.": Detail(DetailCode.RESPONSE_TIMEOUT, {"seconds": 15}),
        "No token: The DNS lookup of a.example did not finish within 4 s.": Detail(
            DetailCode.NAME_TIMEOUT, {"host": "a.example", "seconds": 4, "for_token": True}
        ),
        "No token: https://a.example/token returned 401, invalid_client: no.": Detail(
            DetailCode.OAUTH_ERROR,
            {"url": "https://a.example/token", "status": 401, "error": "invalid_client: no"},
        ),
        "The partner's HTTP response is malformed: it begins with 'SSH-2.0'.": Detail(
            DetailCode.START_INVALID, {"quote": "'SSH-2.0'"}
        ),
        "A sentence of a very old version": Detail(
            DetailCode.OTHER, {"text": "A sentence of a very old version"}
        ),
    }
    empty_database.upgrade("0001")
    with empty_database.engine.begin() as connection:
        for statement in FIRST_VERSION:
            connection.execute(text(statement))
    empty_database.upgrade("0032")
    with empty_database.engine.begin() as connection:
        message_id = connection.scalar(text("SELECT min(id) FROM message"))
        connection.execute(
            text(
                "UPDATE message SET note_code = 'attempt', note_params = "
                """'{"detail": "No response within 15 s.", "maybe_received": true}' WHERE id = :id"""
            ),
            {"id": message_id},
        )
        for number, sentence in enumerate(details, start=10):
            connection.execute(
                text(
                    "INSERT INTO attempt (id, message_id, number, trigger, url, request_headers, started_at,"
                    " detail, response_headers, response_body) VALUES (:number, :message_id, :number, 'auto',"
                    f" 'http://x', '[]', '{WHEN}', :detail, '[]', '')"
                ),
                {"message_id": message_id, "number": number, "detail": sentence},
            )
    empty_database.upgrade()
    with empty_database.reading() as session:
        attempts = session.scalars(select(Attempt).where(Attempt.number >= 10).order_by(Attempt.number)).all()
        assert [attempt.detail for attempt in attempts] == list(details.values())
        message = session.get_one(Message, message_id)
        assert message_sentence(message) == "No response within 15 s. May have been received."


def test_upgrade_renames_the_action_of_audit_entries_and_their_filters(empty_database: Database) -> None:
    empty_database.upgrade("0033")
    with empty_database.engine.begin() as connection:
        for statement in (
            "INSERT INTO audit_entry (id, at, deed, actor, role, address, user_agent, object_kind, object_id,"
            f" object_name, reason, before, after) VALUES (1, '{WHEN}', 'exported', '', '', '', '', 'export',"
            " '', '', '', '', '')",
            "INSERT INTO person (id, name, full_name, role, password_hash, active, created_at, time_zone,"
            " mail_address, preferences, must_change_password)"
            f" VALUES (1, 'meera', 'Meera', 'manager', '', true, '{WHEN}', '', '', '{{}}', false)",
            "INSERT INTO saved_view (id, person_id, page, name, query, is_shared, created_at) VALUES"
            f" (1, 1, 'audit', 'Exports', 'q=A%2F1&deed=exported&thing=export', false, '{WHEN}')",
        ):
            connection.execute(text(statement))
    empty_database.upgrade()
    assert differences(empty_database) == []
    with empty_database.engine.connect() as connection:
        assert connection.scalar(text("SELECT action FROM audit_entry")) == "exported"
        assert connection.scalar(text("SELECT query FROM saved_view")) == (
            "q=A%2F1&action=exported&object=export"
        )


def test_upgrade_moves_jobs_mails_and_chores_into_tasks(empty_database: Database) -> None:
    empty_database.upgrade("0019")
    with empty_database.engine.begin() as connection:
        for statement in JOBS_MAILS_CHORES:
            connection.execute(text(statement))
    empty_database.upgrade()
    with empty_database.reading() as session:
        tasks = {task.id: task for task in session.scalars(select(Task)).all()}
        job, failed, mail, chore = (
            tasks[id] for id in ("job_1", "job_2", "mail_m1", "chore:prune old records")
        )
        when = datetime.fromisoformat(WHEN + "Z")
        assert (job.state, job.done, job.attempts, job.lease_until) == (JobState.RUNNING, 3, 1, when)
        assert (job.parameters, job.cursor, job.max_attempts) == ({"a": 1}, {"at": 3}, 4)
        assert (failed.state, failed.error, failed.note_code) == (JobState.FAILED, "OSError", JobNote.NONE)
        assert (mail.kind, mail.state, mail.run_at, mail.attempts) == ("mail:held", JobState.WAITING, when, 2)
        assert mail.parameters == {"subject": "Held", "body": "Text", "message_id": "m1"}
        assert mail.cursor == {"finished": ["a@b.example", "c@d.example"]}
        assert (chore.run_at, chore.finished_at, chore.max_attempts) == (when, when, None)
        assert session.scalars(select(ResendItem.job_id)).all() == ["job_1"]


JOB = (
    "INSERT INTO job (id, kind, title, state, parameters, cursor, reason, note, done, total, failures,"
    " created_at, created_by, next_at, lease_token) VALUES"
)
JOBS_MAILS_CHORES = [
    f"{JOB} ('job_1', 'count', 'Count', 'running', '{{\"a\": 1}}', '{{\"at\": 3}}', '', '', 3, 9, 1,"
    f" '{WHEN}', 'Ravi', '{WHEN}', 'token')",
    f"{JOB} ('job_2', 'count', 'Count', 'failed', '{{}}', '{{}}', '',"
    f" 'It broke off 4 times. Last trouble: OSError.', 0, 9, 4, '{WHEN}', 'Ravi', NULL, NULL)",
    "INSERT INTO mail (id, topic, created_at, subject, body, state, next_at, tries, message_id, sent_to,"
    f" trouble) VALUES (1, 'held', '{WHEN}', 'Held', 'Text', 'waiting', '{WHEN}', 2, 'm1',"
    " 'a@b.example\nc@d.example', '450 later')",
    "INSERT INTO resend_item (job_id, message_id, buyer_po_number, was, why_not)"
    " VALUES ('job_1', 'msg_1', 'A/1', 'failed', '')",
    "INSERT INTO chore_run (name, next_at, ended_at, failures, note)"
    f" VALUES ('prune', '{WHEN}', '{WHEN}', 0, '')",
]


def _message(number: int, state: str) -> str:
    return (
        "INSERT INTO message (id, kind, partner_id, order_id, decision_number, object_id, buyer_po_number,"
        " buyer_b2b_id, supplier_b2b_id, object_version, body, body_sha256, created_at, created_by, state,"
        " claims, interruptions, tries, attempts_made, unknown_outcome, trigger, reason, note,"
        " response_message, result, req_msg_id, error_cd, error_dtl, error_field)"
        f" VALUES ('msg_{number}', 'req-confirm', 1, 1, {number}, 'POR1', 'A/1', 'B', 'S', 1, '', '',"
        f" '{WHEN}', 'Asha', '{state}', 0, 0, 0, 0, false, 'auto', '', '', '', '', '', '', '', '')"
    )


FIRST_VERSION = [
    "INSERT INTO partner (id, name, base_url, headers, allow_addresses, deadline_seconds, retry_schedule,"
    " success_codes, concurrency, accepts_return, paused_reason, credential_failures, created_at)"
    f" VALUES (1, 'P', 'http://p', '[]', '[]', 1, '[]', '[0]', 4, false, '', 0, '{WHEN}')",
    "INSERT INTO purchase_order (id, partner_id, object_id, buyer_po_number, buyer_b2b_id, supplier_b2b_id,"
    " buyer_name, supplier_name, subject, order_date, delivery_date, line_count, search_text, status,"
    " version, received_at, revised_at, respond_by, answer, delivery, answered_by)"
    " VALUES (1, 1, 'POR1', 'A/1', 'B', 'S', 'Buyer', 'Supplier', 'Spares', '2026-11-20', '2026-11-30', 1,"
    f" 'a/1', 'ACCEPTED', 1, '{WHEN}', '{WHEN}', '2026-11-21 10:00:00', 'ACCEPT', 'delivered', 'Asha')",
    "INSERT INTO inbound_message (id, kind, partner_id, order_id, received_at, remote_address, path,"
    " headers, size, body, object_id, buyer_po_number, supplier_b2b_id, same_as, content_sha256, effect,"
    " error_cd, error_field, detail, answer_status, answer_body)"
    f" VALUES ('in_1', 'req-send', 1, 1, '{WHEN}', '', '', '[]', 2, '', 'POR1', 'A/1', 'S',"
    " 'req-send POR1 1 CREATED', '', 'applied', '', '', '', 200, '')",
    "INSERT INTO revision (id, order_id, version, inbound_id, body, received_at)"
    f" VALUES (1, 1, 1, 'in_1', '', '{WHEN}')",
    "INSERT INTO person (id, name, full_name, role, password_hash, session_key, active, created_at)"
    f" VALUES (1, 'asha', 'Asha', 'supplier', '', 'key', true, '{WHEN}')",
    _message(1, "failed"),
    _message(2, "refused"),
    _message(3, "delivered"),
    "INSERT INTO attempt (id, message_id, number, trigger, url, request_headers, started_at, ended_at,"
    " outcome, detail, status, response_headers, response_body, response_size, duration_ms) VALUES"
    f" (1, 'msg_3', 1, 'auto', 'http://p', '[]', '{WHEN}', '{WHEN}', 'delivered', '', 200, '[]', '', 0, 5)",
    "INSERT INTO decision (id, order_id, number, version, response, remarks, device_tag_name,"
    " device_tag_value, infos, status_from, status_to, person_id, person_name, decided_at, message_id)"
    " VALUES (1, 1, 1, 1, 'ACCEPT', 'Confirmed', '', '', '[]', 'CREATED', 'ACCEPTED', 1, 'Asha',"
    " '2026-11-20 12:00:00', 'msg_3')",
]


def test_upgrade_without_trigram_permission_logs_the_commands(
    postgresql: Server, caplog: pytest.LogCaptureFixture
) -> None:
    postgresql.execute("CREATE ROLE plain LOGIN")
    postgresql.execute("CREATE DATABASE plainly")
    owner = Database(postgresql.url("plainly"))
    with owner.engine.begin() as connection:
        connection.execute(text("GRANT CREATE ON SCHEMA public TO plain"))
        connection.execute(text("REVOKE CREATE ON DATABASE plainly FROM plain"))
    plain = Database(postgresql.url("plainly").replace("postgres@", "plain@"))
    try:
        plain.upgrade()
        assert plain.is_current()
        assert "CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE INDEX" in caplog.text
        with plain.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM order_words")) == 0
    finally:
        plain.engine.dispose()
        owner.engine.dispose()
        postgresql.execute("DROP DATABASE plainly WITH (FORCE)")
        postgresql.execute("DROP ROLE plain")
