"""The partner is down from 10 to 12: staff keep responding, support sees one item, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from app.delivery.models import MessageState
from tests.browser.keys import press
from tests.delivery.queries import all_messages
from tests.fixture_types import Arrive, MoveClock
from tests.serving import Network
from tests.tasks.conftest import mail_server, send, settings
from tests.waiting import wait_until

__all__ = ["mail_server", "send", "settings"]

ORDERS = 6
BEFORE_THE_BANNER = 4
"""Responses that are sent before the partner counts as failing; the others follow below the banner."""


def confirm_with_pointer(page: Page) -> None:
    page.get_by_role("button", name="Confirm and next").click()


def confirm_with_keyboard(page: Page) -> None:
    press(page, "c")
    expect(page.locator("#review-title")).to_be_focused()
    press(page, "Tab")
    while page.evaluate("document.activeElement.name") != "next":
        press(page, "Tab")
    press(page, "Enter")


def open_with_pointer(page: Page, link: str) -> None:
    page.get_by_role("link", name=link).first.click()


def open_with_keyboard(page: Page, link: str) -> None:
    page.get_by_role("link", name=link).first.focus()
    press(page, "Enter")


def start_with_pointer(page: Page) -> None:
    page.locator("#orders-list tbody a.strong").first.click()


def start_with_keyboard(page: Page) -> None:
    press(page, "j", "Enter")


WAYS = {
    "mouse": (1280, start_with_pointer, confirm_with_pointer, open_with_pointer),
    "keyboard": (1280, start_with_keyboard, confirm_with_keyboard, open_with_keyboard),
    "phone": (390, start_with_pointer, confirm_with_pointer, open_with_pointer),
}


@pytest.mark.parametrize("way", WAYS)
def test_partner_down_for_two_hours_loses_nothing(
    way: str,
    page: Page,
    site: str,
    sign_in: Callable[[str], None],
    arrive: Arrive,
    network: Network,
    move_clock: MoveClock,
    deliver: Callable[[], Counter[str]],
    send: Callable[[], int],
    mail_server: Any,
    session: Session,
) -> None:
    width, start, confirm, follow = WAYS[way]
    banner = page.locator("[data-partner-failing='Bharat Connect']")
    page.set_viewport_size({"width": width, "height": 800})
    arrive(ORDERS)

    # 10:00. The partner responds 503. Asha works through her queue as always.
    network.behave("503")
    sign_in("asha")
    page.goto(f"{site}/orders?answer=open")
    start(page)
    for remaining in range(ORDERS - 1, ORDERS - BEFORE_THE_BANNER - 1, -1):
        confirm(page)
        expect(page.locator("nav.list-position")).to_contain_text(f"1 of {remaining}")
    wait_until(lambda: sum(message.attempts_made for message in all_messages(session)) >= 3)

    # From now on every page says what is wrong, and that she can go on.
    page.reload()
    expect(banner).to_contain_text("has been failing since")
    expect(banner).to_contain_text("nothing is lost")
    expect(banner).to_contain_text("Keep responding as usual")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    confirm(page)
    expect(page.locator("nav.list-position")).to_contain_text("1 of 1")
    confirm(page)
    expect(page.get_by_text("All done")).to_be_visible()
    follow(page, "View status")
    expect(page.locator(".tabs [aria-current]")).to_contain_text("Queued")

    # Support gets one mail and one item, with the next steps.
    send()
    assert [mail.message["Subject"] for mail in mail_server.received] == [
        "PO Confirm: Bharat Connect is failing"
    ]
    page.context.clear_cookies()
    sign_in("ravi")
    page.goto(f"{site}/attention")
    expect(page.locator(".attention-item")).to_have_count(1)
    expect(page.locator(".attention-item")).to_contain_text("Bharat Connect")
    follow(page, "Run diagnostics")
    expect(page.locator("h1")).to_have_text("Diagnostics")

    # 12:00. The partner is back; everything is sent without anyone's help.
    network.behave("ok")
    move_clock(hours=2)
    deliver()
    wait_until(
        lambda: [message.state for message in all_messages(session)] == [MessageState.DELIVERED] * ORDERS
    )
    send()
    assert [mail.message["Subject"] for mail in mail_server.received][1:] == [
        "PO Confirm: Bharat Connect has recovered"
    ]
    confirmed = {
        entry["body"]["poConfirmation"]["buyerPONumber"]
        for entry in network.received()
        if entry["answer"]["status"] == 200
    }
    assert len(confirmed) == ORDERS

    page.context.clear_cookies()
    sign_in("ravi")
    page.goto(f"{site}/attention")
    expect(page.locator(".attention-item")).to_have_count(0)
    page.context.clear_cookies()
    sign_in("asha")
    page.goto(f"{site}/orders?answer=ACCEPT")
    expect(banner).to_have_count(0)
    expect(page.locator("#orders-list tbody tr")).to_have_count(ORDERS)
    expect(page.locator("#orders-list tbody")).not_to_contain_text("Queued")
