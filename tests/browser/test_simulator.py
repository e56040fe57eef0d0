"""The simulator's pages and the API page in a real browser: both schemes, phone width, no JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from app.demo.simulator import create_simulator
from app.network.reader import dumps
from app.partners.models import Partner
from tests.browser.axe import assert_accessible, assert_fits
from tests.buyer import INBOUND_KEY
from tests.serving import served


@pytest.fixture
def simulator_site(site: str, partner: Partner, example_bodies: list[dict[str, Any]]) -> Iterator[str]:
    """The simulator with three sent orders and two received responses, one of them repeated."""
    simulator = create_simulator(send_to=site, inbound_key=INBOUND_KEY, orders=example_bodies[:3])
    with served(simulator) as url:
        for mode, order, key in (("ok", 0, "msg_1"), ("reset", 1, "msg_2"), ("ok", 1, "msg_2")):
            requests.post(f"{url}/behaviour", json={"mode": mode}, timeout=10)
            _answer(url, example_bodies[order], key)
        yield url


def _answer(url: str, order: dict[str, Any], key: str) -> None:
    sent = order["purchaseOrder"]
    body = {
        "device": {"tag": {"name": "GEOCODE", "value": "18.5204,73.8567"}},
        "b2bIds": order["b2bIds"],
        "poConfirmation": {
            "objectId": sent["objectId"],
            "buyerPONumber": sent["buyerPONumber"],
            "supplierResponse": "ACCEPT",
            "supplierRemarks": "Will ship on 4 December, as the rate contract says; please keep gate 3 open",
            "objectVersion": {"currentVersion": 1, "newVersion": 1},
            "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "ACCEPTED"},
        },
        "additionalInfos": [],
    }
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    path = "/api/v0/purchase-order/req-confirm"
    with suppress(requests.ConnectionError):  # the simulator is set to drop one of them
        requests.post(url + path, data=dumps(body), headers=headers, timeout=10)


def _assert_accessible(page: Page, path: str) -> None:
    """Assert it with all details closed and open."""
    for width in (390, 320, 1280):
        assert_fits(page, path, width)
    page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
    assert_accessible(page, path)


def test_simulator_pages_are_accessible(
    page: Page, simulator_site: str, example_bodies: list[dict[str, Any]]
) -> None:
    order_id = example_bodies[1]["purchaseOrder"]["objectId"]
    for path in ("/", "/received/msg_2", f"/orders/{order_id}", "/received/nothing"):
        page.goto(simulator_site + path)
        _assert_accessible(page, path)


def test_api_page_is_accessible(page: Page, site: str) -> None:
    page.goto(f"{site}/api/v0/docs")
    _assert_accessible(page, "the API page")


def test_simulator_without_javascript_sends_an_order_and_a_failure(
    browser: Browser, simulator_site: str, app: Flask
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(simulator_site)
    page.get_by_label("Number of orders").fill("2")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("PO Confirm accepted 2 of 2 new orders.")
    page.locator("select[name=mode]").select_option("503")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("section[aria-labelledby=next]")).to_contain_text("503 Down for maintenance")
    page.get_by_role("button", name="Reset to healthy").click()
    expect(page.locator("section[aria-labelledby=next]")).to_contain_text("Accept (200)")
    page.get_by_role("link", name="msg_2").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("SAH/2611/45008")
    page.get_by_role("button", name="Late success").click()
    expect(page.get_by_role("status")).to_contain_text("Late result: success")
    context.close()
