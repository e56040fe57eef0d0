"""The response form in a real browser with JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.fixture_types import Arrive

"""Milliseconds to wait for the page on a busy machine."""


@pytest.fixture
def form(page: Page, site: str, sign_in: Callable[[str], None], order_id: int) -> Page:
    """The response form of an order, opened by Asha."""
    sign_in("asha")
    page.goto(f"{site}/orders/{order_id}/answer")
    return page


def test_preview_follows_typing_while_shown(form: Page) -> None:
    requests = []
    form.on("request", lambda request: requests.append(request.url) if "preview" in request.url else None)
    remarks, preview = form.get_by_label("Remarks for the buyer"), form.locator("#preview")
    see = form.get_by_role("button", name="Preview message")
    remarks.press("End")
    remarks.press_sequentially(" at once")
    assert not requests
    see.click()
    expect(preview.locator("pre").first).to_contain_text("Confirmed at once")
    remarks.press_sequentially(" and well")
    expect(preview.locator("pre").first).to_contain_text("Confirmed at once and well")
    expect(remarks).to_be_focused()
    remarks.press_sequentially(' "')
    expect(preview).to_contain_text("No message yet")
    remarks.press("Backspace")
    expect(preview.locator("pre").first).to_contain_text("and well")
    form.get_by_text("Reject", exact=True).first.click()
    form.get_by_role("button", name="We don't carry this item").click()
    expect(preview.locator("pre").first).to_contain_text("REJECTED")
    expect(preview.locator("pre").first).to_contain_text("We don't carry this item")
    form.get_by_role("link", name="Hide message").click()
    expect(preview).to_be_empty()
    expect(see).to_be_focused()


def test_changed_value_of_a_line_is_marked_until_it_is_as_ordered(form: Page) -> None:
    form.get_by_text("Line by line").click()
    line = form.locator(".line-row").first
    line.get_by_role("radio", name="Change").check()
    quantity = line.get_by_label("Quantity", exact=False).first
    expect(line.locator(".is-changed")).to_have_count(0)
    quantity.fill("1")
    expect(line.locator(".is-changed")).to_have_count(1)
    expect(form.locator("#line-sentence")).to_contain_text("1 changed")
    form.get_by_role("button", name="Review and confirm with changes").click()
    dialog = form.get_by_role("dialog")
    expect(dialog.locator(".lead-text")).not_to_contain_text("delivery by")
    dialog.get_by_role("link", name="Edit").click()
    line.get_by_role("radio", name="As ordered").check()
    expect(line.locator(".is-changed")).to_have_count(0)


def test_reject_hides_lines_unless_one_is_edited(
    page: Page, site: str, sign_in: Callable[[str], None], arrive: Arrive
) -> None:
    sign_in("asha")
    page.goto(f"{site}/orders/{arrive(3)[2]}/answer")
    lines, hint = page.locator(".line-editor"), page.get_by_text("To reject only some lines, choose Confirm.")
    confirm, reject = (page.get_by_role("radio", name=name).first for name in ("Confirm", "Reject"))
    page.get_by_text("Line by line").click()
    expect(lines).to_be_visible()
    reject.check()
    expect(lines).to_be_hidden()
    expect(hint).to_be_visible()
    confirm.check()
    expect(hint).to_be_hidden()
    lines.get_by_role("radio", name="Change").first.check()
    reject.check()
    expect(lines).to_be_visible()
    expect(hint).to_be_hidden()


def test_preview_session_ended_closes_and_keeps_text(form: Page) -> None:
    remarks, preview = form.get_by_label("Remarks for the buyer"), form.locator("#preview")
    form.get_by_role("button", name="Preview message").click()
    expect(preview.locator("pre").first).to_contain_text("Confirmed")
    form.context.clear_cookies()
    remarks.press("End")
    remarks.press_sequentially(" over lunch")
    expect(preview).to_be_empty()
    expect(remarks).to_have_value("Confirmed over lunch")


def use_location(form: Page) -> None:
    form.locator("summary", has_text="Device").click()
    form.get_by_role("button", name="Use this device's location").click()


def test_use_location_sets_device_tag(form: Page) -> None:
    form.context.grant_permissions(["geolocation"])
    form.context.set_geolocation({"latitude": 18.52043, "longitude": -0.00001})
    form.get_by_role("button", name="Preview message").click()
    expect(form.locator("#preview pre").first).to_contain_text("INITIATING_CHANNEL")
    use_location(form)
    expect(form.locator("[data-located]")).to_have_text("The device tag is now this device's location.")
    expect(form.get_by_label("Device tag")).to_have_value("GEOCODE")
    expect(form.get_by_label("Device value")).to_have_value("18.5204,0.0000")
    expect(form.locator("#preview pre").first).to_contain_text("18.5204,0.0000")


def test_use_location_denied_shows_reason_and_keeps_tag(form: Page) -> None:
    use_location(form)
    expect(form.locator("[data-located]")).to_contain_text("Location access was denied")
    expect(form.get_by_label("Device tag")).to_have_value("INITIATING_CHANNEL")


def test_use_location_unsupported_shows_reason(form: Page) -> None:
    form.evaluate("Object.defineProperty(navigator, 'geolocation', { value: undefined })")
    use_location(form)
    expect(form.locator("[data-located]")).to_contain_text("share its location")


def test_preview_without_javascript_is_a_page(browser: Any, form: Page, site: str) -> None:
    context = browser.new_context(java_script_enabled=False, storage_state=form.context.storage_state())
    page = context.new_page()
    page.goto(form.url)
    page.locator("summary", has_text="Device").click()
    expect(page.get_by_label("Device tag")).to_be_visible()
    expect(page.get_by_role("button", name="Use this device's location")).to_be_hidden()
    page.get_by_label("Remarks for the buyer").fill("On paper")
    page.get_by_role("button", name="Preview message").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Preview message")
    expect(page.locator("#preview pre").first).to_contain_text("On paper")
    context.close()


def test_error_of_a_field_goes_away_after_a_preset(form: Page) -> None:
    remarks = form.get_by_label("Remarks for the buyer")
    form.get_by_text("Reject", exact=True).first.click()
    remarks.fill("   ")
    form.get_by_role("button", name="Review and").click()
    expect(remarks).to_have_attribute("aria-invalid", "true")
    form.get_by_role("button", name="We don't carry this item").click()
    expect(remarks).to_have_value("We don't carry this item")
    expect(remarks).not_to_have_attribute("aria-invalid", "true")
    expect(form.locator("#response .field-error")).to_have_count(0)
