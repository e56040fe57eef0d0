"""Answers counted by day: always what a plain count over all decisions says, on both databases."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock as the_clock
from app.db import Database
from app.demo.seed import seed
from app.orders import decisions
from app.orders import response_counts as counting
from app.orders.models import AnswerCount, AnswersCounted, Decision
from app.orders.queries import order_for_update
from app.orders.req_confirm import DecisionInput
from app.orders.response_counts import answered, count_answers
from tests.people import BEARINGS

INDIA = ZoneInfo("Asia/Kolkata")
LONDON = ZoneInfo("Europe/London")
Counts = dict[tuple[date, str, str, str], tuple[int, int, int, int]]


def naive(session: Session, scope: Any, first: date, last: date, zone: ZoneInfo) -> Counts:
    """All decisions looked at one by one."""
    session.rollback()
    found: dict[Any, list[Decision]] = defaultdict(list)
    for one in session.scalars(select(Decision)):
        day = one.decided_at.astimezone(zone).date()
        if first <= day <= last and (scope is None or one.supplier_b2b_id in scope):
            why = "" if one.response == "ACCEPT" else one.remarks
            found[day, one.person_name, one.response, why].append(one)
    return {
        key: (
            len(some),
            sum(1 for one in some if one.took_seconds <= one.left_seconds),
            sum(1 for one in some if one.left_seconds < 0),
            sum(one.took_seconds for one in some),
        )
        for key, some in found.items()
    }


def assert_exact(database: Database, zone: ZoneInfo = INDIA) -> int:
    """Over a month and over some of its days, for all and for one supplier; returns how many there are."""
    today, every = the_clock.now().astimezone(zone).date(), 0
    for scope in (None, frozenset({BEARINGS}), frozenset[str]()):
        for first, last in ((31, -1), (9, 3), (0, 0)):
            span = today - timedelta(days=first), today - timedelta(days=last)
            told: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
            with database.snapshot() as session:
                for one in answered(session, scope, *span, zone):
                    sums = told[one.day, one.person, one.response, one.remarks]
                    for place, value in enumerate((one.count, one.early, one.late, one.seconds)):
                        sums[place] += value
            with database.reading() as session:
                expected = naive(session, scope, *span, zone)
            assert {key: tuple(sums) for key, sums in told.items()} == expected
            every = max(every, sum(count for count, *_ in expected.values()))
    return every


@pytest.fixture
def seeded(database: Database) -> None:
    seed(database, messages=300, attempts=700, rng=random.Random(6))


def decide(session: Session, order_id: int, response: str, remarks: str) -> Decision:
    order = order_for_update(session, None, order_id)
    assert order
    given = DecisionInput(response, remarks, "INITIATING_CHANNEL", "WEB")
    by = decisions.Responder(1, "Asha")
    return decisions.respond(session, order, given, version=order.version, by=by)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("batch", [1000, 47])
def test_it_counts_what_a_plain_count_counts_however_far_it_came(
    database: Database, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(counting, "BATCH", batch)
    assert assert_exact(database) == 300
    assert count_answers(database, INDIA, for_seconds=-1) == min(batch, 300)
    assert_exact(database)
    count_answers(database, INDIA)
    assert_exact(database)
    with database.reading() as session:
        assert session.scalar(select(func.sum(AnswerCount.count))) == 300
    assert count_answers(database, INDIA) == 0
    assert assert_exact(database) == 300


@pytest.mark.usefixtures("seeded")
def test_each_zone_has_days_of_its_own(database: Database) -> None:
    count_answers(database, INDIA)
    assert_exact(database, LONDON)
    assert count_answers(database, LONDON) == 300
    assert_exact(database, LONDON)
    assert_exact(database, INDIA)


def test_what_is_taken_back_and_answered_anew_stays_counted(
    database: Database, arrive: Any, clock: Any
) -> None:
    (order_id,) = arrive(1)
    with database.writing() as session:
        decide(session, order_id, "ACCEPT", "Confirmed")
        session.commit()
    count_answers(database, INDIA)
    with database.writing() as session:
        order = order_for_update(session, None, order_id)
        assert order
        decisions.withdraw_response(session, order, "The buyer changed the order.")
        session.commit()
    assert assert_exact(database) == 1
    clock.move(hours=30)
    with database.writing() as session:
        decide(session, order_id, "REJECT", "Out of stock")
        session.commit()
    assert assert_exact(database) == 2
    assert count_answers(database, INDIA) == 1
    assert assert_exact(database) == 2


def test_an_answer_that_is_not_yet_committed_is_counted_when_it_is(
    database: Database, arrive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "WAIT_SECONDS", 0.1)
    first, second = arrive(2)
    with database.writing() as slow:
        early_id = decide(slow, first, "ACCEPT", "Confirmed").id
        if not database.is_postgresql:
            slow.commit()  # there is one writer: nobody comes between
        with database.writing() as session:
            late_id = decide(session, second, "ACCEPT", "Confirmed").id
            session.commit()
        assert early_id < late_id
        assert count_answers(database, INDIA) == (0 if database.is_postgresql else 2)
        assert assert_exact(database) == (1 if database.is_postgresql else 2)
        slow.commit()
    assert assert_exact(database) == 2
    count_answers(database, INDIA)
    with database.reading() as session:
        assert session.scalar(select(func.sum(AnswerCount.count))) == 2
    assert assert_exact(database) == 2


@pytest.mark.usefixtures("seeded")
def test_a_count_that_breaks_off_leaves_everything_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> int:
        count_next(*_)
        raise RuntimeError("the machine goes away")

    count_next = counting._count_next
    monkeypatch.setattr(counting, "_count_next", broken)
    with pytest.raises(RuntimeError):
        count_answers(database, INDIA)
    monkeypatch.undo()
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(AnswerCount)) == 0
        assert session.scalar(select(func.count()).select_from(AnswersCounted)) == 0
    assert_exact(database)
    assert count_answers(database, INDIA) == 300
    assert_exact(database)
