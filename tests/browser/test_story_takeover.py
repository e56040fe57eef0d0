"""A colleague is ill and another takes over: with the mouse, by keyboard alone, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.queries import person_by_username
from app.db import Database
from app.notifications.models import Event, Notification
from app.orders.models import PurchaseOrder
from tests.browser.axe import violations
from tests.browser.keys import press
from tests.fixture_types import Arrive
from tests.people import BEARINGS

SignIn = Callable[[str], None]


@pytest.fixture
def orders_of_asha(arrive: Arrive, database: Database) -> int:
    """How many orders of Triveni Bearings are assigned to Asha, who is ill."""
    arrive(12)
    with database.writing() as session:
        asha = person_by_username(session, "asha")
        orders = session.scalars(select(PurchaseOrder).where(PurchaseOrder.supplier_b2b_id == BEARINGS)).all()
        for order in orders:
            order.assignee = asha
        session.commit()
    assert len(orders) >= 2
    return len(orders)


@pytest.fixture
def inbox(page: Page, site: str, sign_in: SignIn, orders_of_asha: int) -> Page:
    """Omar's queue, narrowed to the orders of Asha."""
    sign_in("omar")
    page.goto(f"{site}/orders?answer=open&assigned=asha")
    expect(page.get_by_title("Assigned to Asha")).to_have_count(orders_of_asha)
    return page


def mentioned(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(Notification.caused_by).where(Notification.event == Event.MENTIONED)))


def test_takeover_with_the_mouse(inbox: Page, orders_of_asha: int, session: Session) -> None:
    page = inbox
    page.goto(page.url.replace("&assigned=asha", ""))
    page.locator("select[name=assigned]").select_option("asha")
    page.wait_for_url(re.compile("assigned=asha"))
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Assign to").click()
    page.get_by_label("Assignee").select_option("omar")
    assert not violations(page)
    page.get_by_role("button", name=f"Assign {orders_of_asha} orders").click()
    expect(page.locator("h1")).to_have_text(f"{orders_of_asha} orders assigned to Omar")
    assert not violations(page)
    page.get_by_role("link", name="Back to inbox").click()
    page.locator("select[name=assigned]").select_option("me")
    expect(page.get_by_title("Assigned to Omar")).to_have_count(orders_of_asha)
    page.locator("tbody a.strong").first.click()
    team = page.locator("#team")
    expect(team).to_contain_text("Assigned to Omar")
    # What was typed in the response stays while the team comments.
    page.get_by_label("Remarks for the buyer").fill("On its way")
    page.get_by_label("Comment").press_sequentially("Get well soon, @as")
    team.get_by_role("button", name="@asha").click()
    expect(page.get_by_label("Comment")).to_have_value("Get well soon, @asha ")
    assert not violations(page)
    team.get_by_role("button", name="Comment").click()
    expect(page.locator("#timeline .mention")).to_have_text("@asha")
    expect(page.get_by_label("Remarks for the buyer")).to_have_value("On its way")
    assert mentioned(session) == ["Omar"]
    page.get_by_role("button", name="Confirm and next").click()
    expect(page.locator("form.responded")).to_contain_text("Confirmed by Omar")


def test_takeover_by_keyboard_alone(inbox: Page, session: Session) -> None:
    page = inbox
    press(page, *"jxjx")
    expect(page.locator("[data-selection-count]")).to_have_text("2 selected")
    press(page, "a")
    expect(page.get_by_label("Assignee")).to_be_focused()
    page.keyboard.type("Omar")
    press(page, "Tab", "Enter")
    expect(page.locator("h1")).to_have_text("2 orders assigned to Omar")
    press(page, *"gn")
    page.wait_for_url(re.compile("answer=open$"))
    press(page, "j", "Enter")
    page.wait_for_url(re.compile(r"/orders/\d+"))
    comment = page.get_by_label("Comment")
    while page.evaluate("document.activeElement.id") != "comment":
        press(page, "Tab")
    page.keyboard.type("With me until Monday @a")
    press(page, "ArrowDown")
    while "@asha" not in page.evaluate("document.activeElement.textContent"):
        press(page, "ArrowDown")
    press(page, "Enter")
    expect(comment).to_have_value("With me until Monday @asha ")
    press(page, "Tab", "Enter")
    expect(page.locator("#timeline .mention")).to_have_text("@asha")
    assert mentioned(session) == ["Omar"]


def test_takeover_of_one_order_on_a_phone(inbox: Page, orders_of_asha: int) -> None:
    page = inbox
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("tbody input[type=checkbox]").first.check()
    page.get_by_role("button", name="Assign to").click()
    page.get_by_label("Assignee").select_option("omar")
    page.get_by_role("button", name="Assign 1 order").click()
    expect(page.locator("h1")).to_have_text("1 order assigned to Omar")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("tbody a.strong").first.click()
    expect(page.locator("#team")).to_contain_text("Assigned to Omar")
    page.go_back()
    page.get_by_role("link", name="Back to inbox").click()
    page.get_by_title("Assigned to Asha").first.locator("xpath=ancestor::tr").locator("a.strong").click()
    page.get_by_role("button", name="Claim").click()
    expect(page.locator("#team")).to_contain_text("Assigned to Omar")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not violations(page)
