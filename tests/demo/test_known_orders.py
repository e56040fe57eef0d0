"""The demo gives its simulator the orders of an earlier run, with their current state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from app.demo import start
from app.demo.state import SimulatorState
from app.network.messages import parse
from app.network.reader import dumps, read_json
from app.network.vocabulary import Kind
from app.partners.models import Partner
from tests.people import Browser


def test_simulator_gets_orders_with_current_statuses(
    arrive: Callable[..., list[int]],
    asha: Browser,
    deliver: Callable[[], Counter[str]],
    partner: Partner,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "PARTNER", partner.name)
    first, *_ = arrive(3)
    asha.respond(first)
    deliver()
    bodies = [read_json(dumps(body)) for body in start.known_orders(session)]
    for body in bodies:
        parse(Kind.REQ_SEND, body)
    known = SimulatorState(bodies).orders()
    assert len(known) == 3
    assert Counter(order.status for order in known) == {"ACCEPTED": 1, "CREATED": 2}


def test_simulator_gets_only_orders_of_its_partner(
    arrive: Callable[..., list[int]], session: Session
) -> None:
    arrive(2)
    assert list(start.known_orders(session)) == []
