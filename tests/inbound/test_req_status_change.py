"""The buyer cancels or closes an order: what the table allows, and what becomes of our answer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.delivery.models import CancelReason, MessageNote, MessageState
from app.inbound.models import Effect
from app.network.reader import dumps
from app.orders.decisions import NotAnswerable
from app.partners import service as partner_service
from tests.buyer import Buyer, inbound_of, message_of, order_of, refusal, stands

OTHER_KEY = "the-key-of-another-network"


def test_canceled_order_keeps_remarks_and_takes_no_response(
    buyer: Buyer, arrive: Any, confirm: Any, session: Session
) -> None:
    (order_id,) = arrive(1)
    answer = buyer.move(remarks="Requirement withdrawn")
    assert refusal(answer) == (200, "", "")
    assert answer.get_json()["payload"]["poStatus"]["buyerAction"] == "CANCEL"
    assert stands(session, order_id) == ("CANCELLED", 1, "none", "none")
    (change,) = order_of(session, order_id).status_changes
    assert (change.action, change.remarks) == ("CANCEL", "Requirement withdrawn")
    assert (change.status_from, change.status_to, change.version) == ("CREATED", "CANCELLED", 1)
    assert change.inbound_id == inbound_of(session, answer).id
    with pytest.raises(NotAnswerable, match="final_status"):
        confirm(order_id)


def test_cancellation_cancels_a_queued_response(
    buyer: Buyer, arrive: Any, confirm: Any, deliver: Any, session: Session
) -> None:
    (order_id,) = arrive(1)
    message_id = confirm(order_id)
    assert buyer.move().status_code == 200
    message = message_of(session, message_id)
    assert (message.state, message.note_code) == (
        MessageState.CANCELLED,
        MessageNote.CANCELED,
    )
    assert stands(session, order_id) == ("CANCELLED", 1, "ACCEPT", "cancelled")
    assert deliver() == {}


@pytest.mark.parametrize(
    ("how", "delivery"), [("ok", "delivered"), ("refuse", "cancelled"), ("timeout", "cancelled")]
)
def test_delivery_after_cancellation_keeps_the_order_canceled(
    buyer: Buyer, arrive: Any, confirm: Any, leave: Any, end: Any, session: Session, how: str, delivery: str
) -> None:
    (order_id,) = arrive(1)
    message_id = confirm(order_id)
    sending = leave()
    assert buyer.move().status_code == 200
    assert message_of(session, message_id).cancel_requested is CancelReason.ORDER_CANCELED
    end(sending, how)
    assert stands(session, order_id) == ("CANCELLED", 1, "ACCEPT", delivery)


def test_order_closes_only_after_delivery(
    buyer: Buyer, arrive: Any, confirm: Any, leave: Any, end: Any, session: Session
) -> None:
    (order_id,) = arrive(1)
    confirm(order_id)
    sending = leave()
    early = buyer.move(action="CLOSE", remarks="All received")
    assert refusal(early) == (409, "PO_TRANSITION", "poStatus.poStatusTransition.currentStatus")
    assert inbound_of(session, early).effect is Effect.REJECTED
    assert stands(session, order_id) == ("CREATED", 1, "ACCEPT", "sending")

    end(sending, "ok")
    assert buyer.move(action="CLOSE", remarks="All received").status_code == 200
    assert stands(session, order_id) == ("CLOSED", 1, "ACCEPT", "delivered")
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


@pytest.mark.parametrize(("before", "action"), FORBIDDEN)
def test_forbidden_transition_changes_nothing(
    buyer: Buyer,
    arrive: Any,
    confirm: Any,
    deliver_so: Any,
    session: Session,
    before: str,
    action: str,
) -> None:
    (order_id,) = arrive(1)
    if before in ("REJECT", "RETURN"):
        confirm(order_id, before, "For a reason")
        deliver_so("ok")
    elif before == "CLOSE":
        confirm(order_id)
        deliver_so("ok")
    if before in ("CANCEL", "CLOSE"):
        assert buyer.move(action=before).status_code == 200
    stood = stands(session, order_id)
    answer = buyer.move(action=action)
    assert refusal(answer)[:2] == (409, "PO_TRANSITION")
    assert stands(session, order_id) == stood
    assert inbound_of(session, answer).order_id == order_id


@pytest.mark.parametrize("before", ["none", "ACCEPT", "RETURN"])
def test_allowed_transition_cancels_the_order(
    buyer: Buyer, arrive: Any, confirm: Any, deliver_so: Any, session: Session, before: str
) -> None:
    (order_id,) = arrive(1)
    if before != "none":
        confirm(order_id, before, "For a reason")
        deliver_so("ok")
    assert buyer.move().status_code == 200
    assert stands(session, order_id)[0] == "CANCELLED"


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
    buyer: Buyer, arrive: Any, session: Session, words: Any, refused: Any
) -> None:
    (order_id,) = arrive(1)
    assert refusal(buyer.move(**words)) == refused
    assert stands(session, order_id) == ("CREATED", 1, "none", "none")
    assert not order_of(session, order_id).status_changes


def test_status_change_of_unknown_order_is_unmatched(buyer: Buyer, session: Session, arrive: Any) -> None:
    answer = buyer.move()
    assert refusal(answer) == (409, "PO_UNKNOWN_OBJECT", "poStatus.objectId")
    assert inbound_of(session, answer).effect is Effect.UNMATCHED


def test_repeated_cancellation_is_applied_once(buyer: Buyer, arrive: Any, session: Session) -> None:
    (order_id,) = arrive(1)
    first, again = buyer.move(), buyer.move()
    assert (again.status_code, again.data) == (200, first.data)
    assert refusal(buyer.move(remarks="Another reason"))[:2] == (409, "PO_CONFLICT")
    (change,) = order_of(session, order_id).status_changes
    assert change.remarks == "Requirement withdrawn"


def test_cancellation_of_an_old_version_after_edit(buyer: Buyer, arrive: Any, session: Session) -> None:
    (order_id,) = arrive(1)
    buyer.edit()
    assert refusal(buyer.move(version=1))[:2] == (409, "PO_STALE_VERSION")
    assert stands(session, order_id)[0] == "CREATED"
    assert buyer.move(version=2).status_code == 200
    assert stands(session, order_id)[:2] == ("CANCELLED", 2)


def test_order_of_another_partner_is_not_changed(
    buyer: Buyer, arrive: Any, session: Session, database: Any, app: Any
) -> None:
    (order_id,) = arrive(1)
    with database.writing() as other:
        partner_service.add(other, "Another", base_url="http://127.0.0.1:9", inbound_key=OTHER_KEY)
        other.commit()
    answer = app.test_client().post(
        "/api/v0/purchase-order/req-status-change",
        data=dumps(buyer.moved()),
        headers={"X-Partner-Key": OTHER_KEY},
        content_type="application/json",
    )
    assert refusal(answer)[:2] == (409, "PO_UNKNOWN_OBJECT")
    assert stands(session, order_id)[0] == "CREATED"
