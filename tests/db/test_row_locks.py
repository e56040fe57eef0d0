"""Row locks on PostgreSQL, where a foreign key locks the row that it refers to."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from app.accounts.queries import person_by_id
from app.config import ROOT
from app.db import Database
from app.orders.bulk_response import create_plan
from app.orders.models import BulkItem, BulkSource
from app.orders.queries import order_for_update
from app.partners.queries import partner_for_update
from tests.fixture_types import Arrive


@pytest.mark.postgresql
def test_row_that_others_refer_to_can_be_locked(database: Database, arrive: Arrive) -> None:
    (order_id,) = arrive(1)
    with database.writing() as first, database.writing() as second:
        asha = person_by_id(first, 1)
        assert asha
        create_plan(first, BulkSource.SELECTION, asha, [BulkItem(number=1, order_id=order_id)])
        second.execute(text("SET LOCAL lock_timeout = '2s'"))
        order = order_for_update(second, None, order_id)
        assert order and partner_for_update(second, order.partner_id) and person_by_id(second, 1, lock=True)


def test_every_row_lock_allows_references() -> None:
    """Otherwise two transactions that add rows for an order and then lock it deadlock."""
    for path in (ROOT / "app").rglob("*.py"):
        for arguments in re.findall(r"\.with_for_update\(([^)]*)\)", path.read_text()):
            assert "key_share=True" in arguments, path
