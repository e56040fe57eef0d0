"""What the tests of the outbox share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.db import Database
from app.orders import answer as answering
from app.orders.queries import order_for_update
from app.orders.req_confirm import Given

ASHA = answering.Answerer(1, "Asha")


@pytest.fixture
def confirm(database: Database) -> Callable[..., str]:
    """Confirm an order in Asha's name, and return the message's id."""

    def confirm(order_id: int, remarks: str = "Confirmed") -> str:
        with database.writing() as session:
            order = order_for_update(session, None, order_id)
            assert order
            given = Given("ACCEPT", remarks, "INITIATING_CHANNEL", "WEB")
            decision = answering.answer(session, order, given, version=order.version, by=ASHA)
            session.commit()
            return decision.message_id

    return confirm
