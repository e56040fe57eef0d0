"""Working through a list: the position of an order, "Confirm and next", updates, and the end of the list."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.orders.models import Revision
from tests.fixture_types import Arrive, Deliver
from tests.people import HTMX, Browser, fields_of

OPEN = "answer=open"


def links(browser: Browser, url: str = f"/orders?{OPEN}") -> list[str]:
    """The links to the orders of a list, in order."""
    page = browser.get(url)
    return [str(link["href"]) for link in page.page.select("#orders-list tbody .col-order a")]


def order_id(url: str) -> int:
    return int(url.split("?", maxsplit=1)[0].rsplit("/", 1)[1])


def respond_and_next(browser: Browser, url: str, **changes: Any) -> Any:
    """Open an order from a list, fill in the form and submit "Confirm and next"."""
    action = f"/orders/{order_id(url)}/answer"
    page = browser.get(url)
    fields = fields_of(page.one(f"form[action='{action}']"))
    button = page.one("form.response-form button[name=next]")
    return browser.send(action, {**fields, "next": button["value"], **changes})


@pytest.mark.sqlite
def test_order_opened_from_list_shows_position_and_neighbors(asha: Browser, arrive: Arrive) -> None:
    arrive(3)
    first, second, third = links(asha)
    assert "list=answer%3Dopen" in first
    page = asha.get(first)
    assert "1 of 3" in page.one("nav.list-position").get_text(" ")
    assert page.one("a[rel=next]")["href"] == second
    assert not page.page.select("a[rel=prev]")
    page = asha.get(third)
    assert "3 of 3" in page.one("nav.list-position").get_text(" ")
    assert page.one("a[rel=prev]")["href"] == second
    assert not asha.get(first.split("?")[0]).page.select("nav.list-position, button[name=next]")


def test_next_follows_the_sort_of_the_list(subtests: pytest.Subtests, asha: Browser, arrive: Arrive) -> None:
    arrive(4)
    for sort in ("respond_by", "-received_at", "delivery_date", "-buyer_po_number"):
        with subtests.test(sort=sort):
            listed = links(asha, f"/orders?answer=open&sort={sort}")
            url, walked = listed[0], [listed[0]]
            while following := asha.get(url).page.select("a[rel=next]"):
                url = str(following[0]["href"])
                walked.append(url)
            assert list(map(order_id, walked)) == list(map(order_id, listed))


@pytest.mark.sqlite
def test_confirm_and_next_records_and_opens_next_order(asha: Browser, arrive: Arrive) -> None:
    arrive(3)
    first, second, _ = links(asha)
    response = respond_and_next(asha, first)
    assert response.status_code == 303
    assert order_id(response.location) == order_id(second)
    page = asha.get(response.location)
    assert "Confirmed by Asha" in " ".join(page.one("form.responded").get_text(" ").split())
    assert "1 of 2" in page.one("nav.list-position").get_text(" ")
    assert order_id(links(asha)[0]) == order_id(second)


@pytest.mark.sqlite
def test_reject_and_next_needs_a_reason(asha: Browser, arrive: Arrive) -> None:
    arrive(2)
    first, second = links(asha)
    response = respond_and_next(asha, first, supplier_response="REJECT")
    assert response.status_code == 422
    assert response.one("form.response-form input[name=list]")["value"] == OPEN
    response = respond_and_next(asha, first, supplier_response="REJECT", supplier_remarks="Not in our range")
    assert order_id(response.location) == order_id(second)
    assert "Rejected by Asha" in " ".join(
        asha.get(response.location).one("form.responded").get_text(" ").split()
    )


@pytest.mark.sqlite
def test_last_order_leads_to_all_done(asha: Browser, arrive: Arrive) -> None:
    arrive(1)
    (only,) = links(asha)
    response = respond_and_next(asha, only)
    page = asha.get(response.location)
    assert "All done" in page.visible_text
    assert "Every order in this list has a response." in page.visible_text
    assert page.one("form.responded")


@pytest.mark.sqlite
def test_end_of_list_names_skipped_orders(asha: Browser, arrive: Arrive) -> None:
    arrive(3)
    first, _, last = links(asha)
    page = asha.get(respond_and_next(asha, last).location)
    assert "2 orders that you skipped still need a response." in page.visible_text
    again = page.one("a[href^='/orders/next']")["href"]
    assert order_id(asha.get(again).location) == order_id(first)


@pytest.mark.sqlite
def test_confirm_and_next_of_changed_order_shows_review(
    asha: Browser, arrive: Arrive, buyer: Any, deliver: Deliver, example_bodies: list[Any]
) -> None:
    arrive(2)
    url = links(asha)[0]
    respond_and_next(asha, url)
    deliver()
    numbers = [body["purchaseOrder"]["buyerPONumber"] for body in example_bodies[:2]]
    buyer.edit(numbers.index(asha.get(url).one("h1").get_text(strip=True)))
    response = respond_and_next(asha, url)
    assert response.status_code == 200
    review = response.one("#review form")
    fields = {**fields_of(review), "next": review.select_one("button[name=next]")["value"]}
    response = asha.send(review["action"], fields)
    assert response.status_code == 303
    assert "list=" in response.location


@pytest.mark.sqlite
def test_list_of_other_suppliers_has_no_next_order(omar: Browser, asha: Browser, arrive: Arrive) -> None:
    arrive(10)
    own = set(map(order_id, links(omar)))
    foreign = next(order_id(url) for url in links(asha) if order_id(url) not in own)
    page = omar.get(f"{links(omar)[0]}&responded={foreign}")
    assert not page.page.select("form.responded")
    assert f"of {len(own)}" in page.one("nav.list-position").get_text(" ")


@pytest.mark.sqlite
def test_hostile_list_is_ignored(subtests: pytest.Subtests, asha: Browser, arrive: Arrive) -> None:
    (order,) = arrive(1)
    for query in (
        "%00",
        "a" * 2001,
        "sort=x",
        "q=%2500",
        "after=%21%21",
        "&" * 60,
        "%ff",
        "answer=open&q=%25_",
    ):
        with subtests.test(query=query):
            for url in (
                f"/orders/{order}?list={query}",
                f"/orders/next?list={query}",
                f"/orders/done?list={query}",
            ):
                assert asha.get(url).status_code in (200, 302, 400), url
            assert asha.get(f"/orders/{order}?list=answer%3Dopen&responded=99999999999999").status_code == 200


def test_check_counts_new_and_changed_orders(asha: Browser, arrive: Arrive) -> None:
    arrive(2)
    newer_url = asha.get(f"/orders?{OPEN}").one("#new-rows")["data-hx-get"]
    assert not asha.get(newer_url, headers=HTMX).page.select("a")
    arrive(4)
    page = asha.get(newer_url, headers=HTMX)
    assert "2 new orders: show" in page.visible_text
    assert page.one("#n-needs_response").get_text() == "4"
    assert asha.get(newer_url).one("h1").get_text() == "Needs response"
    assert asha.get("/orders/newer?than=-1", headers=HTMX).status_code == 200
    assert asha.get("/orders/newer?than=99999999999999999999", headers=HTMX).status_code == 200


@pytest.mark.sqlite
def test_confirm_and_next_with_changed_line_shows_review(
    asha: Browser, arrive: Arrive, session: Session
) -> None:
    arrive(2)
    first, second = links(asha)
    line = (
        session.query(Revision).filter_by(order_id=order_id(first)).one().message.purchase_order.item_lists[0]
    )
    changed = {
        "lines-0-reference": line.order_line_reference or str(line.serialno),
        "lines-0-response": "CHANGED",
        "lines-0-quantity": "1",
    }
    response = respond_and_next(asha, first, **changed)
    assert response.status_code == 200, response.visible_text
    review = response.one("#review form")
    fields = {**fields_of(review), "next": review.select_one("button[name=next]")["value"]}
    assert order_id(asha.send(review["action"], fields).location) == order_id(second)
