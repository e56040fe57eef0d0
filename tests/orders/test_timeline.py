"""The activity of an order, and the changes that its pages receive."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery import service as delivery_service
from app.orders.activity_presenters import event_sentence
from app.orders.document_presenters import change_counts
from app.orders.models import OrderView
from app.orders.timeline import EventKind, TimelineEvent, timeline
from app.webhooks.queries import messages_of_order
from tests.buyer import Buyer, message_of, order_of, resp
from tests.fixture_types import Arrive, ClaimOne, Confirm, DeliverWith, MoveClock
from tests.people import Browser
from tests.queries import count_rows


def timeline_events(session: Session, order_id: int) -> list[TimelineEvent]:
    order = order_of(session, order_id)
    return timeline(session, order, messages_of_order(session, order_id))


def timeline_rows(session: Session, order_id: int) -> list[tuple[str, str, str]]:
    return [
        (event.kind.value, event.actor, event_sentence(event)) for event in timeline_events(session, order_id)
    ]


def test_timeline_of_a_complete_order_is_in_order(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    session: Session,
    move_clock: MoveClock,
    asha: Browser,
    pages: Any,
) -> None:
    move_clock(minutes=1)
    asha.get(f"/orders/{order_id}")
    move_clock(minutes=1)
    first = confirm(order_id, remarks="Will ship on Friday")
    for minutes in (1, 10, 40):
        move_clock(minutes=minutes)
        deliver_with("timeout")
    move_clock(hours=4)
    deliver_with("ok")
    move_clock(minutes=1)
    edited = buyer.edit(deliveryDate="2027-01-15")
    move_clock(minutes=1)
    second = confirm(order_id, remarks="Can do")
    move_clock(minutes=1)
    deliver_with("ok")
    move_clock(minutes=1)
    late = buyer.send_result(result="FAILURE", req_msg_id=f"REQ-{second}", version=2)
    move_clock(minutes=1)
    cancelled = buyer.change_status(version=2, remarks="Requirement withdrawn")

    name = "Malabar Marine Stores"
    assert timeline_rows(session, order_id) == [
        ("received", name, "Received."),
        ("seen", "Asha", "Viewed by Asha."),
        ("answered", "Asha", "Confirmed by Asha."),
        ("tried", "", "Delivery failed. Timed out."),
        ("delivered", "", "Delivered to the partner."),
        ("edited", name, "Changed by the buyer. Delivery date."),
        ("answered", "Asha", "Confirmed by Asha."),
        ("delivered", "", "Delivered to the partner."),
        (
            "result",
            "",
            "Refused by the partner. The partner refused the remarks: Remarks are not acceptable.",
        ),
        ("cancelled", name, "Canceled by the buyer."),
    ]
    events = timeline_events(session, order_id)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert [event.remarks for event in events if event.remarks] == [
        "Will ship on Friday",
        "Can do",
        "Requirement withdrawn",
    ]
    assert [event.message_id for event in events if event.message_id] == [first] * 3 + [second] * 3
    linked = [event.inbound_id for event in events if event.inbound_id][1:]
    assert linked == [resp(response)["reqMsgId"] for response in (edited, late, cancelled)]
    assert events[3].count == 3


@pytest.mark.sqlite
def test_timeline_has_a_canceled_response_with_its_reason(
    buyer: Buyer, order_id: int, confirm: Confirm, session: Session, move_clock: MoveClock
) -> None:
    confirm(order_id)
    move_clock(minutes=1)
    buyer.change_status()
    events = timeline_rows(session, order_id)
    assert ("withdrawn", "", "Response canceled. The buyer canceled the order.") in events
    assert events[-1][0] in ("withdrawn", "cancelled")


@pytest.mark.sqlite
def test_timeline_has_refusal_resend_and_current_attempt(
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    claim_one: ClaimOne,
    end_attempt: Any,
    database: Database,
    session: Session,
    move_clock: MoveClock,
) -> None:
    message_id = confirm(order_id, "REJECT", "Not in our range")
    deliver_with("refuse")
    move_clock(minutes=1)
    with database.writing() as other:
        delivery_service.resend(
            other, message_of(other, message_id), by="Ravi", reason="Fixed by the partner"
        )
        other.commit()
    sending = claim_one()
    assert timeline_rows(session, order_id)[1:] == [
        ("answered", "Asha", "Rejected by Asha."),
        ("refused", "", "Refused by the partner. The partner refused the response."),
        ("asked", "Ravi", "Resent by Ravi."),
        ("tried", "", "Sending."),
    ]
    move_clock(minutes=1)
    end_attempt(sending, "ok")
    assert timeline_rows(session, order_id)[-1] == ("delivered", "", "Delivered to the partner.")
    assert (
        next(event.remarks for event in timeline_events(session, order_id) if event.kind is EventKind.RESENT)
        == "Fixed by the partner"
    )


@pytest.mark.sqlite
def test_timeline_has_failure_and_closed_order(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    session: Session,
    move_clock: MoveClock,
) -> None:
    confirm(order_id)
    for _ in range(10):
        deliver_with("500")
        move_clock(days=2)
    kinds = [kind for kind, _, _ in timeline_rows(session, order_id)]
    assert kinds == ["received", "answered", "tried", "failed"]
    confirm(order_id)
    deliver_with("ok")
    buyer.change_status(action="CLOSE", remarks="All received")
    assert timeline_rows(session, order_id)[-1] == ("closed", "Malabar Marine Stores", "Closed by the buyer.")


def test_first_view_of_each_version_by_a_responder_is_recorded(
    buyer: Buyer,
    order_id: int,
    session: Session,
    asha: Browser,
    meera: Browser,
    ravi: Browser,
    move_clock: MoveClock,
    pages: Any,
) -> None:
    for browser in (asha, meera, ravi, asha):
        move_clock(minutes=1)
        assert browser.get(f"/orders/{order_id}").status_code == 200
    asha.get(f"/orders/{order_id}.json")
    views = session.scalars(select(OrderView)).all()
    assert [(view.person_name, view.version) for view in views] == [("Asha", 1)]
    buyer.edit()
    asha.get(f"/orders/{order_id}")
    session.rollback()
    assert [
        (view.person_name, view.version) for view in session.scalars(select(OrderView).order_by("id"))
    ] == [("Asha", 1), ("Asha", 2)]


def test_view_in_two_tabs_at_once_is_recorded_once(
    order_id: int,
    session: Session,
    asha: Browser,
    pages: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second tab does not see the record of the first, and logs no error."""
    monkeypatch.setattr("app.orders.presence.has_viewed", lambda *_: False)
    assert [asha.get(f"/orders/{order_id}").status_code for _ in range(2)] == [200, 200]
    assert count_rows(session, OrderView) == 1
    assert {record.name for record in caplog.records} == {"app.request"}


@pytest.mark.sqlite
def test_order_page_works_if_the_view_cannot_be_recorded(
    arrive: Arrive, asha: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any, **_values: Any) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    (order_id,) = arrive(1)
    monkeypatch.setattr("app.orders.presence.record_view", fail)
    assert asha.get(f"/orders/{order_id}").status_code == 200
    assert f"view of order {order_id} was not recorded: database is locked" in caplog.messages


@pytest.mark.sqlite
def test_changed_order_page_has_changes_since_the_response(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    asha: Browser,
    pages: list[dict[str, Any]],
) -> None:
    asha.get(f"/orders/{order_id}")
    assert (pages[-1]["changes"], pages[-1]["changes_since"]) == (None, None)
    confirm(order_id)
    deliver_with("ok")
    buyer.edit(deliveryDate="2027-01-15")
    buyer.edit(current=2, deliveryDate="2027-01-15", subject="Moved")
    asha.get(f"/orders/{order_id}")
    assert pages[-1]["changes_since"] == 1
    assert change_counts(pages[-1]["changes"]) == "delivery date, subject"
    edits = [event for event in pages[-1]["events"] if event.kind is EventKind.EDITED]
    assert event_sentence(edits[-1]) == "Changed by the buyer. Subject."
    confirm(order_id)
    asha.get(f"/orders/{order_id}")
    assert pages[-1]["changes"] is None


@pytest.mark.sqlite
def test_changed_order_page_without_a_response_has_changes_of_the_last_edit(
    buyer: Buyer, order_id: int, asha: Browser, pages: list[dict[str, Any]]
) -> None:
    buyer.edit(deliveryDate="2027-01-15")
    buyer.edit(current=2, deliveryDate="2027-01-15", subject="Moved")
    asha.get(f"/orders/{order_id}")
    assert (pages[-1]["changes_since"], change_counts(pages[-1]["changes"])) == (2, "subject")


@pytest.mark.sqlite
def test_stale_form_has_changes_since_it_was_opened_and_keeps_input(
    buyer: Buyer, order_id: int, asha: Browser, pages: list[dict[str, Any]]
) -> None:
    asha.get(f"/orders/{order_id}/answer")
    buyer.edit(deliveryDate="2027-01-15")
    buyer.edit(current=2, deliveryDate="2027-01-15", subject="Moved")
    fields = {
        "csrf_token": pages[-1]["form"].csrf_token.current_token,
        "supplier_response": "REJECT",
        "supplier_remarks": "Typed with care",
        "device_tag_name": "INITIATING_CHANNEL",
        "device_tag_value": "WEB",
    }
    for version, brief in (("2", "subject"), ("1", "delivery date, subject")):
        response = asha.send(f"/orders/{order_id}/answer", {**fields, "version": version})
        context = pages[-1]
        assert response.status_code == 409, context["form"].errors
        assert (context["conflict"], context["changes_since"]) == ("stale", int(version))
        assert change_counts(context["changes"]) == brief
        assert context["form"].supplier_remarks.data == "Typed with care"
    never = asha.send(f"/orders/{order_id}/answer", {**fields, "version": "9"})
    assert (never.status_code, pages[-1]["changes_since"]) == (409, 2)
    too_large = asha.send(f"/orders/{order_id}/answer", {**fields, "version": "9" * 5000})
    assert too_large.status_code == 422


def test_order_json_has_its_final_state(
    buyer: Buyer, order_id: int, asha: Browser, pages: list[dict[str, Any]]
) -> None:
    buyer.change_status(remarks="Requirement withdrawn")
    asha.get(f"/orders/{order_id}")
    assert pages[-1]["ended"].remarks == "Requirement withdrawn"
    (change,) = asha.get(f"/orders/{order_id}.json").get_json()["status_changes"]
    assert (change["action"], change["from"], change["to"]) == ("CANCEL", "CREATED", "CANCELLED")
