"""The app and the simulator, each on a real socket, understand each other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from app.db import Database
from app.demo.simulator import create_simulator
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from tests.conftest import INBOUND_KEY
from tests.people import Browser


@contextmanager
def served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class BuyersSide:
    """The simulator, told what to do by HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, what: str, **values: Any) -> dict[str, Any]:
        answer: dict[str, Any] = requests.post(f"{self.url}/send-{what}", json=values, timeout=30).json()
        return answer

    def knows(self, object_id: str) -> dict[str, Any]:
        orders = requests.get(f"{self.url}/orders.json", timeout=10).json()["orders"]
        found: dict[str, Any] = next(order for order in orders if order["objectId"] == object_id)
        return found


@pytest.fixture
def buyers_side(app: Flask, database: Database, partner: Partner) -> Iterator[BuyersSide]:
    """A partner that the app knows, at its real address."""
    with served(app) as site:
        simulator = create_simulator(send_to=site, inbound_key=INBOUND_KEY)
        with served(simulator) as url:
            with database.writing() as session:
                session.merge(partner).base_url = url
                session.commit()
            yield BuyersSide(url)


def order_in(session: Session) -> PurchaseOrder:
    session.rollback()
    session.expire_all()
    return session.scalars(select(PurchaseOrder)).one()


def test_conversation_over_a_whole_order_life(
    buyers_side: BuyersSide, asha: Browser, deliver: Callable[[], Counter[str]], session: Session
) -> None:
    assert buyers_side.send("orders", count=1)["accepted"] == 1
    order = order_in(session)
    for number, change in enumerate(("quantity", "lines", "dates"), start=2):
        told = buyers_side.send("edit", change=change)
        assert (told["accepted"], told["version"]) == (True, number), told
    assert (order_in(session).version, order_in(session).status) == (4, "CREATED")

    assert asha.answer(order.id).status_code == 303
    assert deliver()["delivered"] == 1
    assert order_in(session).status == buyers_side.knows(order.object_id)["status"] == "ACCEPTED"

    assert buyers_side.send("result", result="FAILURE")["accepted"]
    assert buyers_side.knows(order.object_id)["status"] == "CREATED"
    assert asha.answer(order.id, remarks="In other words").status_code == 303
    assert deliver()["delivered"] == 1
    assert buyers_side.send("result", result="SUCCESS")["accepted"]
    assert order_in(session).status == buyers_side.knows(order.object_id)["status"] == "ACCEPTED"

    assert buyers_side.send("edit")["accepted"]
    assert order_in(session).status == buyers_side.knows(order.object_id)["status"] == "CREATED"
    assert buyers_side.send("status-change", action="CANCEL")["accepted"]
    assert order_in(session).status == buyers_side.knows(order.object_id)["status"] == "CANCELLED"


def test_forbidden_transition_changes_neither_side(buyers_side: BuyersSide, session: Session) -> None:
    buyers_side.send("orders", count=1)
    order = order_in(session)
    told = buyers_side.send("status-change", action="CLOSE", object_id=order.object_id)
    assert (told["status"], told["accepted"]) == (409, False)
    assert order_in(session).status == buyers_side.knows(order.object_id)["status"] == "CREATED"
