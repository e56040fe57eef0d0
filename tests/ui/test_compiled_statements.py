"""Pages compile each of their statements once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import CacheStats

from app.db import Database
from tests.fixture_types import Confirm, Deliver
from tests.people import Browser

PAGES = (
    "/",
    "/orders",
    "/orders?q=bearings&supplier=SUPPB2B0001@bbps&assigned=me&answer=open&amount_min=1&sort=amount",
    "/webhooks",
    "/webhooks?q=confirmed&state=delivered&partner=network&code=2xx",
    "/inbound",
    "/inbound?q=confirmed&effect=applied&partner=network",
    "/attention",
    "/jobs",
    "/notifications",
    "/search?q=bearings",
    "/views",
)
PAGES_OF_MANAGERS = (
    "/audit",
    "/audit?q=asha&action=responded",
    "/exports",
    "/health",
    "/partners",
    "/reports/answers",
)


@pytest.mark.parametrize(
    ("name", "pages"),
    [("asha", PAGES), ("ravi", PAGES), ("meera", PAGES + PAGES_OF_MANAGERS)],
    ids=["asha", "ravi", "meera"],
)
def test_page_shown_again_compiles_no_statement(
    browser_of: Callable[[str], Browser],
    database: Database,
    order_id: int,
    confirm: Confirm,
    deliver: Deliver,
    name: str,
    pages: tuple[str, ...],
) -> None:
    message_id, browser = confirm(order_id), browser_of(name)
    deliver()
    for path in (*pages, f"/orders/{order_id}", f"/webhooks/{message_id}"):
        assert browser.get(path).status_code == 200
        # Up to three times: the key of a statement depends on which of its parts are the same object.
        assert not all(compiled(database, partial(browser.get, path)) for _ in range(3)), path


def compiled(database: Database, run: Callable[[], Any]) -> list[str]:
    """The statements of ``run`` that are not in SQLAlchemy's cache of compiled statements."""
    statements = []

    def record(
        _connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool
    ) -> None:
        if context.compiled and context.cache_hit is not CacheStats.CACHE_HIT:
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", record)
    run()
    event.remove(database.engine, "before_cursor_execute", record)
    return statements
