"""A short delivery: 40 of 100 now, 60 in two weeks, price as agreed.

Asha finds the order, splits its first line, reads what that amounts to, and confirms with changes: with the
mouse, with the keyboard alone, and on a phone.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import select

from app.db import Database
from app.delivery.models import Message
from tests.browser.axe import violations
from tests.browser.keys import press
from tests.fixture_types import Arrive

PO_NUMBER = "ARA/2611/45010"
REMARK = "40 now, 60 in two weeks, price as agreed"
FIRST, SECOND = ("12012026", "2026-12-01"), ("12152026", "2026-12-15")
"""The two dates as typed in Chromium, and as sent."""
SENTENCE = "You confirm 2 lines for ₹34,259.35: 1 as ordered, 1 changed."
TABS_MAX = 120
"""Tab presses after which a target counts as out of reach."""


@pytest.fixture
def order_id(arrive: Arrive) -> int:
    """An order of 100 bearings and a solar module, among others."""
    return int(arrive(4)[3])


@pytest.fixture
def inbox(page: Page, site: str, sign_in: Callable[[str], None], order_id: int) -> Page:
    """The orders that need a response, opened by Asha."""
    sign_in("asha")
    page.goto(f"{site}/orders?answer=open")
    return page


def first_line(page: Page) -> Locator:
    return page.locator(".line-row").first


def infos_sent(database: Database) -> dict[str, str]:
    with database.reading() as session:
        body = json.loads(session.scalars(select(Message.body)).one())
    return {info["name"]: info["value"] for info in body["additionalInfos"]}


def check_recorded(page: Page, order_id: int, database: Database) -> None:
    """The page, the activity and the message tell the same."""
    panel = page.locator("#response")
    expect(panel).to_contain_text("Confirmed with changes by Asha")
    expect(panel).to_contain_text("Delivery 1: 40 NOS on 1 Dec 2026")
    expect(panel).to_contain_text("Delivery 2: 60 NOS on 15 Dec 2026")
    page.goto(f"{page.url.partition('/orders')[0]}/orders/{order_id}")
    expect(page.locator("#timeline")).to_contain_text("1 line changed.")
    assert infos_sent(database) == {
        "line/00010/response": "CHANGED",
        "line/00010/split/1/quantity": "40",
        "line/00010/split/1/deliveryDate": FIRST[1],
        "line/00010/split/2/quantity": "60",
        "line/00010/split/2/deliveryDate": SECOND[1],
        "line/00010/remarks": "Out of stock",
    }


def check_summary(page: Page) -> None:
    """What the bar and the line say before the review."""
    expect(page.locator("#line-sentence")).to_have_text(SENTENCE)
    expect(first_line(page).locator(".line-effect")).to_have_text("100 of 100 NOS planned")
    expect(page.locator("#line-sentence")).to_be_in_viewport()


def fill_in(page: Page) -> None:
    """Split the first line with a pointer."""
    page.get_by_text("Line by line").click()
    line = first_line(page)
    line.get_by_role("radio", name="Change").check()
    line.get_by_text("Split delivery").click()
    for number, quantity, (_, day) in ((1, "40", FIRST), (2, "60", SECOND)):
        line.get_by_label(f"Quantity of delivery {number}").fill(quantity)
        line.get_by_label(f"Date of delivery {number}").fill(day)
    line.get_by_label("Reason").fill("Out of stock")
    page.get_by_label("Remarks for the buyer").fill(REMARK)


def test_short_delivery_with_the_mouse(inbox: Page, order_id: int, database: Database) -> None:
    inbox.get_by_role("link", name=PO_NUMBER).click()
    fill_in(inbox)
    check_summary(inbox)
    assert violations(inbox) == []
    inbox.get_by_role("button", name="Review and confirm with changes").click()
    dialog = inbox.get_by_role("dialog")
    expect(dialog).to_contain_text("Confirm this order with changes?")
    expect(dialog).to_contain_text("Delivery 2: 60 NOS on 15 Dec 2026")
    dialog.get_by_role("button", name="Confirm order").click()
    check_recorded(inbox, order_id, database)


def test_short_delivery_on_a_phone(inbox: Page, order_id: int, database: Database) -> None:
    inbox.set_viewport_size({"width": 390, "height": 844})
    inbox.get_by_role("link", name=PO_NUMBER).click()
    inbox.get_by_role("link", name="Respond to this order").click()
    inbox.wait_for_url("**/answer*")
    fill_in(inbox)
    check_summary(inbox)
    assert inbox.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(inbox) == []
    inbox.get_by_role("button", name="Review and confirm with changes").click()
    dialog = inbox.get_by_role("dialog")
    expect(dialog).to_contain_text("40 NOS")
    dialog.get_by_role("button", name="Confirm order").click()
    check_recorded(inbox, order_id, database)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, and check that it can be seen."""
    for _ in range(TABS_MAX):
        press(page, "Tab")
        if target.evaluate("element => element === document.activeElement"):
            expect(target).to_be_in_viewport()
            return
    raise AssertionError(f"{target} cannot be reached with {TABS_MAX} tabs")


def test_short_delivery_with_the_keyboard_alone(inbox: Page, order_id: int, database: Database) -> None:
    tab_to(inbox, inbox.get_by_role("link", name=PO_NUMBER))
    press(inbox, "Enter")
    expect(inbox.get_by_role("heading", name=PO_NUMBER)).to_be_visible()
    tab_to(inbox, inbox.locator(".line-section > summary"))
    press(inbox, "Enter")
    line = first_line(inbox)
    tab_to(inbox, line.get_by_role("radio", name="As ordered"))
    press(inbox, "ArrowRight")
    expect(line.get_by_role("radio", name="Change")).to_be_checked()
    tab_to(inbox, line.locator(".line-splits > summary"))
    press(inbox, "Enter")
    for number, quantity, (typed, _) in ((1, "40", FIRST), (2, "60", SECOND)):
        tab_to(inbox, line.get_by_label(f"Quantity of delivery {number}"))
        inbox.keyboard.type(quantity)
        tab_to(inbox, line.get_by_label(f"Date of delivery {number}"))
        inbox.keyboard.type(typed)
    tab_to(inbox, line.get_by_label("Reason"))
    inbox.keyboard.type("Out of stock")
    tab_to(inbox, inbox.get_by_label("Remarks for the buyer"))
    press(inbox, "Control+A")
    inbox.keyboard.type(REMARK)
    check_summary(inbox)
    tab_to(inbox, inbox.get_by_role("button", name="Review and confirm with changes"))
    press(inbox, "Enter")
    dialog = inbox.get_by_role("dialog")
    expect(dialog).to_contain_text("Confirm this order with changes?")
    tab_to(inbox, dialog.get_by_role("button", name="Confirm order"))
    press(inbox, "Enter")
    check_recorded(inbox, order_id, database)
