"""No text of a partner makes a page scroll sideways, in a real browser."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.delivery.models import Message
from app.network.vocabulary import B2B_ID_MAX, OBJECT_ID_MAX, PO_NUMBER_MAX
from app.orders.models import PurchaseOrder
from tests.browser.axe import assert_fits
from tests.buyer import Buyer, resp
from tests.fixture_types import Deliver
from tests.serving import Network

WORD = "PIECESPERSTANDARDEXPORTCARTON" * 6
"""A text without a place to break."""
SHORT = {"objectId": OBJECT_ID_MAX, "buyerPONumber": PO_NUMBER_MAX, "buyerB2BId": B2B_ID_MAX}
KEPT = {
    "ts",
    "orderDate",
    "deliveryDate",
    "supplierB2BId",
    "currentStatus",
    "newStatus",
    "action",
    "supplierResponse",
}
SCROLLED = "(parts) => parts.filter((part) => part.scrollWidth > part.clientWidth).length"
WIDTHS = (1280, 768, 390, 320)


def stretched(value: Any, name: str = "") -> Any:
    """A copy of a message with long text in every field that may hold it."""
    if isinstance(value, dict):
        return {key: stretched(part, key) for key, part in value.items()}
    if isinstance(value, list):
        return [stretched(part, name) for part in value]
    if isinstance(value, str) and name not in KEPT:
        return WORD[: SHORT.get(name, len(WORD))]
    return value


@pytest.fixture
def order(
    buyer: Buyer, session: Session, deliver: Deliver, confirm: Callable[..., str], network: Network
) -> int:
    """An order with long text in every field, which the buyer changed after it was confirmed."""
    body = stretched(buyer.bodies[0])
    line = body["purchaseOrder"]["itemLists"][0]
    body["purchaseOrder"]["itemLists"].append(copy.deepcopy(line) | {"orderLineReference": "2" + WORD[1:]})
    body["purchaseOrder"][WORD] = {WORD: WORD}
    line[WORD] = WORD
    buyer.bodies = [body, *buyer.bodies]
    assert buyer.send(0).status_code == 200
    (order_id,) = session.scalars(select(PurchaseOrder.id))
    network.behave("refuse", times=1, error_cd=WORD[:50], error_dtl=WORD, error_field=WORD)
    confirm(order_id, remarks=WORD[:100])
    deliver()
    sent = body["purchaseOrder"]
    changes = {name: _replaced(sent[name]) for name in ("subject", "itemLists", "poInfos", WORD)}
    assert buyer.edit(0, **changes).status_code == 200
    return order_id


def _replaced(value: Any) -> Any:
    """A copy with other text in each field but the reference of a line."""
    if isinstance(value, dict):
        return {key: part if key == "orderLineReference" else _replaced(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part) for part in value]
    return value.replace("PIECES", "BUNDLE") if isinstance(value, str) else value


def open_with_details(page: Page, url: str) -> None:
    """Open a page and all that is collapsed on it."""
    page.goto(url)
    page.evaluate("document.querySelectorAll('main details').forEach((item) => (item.open = true))")


def test_order_with_long_words_fits(
    page: Page, site: str, sign_in: Callable[[str], None], order: int
) -> None:
    sign_in("asha")
    for path in (
        f"/orders/{order}",
        f"/orders/{order}/answer",
        f"/orders/{order}/team",
        f"/orders/answers/plan?order_ids={order}",
        f"/orders/assignments?order_ids={order}",
        "/orders",
        "/",
        "/attention",
        "/webhooks",
        "/inbound",
        f"/search?q={WORD[:20]}",
        "/reports/answers",
        "/account/notifications",
        "/notifications",
    ):
        open_with_details(page, site + path)
        for width in WIDTHS:
            assert_fits(page, path, width)
            assert not page.locator(".line-items-scroll").evaluate_all(SCROLLED), (path, width)


def test_changed_line_with_long_words_fits(
    page: Page, site: str, sign_in: Callable[[str], None], order: int
) -> None:
    sign_in("asha")
    page.goto(f"{site}/orders/{order}/answer")
    page.locator("summary", has_text="Line by line").click()
    line = page.locator(".line-row").first
    line.get_by_text("Change", exact=True).click()
    for quantity, element, text in (("x", ".line-sentence", "Line BUNDLE"), ("1", ".line-effect", "fewer")):
        line.get_by_label("Quantity").first.fill(quantity)
        expect(page.locator(element).first).to_contain_text(text)
        for width in WIDTHS:
            assert_fits(page, f"a changed line with quantity {quantity}", width)


def test_messages_with_long_words_fit(
    page: Page, site: str, sign_in: Callable[[str], None], order: int, buyer: Buyer, session: Session
) -> None:
    received = buyer.post("req-send", stretched(buyer.bodies[1]))
    message_id = session.scalars(select(Message.id)).first()
    sign_in("ravi")
    for path in (
        f"/webhooks/{message_id}",
        f"/webhooks/{message_id}?show=difference",
        f"/webhooks/{message_id}?beside=good",
        f"/inbound/{resp(received)['reqMsgId']}",
        f"/orders/{order}",
        "/attention",
        "/attention/closed",
        "/webhooks/resends?state=refused",
        "/webhooks",
        "/inbound",
        "/",
        "/health",
        "/audit",
    ):
        open_with_details(page, site + path)
        for width in WIDTHS:
            assert_fits(page, path, width)
