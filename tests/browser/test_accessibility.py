"""WCAG 2.2 AA by axe in a real browser: every page and state, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.delivery.models import Message, MessageState
from app.partners.models import Partner
from tests.browser.axe import assert_accessible as check
from tests.browser.keys import press
from tests.buyer import Buyer, resp
from tests.delivery.queries import all_messages
from tests.fixture_types import Arrive, Confirm, Deliver, MoveClock
from tests.people import Browser
from tests.serving import Network
from tests.waiting import wait_until

PARTNER_PAGES = ("edit", "keys", "test", "check", "sheet")

# A test visits many pages, and each page is checked in every look.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def busy(
    buyer: Buyer,
    arrive: Arrive,
    asha: Browser,
    confirm: Confirm,
    deliver: Deliver,
    network: Network,
    session: Session,
) -> dict[str, Any]:
    """Orders in every state, and the messages of those with a response."""
    ids = arrive(12)
    confirm(ids[0])
    deliver()
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Remarks are not acceptable")
    asha.respond(ids[1], "REJECT", "Price differs from contract")
    deliver()
    network.behave("503", times=1)
    confirm(ids[2])
    deliver()
    messages = [buyer.edit(5), buyer.edit(5), buyer.change_status(40), buyer.post("req-send", b"<b>")]
    received = [f"/inbound/{resp(response)['reqMsgId']}" for response in messages]
    return {
        "orders": ids,
        "messages": session.scalars(select(Message.id).order_by(Message.id)).all(),
        "received": ["/inbound", *dict.fromkeys(received)],
    }


def test_pages_of_supplier_staff_are_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    page.goto(f"{site}/login")
    check(page, "login")
    sign_in("asha")
    first, second, third, fourth, *_ = busy["orders"]
    for path in (
        "/",
        "/orders",
        "/orders?answer=open",
        "/orders?q=nothing+like+that",
        "/orders?due=overdue",
        "/orders?status=odd",
        f"/orders/{first}",
        f"/orders/{second}",
        f"/orders/{third}",
        f"/orders/{fourth}",
        f"/orders/{fourth}/answer",
        f"/orders/{fourth}/team",
        f"/orders/assignments?order_ids={fourth}",
        f"/orders/assignments/done?order_ids={fourth}&username=asha",
        f"/orders/answers/plan?order_ids={fourth}&order_ids={first}",
        "/orders/answers/upload?answer=open",
        "/orders/999999",
        "/webhooks",
        "/webhooks?q=nothing+like+that",
        *(f"/webhooks/{message_id}" for message_id in busy["messages"]),
    ):
        page.goto(site + path)
        check(page, path)

    page.goto(f"{site}/orders/answers/upload")
    sheet = f"Order ID,Version,Response\n{fourth},1,Confirm\n{first},1,maybe\n0,1,Confirm\n"
    file: FilePayload = {"name": "orders.csv", "mimeType": "text/csv", "buffer": sheet.encode()}
    page.locator("#file").set_input_files({**file, "buffer": b"x"})
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("#file-error")).to_be_visible()
    check(page, "a file with an error")
    page.locator("#file").set_input_files(file)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("h1")).to_contain_text("Check 3 responses")
    check(page, "the plan of a spreadsheet")

    page.goto(f"{site}/orders/{fourth}/answer")
    page.get_by_label("Remarks for the buyer").fill('He said "yes"')
    page.get_by_role("button", name="Preview message").click()
    expect(page.locator("#preview")).to_contain_text("No message yet")
    check(page, "the form with a preview of nothing")
    page.get_by_role("button", name="Review and").click()
    expect(page.locator("#response [aria-invalid=true]").first).to_be_visible()
    check(page, "the form with an error")
    page.get_by_label("Remarks for the buyer").fill("Will ship")
    page.get_by_role("button", name="Preview message").click()
    expect(page.locator("#preview pre").first).to_contain_text("Will ship")
    check(page, "the form with its message")
    page.locator("#response button.btn-main").first.click()
    expect(page.locator("dialog[open]")).to_be_visible()
    check(page, "the review")


def test_pages_of_administrators_are_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any, partner: Partner
) -> None:
    sign_in("admin")
    partner_url = f"/partners/{partner.id}"
    for path in (
        "/account",
        "/account/password",
        "/account/sessions",
        "/account/notifications",
        "/notifications",
        "/search?q=PO",
        "/users",
        "/users/new",
        "/users/1",
        "/partners",
        "/partners/new",
        partner_url,
        *(f"{partner_url}/{page_name}" for page_name in PARTNER_PAGES),
    ):
        page.goto(site + path)
        check(page, path)
    for path, name in ((f"{partner_url}/test", "Send test"), (f"{partner_url}/check", "Run diagnostics")):
        page.goto(site + path)
        page.get_by_role("button", name=name).click()
        expect(page.locator("#exchange")).to_be_visible()
        check(page, name)
    page.goto(f"{site}{partner_url}/keys")
    page.get_by_text("Rotate key").click()
    page.get_by_role("button", name="Rotate").first.click()
    expect(page.locator("#new-key")).to_be_visible()
    check(page, "a key just made")
    page.goto(f"{site}{partner_url}/edit")
    page.get_by_label("Base URL").fill("ftp://nowhere")
    page.get_by_role("button", name="Test and save").click()
    expect(page.locator("[aria-invalid=true]").first).to_be_visible()
    check(page, "the form with an error")
    page.goto(site + partner_url)
    page.get_by_text("Pause delivery").click()
    page.get_by_label("Reason").fill("Their maintenance")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    check(page, "paused")


def test_pages_of_support_are_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    sign_in("ravi")
    for path in (
        "/",
        "/orders",
        "/webhooks",
        *(f"/webhooks/{message_id}" for message_id in busy["messages"]),
        f"/webhooks/{busy['messages'][1]}?beside=good",
        "/webhooks?state=refused&code=2xx&q=Price",
        "/webhooks/resends",
        "/webhooks/resends?state=refused",
        "/attention",
        "/attention/closed",
        f"/attention/message-{busy['messages'][1]}",
        "/views",
        "/inbound?q=nothing+like+that",
        *busy["received"],
        "/health",
        "/health?range=1h",
        "/reports/answers",
    ):
        page.goto(site + path)
        check(page, path)


def test_chart_steps_are_reached_with_arrow_keys(
    page: Page,
    site: str,
    sign_in: Callable[[str], None],
    arrive: Arrive,
    confirm: Confirm,
    session: Session,
    move_clock: MoveClock,
) -> None:
    for order_id in arrive(2):
        confirm(order_id)
        wait_until(lambda: {message.state for message in all_messages(session)} == {MessageState.DELIVERED})
        move_clock(minutes=3)
    sign_in("ravi")
    page.goto(f"{site}/health?range=1h")
    chart = page.locator("#attempts-chart")
    assert chart.locator(".slot[tabindex='0']").count() == 1
    chart.locator(".slot").last.focus()
    expect(chart.locator(".slot").last.locator(".chart-tooltip")).to_be_visible()
    press(page, "ArrowLeft")
    expect(chart.locator(".slot").first).to_be_focused()
    expect(chart.locator(".slot").first.locator(".chart-tooltip")).to_be_visible()
    expect(chart.locator(".slot").last.locator(".chart-tooltip")).to_be_hidden()


def test_updating_content_is_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any, buyer: Buyer, confirm: Confirm
) -> None:
    page.clock.install()
    sign_in("asha")
    decided, stale, *several = busy["orders"][6:]
    confirm(decided, remarks="Will ship on 4 December")
    buyer.edit(6)
    page.goto(f"{site}/orders/{decided}")
    expect(page.locator("main")).to_contain_text("changed this order after you confirmed it")
    expect(page.locator("#document ins").first).to_be_visible()
    check(page, "an order that was changed after its response")

    page.goto(f"{site}/orders/{stale}/answer")
    buyer.edit(7)
    page.get_by_label("Remarks for the buyer").fill("Will ship")
    page.get_by_role("button", name="Review and").click()
    expect(page.locator("#response [role=alert]")).to_contain_text(
        "changed this order while you were editing"
    )
    expect(page.get_by_label("Remarks for the buyer")).to_have_value("Will ship")
    check(page, "a form that is stale")

    page.goto(f"{site}/webhooks")
    expect(page.locator("#new-rows")).to_be_attached()
    confirm(several.pop())
    page.clock.run_for(11_000)
    expect(page.get_by_role("link", name="1 new webhook: show")).to_be_visible()
    check(page, "the log with the hint of new rows")
    page.get_by_role("link", name="1 new webhook: show").click()
    expect(page.locator("#new-rows")).to_be_attached()

    page.goto(
        f"{site}/orders/answers/plan?" + "&".join(f"order_ids={order_id}" for order_id in [*several, decided])
    )
    check(page, "several orders, planned")
    page.locator("main button.btn-main").click()
    expect(page.locator("h1")).to_contain_text("orders confirmed")
    check(page, "several orders with a response")


def test_pages_of_managers_are_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    sign_in("meera")
    for path in ("/audit", "/audit?q=nothing+like+that", "/exports", f"/orders/{busy['orders'][1]}"):
        page.goto(site + path)
        check(page, path)
    for path in ("/orders", "/webhooks", "/inbound", "/audit"):
        page.goto(site + path)
        page.get_by_text("Export", exact=True).click()
        expect(page.get_by_role("link", name="JSON lines")).to_be_visible()
        check(page, f"{path} with its menu")
    page.goto(f"{site}/exports/webhooks.csv?state=nonsense")
    check(page, "a filter that makes no sense")


def test_lists_with_open_menus_and_all_columns_are_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    sign_in("meera")
    for path in ("/orders", "/webhooks", "/inbound", "/audit"):
        page.goto(site + path)
        page.locator(".more-filters summary").click()
        check(page, f"{path} with its filters")
        page.get_by_text("Columns", exact=True).first.click()
        for box in page.locator("input[name=columns]").all():
            box.check()
        page.get_by_label("Compact").check()
        check(page, f"{path} with the menu of columns")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator(".list-menu[open]")).to_have_count(0)
        check(page, f"{path} with all columns")


def test_filters_and_views_are_accessible(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    sign_in("asha")
    page.goto(f"{site}/orders?answer=open&amount_min=many&deliver_by_since=soon")
    expect(page.locator("#amount_min-error")).to_be_visible()
    check(page, "invalid filters")
    page.locator("#amount_min").fill("1")
    page.locator("#amount_min").press("Tab")
    expect(page.locator(".filter-chip")).to_have_count(2)
    expect(page.locator("#amount_min-error")).to_be_hidden()
    expect(page.locator("#amount_min")).not_to_have_attribute("aria-invalid", "true")
    page.locator("#amount_max").fill("x")
    page.locator("#amount_max").press("Tab")
    expect(page.locator("#amount_max-error")).to_be_visible()
    expect(page.locator("#amount_max")).to_have_attribute("aria-invalid", "true")
    page.locator("#amount_max").fill("")
    page.locator("#amount_max").press("Tab")
    expect(page.locator("#amount_max-error")).to_be_hidden()
    page.get_by_text("Save view", exact=True).click()
    page.get_by_label("Name of the view").fill("Open orders")
    page.get_by_label("Share with your team").check()
    check(page, "the form of a view")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Manage views").click()
    page.get_by_role("button", name="Use as start page").click()
    page.get_by_text("Edit", exact=True).click()
    check(page, "the views")
    page.goto(f"{site}/")
    expect(page).to_have_url(f"{site}/orders?answer=open&amount_min=1")
    page.goto(f"{site}/home")
    expect(page.locator("h1")).to_contain_text("Asha")


def test_every_component_state_is_accessible(page: Page, site: str, sign_in: Callable[[str], None]) -> None:
    sign_in("admin")
    for path in ("/look", "/suppliers"):
        page.goto(site + path)
        check(page, path)


def test_response_is_sent_by_keyboard_alone(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any, network: Network
) -> None:
    sign_in("asha")
    order_id = busy["orders"][4]
    page.goto(f"{site}/orders/{order_id}/answer")
    press(page, "Tab")
    assert "skip" in page.evaluate("document.activeElement.textContent").lower()
    for _ in range(60):
        if page.evaluate("document.activeElement.name") == "supplier_remarks":
            break
        press(page, "Tab")
    press(page, "Control+a")
    page.keyboard.type("By keyboard alone")
    for _ in range(20):
        press(page, "Tab")
        if "Review" in page.evaluate("document.activeElement.textContent"):
            break
    press(page, "Enter")
    expect(page.locator("dialog[open]")).to_be_visible()
    for _ in range(10):
        if page.evaluate("document.activeElement.matches('button.btn-main')"):
            break
        press(page, "Tab")
    press(page, "Enter")
    expect(page.locator("#response")).to_contain_text("Delivered")
    assert "By keyboard alone" in {
        request["body"]["poConfirmation"]["supplierRemarks"] for request in network.received()
    }


def test_current_queue_is_in_view_and_skip_link_comes_first(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    sign_in("meera")
    page.goto(f"{site}/audit")
    expect(page.locator(".sidebar-nav [aria-current]")).to_be_in_viewport(ratio=1)
    press(page, "Tab")
    expect(page.locator(".skip-link")).to_be_focused()


def test_sidebar_does_not_scroll_if_the_current_queue_is_in_view(
    page: Page, site: str, sign_in: Callable[[str], None]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 700})
    sign_in("admin")
    for name in ("Partners", "Needs response", "Suppliers"):
        page.locator(".sidebar-nav").get_by_role("link", name=name).click()
        current = page.locator(".sidebar-nav [aria-current]")
        expect(current).to_contain_text(name)
        expect(current).to_be_in_viewport(ratio=1)
        scrolled = page.locator(".sidebar-nav").evaluate("(nav) => nav.scrollTop")
        assert (scrolled > 0) == (name == "Suppliers"), name


def test_pages_at_400_percent_zoom_do_not_scroll_sideways(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any
) -> None:
    page.set_viewport_size({"width": 320, "height": 256})
    sign_in("asha")
    for path in ("/", "/orders", f"/orders/{busy['orders'][4]}", f"/webhooks/{busy['messages'][0]}"):
        page.goto(site + path)
        assert (
            page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        ), path


@pytest.mark.parametrize("path", ["/orders", "/webhooks", "/inbound", "/health"])
def test_tablet_layout_does_not_scroll_sideways(
    page: Page, site: str, sign_in: Callable[[str], None], busy: Any, path: str
) -> None:
    page.set_viewport_size({"width": 768, "height": 1024})
    sign_in("ravi")
    page.goto(site + path)
    scrolled = page.evaluate(
        """[...document.querySelectorAll(".queues, .picks, .scrolls")]
        .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className)"""
    )
    assert not scrolled
