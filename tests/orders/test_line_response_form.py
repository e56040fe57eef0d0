"""The line fields of the response form: recorded, sent, shown, and rejected with all typed input."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.delivery.models import Message
from app.orders.models import Decision, PurchaseOrder
from tests.fixture_types import Arrive, ChangePartner, Deliver
from tests.people import HTMX, Browser
from tests.queries import count_rows
from tests.serving import Network

pytestmark = pytest.mark.sqlite

CHANGES = {
    "lines-0-reference": "00010",
    "lines-0-response": "CHANGED",
    "lines-0-quantity": "200",
    "lines-0-delivery_date": "2026-12-04",
    "lines-1-reference": "00020",
    "lines-1-response": "CHANGED",
    "lines-1-split-0-quantity": "1",
    "lines-1-split-0-delivery_date": "2026-12-04",
    "lines-1-split-1-quantity": "1",
    "lines-1-split-1-delivery_date": "2026-12-18",
    "lines-2-reference": "00030",
    "lines-2-response": "REJECTED",
    "lines-2-remarks": "Out of stock",
}


@pytest.fixture
def order_id(arrive: Arrive) -> int:
    """An order of three lines: 250 visits, 2 bags and 1,000 drums."""
    return int(arrive(3)[2])


def respond(browser: Browser, order_id: int, **fields: Any) -> Any:
    return browser.respond(order_id, fields.pop("response", "ACCEPT"), "With changes", **fields)


def test_changed_lines_are_recorded_and_sent(asha: Browser, order_id: int, session: Session) -> None:
    assert respond(asha, order_id, **CHANGES).status_code == 303
    decision = session.scalars(select(Decision)).one()
    assert [line["response"] for line in decision.line_responses] == ["CHANGED", "CHANGED", "REJECTED"]
    sent = json.loads(session.scalars(select(Message.body)).one())
    assert [tuple(info.values()) for info in sent["additionalInfos"]] == [
        ("line/00010/response", "CHANGED"),
        ("line/00010/quantity", "200"),
        ("line/00010/deliveryDate", "2026-12-04"),
        ("line/00020/response", "CHANGED"),
        ("line/00020/split/1/quantity", "1"),
        ("line/00020/split/1/deliveryDate", "2026-12-04"),
        ("line/00020/split/2/quantity", "1"),
        ("line/00020/split/2/deliveryDate", "2026-12-18"),
        ("line/00030/response", "REJECTED"),
        ("line/00030/remarks", "Out of stock"),
    ]


def test_identical_lines_again_are_one_response(asha: Browser, order_id: int, session: Session) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "supplier_remarks": "With changes", **CHANGES}
    assert asha.send(url, fields).status_code == 303
    assert asha.send(url, fields | {"lines-0-quantity": "200.000"}).status_code == 303
    assert count_rows(session, Message) == 1
    other = asha.send(url, fields | {"lines-0-quantity": "210"})
    assert other.status_code == 409
    assert 'value="210"' in other.text
    assert count_rows(session, Decision) == 1


def test_invalid_lines_are_shown_again_with_all_input(
    subtests: pytest.Subtests, asha: Browser, order_id: int, session: Session
) -> None:
    for response, changes in (
        ("ACCEPT", {"lines-0-quantity": "two hundred"}),
        ("ACCEPT", {"lines-1-split-1-quantity": "5"}),
        ("ACCEPT", {"lines-2-remarks": ""}),
        ("ACCEPT", {"lines-2-reference": "00099"}),
        ("ACCEPT", {f"lines-{n}-response": "REJECTED" for n in (0, 1, 2)}),
        ("REJECT", {}),
    ):
        with subtests.test(response=response):
            fields = CHANGES | {"supplier_order_number": "SO-88"} | changes
            page = respond(asha, order_id, response=response, **fields)
            assert page.status_code == 422
            assert "SO-88" in page.text
            assert "2026-12-04" in page.text
            assert count_rows(session, Decision) == 0


def test_rejecting_every_line_is_a_rejection(asha: Browser, order_id: int, session: Session) -> None:
    lines = {
        f"lines-{index}-{name}": value
        for index in range(3)
        for name, value in (
            ("reference", f"000{index + 1}0"),
            ("response", "REJECTED"),
            ("remarks", "Out of stock"),
        )
    }
    assert respond(asha, order_id, **lines).status_code == 422
    assert respond(asha, order_id, response="REJECT", **lines).status_code == 303
    assert len(session.scalars(select(Decision)).one().line_responses) == 3


def test_partner_without_line_responses_refuses_lines(
    asha: Browser, order_id: int, change_partner: ChangePartner
) -> None:
    change_partner(accepts_line_responses=False)
    page = asha.get(f"/orders/{order_id}/answer")
    assert "does not accept responses to single lines" in page.visible_text
    assert "lines-0-response" not in page.text
    assert respond(asha, order_id, **CHANGES).status_code == 422
    assert respond(asha, order_id).status_code == 303


def test_reserved_name_of_custom_field_is_refused(asha: Browser, order_id: int) -> None:
    infos = {"additional_infos-0-name": "line/00010/quantity", "additional_infos-0-value": "5"}
    response = respond(asha, order_id, **infos)
    assert response.status_code == 422
    assert "reserved" in response.visible_text


def test_preview_shows_the_pairs_of_changed_lines(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), **CHANGES}
    assert "line/00020/split/2/deliveryDate" in asha.send(f"{url}/preview", fields).visible_text


def test_lines_are_readable_wherever_the_response_is_shown(
    asha: Browser, meera: Browser, order_id: int, session: Session
) -> None:
    respond(asha, order_id, **CHANGES)
    page = asha.get(f"/orders/{order_id}")
    assert "Asha confirmed 2 of 3 lines for ₹" in page.visible_text
    assert "1 as ordered" not in page.visible_text
    assert "Quantity 200 OTH (other unit) instead of 250" in page.visible_text
    assert "2 lines changed, 1 rejected." in page.one("#timeline").get_text(" ")
    message_id = session.scalars(select(Message.id)).one()
    webhook = asha.get(f"/webhooks/{message_id}")
    assert "Delivery 2: 1 on 18 Dec 2026" in webhook.visible_text
    exported = meera.get("/exports/orders.csv")
    assert "line/00030/remarks: Out of stock" in exported.text


def test_unsuccessful_response_fills_the_editor_again(
    asha: Browser, order_id: int, deliver: Deliver, network: Network
) -> None:
    respond(asha, order_id, **CHANGES)
    network.behave(mode="refuse")
    deliver()
    page = asha.get(f"/orders/{order_id}/answer")
    assert page.one("[name=lines-0-quantity]")["value"] == "200"
    assert page.one("[name=lines-2-remarks]")["value"] == "Out of stock"


def test_simulator_shows_lines_beside_the_order(
    asha: Browser, order_id: int, session: Session, deliver: Deliver, network: Network
) -> None:
    respond(asha, order_id, **CHANGES)
    deliver()
    message_id = session.scalars(select(Message.id)).one()
    page = requests.get(f"{network.url}/received/{message_id}", headers={"Accept": "text/html"}, timeout=5)
    assert "Lines that differ from the order" in page.text
    assert "Out of stock" in page.text


def test_page_of_lines_keeps_edited_lines(asha: Browser, long_order: int) -> None:
    url = f"/orders/{long_order}/answer"
    fields = asha.fill(url, url) | {"lines-3-response": "CHANGED", "lines-3-quantity": "1.5"}
    page = asha.send(f"{url}/lines", fields | {"lines_page": "2"})
    assert page.status_code == 200
    assert page.one("[name=lines-3-quantity]")["value"] == "1.5"
    assert len(page.page.select(".line-row")) == 21
    assert not page.page.select("[name=lines-4-quantity]")


@pytest.fixture
def long_order(arrive: Arrive, session: Session) -> int:
    """An order of 40 lines."""
    arrive(40)
    session.rollback()
    order_id = session.scalar(select(PurchaseOrder.id).where(PurchaseOrder.line_count == 40).limit(1))
    assert order_id
    return order_id


def test_all_lines_are_set_as_ordered_again(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), **CHANGES, "lines-9-reference": "nope", "lines-9-quantity": "1"}
    page = asha.send(f"{url}/lines", fields | {"lines_reset": "yes", "supplier_remarks": "Kept"})
    assert page.status_code == 200
    checked = page.page.select(".line-row input[checked]")
    assert {box["value"] for box in checked} == {"AS_ORDERED"}
    assert page.one("textarea[name=supplier_remarks]").get_text() == "Kept"
    assert page.one("#line-sentence").get_text() == "You confirm all 3 lines as ordered."


@pytest.mark.parametrize(("response", "verb"), [("REJECT", "reject"), ("RETURN", "return")])
def test_sentence_of_a_response_to_the_whole_order_names_no_lines_as_ordered(
    asha: Browser, order_id: int, response: str, verb: str
) -> None:
    url = f"/orders/{order_id}/answer"
    part = asha.send(f"{url}/lines/summary", asha.fill(url, url) | {"supplier_response": response})
    assert part.one("#line-sentence").get_text() == f"You {verb} all 3 lines."


def test_summary_updates_the_sentence_and_the_lines(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), **CHANGES, "lines-0-unit_price": "50400"}
    part = asha.send(f"{url}/lines/summary", fields, headers=HTMX)
    assert "0 as ordered" not in part.one("#line-sentence").get_text()
    assert part.one("#line-sentence")["data-hx-swap-oob"] == "true"
    effects = [" ".join(effect.get_text().split()) for effect in part.page.select(".line-effect")]
    assert effects[0].startswith("50 OTH fewer · ")
    assert effects[0].endswith(" · price +5.0%")
    assert effects[1:] == ["2 of 2 BAG planned", ""]
    assert [bool(cell.select("del")) for cell in part.page.select(".line-amount")] == [True, False, True]


def test_deliveries_are_added_up_while_they_are_typed(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "lines-1-response": "CHANGED", "lines-1-split-0-quantity": "1"}
    part = asha.send(f"{url}/lines/summary", fields, headers=HTMX)
    assert part.page.select(".line-effect")[1].get_text() == "1 of 2 BAG planned"
    assert part.one("#line-sentence").get_text() == "Line 2: Each delivery needs a quantity and a date."


def test_editor_of_many_lines_has_one_page_of_fields(asha: Browser, buyer: Any, session: Session) -> None:
    lines = [
        {"orderLineReference": str(index), "productDescription": "Bolt", "quantity": 1}
        for index in range(200)
    ]
    body = {**buyer.bodies[0], "purchaseOrder": {**buyer.bodies[0]["purchaseOrder"], "itemLists": lines}}
    assert buyer.post("req-send", body).status_code == 200
    order_id = session.scalars(select(PurchaseOrder.id)).one()
    editor = asha.get(f"/orders/{order_id}/answer").one("#line-editor")
    assert len(editor.select(".line-row")) == 20
    assert len(str(editor)) < 120_000
