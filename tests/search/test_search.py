"""Search over orders, webhooks, incoming messages, the audit trail, pages and saved views."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.delivery.models import Message
from app.inbound.models import InboundMessage
from app.orders.models import PurchaseOrder
from tests.fixture_types import Arrive, Confirm, Deliver
from tests.people import BEARINGS, TRIVENI, Browser, one


def search_groups(browser: Browser, text: str) -> dict[str, list[str]]:
    """The titles of the results by group."""
    page = browser.get("/search", query_string={"q": text})
    assert page.status_code == 200
    return {
        one(section, "h2").get_text(): [title.get_text() for title in section.select("a.search-result b")]
        for section in page.page.select("#search-results section")
    }


@pytest.fixture
def order(arrive: Arrive, session: Session) -> PurchaseOrder:
    ids = arrive(10)
    order = session.get(PurchaseOrder, ids[0])
    assert order
    return order


def test_search_by_po_number_object_id_or_buyer_finds_order(asha: Browser, order: PurchaseOrder) -> None:
    number = order.buyer_po_number
    for text in (number, number.lower(), number[-6:], order.object_id, f" {number} "):
        groups = search_groups(asha, text)
        assert groups["Orders"][0] == number, text
        assert number in groups["Incoming"], text
        assert "Outgoing" not in groups
    groups = search_groups(asha, order.buyer_name[:8])
    assert number in groups["Orders"]
    assert order.buyer_name in groups["Buyers"]


def test_search_by_message_id_partner_reference_or_person_finds_webhook(
    asha: Browser, order: PurchaseOrder, confirm: Confirm, deliver: Deliver, session: Session
) -> None:
    message_id = confirm(order.id)
    deliver()
    session.rollback()
    message = session.get(Message, message_id)
    assert message
    number = order.buyer_po_number
    for text in (message_id, message.req_msg_id, "Asha", number):
        groups = search_groups(asha, text)
        assert groups["Outgoing"] == [number], text
        assert groups["Orders"] == [number], text


def test_search_by_incoming_id_finds_message(asha: Browser, order: PurchaseOrder, session: Session) -> None:
    received = session.query(InboundMessage).filter_by(order_id=order.id).one()
    groups = search_groups(asha, received.id)
    assert groups["Incoming"] == groups["Orders"] == [order.buyer_po_number]


def test_search_of_supplier_staff_finds_own_suppliers_only(
    asha: Browser, omar: Browser, arrive: Arrive, confirm: Confirm, session: Session
) -> None:
    orders = [session.get(PurchaseOrder, order_id) for order_id in arrive(10)]
    foreign = next(order for order in orders if order and order.supplier_b2b_id != BEARINGS)
    message_id = confirm(foreign.id)
    for text in (foreign.buyer_po_number, foreign.object_id, message_id, "Asha"):
        assert "Orders" in search_groups(asha, text)
        assert search_groups(omar, text) == {}


def test_search_of_audit_trail_needs_permission(
    asha: Browser, confirm: Confirm, meera: Browser, ravi: Browser, order: PurchaseOrder
) -> None:
    confirm(order.id)
    groups = search_groups(meera, order.buyer_po_number)
    assert groups["Audit trail"] == [f"Responded: {order.buyer_po_number}"]
    assert "Responded: " + order.buyer_po_number in search_groups(meera, "Asha")["Audit trail"]
    for text in (order.object_id, order.buyer_name):
        assert f"Responded: {order.buyer_po_number}" in search_groups(meera, text)["Audit trail"]
    for browser in (asha, ravi):
        assert "Audit trail" not in search_groups(browser, order.buyer_po_number)


def test_search_by_name_of_assignee_finds_order(asha: Browser, omar: Browser, order: PurchaseOrder) -> None:
    page = f"/orders/{order.id}"
    fields = {**asha.fill(page, f"{page}/assign"), "username": "asha"}
    assert asha.send(f"{page}/assign", fields).status_code == 303
    assert search_groups(asha, "asha")["Orders"] == [order.buyer_po_number]
    assert order.supplier_b2b_id == TRIVENI and search_groups(omar, "asha") == {}


@pytest.mark.sqlite
def test_search_for_page_lists_pages_of_the_role(asha: Browser, meera: Browser, ravi: Browser) -> None:
    assert search_groups(asha, "part") == {}
    assert search_groups(ravi, "part")["Pages"] == ["Partners"]
    assert search_groups(meera, "TRAIL")["Pages"] == ["Audit trail"]
    assert "Home" in search_groups(asha, "")["Pages"]


def test_search_for_view_finds_own_views_only(asha: Browser, omar: Browser) -> None:
    fields = {"page": "orders", "query": "due=soon", "name": "Urgent bearings"}
    token = asha.get("/orders?due=soon").one(".save-view input[name=csrf_token]")["value"]
    assert asha.send("/views", {**fields, "csrf_token": token}).status_code == 303
    page = asha.get("/search?q=bearings")
    assert page.one("a.search-result[href='/orders?due=soon']").get_text(strip=True) == "Urgent bearings"
    assert "Views" not in search_groups(omar, "bearings")


def test_search_for_hostile_text_finds_nothing(
    subtests: pytest.Subtests, meera: Browser, order: PurchaseOrder
) -> None:
    for text in (
        "%",
        "_",
        "\\",
        "'",
        '"',
        '") OR 1 --',
        "\ud800"[:0] + "🙂",
        "a" * 201,
        "e\u0301",
        "\u200b",
        "AB",
        "*",
    ):
        with subtests.test(text=text):
            groups = search_groups(meera, text)
            assert set(groups) <= {"Pages"}
            assert (
                "<script" not in meera.get("/search?q=<script>").get_data(as_text=True).split("<main", 1)[1]
            )


def test_search_with_nul_or_broken_utf8_causes_no_server_error(asha: Browser) -> None:
    assert asha.get("/search?q=%00").status_code == 400
    assert asha.get("/search?q=%ff%fe").status_code == 200
    assert asha.get("/search?q=a&q=b&x[]=1").status_code == 200


@pytest.mark.sqlite
def test_search_as_fragment_is_the_list_only(asha: Browser, order: PurchaseOrder) -> None:
    page = asha.get(f"/search?q={order.buyer_po_number}", headers={"HX-Request": "true"})
    assert [element["id"] for element in page.page.find_all(True, recursive=False)] == ["search-results"]
    assert order.buyer_po_number in page.visible_text


@pytest.mark.sqlite
def test_search_signed_out_leads_to_login(anonymous: Browser) -> None:
    assert anonymous.get("/search?q=x").status_code == 303
