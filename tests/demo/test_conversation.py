"""The app and the simulator, each on a real socket, understand each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.demo.simulator import create_simulator
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from tests.buyer import INBOUND_KEY
from tests.people import Browser
from tests.serving import served


class SimulatorClient:
    """The simulator, controlled over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, message: str, **values: Any) -> dict[str, Any]:
        response: dict[str, Any] = requests.post(f"{self.url}/send-{message}", json=values, timeout=30).json()
        return response

    def knows(self, object_id: str) -> dict[str, Any]:
        orders = requests.get(f"{self.url}/orders.json", timeout=10).json()["orders"]
        order_data: dict[str, Any] = next(order for order in orders if order["objectId"] == object_id)
        return order_data


@pytest.fixture
def running_simulator(app: Flask, database: Database, partner: Partner) -> Iterator[SimulatorClient]:
    """A simulator on a real socket, as a partner of the app."""
    with served(app) as site:
        simulator = create_simulator(send_to=site, inbound_key=INBOUND_KEY)
        with served(simulator) as url:
            with database.writing() as session:
                session.merge(partner).base_url = url
                session.commit()
            yield SimulatorClient(url)


def order_in(session: Session) -> PurchaseOrder:
    session.rollback()
    session.expire_all()
    return session.scalars(select(PurchaseOrder)).one()


def test_order_goes_from_creation_to_closure(
    running_simulator: SimulatorClient, asha: Browser, deliver: Callable[[], Counter[str]], session: Session
) -> None:
    assert running_simulator.send("orders", count=1)["accepted"] == 1
    order = order_in(session)
    for number, change in enumerate(("quantity", "lines", "dates"), start=2):
        result = running_simulator.send("edit", change=change)
        assert (result["accepted"], result["version"]) == (True, number), result
    assert (order_in(session).version, order_in(session).status) == (4, "CREATED")

    assert asha.respond(order.id).status_code == 303
    assert deliver()["delivered"] == 1
    assert order_in(session).status == running_simulator.knows(order.object_id)["status"] == "ACCEPTED"

    assert running_simulator.send("result", result="FAILURE")["accepted"]
    assert running_simulator.knows(order.object_id)["status"] == "CREATED"
    assert asha.respond(order.id, remarks="In other words").status_code == 303
    assert deliver()["delivered"] == 1
    assert running_simulator.send("result", result="SUCCESS")["accepted"]
    assert order_in(session).status == running_simulator.knows(order.object_id)["status"] == "ACCEPTED"

    assert running_simulator.send("edit")["accepted"]
    assert order_in(session).status == running_simulator.knows(order.object_id)["status"] == "CREATED"
    assert running_simulator.send("status-change", action="CANCEL")["accepted"]
    assert order_in(session).status == running_simulator.knows(order.object_id)["status"] == "CANCELLED"


def test_forbidden_transition_changes_neither_side(
    running_simulator: SimulatorClient, session: Session
) -> None:
    running_simulator.send("orders", count=1)
    order = order_in(session)
    result = running_simulator.send("status-change", action="CLOSE", object_id=order.object_id)
    assert (result["status"], result["accepted"]) == (409, False)
    assert order_in(session).status == running_simulator.knows(order.object_id)["status"] == "CREATED"
