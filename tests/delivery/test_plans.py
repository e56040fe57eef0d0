"""The queries of the lists use indexes, according to the query plans of SQLite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.attention import queries as attention
from app.db import Database
from app.inbound import queries as inbound
from app.inbound.queries import InboundFilter
from app.webhooks import queries as outbox
from app.webhooks.partner_status import last_delivery_times
from app.webhooks.queries import MessageFilter

TWO = frozenset({"SUPPB2B0001@bbps", "SUPPB2B0002@bbps"})
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Explained:
    """Records SQLite's query plan of each query."""

    def __init__(self, database: Database) -> None:
        self.steps: list[str] = []
        self._database = database

    def __enter__(self) -> Explained:
        event.listen(self._database.engine, "before_cursor_execute", self._explain)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._database.engine, "before_cursor_execute", self._explain)

    def _explain(self, connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            asking = connection.connection.cursor()
            asking.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            self.steps += [row[-1] for row in asking.fetchall()]


@pytest.fixture
def session(empty_sqlite: Path, tmp_path: Path) -> Iterator[Session]:
    shutil.copy(empty_sqlite, tmp_path / "plans.sqlite")
    database = Database(f"sqlite:///{tmp_path / 'plans.sqlite'}")
    with database.reading() as session:
        session.info["database"] = database
        yield session
    database.engine.dispose()


def steps_of(session: Session, run_query: Any) -> list[str]:
    with Explained(session.info["database"]) as explained:
        run_query()
    assert explained.steps
    return explained.steps


def walks(step: str) -> bool:
    """Whether a step reads a whole table, or sorts what it read."""
    table = step.startswith(("SCAN message", "SCAN attempt", "SCAN inbound_message"))
    return (table and "USING" not in step) or "TEMP B-TREE FOR ORDER BY" in step


@pytest.mark.parametrize("scope", [None, frozenset({"SUPPB2B0001@bbps"}), TWO])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"state": "refused"},
        {"state": "delivered"},
        {"state": outbox.ATTENTION},
        {"code": "503"},
        {"code": "4xx"},
        {"code": "none"},
        {"partner": "P"},
        {"partner": "P", "state": "delivered"},
        {"supplier": "S"},
        {"supplier": "S", "state": "delivered"},
        {"trigger": "manual"},
        {"trigger": "auto"},
        {"attempts": 1},
        {"attempts": 5},
        {"since": NOON, "until": NOON + timedelta(days=1)},
        {"after": "msg_01KAVS0000000000000000000Z"},
        {"q": "a word"},
    ],
    ids=str,
)
def test_webhook_page_query_uses_an_index_without_sorting(
    session: Session, wanted: dict[str, Any], scope: frozenset[str] | None
) -> None:
    steps = steps_of(session, lambda: outbox.message_page(session, scope, MessageFilter(**wanted)))
    # The few newest of each of the reader's suppliers are merged, and that is a sort of at most two pages.
    inner = [step for step in steps if not (scope == TWO and "TEMP B-TREE" in step)]
    assert not [step for step in inner if walks(step)], steps


def test_attention_count_uses_its_index(session: Session) -> None:
    for scope in (None, TWO):
        steps = steps_of(session, lambda scope=scope: outbox.attention_count(session, scope))
        assert "SCAN message USING COVERING INDEX ix_message_needing" in steps
    steps = steps_of(session, lambda: attention.count(session, None, may_triage=True))
    assert any("ix_inbound_message_needing" in step for step in steps)


@pytest.mark.parametrize(
    "wanted",
    [{}, {"effect": "unmatched"}, {"code": "409"}, {"partner": "P"}, {"supplier": "S"}, {"q": "a word"}],
    ids=str,
)
def test_incoming_page_query_does_not_sort(session: Session, wanted: dict[str, Any]) -> None:
    steps = steps_of(session, lambda: inbound.message_page(session, None, InboundFilter(**wanted)))
    assert not [step for step in steps if walks(step)], steps


def test_ids_and_numbers_are_found_by_index(session: Session) -> None:
    steps = steps_of(session, lambda: outbox.message_page(session, None, MessageFilter(q="POR1")))
    for index in ("object_id", "req_msg_id", "buyer_po_number"):
        assert any(f"ix_message_{index}" in step for step in steps), (index, steps)


def test_last_deliveries_use_the_index_of_partner_and_state(session: Session) -> None:
    steps = steps_of(session, lambda: last_delivery_times(session, [1, 2]))
    assert any("ix_message_partner_id_state_id (partner_id=? AND state=?)" in step for step in steps), steps
