"""Values as partners really write them: totals as text, huge numbers, dates, padded numbers, spaces."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.delivery.models import Message
from app.network.reader import dumps
from app.orders.models import PurchaseOrder
from tests.buyer import Buyer
from tests.people import Browser, po_numbers

Receive = Callable[..., Any]


@pytest.fixture
def receive(buyer: Buyer, session: Session) -> Receive:
    """Send a new order with some fields replaced; returns the response."""
    count = 0

    def receive(**fields: Any) -> Any:
        nonlocal count
        count += 1
        body = copy.deepcopy(buyer.bodies[0])
        body["purchaseOrder"] |= {"objectId": f"OBJECT-{count}", **fields}
        return buyer.post("req-send", body)

    return receive


@pytest.fixture
def order_page(asha: Browser, session: Session) -> Callable[[], str]:
    """The text of the newest order's page."""

    def order_page() -> str:
        session.rollback()
        order_id = session.scalars(select(PurchaseOrder.id).order_by(PurchaseOrder.id.desc())).first()
        return str(asha.get(f"/orders/{order_id}").one("#document").get_text(" "))

    return order_page


def words(text: str) -> str:
    return " ".join(text.split())


LINE = {"serialno": "1", "totalItemValue": Decimal("100000.0")}


def test_total_as_text_is_read(receive: Receive, order_page: Any, session: Session) -> None:
    values = {"totalPOValue": "1,20,000.00"}
    assert receive(itemLists=[LINE], poValueDetails=values).status_code == 200
    page = words(order_page())
    assert "Total ₹1,20,000.00" in page
    assert "Total does not match the lines." in page
    assert session.scalars(select(PurchaseOrder.total)).one() == "120000.00"


@pytest.mark.sqlite
def test_total_as_unreadable_text_is_shown_with_a_warning(receive: Receive, order_page: Any) -> None:
    assert receive(itemLists=[LINE], poValueDetails={"totalPOValue": "1.2 lakh"}).status_code == 200
    page = words(order_page())
    assert "the order states “1.2 lakh”, which is not a number" in page
    assert "₹1,00,000.00" in page


def test_total_too_large_is_accepted_on_both_databases(receive: Receive, order_page: Any) -> None:
    for text in ("1e60", "-1e60", "1e59", "1e-60"):
        response = receive(itemLists=[LINE], poValueDetails={"totalPOValue": Decimal(text)})
        assert response.status_code == 200, response.get_json()
    assert order_page()


def test_long_delivery_date_is_accepted_on_both_databases(receive: Receive, order_page: Any) -> None:
    assert receive(deliveryDate="as agreed, " * 2000).status_code == 200
    assert "as agreed" in order_page()


@pytest.mark.sqlite
def test_e_invoice_values_add_up_and_keep_their_names(receive: Receive, order_page: Any) -> None:
    taxes = {
        "IGST": "1197.46",
        "CESS": "498.94",
        "CESS_NON_ADVOL": "10",
        "STATE_CESS": "1197.46",
        "STATE_CESS_NON_ADVOL": "5",
    }
    line = {
        "serialno": "1",
        "productDescription": "Rice",
        "assessmentAmount": Decimal("9978.84"),
        "gstRate": 12,
        "totalItemValue": Decimal("12897.7"),
        "itemValueDetails": [{"type": name, "value": Decimal(value)} for name, value in taxes.items()],
    }
    values = {
        "assessmentValue": Decimal("9978.84"),
        "totalTaxValue": Decimal("2908.86"),
        "discount": 10,
        "otherCharges": 20,
        "roundOffAmount": Decimal("0.3"),
        "totalPOValue": 12908,
    }
    assert receive(itemLists=[line], poValueDetails=values).status_code == 200
    page = words(order_page())
    assert "CESS_NON_ADVOL" in page and "STATE_CESS_NON_ADVOL" in page
    assert "CESS + NON" not in page and "STATE + CESS" not in page
    assert "does not match" not in page
    assert receive(itemLists=[line], poValueDetails={**values, "discount": 11}).status_code == 200
    assert "Total does not match the lines." in words(order_page())


@pytest.mark.sqlite
def test_custom_field_name_that_is_not_text_is_shown(receive: Receive, order_page: Any) -> None:
    pairs = [{"name": name, "value": "Paid"} for name in (Decimal("1.5"), True, None)]
    assert receive(poInfos=[*pairs, {}]).status_code == 200
    assert "Terms 1.5 Paid True Paid No name Paid No name" in words(order_page())


@pytest.mark.sqlite
@pytest.mark.parametrize("blank", [" ", "\u200b", "\u00a0\u3164"])
def test_invisible_po_number_is_refused_at_the_field(receive: Receive, blank: str) -> None:
    response = receive(buyerPONumber=blank)
    assert response.status_code == 422
    assert response.get_json()["payload"]["resp"]["errorField"] == "purchaseOrder.buyerPONumber"


@pytest.mark.sqlite
def test_whole_number_with_a_decimal_point_is_an_integer(buyer: Buyer, receive: Receive) -> None:
    versions = {"currentVersion": Decimal("0.0"), "newVersion": Decimal("1.0")}
    assert receive(objectVersion=versions).status_code == 200
    body = copy.deepcopy(buyer.bodies[0])
    body["purchaseOrder"]["objectVersion"] = {"currentVersion": 0, "newVersion": Decimal("1.5")}
    assert buyer.post("req-send", dumps(body)).status_code == 422


def test_delivery_dates_are_sorted_as_dates(receive: Receive, asha: Browser) -> None:
    dates = {"A": "31/12/2026", "B": "02/01/2027", "C": "15/12/2026", "D": "soon", "E": "2026-12-20"}
    for number, text in dates.items():
        assert receive(buyerPONumber=number, deliveryDate=text).status_code == 200

    def order_of(sort: str) -> str:
        return "".join(po_numbers(asha.get(f"/orders?sort={sort}")))

    assert order_of("delivery_date") == "CEABD"
    assert order_of("-delivery_date") == "DBAEC"
    assert "soon" in asha.get("/orders").visible_text


def test_pages_with_padded_numbers_cover_every_order_once(
    subtests: pytest.Subtests, receive: Receive, asha: Browser
) -> None:
    for number in range(1, 111):
        padded = f"  WP{number:03}" if number % 2 else f"{'ज' * 44}{number:03}  "
        assert receive(buyerPONumber=padded).status_code == 200
    for sort in ("buyer_po_number", "-buyer_po_number", "delivery_date"):
        with subtests.test(sort=sort):
            seen: list[str] = []
            url: str | None = f"/orders?sort={sort}"
            while url:
                page = asha.get(url)
                seen += [str(link["href"]) for link in page.page.select("td.col-order a")]
                more = [str(link["href"]) for link in page.page.select("a[rel=next]")]
                url = more[0] if more else None
            assert len(seen) == len(set(seen)) == 110


def test_search_finds_text_that_looks_the_same(receive: Receive, asha: Browser) -> None:
    receive(buyerPONumber="P1", subject="ज़िला spare")
    receive(buyerPONumber="P2", subject="Gear\u00a0box")
    for query, number in (("ज\u093cिला", "P1"), ("gear box", "P2"), ("Gear\u200b  BOX", "P2")):
        assert po_numbers(asha.get("/orders", query_string={"q": query})) == [number], query


@pytest.mark.sqlite
def test_tabs_in_a_response_become_spaces(asha: Browser, order_id: int, session: Session) -> None:
    custom = {"additional_infos-0-name": "note\tfor", "additional_infos-0-value": "dock\r\n\t5"}
    response = asha.respond(order_id, "REJECT", "Short by\t100\t200 pcs", **custom)
    assert response.status_code == 303
    session.rollback()
    body = json.loads(session.scalars(select(Message.body)).one())
    assert body["poConfirmation"]["supplierRemarks"] == "Short by 100 200 pcs"
    assert body["additionalInfos"] == [{"name": "note for", "value": "dock 5"}]


@pytest.mark.sqlite
def test_invisible_remarks_are_empty(asha: Browser, order_id: int) -> None:
    response = asha.respond(order_id, remarks="\u200b\u3164")
    assert response.status_code == 422
    assert "Enter a remark." in response.visible_text


@pytest.mark.sqlite
def test_state_of_supply_is_shown_with_its_name(receive: Receive, order_page: Any) -> None:
    receive()
    assert "Place of supply 36 Telangana" in words(order_page())
