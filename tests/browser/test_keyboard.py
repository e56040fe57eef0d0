"""A day's work by keyboard alone: the list, one order after the other, and the palette."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.keys import press
from tests.fixture_types import Arrive

SignIn = Callable[[str], None]


@pytest.fixture
def inbox(page: Page, site: str, sign_in: SignIn, arrive: Arrive) -> Page:
    """Asha's queue with three orders."""
    arrive(3)
    sign_in("asha")
    page.goto(f"{site}/orders?answer=open")
    return page


def test_orders_are_confirmed_one_after_the_other_by_keyboard(inbox: Page) -> None:
    page = inbox
    press(page, "j", "Enter")
    expect(page.locator("nav.list-position")).to_contain_text("1 of 3")
    press(page, "j")
    expect(page.locator("nav.list-position")).to_contain_text("2 of 3")
    press(page, "k")
    expect(page.locator("nav.list-position")).to_contain_text("1 of 3")
    for remaining in ("1 of 2", "1 of 1"):
        press(page, "c")
        expect(page.locator("#review-title")).to_be_focused()
        press(page, "Tab")
        while page.evaluate("document.activeElement.name") != "next":
            press(page, "Tab")
        press(page, "Enter")
        expect(page.locator("nav.list-position")).to_contain_text(remaining)
        expect(page.locator("form.responded")).to_contain_text("Confirmed by Asha")
    press(page, "r")
    expect(page.get_by_label("Remarks for the buyer")).to_be_focused()
    page.keyboard.type("Not in our range, just x? c/r")
    page.get_by_role("button", name="Reject and next").press("Enter")
    expect(page.get_by_text("All done")).to_be_visible()


def test_rows_are_selected_by_keyboard_for_a_bulk_response(inbox: Page) -> None:
    page = inbox
    press(page, *"jxjx")
    expect(page.locator("[data-selection-count]")).to_have_text("2 selected")
    press(page, "c")
    page.wait_for_url(re.compile("/orders/answers/plan"))


def test_palette_opens_pages_orders_and_actions(inbox: Page) -> None:
    page = inbox
    number = page.locator("#orders-list .col-order a").nth(1).inner_text()
    press(page, "Control+k")
    palette = page.locator("#palette")
    expect(palette.get_by_role("link", name="Home")).to_be_visible()
    assert not violations(page)
    page.keyboard.type("outgo")
    press(page, "Enter")
    page.wait_for_url(re.compile("/webhooks"))
    press(page, "Control+k")
    page.keyboard.type(number)
    expect(palette.locator(f"[data-query='{number}']")).to_be_visible()
    press(page, "ArrowDown", "Enter")
    expect(page.locator("h1")).to_have_text(number)
    press(page, "Control+k")
    page.keyboard.type("x")
    press(page, "Escape")
    expect(palette).to_be_hidden()
    press(page, "Control+k")
    page.keyboard.type("confirm this")
    palette.get_by_role("button", name="Confirm this order C").click()
    expect(page.locator("#review-title")).to_be_visible()


def test_keys_go_to_pages_and_can_be_switched_off(inbox: Page) -> None:
    page = inbox
    press(page, "g", "i")
    page.wait_for_url(re.compile("/inbound"))
    press(page, "/")
    page.keyboard.type("g?xj")
    expect(page.locator("main input[type=search]")).to_have_value("g?xj")
    expect(page.locator("#keys")).to_be_hidden()
    page.locator("h1").click()
    press(page, "?")
    expect(page.locator("#keys")).to_be_visible()
    assert not violations(page)
    page.locator("#keys").get_by_role("link", name="Turn them off").click()
    page.locator("#has_shortcuts").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice", has_text="Saved.")).to_be_focused()
    press(page, "?", "Control+k", "g", "h")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert "/account" in page.url


def test_closed_review_returns_the_focus_to_its_button(inbox: Page) -> None:
    page = inbox
    press(page, "j", "Enter")
    review = page.get_by_role("button", name="Review and confirm")
    review.press("Enter")
    expect(page.locator("#review-title")).to_be_focused()
    press(page, "Escape")
    expect(review).to_be_focused()


def test_menu_of_a_list_closes_on_escape_and_on_a_click_elsewhere(inbox: Page) -> None:
    page = inbox
    summary, menu = page.locator(".list-menu summary"), page.locator(".list-menu[open]")
    summary.press("Enter")
    expect(menu).to_be_visible()
    press(page, "Escape")
    expect(menu).to_have_count(0)
    expect(summary).to_be_focused()
    summary.click()
    page.locator("h1").click()
    expect(menu).to_have_count(0)
