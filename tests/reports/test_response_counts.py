"""Counts of responses equal a plain count over all decisions, on both databases."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery.models import CancelReason
from app.demo.seed import seed
from app.orders import decisions
from app.orders.models import Decision
from app.orders.queries import order_for_update
from app.orders.req_confirm import DecisionInput
from app.reports.response_report import response_counts
from tests.fixture_types import Arrive, MoveClock
from tests.people import ASHA, BEARINGS

INDIA = ZoneInfo("Asia/Kolkata")
LONDON = ZoneInfo("Europe/London")
Counts = dict[tuple[date, str, str, str], tuple[int, int, int, int]]


def plain_count(session: Session, scope: Any, first: date, last: date, zone: ZoneInfo) -> Counts:
    """Count the decisions in Python."""
    groups: dict[Any, list[Decision]] = defaultdict(list)
    for decision in session.scalars(select(Decision).where(~Decision.undone)):
        day = decision.decided_at.astimezone(zone).date()
        if first <= day <= last and (scope is None or decision.supplier_b2b_id in scope):
            reason = "" if decision.response == "ACCEPT" else decision.remarks
            groups[day, decision.person_name, decision.response, reason].append(decision)
    return {
        key: (
            len(group),
            sum(decision.took_seconds <= decision.left_seconds for decision in group),
            sum(decision.left_seconds < 0 for decision in group),
            sum(decision.took_seconds for decision in group),
        )
        for key, group in groups.items()
    }


def decide(session: Session, order_id: int, response: str, remarks: str) -> Decision:
    order = order_for_update(session, None, order_id)
    assert order
    values = DecisionInput(response, remarks, "INITIATING_CHANNEL", "WEB")
    return decisions.respond(session, order, values, version=order.version, by=ASHA, undo_seconds=5)


@pytest.mark.parametrize("zone", [INDIA, LONDON])
def test_counts_match_a_plain_count_in_each_zone_and_scope(database: Database, zone: ZoneInfo) -> None:
    seed(database, messages=300, attempts=700, rng=random.Random(6))
    today, most = clock.now().astimezone(zone).date(), 0
    for scope in (None, frozenset({BEARINGS}), frozenset[str]()):
        for first, last in ((31, -1), (9, 3), (0, 0)):
            span = today - timedelta(days=first), today - timedelta(days=last)
            with database.reading() as session:
                counts = {
                    (row.day, row.person, row.response, row.remarks): (
                        row.count,
                        row.early,
                        row.late,
                        row.seconds,
                    )
                    for row in response_counts(session, scope, *span, zone)
                }
                assert counts == plain_count(session, scope, *span, zone)
            most = max(most, sum(count for count, *_ in counts.values()))
    assert most == 300


def test_second_response_is_counted_and_undone_response_is_not(
    database: Database, arrive: Arrive, move_clock: MoveClock
) -> None:
    withdrawn_id, undone_id = arrive(2)
    with database.writing() as session:
        decide(session, withdrawn_id, "ACCEPT", "Confirmed")
        decide(session, undone_id, "REJECT", "Not in stock")
        session.commit()
    with database.writing() as session:
        withdrawn = order_for_update(session, None, withdrawn_id)
        undone = order_for_update(session, None, undone_id)
        assert withdrawn and undone
        decisions.cancel_response(session, withdrawn, CancelReason.ORDER_CHANGED, version=2)
        decisions.undo(session, undone, by=ASHA)
        session.commit()
    move_clock(hours=30)
    with database.writing() as session:
        decide(session, withdrawn_id, "REJECT", "Out of stock")
        session.commit()
    today = clock.now().astimezone(INDIA).date()
    with database.reading() as session:
        rows = list(response_counts(session, None, today - timedelta(days=3), today, INDIA))
    counted = [(row.response, row.remarks, row.count) for row in rows]
    assert counted == [("ACCEPT", "", 1), ("REJECT", "Out of stock", 1)]
