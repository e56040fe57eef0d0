"""The buyer changes an order: a new version, and the earlier response is outdated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.delivery.models import CancelReason, MessageNote, MessageState
from app.delivery.resend_blocker import ResendBlocker, resend_blocker
from app.inbound.models import Effect
from app.network.reader import dumps
from app.orders.decisions import AlreadyDecided, CannotRespond, StaleVersion
from app.orders.inbox_queries import OrderFilter, order_page
from app.orders.queries import queue_counts
from tests.buyer import Buyer, inbound_of, message_of, order_of, order_state, refusal
from tests.fixture_types import Arrive, ClaimOne, Confirm, Deliver, DeliverWith, MoveClock


def test_edit_adds_a_version_and_keeps_the_old_one(
    buyer: Buyer, order_id: int, session: Session, move_clock: MoveClock
) -> None:
    first = order_of(session, order_id)
    move_clock(hours=3)
    response = buyer.edit(subject="Project material (moved)", deliveryDate="2027-02-01")
    assert refusal(response) == (200, "", "")

    order = order_of(session, order_id)
    assert (order.status, order.version, order.response, order.delivery) == ("CREATED", 2, "none", "none")
    assert (order.subject, order.delivery_date) == ("Project material (moved)", "2027-02-01")
    assert [revision.version for revision in order.revisions] == [2, 1]
    stored = inbound_of(session, response)
    assert (stored.effect, stored.order_id) == (Effect.APPLIED, order_id)
    assert order.revisions[0].inbound_id == stored.id
    assert (
        order.revisions[0].body
        == stored.body
        == dumps(buyer.edit_body(subject="Project material (moved)", deliveryDate="2027-02-01"))
    )
    assert order.revisions[1].body == first.revisions[0].body
    assert order.received_at == first.received_at
    assert order.revised_at == stored.received_at
    assert order.respond_by == stored.received_at + timedelta(hours=24)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("current", "new", "field"),
    [(0, 1, "currentVersion"), (2, 3, "currentVersion"), (1, 3, "newVersion"), (1, 1, "newVersion")],
)
def test_edit_of_another_version_is_rejected(
    buyer: Buyer, order_id: int, session: Session, current: int, new: int, field: str
) -> None:
    response = buyer.edit(current=current, new=new)
    assert refusal(response) == (409, "PO_STALE_VERSION", f"purchaseOrder.objectVersion.{field}")
    assert response.get_json()["response_code"] == 1
    stored = inbound_of(session, response)
    assert (stored.effect, stored.order_id, bool(stored.body)) == (Effect.REJECTED, order_id, True)
    assert order_state(session, order_id) == ("CREATED", 1, "none", "none")
    assert len(order_of(session, order_id).revisions) == 1


def test_edit_before_its_order_is_unmatched_until_sent_again(
    buyer: Buyer, arrive: Arrive, session: Session
) -> None:
    early = buyer.edit()
    assert refusal(early) == (409, "PO_UNKNOWN_OBJECT", "purchaseOrder.objectId")
    stored = inbound_of(session, early)
    assert (stored.effect, stored.order_id, bool(stored.body)) == (Effect.UNMATCHED, None, True)

    (order_id,) = arrive(1)
    assert order_state(session, order_id) == ("CREATED", 1, "none", "none")
    assert buyer.edit().status_code == 200
    assert order_state(session, order_id) == ("CREATED", 2, "none", "none")


def test_edit_cannot_change_buyer_or_supplier(buyer: Buyer, order_id: int, session: Session) -> None:
    body = buyer.edit_body()
    body["b2bIds"]["supplierB2BId"] = "SUPPB2B0002@bbps"
    assert refusal(buyer.post("req-edit", body)) == (422, "PO_FIELD_INVALID", "b2bIds.supplierB2BId")
    assert order_state(session, order_id) == ("CREATED", 1, "none", "none")


def test_repeated_edit_gets_the_same_response(buyer: Buyer, order_id: int, session: Session) -> None:
    first = buyer.edit()
    assert buyer.edit(current=2, subject="And again").status_code == 200
    again = buyer.edit()
    assert (again.status_code, again.data) == (200, first.data)
    assert order_state(session, order_id) == ("CREATED", 3, "none", "none")


def test_different_edit_to_the_same_version_is_a_conflict(
    buyer: Buyer, order_id: int, session: Session
) -> None:
    buyer.edit()
    other = buyer.edit(subject="Something else")
    assert refusal(other) == (409, "PO_CONFLICT", "purchaseOrder.objectId")
    assert other.get_json()["response_code"] == 38
    assert inbound_of(session, other).effect is Effect.CONFLICT
    assert order_of(session, order_id).subject == "Project material"


def test_edit_reopens_a_confirmed_order(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    session: Session,
    move_clock: MoveClock,
) -> None:
    message_id = confirm(order_id, remarks="Will ship on Friday")
    deliver_with("ok")
    assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")

    assert buyer.edit().status_code == 200
    assert order_state(session, order_id) == ("CREATED", 2, "changed", "delivered")
    assert message_of(session, message_id).state is MessageState.DELIVERED
    now = order_of(session, order_id).revised_at
    assert queue_counts(session, None, now).changed == 1
    for filters in (OrderFilter(answer="changed"), OrderFilter(answer="open"), OrderFilter(q="will ship")):
        assert [row.id for row in order_page(session, None, filters).rows] == [order_id]

    confirm(order_id)
    deliver_with("ok")
    assert order_state(session, order_id) == ("ACCEPTED", 2, "ACCEPT", "delivered")
    assert [decision.version for decision in order_of(session, order_id).decisions] == [2, 1]


def test_edit_cancels_a_queued_response(
    buyer: Buyer, order_id: int, message_id: str, session: Session, deliver: Deliver
) -> None:
    buyer.edit()
    message = message_of(session, message_id)
    assert (message.state, message.note_code) == (MessageState.CANCELED, MessageNote.CANCELED)
    assert (message.cancel_requested, message.cancel_params) == (CancelReason.ORDER_CHANGED, {"version": 2})
    assert message.finished_at and message.next_at is None
    assert order_state(session, order_id) == ("CREATED", 2, "changed", "cancelled")
    assert deliver() == {}


def test_canceled_response_after_unclear_attempt_may_have_been_received(
    buyer: Buyer, message_id: str, deliver_with: DeliverWith, session: Session
) -> None:
    deliver_with("timeout")
    buyer.edit()
    assert message_of(session, message_id).note_params["maybe_received"]


@pytest.mark.parametrize(
    ("how", "state"),
    [("ok", "delivered"), ("refuse", "cancelled"), ("timeout", "cancelled"), ("500", "cancelled")],
)
def test_response_in_progress_during_edit_counts_only_if_delivered(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    message_id: str,
    claim_one: ClaimOne,
    end_attempt: Any,
    session: Session,
    how: str,
    state: str,
) -> None:
    sending = claim_one()
    buyer.edit()
    message = message_of(session, message_id)
    assert message.state is MessageState.SENDING
    assert (message.cancel_requested, message.cancel_params) == (CancelReason.ORDER_CHANGED, {"version": 2})
    assert order_state(session, order_id) == ("CREATED", 2, "changed", "sending")
    with pytest.raises(CannotRespond, match="earlier_response_sending"):
        confirm(order_id)

    end_attempt(sending, how)
    assert order_state(session, order_id) == ("CREATED", 2, "changed", state)
    confirm(order_id)
    assert order_state(session, order_id) == ("CREATED", 2, "ACCEPT", "pending")


def test_delivered_rejection_is_final(
    buyer: Buyer, arrive: Arrive, confirm: Confirm, deliver_with: DeliverWith, session: Session
) -> None:
    first, second = arrive(2)
    confirm(first, "REJECT", "Not in our range")
    deliver_with("ok")
    assert refusal(buyer.edit()) == (409, "PO_TRANSITION", "purchaseOrder.poStatusTransition.currentStatus")
    assert order_state(session, first) == ("REJECTED", 1, "REJECT", "delivered")

    confirm(second, "REJECT", "Not in our range")
    assert buyer.edit(1).status_code == 200
    assert order_state(session, second) == ("CREATED", 2, "changed", "cancelled")


@pytest.mark.sqlite
@pytest.mark.parametrize(("action", "status"), [("CANCEL", "CANCELLED"), ("CLOSE", "CLOSED")])
def test_ended_order_cannot_be_edited(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    session: Session,
    action: str,
    status: str,
) -> None:
    confirm(order_id)
    deliver_with("ok")
    assert buyer.change_status(action=action).status_code == 200
    assert refusal(buyer.edit())[:2] == (409, "PO_TRANSITION")
    assert order_state(session, order_id) == (status, 1, "ACCEPT", "delivered")


def test_edit_after_return_reopens_the_order(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith, session: Session
) -> None:
    confirm(order_id, "RETURN", "Please lower the price")
    deliver_with("ok")
    assert order_state(session, order_id) == ("RETURNED", 1, "RETURN", "delivered")
    buyer.edit()
    assert order_state(session, order_id) == ("CREATED", 2, "changed", "delivered")


def test_edit_with_outdated_or_unknown_status_is_applied(
    buyer: Buyer, order_id: int, session: Session
) -> None:
    outdated = {"currentStatus": "ACCEPTED", "newStatus": "ACCEPTED"}
    assert buyer.edit(poStatusTransition=outdated).status_code == 200
    assert order_state(session, order_id)[0] == "CREATED"
    unknown = {"currentStatus": "CREATED", "newStatus": "ON_HOLD"}
    assert buyer.edit(current=2, poStatusTransition=unknown).status_code == 200
    assert order_state(session, order_id)[:2] == ("ON_HOLD", 3)


def test_response_to_an_old_version_is_refused(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith
) -> None:
    buyer.edit()
    with pytest.raises(StaleVersion):
        confirm(order_id, version=1)
    confirm(order_id, version=2)
    deliver_with("ok")
    with pytest.raises(AlreadyDecided):
        confirm(order_id, "REJECT", "No", version=2)


def test_refused_response_to_an_old_version_cannot_be_resent(
    buyer: Buyer, message_id: str, deliver_with: DeliverWith, session: Session
) -> None:
    deliver_with("refuse")
    message = message_of(session, message_id)
    assert resend_blocker(session, message) is None
    buyer.edit()
    message = message_of(session, message_id)
    assert message.state is MessageState.REFUSED
    assert resend_blocker(session, message) is ResendBlocker.CANCELED
