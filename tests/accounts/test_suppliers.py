"""Supplier settings: the default device tag of the responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Supplier
from app.delivery.models import Message
from tests.fixture_types import Arrive
from tests.people import BEARINGS, TRIVENI, Browser, fields_of, one

pytestmark = pytest.mark.sqlite

PLACE = "18.5204,73.8567"


def save(admin: Browser, b2b_id: str, name: str, value: str) -> Any:
    forms = admin.get("/suppliers").page.select("form[action='/suppliers']")
    (fields,) = [fields for fields in map(fields_of, forms) if fields["b2b_id"] == b2b_id]
    return admin.send("/suppliers", {**fields, "device_tag_name": name, "device_tag_value": value})


def sent_tags(session: Session) -> dict[str, dict[str, str]]:
    """The device tag in the only webhook of each supplier."""
    session.rollback()
    bodies = [json.loads(body) for body in session.scalars(select(Message.body))]
    return {body["b2bIds"]["supplierB2BId"]: body["device"]["tag"] for body in bodies}


def ids_by_supplier(browser: Browser, order_ids: list[int]) -> dict[str, int]:
    """The last of these orders of each supplier."""
    orders = [browser.get(f"/orders/{order_id}.json").get_json() for order_id in order_ids]
    return {order["supplier_b2b_id"]: order["id"] for order in orders}


def test_device_tag_of_a_supplier_is_the_default_of_its_responses(
    admin: Browser, asha: Browser, arrive: Arrive, session: Session
) -> None:
    response = save(admin, TRIVENI, "GEOCODE", PLACE)
    assert (response.status_code, response.location) == (303, f"/suppliers?saved={TRIVENI}")
    page = admin.get(response.location)
    assert "Saved." in page.one("[role=status].notice[autofocus]").get_text()
    assert "Set by Admin" in page.visible_text
    ids = ids_by_supplier(asha, arrive(3))
    for order_id in ids.values():
        asha.respond(order_id)
    default = {"name": "INITIATING_CHANNEL", "value": "WEB"}
    assert sent_tags(session) == {TRIVENI: {"name": "GEOCODE", "value": PLACE}, BEARINGS: default}


def test_bulk_response_uses_the_tag_of_each_supplier(
    admin: Browser, asha: Browser, arrive: Arrive, session: Session
) -> None:
    save(admin, BEARINGS, "POSTAL_CODE", "411019")
    ids = ids_by_supplier(asha, arrive(3))
    planned = asha.get("/orders/answers/plan", query_string={"order_ids": list(ids.values())})
    (form,) = planned.page.select("form[action='/orders/answers']")
    fields = {**fields_of(form), "order_ids": list(ids.values()), "versions": []}
    assert asha.send("/orders/answers", fields).status_code == 303
    tags = sent_tags(session)
    assert tags[BEARINGS] == {"name": "POSTAL_CODE", "value": "411019"}
    assert tags[TRIVENI] == {"name": "INITIATING_CHANNEL", "value": "WEB"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("GEOCODE", "Pune"), ("GEOCODE", "18.52,73.85"), ("IP", ""), ("", "WEB"), ("x" * 101, "y")],
)
def test_invalid_device_tag_is_not_saved(admin: Browser, session: Session, name: str, value: str) -> None:
    response = save(admin, TRIVENI, name, value)
    assert response.status_code == 422
    error = response.one(".field-error")
    assert response.one(f"[aria-describedby~='{error['id']}']")
    assert value in [field.get("value") for field in response.page.select("input[name=device_tag_value]")]
    session.rollback()
    assert session.scalars(select(Supplier)).all() == []


def test_empty_tag_removes_the_default_and_unknown_supplier_is_not_found(
    admin: Browser, session: Session
) -> None:
    save(admin, TRIVENI, "IP", "203.0.113.7")
    save(admin, TRIVENI, "IP", "203.0.113.8")
    session.rollback()
    assert session.scalars(select(Supplier.device_tag_value)).all() == ["203.0.113.8"]
    save(admin, TRIVENI, "", "")
    session.rollback()
    assert session.scalars(select(Supplier)).all() == []
    fields = fields_of(admin.get("/suppliers").page.select("form[action='/suppliers']")[0])
    assert admin.send("/suppliers", {**fields, "b2b_id": "NOBODY@bbps"}).status_code == 404


def test_only_administrators_see_the_link(admin: Browser, ravi: Browser) -> None:
    assert admin.get("/").page.select("a[href='/suppliers']")
    assert not ravi.get("/").page.select("a[href='/suppliers']")


def test_suppliers_are_listed_with_names_and_users(admin: Browser, arrive: Arrive) -> None:
    arrive(3)
    rows = {
        str(one(row, "input[name=b2b_id]")["value"]): row.get_text(" ")
        for row in admin.get("/suppliers").page.select(".supplier-table tbody tr")
    }
    assert set(rows) == {TRIVENI, BEARINGS}
    assert "Asha, Omar" in rows[BEARINGS] and "Omar" not in rows[TRIVENI]
    assert all(b2b_id in text and text.split()[0] != b2b_id for b2b_id, text in rows.items())
