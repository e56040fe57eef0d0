"""The page of an order that the buyer changed or ended, with old and new values in the document."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from tests.buyer import Buyer, resp
from tests.fixture_types import Arrive, DeliverWith, MoveClock
from tests.people import HTMX, Browser, one

pytestmark = pytest.mark.sqlite


def edited_body(buyer: Buyer, **fields: Any) -> dict[str, Any]:
    """The order with a changed first line, without its last line and with a new line."""
    body = buyer.edit_body(3, **fields)
    lines = body["purchaseOrder"]["itemLists"]
    assert len(lines) > 1
    added = copy.deepcopy(lines[0])
    added |= {"serialno": "77", "orderLineReference": "770", "productDescription": "Spring washer"}
    lines[0]["quantity"] += Decimal(500)
    lines[-1:] = [added]
    return body


def test_changed_order_has_a_banner_with_the_changes(
    buyer: Buyer, order_id: int, asha: Browser, meera: Browser, deliver_with: DeliverWith
) -> None:
    asha.respond(order_id)
    deliver_with("ok")
    body = buyer.edit_body(0, deliveryDate="2027-01-15")
    body["purchaseOrder"]["itemLists"][0]["quantity"] += 1
    assert buyer.post("req-edit", body).status_code == 200
    banner = asha.get(f"/orders/{order_id}").one(".page-header + .notice").get_text(" ", strip=True)
    assert "The buyer changed this order after you confirmed it." in banner
    assert "Version 2, today" in " ".join(banner.split())
    assert "quantity of line 1, delivery date" in banner
    assert "Your response to version 1 is in the activity log." in banner
    theirs = meera.get(f"/orders/{order_id}").one(".page-header + .notice").get_text(" ", strip=True)
    assert "after Asha confirmed it" in theirs
    assert "The response to version 1" in theirs


def test_banner_says_that_an_unsent_response_was_canceled(buyer: Buyer, order_id: int, asha: Browser) -> None:
    asha.respond(order_id, "REJECT", "No capacity")
    buyer.edit()
    banner = asha.get(f"/orders/{order_id}").one(".page-header + .notice").get_text(" ", strip=True)
    assert "after you rejected it" in banner
    assert "was canceled before it was delivered" in banner


def test_document_of_many_lines_has_pages_and_every_change(
    buyer: Buyer, order_id: int, asha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.orders.document_presenters.LINES_SHOWN", 10)
    body = buyer.edit_body(0)
    line = body["purchaseOrder"]["itemLists"][0]
    body["purchaseOrder"]["itemLists"] = [
        {**line, "serialno": str(number), "orderLineReference": f"{number:05}"} for number in range(1, 26)
    ]
    assert buyer.post("req-edit", body).status_code == 200
    changed = copy.deepcopy(body)
    changed["purchaseOrder"]["objectVersion"] = {"currentVersion": 2, "newVersion": 3}
    changed["purchaseOrder"]["itemLists"][23]["quantity"] += 1
    assert buyer.post("req-edit", changed).status_code == 200

    def numbers(lines: str) -> list[str]:
        rows = asha.get(f"/orders/{order_id}?lines={lines}").page.select("#lines tbody .col-line-number")
        return [row.get_text(" ", strip=True).split()[0] for row in rows]

    first = [str(number) for number in range(1, 11)]
    assert numbers("") == numbers("x") == numbers("0") == ["24", *first]
    assert numbers("3") == numbers("99999") == [str(number) for number in range(21, 26)]
    assert len(numbers("all")) == 25
    page = asha.get(f"/orders/{order_id}?list=answer%3Dopen")
    assert "Lines 1–10 of 25" in page.visible_text
    links = [link["href"] for link in page.page.select(".line-pages a")]
    assert links == [
        f"/orders/{order_id}?lines={lines}&since=2&list=answer%3Dopen#lines" for lines in ("2", "all")
    ]


def test_document_marks_old_and_new_values_accessibly(buyer: Buyer, arrive: Arrive, asha: Browser) -> None:
    order_id = arrive(4)[3]
    old = buyer.bodies[3]["purchaseOrder"]
    assert (
        buyer.post("req-edit", edited_body(buyer, deliveryDate="2027-01-15", subject="Moved")).status_code
        == 200
    )
    page = asha.get(f"/orders/{order_id}")
    title = page.one("#document-title")
    assert old["subject"] in one(title, "del").get_text()
    assert one(title, "ins").get_text() == "Moved"
    removed, changed, added = (page.page.select(f"tr.is-{kind}") for kind in ("removed", "changed", "added"))
    assert [len(rows) for rows in (removed, changed, added)] == [1, 1, 1]
    assert "Removed" in removed[0].get_text()
    assert len(removed[0].select("del")) >= 4
    assert "Spring washer" in added[0].get_text() and "Added" in added[0].get_text()
    quantity = changed[0].select_one(".col-quantity")
    assert quantity
    words = " ".join(quantity.get_text(" ").split())
    assert words.startswith("before:") and ", now:" in words
    assert "15 Jan 2027" in page.one("#document").get_text(" ")


def test_unchanged_order_has_no_marks(arrive: Arrive, asha: Browser) -> None:
    page = asha.get(f"/orders/{arrive(1)[0]}")
    assert not page.page.select("#document del, #document ins")
    assert "compare with" not in page.visible_text


def test_document_can_be_compared_with_any_earlier_version(
    buyer: Buyer, order_id: int, asha: Browser
) -> None:
    buyer.edit(deliveryDate="2027-01-15")
    buyer.edit(current=2, deliveryDate="2027-01-15", subject="Moved")
    page = asha.get(f"/orders/{order_id}")
    assert "Version 3, changes from v2" in page.visible_text
    link = page.one("#document .versions a")
    assert link.get_text() == "compare with v1"
    page = asha.get(str(link["href"]))
    assert "Version 3, changes from v1" in page.visible_text
    assert len(page.page.select("#document ins")) == 2
    for value in ("0", "3", "99", "x", "-1"):
        assert asha.get(f"/orders/{order_id}?since={value}").status_code == 200


def test_stale_form_shows_changes_and_keeps_all_input(buyer: Buyer, order_id: int, asha: Browser) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    buyer.edit(deliveryDate="2027-01-15")
    typed = {
        "supplier_response": "REJECT",
        "supplier_remarks": "Typed with care",
        "supplier_order_number": "SO-77",
        "additional_infos-0-name": "dock",
        "additional_infos-0-value": "West",
    }
    for headers in ({}, HTMX):
        page = asha.send(url, {**fields, **typed}, headers=headers)
        assert page.status_code == 409
        assert "The buyer changed this order while you were editing." in page.visible_text
        assert "Changed: delivery date." in page.visible_text
        assert page.one("textarea[name=supplier_remarks]").get_text().strip() == "Typed with care"
        for value in ("SO-77", "dock", "West"):
            assert page.page.select(f"input[value='{value}']")
        assert page.one("#response input[name=version]")["value"] == "2"
        assert "15 Jan 2027" in page.one("#document ins").get_text()


def test_canceled_order_shows_the_buyers_remarks_and_no_form(
    buyer: Buyer, arrive: Arrive, asha: Browser, deliver_with: DeliverWith
) -> None:
    first, second = arrive(2)
    asha.respond(second)
    deliver_with("ok")
    response = buyer.change_status(0, remarks="The project <stopped>")
    buyer.change_status(1, "CLOSE", remarks="All received")
    page = asha.get(f"/orders/{first}")
    banner = page.one(".page-header + .notice")
    words = " ".join(banner.get_text(" ").split())
    assert "The buyer canceled this order." in words
    assert "The project <stopped>" in words
    assert banner.find("a", href=f"/inbound/{resp(response)['reqMsgId']}")
    assert not page.page.select("#response textarea")
    closed = asha.get(f"/orders/{second}").one(".page-header + .notice").get_text(" ")
    assert "The buyer closed this order." in closed and "All received" in closed


def test_activity_lists_all_events_newest_first(
    buyer: Buyer, order_id: int, asha: Browser, deliver_with: DeliverWith, move_clock: MoveClock
) -> None:
    move_clock(minutes=1)
    asha.respond(order_id)
    move_clock(minutes=1)
    deliver_with("ok")
    move_clock(minutes=1)
    edit = buyer.edit()
    page = asha.get(f"/orders/{order_id}")
    titles = [heading.get_text() for heading in page.page.select("#timeline li > b")]
    assert titles[0] in ("Changed by the buyer", "Viewed by Asha")
    assert [title for title in titles if title != "Viewed by Asha"] == [
        "Changed by the buyer",
        "Delivered to the partner",
        "Confirmed by Asha",
        "Received",
    ]
    assert page.page.select(f"#timeline a[href='/inbound/{resp(edit)['reqMsgId']}']")
    assert "Delivery date." in page.one("#timeline li.is-edited").get_text()


def test_late_refusal_names_its_incoming_message(
    buyer: Buyer, order_id: int, asha: Browser, message_id: str, deliver_with: DeliverWith
) -> None:
    deliver_with("ok")
    late = buyer.send_result(result="FAILURE", req_msg_id=f"REQ-{message_id}")
    where = f"/inbound/{resp(late)['reqMsgId']}"
    for url in (f"/orders/{order_id}", f"/orders/{order_id}/answer", f"/webhooks/{message_id}"):
        page = asha.get(url)
        assert "The partner sent this result later" in page.visible_text, url
        assert page.page.select(f".late-result a[href='{where}']"), url
    assert "Refused by the partner" in asha.get(f"/orders/{order_id}").one("#timeline").get_text()


def test_document_status_follows_the_delivery(
    order_id: int, asha: Browser, deliver_with: DeliverWith
) -> None:
    asha.respond(order_id)
    assert asha.get(f"/orders/{order_id}").one("#document #order-status").get_text() == "Open"
    deliver_with("ok")
    fragment = asha.get(f"/orders/{order_id}/delivery", headers=HTMX)
    status = fragment.one("#order-status")
    assert status["data-hx-swap-oob"] == "true"
    assert status.get_text() == asha.get(f"/orders/{order_id}").one("#order-status").get_text() != "Open"
