"""The response report: by day and person, against the deadline, and only of the reader's suppliers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.orders.models import PurchaseOrder
from tests.fixture_types import Arrive, Confirm, MoveClock
from tests.people import BEARINGS, Browser
from tests.reports.figures import figures

PAGE = "/reports/answers"


@pytest.fixture
def responses(
    arrive: Arrive, confirm: Confirm, omar: Browser, session: Session, move_clock: MoveClock
) -> None:
    """Asha confirms two orders, Omar rejects one of his a day late; the other orders are overdue."""
    ids = arrive(12)
    orders = session.scalars(select(PurchaseOrder).where(PurchaseOrder.id.in_(ids))).all()
    mine = [order for order in orders if order.supplier_b2b_id == BEARINGS]
    others = [order for order in orders if order.supplier_b2b_id != BEARINGS]
    for order in others[:2]:
        confirm(order.id)
    move_clock(hours=48)
    assert omar.respond(mine[0].id, "REJECT", "Out of stock").status_code == 303


@pytest.mark.usefixtures("responses")
def test_managers_see_all_responses(meera: Browser) -> None:
    page = meera.get(PAGE)
    summary = figures(page)
    assert summary["Responses"].startswith("3 66.7% confirmed, 33.3% rejected")
    assert summary["On time"] == "66.7% 1 late"
    assert summary["Overdue now"].startswith("9 ")
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in page.page.select("#main table tr")]
    assert ["Asha", "2", "100%", "0.0%", "0.0%", "100%"] in [row[:6] for row in rows]
    assert ["Omar", "1", "0.0%", "100%", "0.0%", "0.0%"] in [row[:6] for row in rows]
    assert ["Out of stock", "Rejected", "1", "100%"] in [row[:4] for row in rows]
    days = page.page.select("#days-chart .slot")
    assert len(days) == 2
    assert str(days[-1]["aria-label"]).endswith("1 response, 1 rejected")
    assert str(page.page.select("#deadline-chart .slot")[-1]["aria-label"]).endswith("1 response, 1 late")


@pytest.mark.usefixtures("responses")
def test_supplier_staff_see_responses_of_their_suppliers_only(omar: Browser, asha: Browser) -> None:
    page = omar.get(PAGE)
    assert figures(page)["Responses"].startswith("1 ")
    assert "Asha" not in page.one("#main").get_text()
    assert not page.page.select("select[name=supplier]")
    assert figures(omar.get(f"{PAGE}?supplier=SUPPB2B0001@bbps"))["Responses"].startswith("1 ")
    assert figures(asha.get(PAGE))["Responses"].startswith("3 ")
    assert figures(asha.get(f"{PAGE}?supplier={BEARINGS}"))["Responses"].startswith("1 ")


@pytest.mark.usefixtures("responses")
def test_overdue_link_shows_orders_of_the_selected_supplier(meera: Browser) -> None:
    link = meera.get(f"{PAGE}?supplier={BEARINGS}").one(".figures a")
    orders = meera.get(str(link["href"])).page.select("tbody tr")
    assert len(orders) == int(link.text)


@pytest.mark.usefixtures("responses")
def test_report_covers_the_selected_days(meera: Browser) -> None:
    today = clock.now().astimezone().date()
    early = today - timedelta(days=40)
    assert "No responses in this period" in meera.get(f"{PAGE}?until={early}").visible_text
    assert figures(meera.get(f"{PAGE}?since={early}"))["Responses"].startswith("3 ")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("query", "notice"),
    [
        ("since=yesterday", "“yesterday” is ignored"),
        ("since=0001-01-01", "Enter a valid date"),
        ("until=9999-12-31", "Enter a valid date"),
        ("since=2026-02-02&until=2026-02-01", "The first day is after the last"),
        ("since=1999-01-01", "Showing the last 92 days"),
        ("supplier=nobody", "Unknown supplier"),
    ],
)
def test_invalid_parameters_are_ignored_with_a_notice(meera: Browser, query: str, notice: str) -> None:
    page = meera.get(f"{PAGE}?{query}")
    assert page.status_code == 200
    assert notice in page.visible_text


def test_days_are_those_of_the_readers_time_zone(
    meera: Browser, confirm: Confirm, order_id: int, move_clock: MoveClock
) -> None:
    # Just after midnight in India it is still yesterday in UTC.
    now = clock.now()
    midnight = now.replace(hour=18, minute=31, second=0, microsecond=0)
    move_clock(seconds=((midnight - now).total_seconds() + 86_400) % 86_400)
    confirm(order_id)
    page = meera.get(PAGE)
    slots = page.page.select("#days-chart .slot")
    indian = clock.now() + timedelta(hours=5, minutes=30)
    assert str(slots[0]["aria-label"]).startswith(f"{indian.day} {indian:%b}: ")
    assert "No rejections or returns" in page.visible_text
