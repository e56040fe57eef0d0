"""Responding to one order, with and without JavaScript: one decision, one webhook, no lost input."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.delivery.models import Message
from app.orders.models import Decision, Delivery, ResponseState
from tests.buyer import order_of
from tests.fixture_types import Arrive, ChangePartner, Deliver
from tests.people import HTMX, Browser, fields_of
from tests.queries import count_rows, set_order
from tests.serving import Network


def sent_body(session: Session) -> Any:
    session.rollback()
    return json.loads(session.scalars(select(Message.body)).one())


@pytest.mark.parametrize(
    ("response", "remarks", "status"),
    [
        ("ACCEPT", "Will ship on 4 December", "ACCEPTED"),
        ("REJECT", "Price differs from contract", "REJECTED"),
    ],
)
def test_response_creates_one_decision_and_one_webhook(
    asha: Browser, order_id: int, session: Session, response: str, remarks: str, status: str
) -> None:
    page = asha.respond(order_id, response, remarks)
    assert (page.status_code, page.location) == (303, f"/orders/{order_id}")
    order = order_of(session, order_id)
    assert (order.response, order.delivery, order.status) == (
        ResponseState(response),
        Delivery.PENDING,
        "CREATED",
    )
    decision = session.scalars(select(Decision)).one()
    message = session.scalars(select(Message)).one()
    assert (decision.person_name, decision.remarks, decision.message_id) == ("Asha", remarks, message.id)
    body = json.loads(message.body)
    assert body["poConfirmation"]["supplierResponse"] == response
    assert body["poConfirmation"]["poStatusTransition"]["newStatus"] == status


@pytest.mark.sqlite
def test_response_with_htmx_returns_a_fragment(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    response = asha.send(url, fields, headers=HTMX)
    assert response.status_code == 200
    assert not response.data.lstrip().lower().startswith(b"<!doctype")
    assert response.one("#response")
    assert "HX-Request" in response.headers["Vary"]
    assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.sqlite
def test_form_default_is_a_confirmation_with_its_remark(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    assert fields["supplier_response"] == "ACCEPT"
    assert fields["supplier_remarks"] == "Confirmed"
    assert fields["version"] == "1"
    assert fields["csrf_token"]


@pytest.mark.sqlite
def test_additional_information_is_sent_without_empty_rows(
    asha: Browser, order_id: int, session: Session
) -> None:
    asha.respond(
        order_id,
        supplier_order_number="SO-88",
        promised_date="2026-12-04",
        **{
            "additional_infos-0-name": "transporter",
            "additional_infos-0-value": "VRL",
            "additional_infos-1-name": "",
            "additional_infos-1-value": "",
        },
        device_tag_name="GEOCODE",
        device_tag_value="18.5204,73.8567",
    )
    body = sent_body(session)
    assert body["additionalInfos"] == [
        {"name": "supplierOrderNumber", "value": "SO-88"},
        {"name": "promisedDate", "value": "2026-12-04"},
        {"name": "transporter", "value": "VRL"},
    ]
    assert body["device"] == {"tag": {"name": "GEOCODE", "value": "18.5204,73.8567"}}


@pytest.mark.sqlite
def test_line_breaks_in_remarks_become_one_space_before_counting(
    asha: Browser, order_id: int, session: Session
) -> None:
    assert asha.respond(order_id, remarks="x" * 49 + "\r\n" + "y" * 50).status_code == 303
    remarks = sent_body(session)["poConfirmation"]["supplierRemarks"]
    assert remarks == "x" * 49 + " " + "y" * 50


@pytest.mark.sqlite
def test_invalid_form_returns_errors_and_keeps_all_input(
    subtests: pytest.Subtests, asha: Browser, order_id: int, session: Session
) -> None:
    url = f"/orders/{order_id}/answer"
    typed = {"supplier_order_number": "SO-typed-88", "supplier_remarks": "Typed remarks stay"}
    filled = {**asha.fill(url, url), **typed}
    for wrong in (
        {"supplier_remarks": ""},
        {"supplier_remarks": "x" * 101},
        {"supplier_remarks": 'He said "yes"'},
        {"supplier_remarks": "a\\b"},
        {"supplier_response": "PERHAPS"},
        {"supplier_response": "RETURN"},
        {"supplier_response": ""},
        {"supplier_response": "REJECT", "supplier_remarks": "Confirmed"},
        {"version": ""},
        {"version": "one"},
        {"version": "9" * 400},
        {"promised_date": "tomorrow"},
        {"device_tag_value": ""},
        {f"additional_infos-{row}-name": "n" for row in range(51)},
    ):
        for headers in ({}, HTMX):
            with subtests.test(wrong=wrong, headers=headers):
                response = asha.send(url, {**filled, **wrong}, headers=headers)
                assert response.status_code == 422
                assert "SO-typed-88" in response.text
                if "supplier_remarks" not in wrong:
                    assert "Typed remarks stay" in response.text
                assert response.page.select(
                    "#response [aria-invalid=true], #response .notice, #response [role=alert]"
                )
                assert count_rows(session, Decision) == count_rows(session, Message) == 0


@pytest.mark.sqlite
def test_response_without_a_version_is_rejected(asha: Browser, order_id: int, session: Session) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    del fields["version"]
    assert asha.send(url, fields).status_code == 422
    assert count_rows(session, Decision) == 0


def test_identical_response_again_creates_no_second_webhook(
    asha: Browser, order_id: int, session: Session, deliver: Deliver
) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    assert asha.send(url, fields).status_code == 303
    assert asha.send(url, fields).status_code == 303
    deliver()
    assert asha.send(url, fields).status_code == 303
    assert count_rows(session, Decision) == count_rows(session, Message) == 1


def test_different_response_is_a_conflict_that_names_the_first_responder(
    asha: Browser, omar: Browser, arrive: Arrive, session: Session
) -> None:
    order_id = arrive(3)[2]
    url = f"/orders/{order_id}/answer"
    late = {**omar.fill(url, url), "supplier_response": "REJECT", "supplier_remarks": "Out of stock"}
    asha.respond(order_id)
    response = omar.send(url, late)
    assert response.status_code == 409
    assert "Asha" in response.visible_text
    assert "Out of stock" in response.text
    assert count_rows(session, Decision) == 1


def test_ten_simultaneous_submits_record_one_response(
    app: Flask, browser_of: Callable[[str], Browser], order_id: int, session: Session
) -> None:
    url = f"/orders/{order_id}/answer"
    browsers = [browser_of("asha") for _ in range(10)]
    forms = [browser.fill(url, url) for browser in browsers]
    responses: list[int] = []

    def submit(number: int) -> None:
        responses.append(browsers[number].send(url, forms[number]).status_code)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert responses == [303] * 10
    assert count_rows(session, Decision) == count_rows(session, Message) == 1


@pytest.mark.sqlite
def test_preview_equals_sent_bytes_and_records_nothing(
    asha: Browser, order_id: int, session: Session
) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "supplier_remarks": "Will ship <soon> & well"}
    by_post = asha.send(f"{url}/preview", fields)
    by_get = asha.get(f"{url}/preview", query_string=fields)
    assert by_post.status_code == by_get.status_code == 200
    assert count_rows(session, Decision) == 0
    asha.send(url, fields)
    body = sent_body(session)
    for preview in (by_post, by_get):
        shown = [pre.get_text() for pre in preview.page.find_all("pre")]
        assert any(json.loads(text) == body for text in shown if text.strip().startswith("{"))


@pytest.mark.sqlite
def test_review_shows_the_response_and_its_submit_records_it(
    asha: Browser, order_id: int, session: Session
) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "supplier_response": "REJECT", "supplier_remarks": "No capacity"}
    fields |= {"additional_infos-0-name": "next slot", "additional_infos-0-value": "January"}
    review = asha.send(f"{url}/review", fields)
    assert review.status_code == 200
    assert "No capacity" in review.visible_text
    assert count_rows(session, Decision) == 0
    (form,) = review.page.select(f"#review form[action='{url}']")
    assert asha.send(url, fields_of(form)).status_code == 303
    body = sent_body(session)
    assert body["poConfirmation"]["supplierRemarks"] == "No capacity"
    assert body["additionalInfos"] == [{"name": "next slot", "value": "January"}]


@pytest.mark.sqlite
def test_review_of_invalid_input_returns_the_form_with_errors(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    typed = {"supplier_remarks": "", "supplier_order_number": "SO-1"}
    fields = {**asha.fill(url, url), **typed}
    for path in ("review", "preview"):
        refused = asha.send(f"{url}/{path}", fields)
        assert refused.status_code == 422
        assert "Enter a remark" in refused.one("#supplier_remarks-error").get_text()
        (form,) = refused.page.select(f"#response form[action='{url}']")
        sent = fields_of(form)
        assert {name: sent[name] for name in typed} == typed


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"supplier_remarks": "x" * 101}, "Remarks for the buyer: Enter at most 100 characters"),
        ({"promised_date": "soon"}, "Promised date: Enter a date such as 2026-11-23."),
        ({"version": "none"}, "The form has no order version. Reload the page."),
        ({"additional_infos-0-value": "x" * 501}, "Enter at most 500 characters in a custom field"),
        (
            {
                "promised_date": "2026-12-04",
                "additional_infos-0-name": "promisedDate",
                "additional_infos-0-value": "2026-12-05",
            },
            "Enter the supplier order number and the promised date only once.",
        ),
        ({"device_tag_value": ""}, "Device value: Enter a value"),
    ],
)
def test_preview_of_incomplete_input_names_what_is_missing(
    asha: Browser, order_id: int, fields: dict[str, str], sentence: str
) -> None:
    url = f"/orders/{order_id}/answer"
    filled = asha.fill(url, url)
    shown = asha.send(f"{url}/preview", {**filled, **fields}, headers=HTMX)
    assert shown.status_code == 422
    assert sentence in shown.visible_text
    assert shown.one("#preview") and not shown.page.select("form, pre")
    whole = asha.send(f"{url}/preview", {**filled, **fields})
    assert (whole.status_code, len(whole.page.select("#response form"))) == (422, 1)


@pytest.mark.sqlite
def test_preview_of_a_changed_order_says_so(asha: Browser, order_id: int, session: Session) -> None:
    url = f"/orders/{order_id}/answer"
    filled = asha.fill(url, url)
    set_order(session, order_id, version=2)
    shown = asha.send(f"{url}/preview", filled, headers=HTMX)
    assert shown.status_code == 409
    assert "now version 2" in shown.visible_text
    set_order(session, order_id, version=1)
    asha.respond(order_id)
    shown = asha.send(f"{url}/preview", filled, headers=HTMX)
    assert shown.status_code == 200, "the response was recorded; this is the sent body"


def test_refused_order_accepts_another_response(
    asha: Browser, order_id: int, deliver: Deliver, session: Session, network: Network
) -> None:
    network.behave("refuse", times=1)
    asha.respond(order_id, remarks="Confirmed with wishes")
    deliver()
    page = asha.get(f"/orders/{order_id}")
    assert "remarks" in page.visible_text.lower()
    assert asha.respond(order_id, remarks="Confirmed").status_code == 303
    assert deliver() == {"delivered": 1}
    numbers = session.scalars(select(Decision.number).order_by(Decision.number)).all()
    assert numbers == [1, 2]


@pytest.mark.sqlite
def test_order_with_unknown_status_is_shown_without_a_form(
    asha: Browser, order_id: int, session: Session
) -> None:
    set_order(session, order_id, status="ON_HOLD")
    page = asha.get(f"/orders/{order_id}")
    assert "ON_HOLD" in page.visible_text
    url = f"/orders/{order_id}/answer"
    token = asha.get(url).csrf_token
    fields = {
        "csrf_token": token,
        "version": "1",
        "supplier_response": "ACCEPT",
        "supplier_remarks": "Confirmed",
    }
    assert asha.send(url, fields).status_code == 409
    assert count_rows(session, Decision) == 0


@pytest.mark.sqlite
def test_return_is_offered_only_if_the_partner_supports_it(
    asha: Browser, order_id: int, change_partner: ChangePartner
) -> None:
    assert not asha.get(f"/orders/{order_id}").page.select("input[value=RETURN]")
    change_partner(accepts_return=True)
    assert asha.get(f"/orders/{order_id}").page.select("input[value=RETURN]")
    assert asha.respond(order_id, "RETURN", "Please move the date").status_code == 303


@pytest.mark.sqlite
def test_manager_sees_the_order_without_a_form(meera: Browser, order_id: int) -> None:
    page = meera.get(f"/orders/{order_id}")
    assert page.status_code == 200
    assert not page.page.select("[name=supplier_response]")


@pytest.mark.sqlite
def test_order_of_another_supplier_is_not_found(omar: Browser, order_id: int) -> None:
    for path in ("", "/answer", "/delivery", ".json"):
        assert omar.get(f"/orders/{order_id}{path}").status_code == 404
    assert omar.get("/orders/99999999999999999999999").status_code == 404


EDITED_RESPONSE = {
    "supplier_order_number": "SO-88",
    "promised_date": "2026-12-04",
    "additional_infos-0-name": "transporter",
    "additional_infos-0-value": "VRL",
    "device_tag_name": "GEOCODE",
    "device_tag_value": "18.5204,73.8567",
}


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("path", "describes"),
    [
        ("poConfirmation.supplierRemarks", "textarea[name=supplier_remarks]"),
        ("poConfirmation.supplierResponse", "fieldset.choice"),
        ("additionalInfos[0].value", "input[name=supplier_order_number]"),
        ("additionalInfos.1.value", "input[name=promised_date]"),
        ("additionalInfos[2].name", "fieldset.infos"),
        ("device.tag.value", "input[name=device_tag_value]"),
    ],
)
def test_form_after_a_refusal_has_the_refused_response_and_the_field_error(
    asha: Browser, order_id: int, deliver: Deliver, network: Network, path: str, describes: str
) -> None:
    url = f"/orders/{order_id}/answer"
    network.behave("refuse", times=1, error_cd="BPR012", error_field=path)
    asha.respond(order_id, "REJECT", "Price differs", **EDITED_RESPONSE)
    deliver()
    page = asha.get(f"/orders/{order_id}")
    fields = fields_of(page.one(f"#response form[action='{url}']"))
    assert fields["supplier_response"] == "REJECT"
    assert fields["supplier_remarks"] == "Price differs"
    assert EDITED_RESPONSE.items() <= fields.items()
    descriptions = [page.one(f"#{name}") for name in str(page.one(describes)["aria-describedby"]).split()]
    assert any("BPR012" in element.get_text() for element in descriptions)


@pytest.mark.sqlite
def test_form_after_undo_has_the_undone_response_but_not_for_a_new_version(
    asha: Browser, order_id: int, session: Session
) -> None:
    url = f"/orders/{order_id}/answer"
    asha.respond(order_id, remarks="Will ship", promised_date="2026-12-04")
    session.execute(update(Message).values(state="cancelled", next_at=None))
    set_order(session, order_id, delivery=Delivery.CANCELED)
    fields = asha.fill(url, url)
    assert (fields["supplier_remarks"], fields["promised_date"]) == ("Will ship", "2026-12-04")
    set_order(session, order_id, version=2, response=ResponseState.CHANGED)
    fields = asha.fill(url, url)
    assert (fields["supplier_remarks"], fields["promised_date"]) == ("Confirmed", "")


@pytest.mark.sqlite
def test_open_form_polls_the_response_of_a_colleague(asha: Browser, omar: Browser, arrive: Arrive) -> None:
    order_id = arrive(3)[2]
    updates = omar.get(f"/orders/{order_id}/answer").one("#form-updates")["data-hx-get"]
    assert omar.get(updates).one("#form-updates").get("data-poll") is not None
    asha.respond(order_id)
    shown = omar.get(updates).one("#form-updates")
    assert "Asha already confirmed this order." in shown.get_text()
    assert shown.get("data-poll") is None


@pytest.mark.sqlite
def test_open_form_polls_the_change_of_the_buyer(asha: Browser, order_id: int, session: Session) -> None:
    updates = asha.get(f"/orders/{order_id}/answer").one("#form-updates")["data-hx-get"]
    set_order(session, order_id, version=2)
    assert "now version 2" in asha.get(updates).visible_text


@pytest.mark.sqlite
def test_review_of_an_order_with_a_response_names_the_colleague(
    asha: Browser, omar: Browser, arrive: Arrive
) -> None:
    order_id = arrive(3)[2]
    url = f"/orders/{order_id}/answer"
    fields = {**omar.fill(url, url), "supplier_remarks": "Typed remarks stay"}
    asha.respond(order_id)
    review = omar.send(f"{url}/review", fields)
    assert review.status_code == 409
    assert "Asha already confirmed this order." in review.visible_text
    assert "Typed remarks stay" in review.text
