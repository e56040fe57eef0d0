"""The report of answers: counted by day and person, against the deadline, in the reader's scope only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock as the_clock
from app.orders.models import Decision, PurchaseOrder
from tests.people import BEARINGS, Browser
from tests.reports.test_delivery_health import figures

PAGE = "/reports/answers"


@pytest.fixture
def answered(arrive: Any, asha: Browser, omar: Browser, session: Session, clock: Any) -> list[PurchaseOrder]:
    """Asha confirms two orders at once, Omar rejects one of his a day late; more wait and are overdue."""
    ids = arrive(12)
    orders = session.scalars(select(PurchaseOrder).where(PurchaseOrder.id.in_(ids))).all()
    mine = [order for order in orders if order.supplier_b2b_id == BEARINGS]
    others = [order for order in orders if order.supplier_b2b_id != BEARINGS]
    for order in others[:2]:
        assert asha.answer(order.id).status_code == 303
    clock.move(hours=48)
    assert omar.answer(mine[0].id, "REJECT", "Out of stock").status_code == 303
    return [*others[:2], mine[0]]


def test_a_decision_keeps_how_it_stood_to_its_deadline(
    answered: list[PurchaseOrder], session: Session
) -> None:
    session.rollback()
    decisions = session.scalars(select(Decision).order_by(Decision.id)).all()
    for decision, order in zip(decisions, answered, strict=True):
        took = decision.decided_at - order.revised_at
        assert timedelta(seconds=decision.took_seconds) <= took < timedelta(seconds=decision.took_seconds + 1)
        left = order.respond_by - decision.decided_at
        assert timedelta(seconds=decision.left_seconds) <= left < timedelta(seconds=decision.left_seconds + 1)
        assert decision.supplier_b2b_id == order.supplier_b2b_id
    assert [decision.left_seconds < 0 for decision in decisions] == [False, False, True]


@pytest.mark.usefixtures("answered")
def test_managers_see_everybodys_answers(meera: Browser) -> None:
    page = meera.get(PAGE)
    found = figures(page)
    assert found["Answered"].startswith("3 66.7 % confirmed, 33.3 % rejected")
    assert found["In time"] == "66.7 % 1 answer came late"
    assert found["Overdue now"].startswith("9 ")
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in page.page.select("#main table tr")]
    assert ["Asha", "2", "100 %", "0.0 %", "0.0 %", "100 %"] in [row[:6] for row in rows]
    assert ["Omar", "1", "0.0 %", "100 %", "0.0 %", "0.0 %"] in [row[:6] for row in rows]
    assert ["Out of stock", "Rejected", "1", "100 %"] in [row[:4] for row in rows]
    days = page.page.select("#days-picture .slot")
    assert len(days) == 2
    assert days[-1]["aria-label"].endswith("1 answer, 1 rejected")
    assert page.page.select("#deadline-picture .slot")[-1]["aria-label"].endswith("1 answer, 1 late")


@pytest.mark.usefixtures("answered")
def test_supplier_staff_see_the_answers_of_their_own_suppliers(omar: Browser, asha: Browser) -> None:
    page = omar.get(PAGE)
    assert figures(page)["Answered"].startswith("1 ")
    assert "Asha" not in page.one("#main").get_text()
    assert not page.page.select("select[name=supplier]")
    assert figures(omar.get(f"{PAGE}?supplier=SUPPB2B0001@bbps"))["Answered"].startswith("1 ")
    assert figures(asha.get(PAGE))["Answered"].startswith("3 ")
    assert figures(asha.get(f"{PAGE}?supplier={BEARINGS}"))["Answered"].startswith("1 ")


@pytest.mark.usefixtures("answered")
def test_the_days_can_be_chosen(meera: Browser) -> None:
    today = the_clock.now().astimezone().date()
    early = today - timedelta(days=40)
    assert "Nothing was answered in these days" in meera.get(f"{PAGE}?until={early}").words
    assert figures(meera.get(f"{PAGE}?since={early}"))["Answered"].startswith("3 ")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", "“yesterday” is ignored"),
        ("since=0001-01-01", "Write a day of our days"),
        ("until=9999-12-31", "Write a day of our days"),
        ("since=2026-02-02&until=2026-02-01", "The first day is after the last"),
        ("since=1999-01-01", "Only the last 92 of these days"),
        ("supplier=nobody", "There is no such supplier"),
    ],
)
def test_what_makes_no_sense_is_told_and_harms_nothing(meera: Browser, query: str, said: str) -> None:
    page = meera.get(f"{PAGE}?{query}")
    assert page.status_code == 200
    assert said in page.words


def test_a_day_is_that_of_the_readers_clock(
    meera: Browser, asha: Browser, arrive: Any, clock: Any, session: Session
) -> None:
    (order_id,) = arrive(1)
    # Just after midnight in India it is still yesterday in Greenwich.
    now = the_clock.now()
    midnight = now.replace(hour=18, minute=31, second=0, microsecond=0)
    clock.move(seconds=((midnight - now).total_seconds() + 86_400) % 86_400)
    asha.answer(order_id)
    slots = meera.get(PAGE).page.select("#days-picture .slot")
    indian = the_clock.now() + timedelta(hours=5, minutes=30)
    assert slots[0]["aria-label"].startswith(f"{indian.day} {indian:%b}: ")
