"""The keyboard focus stays where it is while parts of a page are replaced, and goes to errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.fixture_types import Arrive
from tests.serving import Network

SignIn = Callable[[str], None]


@pytest.fixture
def order(app: Flask, page: Page, site: str, sign_in: SignIn, arrive: Arrive) -> Page:
    """An order that Asha has opened; she can undo a response for four seconds."""
    app.extensions["settings"] = app.extensions["settings"].model_copy(update={"undo_seconds": 4})
    (order_id,) = arrive(1)
    sign_in("asha")
    page.goto(f"{site}/orders/{order_id}")
    return page


def respond(page: Page) -> None:
    page.get_by_role("button", name="Review and confirm").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Confirm order").press("Enter")
    expect(page.get_by_role("heading", name="Confirmed by Asha")).to_be_focused()


def test_title_of_a_response_keeps_the_focus_until_delivered(order: Page) -> None:
    respond(order)
    title = order.get_by_role("heading", name="Confirmed by Asha")
    expect(order.locator("#response")).to_contain_text("Accepted by the partner")
    expect(title).to_be_focused()


def test_undo_that_is_no_longer_offered_leaves_the_focus_in_its_panel(order: Page) -> None:
    respond(order)
    order.get_by_role("button", name="Undo").focus()
    expect(order.locator("#response")).to_contain_text("Accepted by the partner")
    expect(order.locator("#response")).to_be_focused()


def test_undone_response_leaves_the_focus_at_the_form(order: Page) -> None:
    respond(order)
    order.get_by_role("button", name="Undo").press("Enter")
    expect(order.locator("#response .response-form")).to_be_visible()
    expect(order.locator("#response")).to_be_focused()


def test_canceled_webhook_keeps_the_focus(
    page: Page, site: str, sign_in: SignIn, arrive: Arrive, confirm: Callable[..., str], network: Network
) -> None:
    network.behave("503")
    (order_id,) = arrive(1)
    message_id = confirm(order_id)
    sign_in("ravi")
    page.goto(f"{site}/webhooks/{message_id}")
    page.locator("summary", has_text="Cancel delivery").press("Enter")
    page.locator("#why").fill("The buyer called")
    page.locator("#why").press("Enter")
    expect(page.locator("#message")).to_contain_text("Ravi canceled it")
    expect(page.locator("#message")).to_be_focused()
    expect(page.locator("#n-needs_response")).to_have_text("1")


def test_focus_in_the_sidebar_does_not_scroll_the_page(
    page: Page, site: str, sign_in: SignIn, arrive: Arrive
) -> None:
    arrive(30)
    sign_in("asha")
    page.goto(f"{site}/orders")
    page.locator(".account summary").focus()
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize(("response", "field"), [("Reject", "remarks"), ("Change", "response")])
def test_error_of_a_line_takes_the_focus(order: Page, response: str, field: str) -> None:
    order.get_by_text("Line by line").click()
    line = order.locator(".line-row").first
    line.get_by_role("radio", name=response).check()
    order.get_by_role("button", name="Review and confirm with changes").click()
    expect(line.locator(".field-error")).to_be_visible()
    expect(line.locator(f"[name=lines-0-{field}]:focus")).to_have_count(1)
