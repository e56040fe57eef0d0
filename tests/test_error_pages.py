"""The pages of errors stand on their own feet: without the database, and where the app itself broke."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.db import Database
from tests.people import Browser


@pytest.fixture
def away(database: Database) -> Iterator[list[str]]:
    """The database is away: every query fails; what was asked is listed."""
    asked: list[str] = []

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)
        raise OperationalError(statement, {}, Exception("the server closed the connection"))

    event.listen(database.engine, "before_cursor_execute", fail)
    yield asked
    event.remove(database.engine, "before_cursor_execute", fail)


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/1", "/webhooks", "/inbound"])
def test_without_the_database_every_page_is_calm_and_says_when_to_come_back(
    asha: Browser, away: list[str], path: str
) -> None:
    answer = asha.get(path)
    assert answer.status_code == 503
    assert "The database is busy" in answer.words
    assert "Nothing was recorded." in answer.words
    assert answer.headers["Retry-After"] == "5"
    assert len(away) == 1


def test_without_the_database_htmx_gets_an_alert(asha: Browser, away: list[str]) -> None:
    answer = asha.get("/orders", headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert answer.text.lstrip().startswith('<div class="toast-card bad"')


def test_a_bug_gives_a_page_with_a_reference_that_the_log_knows(
    asha: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.orders.queries.order_page", broken)
    answer = asha.get("/orders")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.words
    reference = re.search(r"reference ([0-9a-f]{8})", answer.words)
    assert reference
    assert reference[1] in caplog.text


def test_a_bug_while_the_database_is_away_gives_the_same_page(
    asha: Browser, away: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.accounts.queries.person_by_session_key", broken)
    answer = asha.get("/orders")
    assert (answer.status_code, away) == (500, [])
