"""An order that a test can change."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.orders.models import PurchaseOrder
from tests.buyer import Buyer, Change


@pytest.fixture
def receive(buyer: Buyer, session: Session) -> Callable[..., int]:
    """Receive the first example order under another number, perhaps changed, and return its id."""
    count = 0

    def receive(change: Change = lambda _order: None) -> int:
        nonlocal count
        count += 1
        body = copy.deepcopy(buyer.bodies[0])
        order = body["purchaseOrder"]
        order["objectId"], order["buyerPONumber"] = f"POR{count:032}", f"MAL/{count}"
        change(order)
        assert buyer.post("req-send", body).status_code == 200
        session.rollback()
        order_id = session.scalar(select(func.max(PurchaseOrder.id))) or 0
        session.rollback()
        return order_id

    return receive
