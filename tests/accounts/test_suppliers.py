"""The device tag with which a supplier's answers start: set by administrators, in every form."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Supplier
from app.delivery.models import Message
from tests.people import BEARINGS, TRIVENI, Browser, fields_of

PLACE = "18.5204,73.8567"


@pytest.fixture
def admin(browser_of: Callable[[str], Browser]) -> Browser:
    """The administrator."""
    return browser_of("admin")


def save(admin: Browser, b2b_id: str, name: str, value: str) -> Any:
    forms = admin.get("/suppliers").page.select("form[action='/suppliers']")
    (fields,) = [fields for fields in map(fields_of, forms) if fields["b2b_id"] == b2b_id]
    return admin.send("/suppliers", {**fields, "device_tag_name": name, "device_tag_value": value})


def tags_sent(session: Session) -> dict[str, dict[str, str]]:
    """The device tag of each supplier's only message."""
    session.rollback()
    bodies = [json.loads(body) for body in session.scalars(select(Message.body))]
    return {body["b2bIds"]["supplierB2BId"]: body["device"]["tag"] for body in bodies}


def test_the_answers_of_a_supplier_start_with_the_tag_that_was_set(
    admin: Browser, asha: Browser, arrive: Any, session: Session
) -> None:
    answer = save(admin, TRIVENI, "GEOCODE", PLACE)
    assert (answer.status_code, answer.location) == (303, f"/suppliers?saved={TRIVENI}")
    page = admin.get(answer.location)
    assert "Saved." in page.one("[role=status].notice").get_text()
    assert "set by Admin" in page.words
    ids = {asha.get(f"/orders/{one}.json").json["supplier_b2b_id"]: one for one in arrive(3)}
    for order_id in ids.values():
        asha.answer(order_id)
    default = {"name": "INITIATING_CHANNEL", "value": "WEB"}
    assert tags_sent(session) == {TRIVENI: {"name": "GEOCODE", "value": PLACE}, BEARINGS: default}


def test_several_answers_at_once_carry_each_supplier_s_own_tag(
    admin: Browser, asha: Browser, arrive: Any, session: Session
) -> None:
    save(admin, BEARINGS, "POSTAL_CODE", "411019")
    ids = {asha.get(f"/orders/{one}.json").json["supplier_b2b_id"]: one for one in arrive(3)}
    planned = asha.get("/orders/answers/plan", query_string={"order_ids": list(ids.values())})
    (form,) = planned.page.select("form[action='/orders/answers']")
    fields = {**fields_of(form), "order_ids": list(ids.values()), "versions": []}
    assert asha.send("/orders/answers", fields).status_code == 200
    tags = tags_sent(session)
    assert tags[BEARINGS] == {"name": "POSTAL_CODE", "value": "411019"}
    assert tags[TRIVENI] == {"name": "INITIATING_CHANNEL", "value": "WEB"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("GEOCODE", "Pune"), ("GEOCODE", "18.52,73.85"), ("IP", ""), ("", "WEB"), ("x" * 101, "y")],
)
def test_half_a_tag_or_a_place_that_is_none_is_not_saved(
    admin: Browser, session: Session, name: str, value: str
) -> None:
    answer = save(admin, TRIVENI, name, value)
    assert answer.status_code == 422
    wrong = answer.one(".field-error")
    assert answer.one(f"[aria-describedby~='{wrong['id']}']")
    assert value in [field.get("value") for field in answer.page.select("input[name=device_tag_value]")]
    session.rollback()
    assert session.scalars(select(Supplier)).all() == []


def test_both_empty_takes_the_default_away_and_a_stranger_s_id_is_not_found(
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


def test_only_administrators_are_led_there(admin: Browser, ravi: Browser) -> None:
    assert admin.get("/").page.select("a[href='/suppliers']")
    assert not ravi.get("/").page.select("a[href='/suppliers']")
