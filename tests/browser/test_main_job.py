"""The main tasks in a real browser: confirm, reject, read the exchange, resend."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.fixture_types import Arrive, ChangePartner
from tests.people import Browser
from tests.serving import Network


def open_order(page: Page, site: str, order_id: int) -> None:
    page.goto(f"{site}/orders/{order_id}")


def test_confirm_and_reject_are_delivered(
    page: Page, site: str, sign_in: Callable[[str], None], arrive: Arrive, network: Network
) -> None:
    _, second = arrive(2)
    sign_in("asha")
    page.goto(f"{site}/orders?answer=open")
    page.get_by_role("link", name="MAL/2611/45007").first.click()
    page.get_by_label("Remarks for the buyer").fill("Will ship on 4 December")
    page.get_by_role("button", name=re.compile("^Review")).click()
    page.get_by_role("button", name="Confirm order").click()
    expect(page.locator("#response")).to_contain_text("Delivered")

    open_order(page, site, second)
    page.get_by_text("Reject", exact=True).first.click()
    page.get_by_label("Remarks for the buyer").fill("Price differs from contract")
    page.get_by_role("button", name=re.compile("^Review")).click()
    page.get_by_role("button", name="Reject order").click()
    expect(page.locator("#response")).to_contain_text("Delivered")
    sent = [request["body"]["poConfirmation"] for request in network.received()]
    responses = {body["buyerPONumber"]: body["supplierResponse"] for body in sent}
    assert list(responses.values()) == ["ACCEPT", "REJECT"]
    assert next(iter(responses)) == "MAL/2611/45007"


def test_failed_response_is_retried_and_resent_by_support(
    page: Page,
    site: str,
    sign_in: Callable[[str], None],
    order_id: int,
    network: Network,
    change_partner: ChangePartner,
) -> None:
    # The automatic retry is delayed, so that Ravi's resend comes first.
    change_partner(retry_schedule=[3600])
    network.behave("503")
    sign_in("asha")
    open_order(page, site, order_id)
    page.get_by_role("button", name=re.compile("^Review")).click()
    page.get_by_role("button", name="Confirm order").click()
    expect(page.locator("#response")).to_contain_text(re.compile("unavailable|busy|503|retr", re.IGNORECASE))
    network.behave("ok")
    page.context.clear_cookies()
    sign_in("ravi")
    page.goto(f"{site}/webhooks")
    page.locator("#webhooks-list a[href^='/webhooks/msg_']").first.click()
    page.locator("#reason").fill("They are well again")
    page.get_by_role("button", name=re.compile("Resend|Send", re.IGNORECASE)).first.click()
    expect(page.locator("#message")).to_contain_text("Delivered")
    expect(page.locator("#message")).to_contain_text("Ravi")


@pytest.mark.parametrize("name", ["meera", "ravi", "admin"])
def test_webhook_page_is_readable_without_respond_permission(
    page: Page, site: str, sign_in: Callable[[str], None], arrive: Arrive, asha: Browser, name: str
) -> None:
    asha.respond(arrive(1)[0], remarks="Will ship on 4 December")
    sign_in(name)
    page.goto(f"{site}/webhooks")
    page.locator("#webhooks-list a[href^='/webhooks/msg_']").first.click()
    expect(page.locator("#message")).to_contain_text("Will ship on 4 December")
    expect(page.locator("#message")).to_contain_text("response_code")
