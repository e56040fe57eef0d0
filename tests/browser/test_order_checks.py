"""Order checks in a real browser: dismissed beside a form that is being filled in."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.keys import press
from tests.buyer import Buyer

"""Milliseconds to wait for the page on a busy machine."""


@pytest.fixture
def order(page: Page, site: str, sign_in: Callable[[str], None], buyer: Buyer) -> Page:
    """An order with another price than the one before and a mistyped GSTIN, opened by Asha."""
    for number, price in ((1, 1), (2, 194.23)):
        body = copy.deepcopy(buyer.bodies[0])
        sent = body["purchaseOrder"]
        sent["objectId"], sent["buyerPONumber"] = f"POR{number:032}", f"MAL/{number}"
        sent["itemLists"][0].update(unitPrice=price, quantity=number)
        sent["supplierDetails"]["gstin"] = "27AAPFU0939F1ZW"
        assert buyer.post("req-send", body).status_code == 200
    sign_in("asha")
    page.goto(f"{site}/orders/2")
    return page


def test_check_is_dismissed_without_losing_what_was_typed(order: Page) -> None:
    order.get_by_label("Remarks for the buyer").fill("Half typed")
    checks = order.get_by_role("region", name="Order checks")
    expect(checks.get_by_role("listitem")).to_have_count(2)
    checks.locator("summary").first.press("Enter")
    press(order, "Tab")
    order.keyboard.type("New contract")
    press(order, "Enter")
    expect(checks).to_contain_text("1 dismissed")
    expect(order.get_by_role("heading", name="Order checks")).to_be_focused()
    expect(order.get_by_label("Remarks for the buyer")).to_have_value("Half typed")
    checks.get_by_text("1 dismissed").click()
    expect(checks).to_contain_text("Dismissed by Asha, today")
    expect(checks).to_contain_text("New contract")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390), ("light", 320)])
def test_checks_are_accessible(order: Page, scheme: str, width: int) -> None:
    order.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    order.set_viewport_size({"width": width, "height": 800})
    order.locator("#checks summary").first.click()
    assert violations(order) == []
    assert order.evaluate("document.documentElement.scrollWidth") == width


def test_checks_are_dismissed_without_javascript(order: Page, site: str) -> None:
    context = order.context.browser.new_context(  # type: ignore[union-attr]
        java_script_enabled=False, storage_state=order.context.storage_state()
    )
    page = context.new_page()
    page.goto(f"{site}/orders/2")
    page.locator("#checks summary").first.click()
    page.get_by_label("Note").first.fill("Agreed by phone")
    page.get_by_role("button", name="Dismiss").first.click()
    expect(page.locator("#checks")).to_contain_text("1 dismissed")
    assert page.url == f"{site}/orders/2#checks"
    context.close()
