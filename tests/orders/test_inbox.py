"""The list of orders: scope, search, filters, sort and pages, all in the URL."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.network.vocabulary import Status
from app.orders import inbox_queries
from app.orders.models import Delivery, PurchaseOrder, ResponseState
from tests.fixture_types import Arrive, Confirm, Deliver, MoveClock
from tests.people import HTMX, Browser, po_numbers
from tests.serving import Network


def test_inbox_shows_only_orders_of_own_supplier_ids(
    asha: Browser, omar: Browser, meera: Browser, arrive: Arrive
) -> None:
    arrive(10)
    assert len(po_numbers(asha.get("/orders"))) == 10
    assert len(po_numbers(meera.get("/orders"))) == 10
    some = po_numbers(omar.get("/orders"))
    assert 0 < len(some) < 10


def test_pages_have_every_order_once_in_every_sort(asha: Browser, arrive: Arrive) -> None:
    arrive(60)
    for sort in (
        "respond_by",
        "-respond_by",
        "received_at",
        "-received_at",
        "delivery_date",
        "-buyer_po_number",
    ):
        seen: list[str] = []
        url: str | None = f"/orders?sort={sort}"
        while url:
            page = asha.get(url)
            seen += po_numbers(page)
            more = [str(link["href"]) for link in page.page.select("#orders-list a[href*='after=']")]
            url = more[0] if more else None
        assert len(seen) == len(set(seen)) == 60, sort


@pytest.mark.parametrize("name", ["revised_at", "version", "subject", "delivery_day"])
def test_pages_continue_in_a_sort_by_any_type_of_column(
    session: Session, arrive: Arrive, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arrive(7)
    monkeypatch.setitem(inbox_queries.SORTS, name, (getattr(PurchaseOrder, name), True))
    seen: list[int] = []
    after: str | None = ""
    while after is not None:
        page = inbox_queries.order_page(
            session, None, inbox_queries.OrderFilter(sort=name, after=after), limit=3
        )
        seen += [order.id for order in page.rows]
        after = page.next_after
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.sqlite
def test_column_header_sorts_and_then_reverses(asha: Browser, arrive: Arrive) -> None:
    arrive(5)

    def column_headers(page: Any) -> dict[str, tuple[str, str | None]]:
        return {
            head.a.get_text(): (str(head.a["href"]), head.get("aria-sort"))
            for head in page.page.select("thead th:has(a)")
        }

    page = asha.get("/orders?answer=open&sort=colour")
    assert column_headers(page)["Respond by"] == ("/orders?answer=open&sort=-respond_by", "ascending")
    assert [name for name, (_, sort) in column_headers(page).items() if sort] == ["Respond by"]
    page = asha.get(column_headers(page)["Order"][0])
    assert column_headers(page)["Order"] == ("/orders?answer=open&sort=-buyer_po_number", "ascending")
    assert po_numbers(page) == sorted(po_numbers(page))
    page = asha.get(column_headers(page)["Order"][0])
    assert column_headers(page)["Order"] == ("/orders?answer=open&sort=buyer_po_number", "descending")
    assert po_numbers(page) == sorted(po_numbers(page), reverse=True)
    assert column_headers(page)["Respond by"][0] == "/orders?answer=open", (
        "the default sort is not in the URL"
    )
    assert not [sort for _, sort in column_headers(asha.get("/orders?sort=-received_at")).values() if sort]


def test_search_and_filters_reduce_the_list(subtests: pytest.Subtests, asha: Browser, arrive: Arrive) -> None:
    arrive(12)
    for query, fits in (
        ("q=mal/2611/45007", 1),
        ("q=SAHYADRI", None),
        ("q=solar+module", None),
        ("q=nothing+like+that", 0),
        ("q=%25", 0),
        ("q=_", 0),
        ("answer=none", 12),
        ("answer=open", 12),
        ("answer=ACCEPT", 0),
        ("status=CREATED", 12),
        ("delivery=none", 12),
        ("delivery=held", 0),
        ("due=overdue", 0),
        ("partner=Bharat+Connect", 12),
        ("partner=other", 0),
    ):
        with subtests.test(query=query):
            listed = po_numbers(asha.get(f"/orders?{query}"))
            assert len(listed) == fits if fits is not None else listed


@pytest.mark.sqlite
def test_order_moves_between_filters_after_a_response(
    asha: Browser, confirm: Confirm, arrive: Arrive, deliver: Deliver
) -> None:
    ids = arrive(4)
    confirm(ids[0])
    asha.respond(ids[1], "REJECT", "No capacity")
    assert len(po_numbers(asha.get("/orders?answer=open"))) == 2
    assert len(po_numbers(asha.get("/orders?delivery=pending"))) == 2
    deliver()
    assert len(po_numbers(asha.get("/orders?delivery=delivered"))) == 2
    assert len(po_numbers(asha.get("/orders?answer=REJECT"))) == 1
    accepted = asha.get("/orders?status=ACCEPTED")
    assert len(po_numbers(accepted)) == 1
    assert accepted.one("select[name=status] option[selected]").get_text() == "Accepted"
    assert len(po_numbers(asha.get("/orders?q=no+capacity"))) == 1


@pytest.mark.sqlite
def test_list_says_queued_until_an_attempt_has_failed(
    asha: Browser, confirm: Confirm, order_id: int, deliver: Deliver, network: Network
) -> None:
    def words() -> list[str]:
        cells = asha.get("/orders").page.select("tbody td")
        return " ".join(cell.get_text(" ") for cell in cells).split()

    confirm(order_id)
    assert "Queued" in words()
    network.behave("503", times=1)
    deliver()
    assert "Retrying" in words()


@pytest.mark.sqlite
def test_deadline_has_its_time_unless_sorted_by_receipt(asha: Browser, arrive: Arrive) -> None:
    arrive(1)
    assert "tomorrow" in asha.get("/orders").one("td.col-due").get_text()
    received = asha.get("/orders?sort=-received_at").one("td.col-due").get_text()
    assert "tomorrow" not in received and "received" in received


def test_overdue_and_due_soon_depend_on_the_time(
    asha: Browser, arrive: Arrive, move_clock: MoveClock
) -> None:
    arrive(3)
    assert po_numbers(asha.get("/orders?due=soon")) == []
    move_clock(hours=21)
    assert len(po_numbers(asha.get("/orders?due=soon"))) == 3
    move_clock(hours=4)
    assert len(po_numbers(asha.get("/orders?due=overdue"))) == 3
    assert "late" in asha.get("/orders?due=overdue").visible_text


@pytest.mark.sqlite
def test_unknown_filter_value_is_ignored_with_a_notice(
    subtests: pytest.Subtests, asha: Browser, arrive: Arrive
) -> None:
    arrive(2)
    for query in (
        "status=FOO",
        "answer=maybe",
        "delivery=soon",
        "due=never",
        "sort=colour",
        "after=nonsense",
        "after=x~1",
        "sort=buyer_po_number&after=AH4x",  # a NUL, which PostgreSQL refuses
        "after=2026-01-01T00:00:00~1",
        "q=" + "x" * 300,
    ):
        with subtests.test(query=query):
            page = asha.get(f"/orders?{query}")
            assert page.status_code == 200
            assert len(po_numbers(page)) == 2
            assert "ignored" in page.visible_text or "Showing page 1" in page.visible_text


def test_hostile_query_is_harmless(subtests: pytest.Subtests, asha: Browser, arrive: Arrive) -> None:
    arrive(1)
    for hostile in ("<script>alert(1)</script>", "' OR 1=1 --", "\x00", "\ud800", "%00%ff", "𝕏"):
        with subtests.test(hostile=ascii(hostile)):
            page = asha.get("/orders", query_string={"q": hostile.encode("utf-8", "surrogatepass")})
            assert page.status_code in (200, 400)
            assert "<script>alert" not in page.text


@pytest.mark.sqlite
def test_inbox_with_htmx_is_a_fragment_except_for_history_restore(asha: Browser, arrive: Arrive) -> None:
    arrive(2)
    fragment = asha.get("/orders?q=mal", headers=HTMX)
    assert fragment.one("#orders-list")
    assert not fragment.data.lstrip().lower().startswith(b"<!doctype")
    back = asha.get("/orders?q=mal", headers={**HTMX, "HX-History-Restore-Request": "true"})
    assert back.data.lstrip().lower().startswith(b"<!doctype")


@pytest.mark.sqlite
def test_empty_inbox_and_empty_search_have_different_texts(asha: Browser, arrive: Arrive) -> None:
    empty = asha.get("/orders").visible_text
    arrive(1)
    no_match = asha.get("/orders?q=zzz").visible_text
    assert empty != no_match


@pytest.mark.sqlite
def test_order_page_shows_every_received_field(
    asha: Browser, order_id: int, example_bodies: list[Any]
) -> None:
    words = asha.get(f"/orders/{order_id}").visible_text
    sent = example_bodies[0]["purchaseOrder"]
    for text in (
        sent["buyerPONumber"],
        sent["subject"],
        sent["buyerDetails"]["legalName"],
        sent["buyerDetails"]["gstin"],
        sent["itemLists"][0]["productDescription"],
        sent["itemLists"][0]["hsnCode"],
        sent["poInfos"][0]["value"],
        sent["paymentMilestones"][0]["milestone"],
        sent["shippingTermsDetails"]["incoterm"],
        example_bodies[0]["additionalInfos"][0]["value"],
        "439.90",
        "186.400",
    ):
        assert text in words, text


def test_order_json_has_its_revisions_as_received(asha: Browser, order_id: int) -> None:
    data = asha.get(f"/orders/{order_id}.json").get_json()
    assert (data["version"], data["status"], data["answer"], data["delivery"]) == (
        1,
        "CREATED",
        "none",
        "none",
    )
    assert '"unitPrice":186.400' in data["revisions"][0]["body"]
    assert data["total"] == "439.90"


def test_home_counts_the_queues(asha: Browser, arrive: Arrive, move_clock: MoveClock) -> None:
    arrive(5)
    move_clock(hours=25)
    page = asha.get("/")
    queue = page.page.select("main a[href='/orders?due=overdue']")
    assert queue and "5" in queue[0].get_text()


@pytest.mark.sqlite
def test_needs_response_is_the_same_in_sql_and_python(order_id: int, database: Database) -> None:
    with database.writing() as writing:
        order = writing.get_one(PurchaseOrder, order_id)
        for order.status, order.response, order.delivery in itertools.product(
            Status, ResponseState, Delivery
        ):
            writing.flush()
            by_sql = writing.scalar(select(PurchaseOrder.id).where(PurchaseOrder.needs_response)) is not None
            assert by_sql == order.needs_response, (order.status, order.response, order.delivery)
