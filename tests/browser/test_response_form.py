"""What the answer form does in a real browser, beyond what it does without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

SOON = 15_000
"""Milliseconds within which a page of a busy machine has certainly moved."""


@pytest.fixture
def form(page: Page, site: str, sign_in: Callable[[str], None], arrive: Any) -> Page:
    """The answer form of an order, before asha."""
    (order_id,) = arrive(1)
    sign_in("asha")
    page.goto(f"{site}/orders/{order_id}/answer")
    return page


def test_the_exact_message_follows_what_is_typed_only_while_it_is_shown(form: Page) -> None:
    asked = []
    form.on("request", lambda request: asked.append(request.url) if "preview" in request.url else None)
    remarks, preview = form.get_by_label("Remarks for the buyer"), form.locator("#preview")
    see = form.get_by_role("button", name="See the exact message")
    remarks.press("End")
    remarks.press_sequentially(" at once")
    assert not asked
    see.click()
    expect(preview.locator("pre").first).to_contain_text("Confirmed at once", timeout=SOON)
    remarks.press_sequentially(" and well")
    expect(preview.locator("pre").first).to_contain_text("Confirmed at once and well", timeout=SOON)
    expect(remarks).to_be_focused()
    remarks.press_sequentially(' "')
    expect(preview).to_contain_text("Not a message yet", timeout=SOON)
    remarks.press("Backspace")
    expect(preview.locator("pre").first).to_contain_text("and well", timeout=SOON)
    form.get_by_text("Reject", exact=True).click()
    form.get_by_role("button", name="Not in our range").click()
    expect(preview.locator("pre").first).to_contain_text("REJECTED", timeout=SOON)
    expect(preview.locator("pre").first).to_contain_text("Not in our range", timeout=SOON)
    form.get_by_role("link", name="Hide the message").click()
    expect(preview).to_be_empty()
    expect(see).to_be_focused()


def test_where_the_session_has_ended_the_preview_goes_and_what_was_typed_stays(form: Page) -> None:
    remarks, preview = form.get_by_label("Remarks for the buyer"), form.locator("#preview")
    form.get_by_role("button", name="See the exact message").click()
    expect(preview.locator("pre").first).to_contain_text("Confirmed", timeout=SOON)
    form.context.clear_cookies()
    remarks.press("End")
    remarks.press_sequentially(" over lunch")
    expect(preview).to_be_empty(timeout=SOON)
    expect(remarks).to_have_value("Confirmed over lunch")


def asks_where_it_is(form: Page) -> None:
    form.get_by_text("Own order number, date, more").click()
    form.get_by_role("button", name="Use this device’s location").click()


def test_the_device_tag_becomes_the_device_s_location_on_request(form: Page) -> None:
    form.context.grant_permissions(["geolocation"])
    form.context.set_geolocation({"latitude": 18.52043, "longitude": -0.00001})
    form.get_by_role("button", name="See the exact message").click()
    expect(form.locator("#preview pre").first).to_contain_text("INITIATING_CHANNEL", timeout=SOON)
    asks_where_it_is(form)
    expect(form.locator("[data-located]")).to_have_text(
        "The device tag is now this device’s location.", timeout=SOON
    )
    expect(form.get_by_label("Device tag")).to_have_value("GEOCODE")
    expect(form.get_by_label("Device value")).to_have_value("18.5204,0.0000")
    expect(form.locator("#preview pre").first).to_contain_text("18.5204,0.0000", timeout=SOON)


def test_a_refused_location_is_said_and_changes_nothing(form: Page) -> None:
    asks_where_it_is(form)
    expect(form.locator("[data-located]")).to_contain_text("Location access was denied", timeout=SOON)
    expect(form.get_by_label("Device tag")).to_have_value("INITIATING_CHANNEL")


def test_a_browser_without_locations_says_so(form: Page) -> None:
    form.evaluate("Object.defineProperty(navigator, 'geolocation', { value: undefined })")
    asks_where_it_is(form)
    expect(form.locator("[data-located]")).to_contain_text("share its location", timeout=SOON)


def test_without_javascript_the_button_is_not_there_and_the_message_is_a_page(
    browser: Any, form: Page, site: str
) -> None:
    context = browser.new_context(java_script_enabled=False, storage_state=form.context.storage_state())
    page = context.new_page()
    page.goto(form.url)
    page.get_by_text("Own order number, date, more").click()
    expect(page.get_by_label("Device tag")).to_be_visible()
    expect(page.get_by_role("button", name="Use this device’s location")).to_be_hidden()
    page.get_by_label("Remarks for the buyer").fill("On paper")
    page.get_by_role("button", name="See the exact message").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The exact message")
    expect(page.locator("#preview pre").first).to_contain_text("On paper")
    context.close()
