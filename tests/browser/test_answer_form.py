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
