"""The buyer cancels or closes an order: allowed transitions, and the result for our response."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.models import CancelReason, MessageNote, MessageState
from app.inbound.models import Effect
from app.network.reader import dumps
from app.orders.decisions import CannotRespond
from app.partners import service as partner_service
from tests.buyer import Buyer, inbound_of, message_of, order_of, order_state, refusal
from tests.fixture_types import ClaimOne, Confirm, Deliver, DeliverWith

OTHER_KEY = "the-key-of-another-network"


def test_canceled_order_keeps_remarks_and_accepts_no_response(
    buyer: Buyer, order_id: int, confirm: Confirm, session: Session
) -> None:
    response = buyer.change_status(remarks="Requirement withdrawn")
    assert refusal(response) == (200, "", "")
    assert response.get_json()["payload"]["poStatus"]["buyerAction"] == "CANCEL"
    assert order_state(session, order_id) == ("CANCELLED", 1, "none", "none")
    (change,) = order_of(session, order_id).status_changes
    assert (change.action, change.remarks) == ("CANCEL", "Requirement withdrawn")
    assert (change.status_from, change.status_to, change.version) == ("CREATED", "CANCELLED", 1)
    assert change.inbound_id == inbound_of(session, response).id
    with pytest.raises(CannotRespond, match="final_status"):
        confirm(order_id)


def test_cancellation_cancels_a_queued_response(
    buyer: Buyer, order_id: int, message_id: str, deliver: Deliver, session: Session
) -> None:
    assert buyer.change_status().status_code == 200
    message = message_of(session, message_id)
    assert (message.state, message.note_code) == (MessageState.CANCELED, MessageNote.CANCELED)
    assert order_state(session, order_id) == ("CANCELLED", 1, "ACCEPT", "cancelled")
    assert deliver() == {}


@pytest.mark.parametrize(
    ("how", "delivery"), [("ok", "delivered"), ("refuse", "cancelled"), ("timeout", "cancelled")]
)
def test_delivery_after_cancellation_keeps_the_order_canceled(
    buyer: Buyer,
    order_id: int,
    message_id: str,
    claim_one: ClaimOne,
    end_attempt: Any,
    session: Session,
    how: str,
    delivery: str,
) -> None:
    sending = claim_one()
    assert buyer.change_status().status_code == 200
    assert message_of(session, message_id).cancel_requested is CancelReason.ORDER_CANCELED
    end_attempt(sending, how)
    assert order_state(session, order_id) == ("CANCELLED", 1, "ACCEPT", delivery)


def test_order_closes_only_after_delivery(
    buyer: Buyer, order_id: int, confirm: Confirm, claim_one: ClaimOne, end_attempt: Any, session: Session
) -> None:
    confirm(order_id)
    sending = claim_one()
    early = buyer.change_status(action="CLOSE", remarks="All received")
    assert refusal(early) == (409, "PO_TRANSITION", "poStatus.poStatusTransition.currentStatus")
    assert inbound_of(session, early).effect is Effect.REJECTED
    assert order_state(session, order_id) == ("CREATED", 1, "ACCEPT", "sending")

    end_attempt(sending, "ok")
    assert buyer.change_status(action="CLOSE", remarks="All received").status_code == 200
    assert order_state(session, order_id) == ("CLOSED", 1, "ACCEPT", "delivered")
    (change,) = order_of(session, order_id).status_changes
    assert (change.status_from, change.status_to) == ("ACCEPTED", "CLOSED")


FORBIDDEN = [
    ("none", "CLOSE"),
    ("REJECT", "CANCEL"),
    ("REJECT", "CLOSE"),
    ("RETURN", "CLOSE"),
    ("CANCEL", "CLOSE"),
    ("CLOSE", "CANCEL"),
]


@pytest.mark.sqlite
@pytest.mark.parametrize(("before", "action"), FORBIDDEN)
def test_forbidden_transition_changes_nothing(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    session: Session,
    before: str,
    action: str,
) -> None:
    if before in ("REJECT", "RETURN"):
        confirm(order_id, before, "For a reason")
        deliver_with("ok")
    elif before == "CLOSE":
        confirm(order_id)
        deliver_with("ok")
    if before in ("CANCEL", "CLOSE"):
        assert buyer.change_status(action=before).status_code == 200
    unchanged = order_state(session, order_id)
    response = buyer.change_status(action=action)
    assert refusal(response)[:2] == (409, "PO_TRANSITION")
    assert order_state(session, order_id) == unchanged
    assert inbound_of(session, response).order_id == order_id


@pytest.mark.parametrize("before", ["none", "ACCEPT", "RETURN"])
def test_allowed_transition_cancels_the_order(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith, session: Session, before: str
) -> None:
    if before != "none":
        confirm(order_id, before, "For a reason")
        deliver_with("ok")
    assert buyer.change_status().status_code == 200
    assert order_state(session, order_id)[0] == "CANCELLED"


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({"version": 0}, (409, "PO_STALE_VERSION", "poStatus.objectVersion.currentVersion")),
        ({"version": 2}, (409, "PO_STALE_VERSION", "poStatus.objectVersion.currentVersion")),
        ({"new_version": 2}, (409, "PO_STALE_VERSION", "poStatus.objectVersion.newVersion")),
        ({"new_status": "CLOSED"}, (422, "PO_FIELD_INVALID", "poStatus.poStatusTransition.newStatus")),
        ({"action": "HOLD"}, (409, "PO_TRANSITION", "poStatus.buyerAction")),
    ],
)
def test_invalid_status_change_is_rejected(
    buyer: Buyer, order_id: int, session: Session, words: Any, refused: Any
) -> None:
    assert refusal(buyer.change_status(**words)) == refused
    assert order_state(session, order_id) == ("CREATED", 1, "none", "none")
    assert not order_of(session, order_id).status_changes


def test_status_change_of_unknown_order_is_unmatched(buyer: Buyer, session: Session) -> None:
    response = buyer.change_status()
    assert refusal(response) == (409, "PO_UNKNOWN_OBJECT", "poStatus.objectId")
    assert inbound_of(session, response).effect is Effect.UNMATCHED


def test_repeated_cancellation_is_applied_once(buyer: Buyer, order_id: int, session: Session) -> None:
    first, again = buyer.change_status(), buyer.change_status()
    assert (again.status_code, again.data) == (200, first.data)
    assert refusal(buyer.change_status(remarks="Another reason"))[:2] == (409, "PO_CONFLICT")
    (change,) = order_of(session, order_id).status_changes
    assert change.remarks == "Requirement withdrawn"


def test_cancellation_of_an_old_version_is_stale(buyer: Buyer, order_id: int, session: Session) -> None:
    buyer.edit()
    assert refusal(buyer.change_status(version=1))[:2] == (409, "PO_STALE_VERSION")
    assert order_state(session, order_id)[0] == "CREATED"
    assert buyer.change_status(version=2).status_code == 200
    assert order_state(session, order_id)[:2] == ("CANCELLED", 2)


def test_order_of_another_partner_is_not_changed(
    buyer: Buyer, order_id: int, session: Session, database: Database, app: Flask
) -> None:
    with database.writing() as other:
        partner_service.add(other, "Another", base_url="http://127.0.0.1:9", inbound_key=OTHER_KEY)
        other.commit()
    response = app.test_client().post(
        "/api/v0/purchase-order/req-status-change",
        data=dumps(buyer.status_change_body()),
        headers={"X-Partner-Key": OTHER_KEY},
        content_type="application/json",
    )
    assert refusal(response)[:2] == (409, "PO_UNKNOWN_OBJECT")
    assert order_state(session, order_id)[0] == "CREATED"
