"""Late results: the partner's final result of a response, at any time."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery import service as delivery_service
from app.delivery.claiming import claim
from app.delivery.models import MessageNote, MessageState, ResultFrom
from app.delivery.resend_blocker import ResendBlocker, resend_blocker
from app.inbound.models import Effect
from app.orders.decisions import AlreadyDecided
from app.partners.models import Partner
from app.webhooks.partner_status import last_delivery
from app.webhooks.presenters import message_sentence
from tests.buyer import Buyer, inbound_of, message_of, order_state, refusal
from tests.fixture_types import Arrive, ClaimOne, Confirm, Deliver, DeliverWith, MoveClock, Resend
from tests.people import Browser


def test_late_success_confirms_a_delivery(
    buyer: Buyer, order_id: int, message_id: str, deliver_with: DeliverWith, session: Session
) -> None:
    deliver_with("ok")
    before = message_of(session, message_id)
    assert before.result_from is ResultFrom.RESPONSE
    response = buyer.send_result(req_msg_id=before.req_msg_id)
    assert refusal(response) == (200, "", "")
    message = message_of(session, message_id)
    assert (message.state, message.finished_at) == (MessageState.DELIVERED, before.finished_at)
    assert (message.result_from, message.result) == (ResultFrom.RESP_CONFIRM, "SUCCESS")
    assert message.result_inbound_id == inbound_of(session, response).id
    assert message.result_at
    assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")


def test_late_failure_reopens_the_order(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    message_id: str,
    deliver_with: DeliverWith,
    session: Session,
) -> None:
    deliver_with("ok")
    req_msg_id = message_of(session, message_id).req_msg_id
    assert buyer.send_result(result="FAILURE", req_msg_id=req_msg_id).status_code == 200

    message = message_of(session, message_id)
    assert (message.state, message.result_from) == (MessageState.REFUSED, ResultFrom.RESP_CONFIRM)
    assert (message.error_cd, message.error_dtl) == ("BPR012", "Remarks are not acceptable")
    assert message.error_field == "poConfirmation.supplierRemarks"
    assert message_sentence(message) == "The partner refused the remarks: Remarks are not acceptable."
    assert order_state(session, order_id) == ("CREATED", 1, "ACCEPT", "refused")
    assert resend_blocker(session, message) is ResendBlocker.REFUSED_LATER

    again = confirm(order_id, remarks="Confirmed, politely")
    assert message_of(session, again).decision_number == 2
    deliver_with("ok")
    assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")


def test_result_without_id_matches_the_newest_response(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith, session: Session
) -> None:
    older = confirm(order_id)
    deliver_with("refuse")
    newer = confirm(order_id, remarks="Confirmed again")
    deliver_with("ok")
    assert buyer.send_result(result="FAILURE", req_msg_id="of-nobody").status_code == 200
    assert message_of(session, older).result_from is ResultFrom.RESPONSE
    assert message_of(session, newer).state is MessageState.REFUSED


def test_result_with_id_matches_an_older_response(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith, session: Session
) -> None:
    older = confirm(order_id)
    deliver_with("refuse")
    newer = confirm(order_id, remarks="Confirmed again")
    deliver_with("ok")
    assert buyer.send_result(result="FAILURE", req_msg_id=f"REQ-{older}").status_code == 200
    assert message_of(session, older).result_from is ResultFrom.RESP_CONFIRM
    assert message_of(session, newer).state is MessageState.DELIVERED
    assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")


def test_result_does_not_match_unsent_or_different_response(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith, session: Session
) -> None:
    nothing = buyer.send_result()
    assert refusal(nothing) == (409, "PO_UNKNOWN_OBJECT", "poConfirmation.objectId")
    assert (inbound_of(session, nothing).effect, inbound_of(session, nothing).order_id) == (
        Effect.UNMATCHED,
        order_id,
    )
    message_id = confirm(order_id)
    assert refusal(buyer.send_result())[:2] == (409, "PO_UNKNOWN_OBJECT")
    deliver_with("timeout")
    assert refusal(buyer.send_result(response="REJECT"))[:2] == (409, "PO_UNKNOWN_OBJECT")
    assert refusal(buyer.send_result(version=2))[:2] == (409, "PO_UNKNOWN_OBJECT")
    assert message_of(session, message_id).state is MessageState.PENDING
    assert buyer.send_result().status_code == 200
    assert message_of(session, message_id).state is MessageState.DELIVERED


def test_result_of_unknown_order_is_unmatched(buyer: Buyer, session: Session) -> None:
    response = buyer.send_result()
    assert refusal(response) == (409, "PO_UNKNOWN_OBJECT", "poConfirmation.objectId")
    stored = inbound_of(session, response)
    assert (stored.effect, bool(stored.body), stored.order_id) == (Effect.UNMATCHED, True, None)


@pytest.mark.sqlite
@pytest.mark.parametrize("result", ["SUCCESS", "FAILURE"])
@pytest.mark.parametrize("how", ["ok", "refuse", "timeout"])
def test_result_before_the_attempt_is_recorded_wins(
    buyer: Buyer,
    order_id: int,
    message_id: str,
    claim_one: ClaimOne,
    end_attempt: Any,
    session: Session,
    result: str,
    how: str,
) -> None:
    sending = claim_one()
    assert buyer.send_result(result=result, req_msg_id=f"REQ-{message_id}").status_code == 200
    status, delivery = ("ACCEPTED", "delivered") if result == "SUCCESS" else ("CREATED", "refused")
    assert order_state(session, order_id) == (status, 1, "ACCEPT", delivery)

    end_attempt(sending, how)
    assert order_state(session, order_id) == (status, 1, "ACCEPT", delivery)
    message = message_of(session, message_id)
    assert message.result_from is ResultFrom.RESP_CONFIRM
    assert message.attempts[0].outcome is not None


def test_result_during_an_attempt_blocks_a_second_attempt(
    buyer: Buyer, message_id: str, claim_one: ClaimOne, end_attempt: Any, resend: Resend, session: Session
) -> None:
    sending = claim_one()
    assert buyer.send_result(req_msg_id=f"REQ-{message_id}").status_code == 200
    assert message_of(session, message_id).state is MessageState.DELIVERED
    with pytest.raises(delivery_service.CannotResend, match="in_flight"):
        resend(message_id, include_delivered=True)

    end_attempt(sending, "timeout")
    resend(message_id, include_delivered=True)
    assert claim_one().number == 2


def test_webhook_with_late_result_can_be_resent_after_its_lease(
    buyer: Buyer, message_id: str, claim_one: ClaimOne, resend: Resend, move_clock: MoveClock, ravi: Browser
) -> None:
    claim_one()
    assert buyer.send_result(req_msg_id=f"REQ-{message_id}").status_code == 200
    assert "In progress" in ravi.get(f"/webhooks/{message_id}").visible_text
    move_clock(minutes=1)
    page = ravi.get(f"/webhooks/{message_id}").visible_text
    assert "outcome unknown" in page.lower() and "In progress" not in page
    resend(message_id, include_delivered=True)
    assert claim_one().number == 2


def test_new_response_waits_for_the_attempt_in_progress(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    claim_one: ClaimOne,
    database: Database,
    move_clock: MoveClock,
) -> None:
    first = confirm(order_id)
    claim_one()
    assert buyer.send_result(result="FAILURE", req_msg_id=f"REQ-{first}").status_code == 200
    again = confirm(order_id, remarks="Confirmed, politely")
    with database.writing() as other:
        assert claim(other, 1, clock.now()).messages == []
        assert resend_blocker(other, message_of(other, again)) is ResendBlocker.IN_FLIGHT
    move_clock(minutes=1)
    assert claim_one().id == again


@pytest.mark.sqlite
@pytest.mark.parametrize("how", ["timeout", "refuse", "500"])
def test_late_success_ends_a_failed_delivery(
    buyer: Buyer,
    order_id: int,
    message_id: str,
    deliver_with: DeliverWith,
    deliver: Deliver,
    session: Session,
    move_clock: MoveClock,
    how: str,
) -> None:
    deliver_with(how)
    assert buyer.send_result().status_code == 200
    message = message_of(session, message_id)
    assert (message.state, message.next_at, message.error_cd) == (MessageState.DELIVERED, None, "")
    assert message.note_code is MessageNote.LATE_DELIVERY
    assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")
    move_clock(days=5)
    assert deliver() == {}


def test_late_failure_stops_retries(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    deliver_with: DeliverWith,
    deliver: Deliver,
    session: Session,
    move_clock: MoveClock,
) -> None:
    confirm(order_id)
    deliver_with("timeout")
    assert buyer.send_result(result="FAILURE").status_code == 200
    assert order_state(session, order_id) == ("CREATED", 1, "ACCEPT", "refused")
    move_clock(days=5)
    assert deliver() == {}


def test_late_failure_after_edit_keeps_the_new_version(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith, session: Session
) -> None:
    confirm(order_id)
    deliver_with("ok")
    buyer.edit()
    assert buyer.send_result(result="FAILURE").status_code == 200
    assert order_state(session, order_id) == ("CREATED", 2, "changed", "refused")


@pytest.mark.sqlite
@pytest.mark.parametrize(("action", "status"), [("CANCEL", "CANCELLED"), ("CLOSE", "CLOSED")])
def test_late_failure_keeps_a_canceled_or_closed_order_ended(
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
    buyer.change_status(action=action)
    assert buyer.send_result(result="FAILURE").status_code == 200
    assert order_state(session, order_id) == (status, 1, "ACCEPT", "refused")


@pytest.mark.sqlite
@pytest.mark.parametrize(("result", "delivery"), [("SUCCESS", "delivered"), ("FAILURE", "cancelled")])
def test_result_of_a_canceled_response_updates_its_delivery(
    buyer: Buyer,
    order_id: int,
    message_id: str,
    deliver_with: DeliverWith,
    session: Session,
    result: str,
    delivery: str,
) -> None:
    deliver_with("timeout")
    buyer.edit()
    assert order_state(session, order_id) == ("CREATED", 2, "changed", "cancelled")
    assert buyer.send_result(result=result).status_code == 200
    assert order_state(session, order_id) == ("CREATED", 2, "changed", delivery)
    assert message_of(session, message_id).result == result


@pytest.mark.parametrize(("result", "delivery"), [("SUCCESS", "delivered"), ("FAILURE", "cancelled")])
def test_result_during_cancellation_keeps_the_order_canceled(
    buyer: Buyer,
    order_id: int,
    confirm: Confirm,
    claim_one: ClaimOne,
    session: Session,
    result: str,
    delivery: str,
) -> None:
    confirm(order_id)
    claim_one()
    buyer.change_status()
    assert buyer.send_result(result=result).status_code == 200
    assert order_state(session, order_id) == ("CANCELLED", 1, "ACCEPT", delivery)


def test_repeated_result_is_applied_once_and_opposite_is_a_conflict(
    buyer: Buyer, order_id: int, message_id: str, deliver_with: DeliverWith, session: Session
) -> None:
    deliver_with("ok")
    ours = f"REQ-{message_id}"
    first = buyer.send_result(req_msg_id=ours)
    again = buyer.send_result(req_msg_id=ours)
    assert (again.status_code, again.data) == (200, first.data)
    opposite = buyer.send_result(result="FAILURE", req_msg_id=ours)
    assert refusal(opposite) == (409, "PO_CONFLICT", "poConfirmation.objectId")
    assert inbound_of(session, opposite).effect is Effect.CONFLICT
    assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")


def test_opposite_result_in_another_message_is_a_conflict(
    buyer: Buyer, order_id: int, message_id: str, deliver_with: DeliverWith, session: Session
) -> None:
    deliver_with("ok")
    first = buyer.send_result(result="FAILURE", req_msg_id=f"REQ-{message_id}")
    opposite = buyer.send_result(req_msg_id="another")
    assert refusal(opposite) == (409, "PO_CONFLICT", "resp.result")
    assert inbound_of(session, first).id in inbound_of(session, opposite).detail
    assert buyer.send_result(result="FAILURE", req_msg_id="a third").status_code == 200
    assert order_state(session, order_id) == ("CREATED", 1, "ACCEPT", "refused")


def test_unclear_result_is_rejected_and_does_not_block(
    buyer: Buyer, order_id: int, message_id: str, deliver_with: DeliverWith, session: Session
) -> None:
    deliver_with("ok")
    ours = f"REQ-{message_id}"
    assert refusal(buyer.send_result(result="PENDING", req_msg_id=ours)) == (
        422,
        "PO_FIELD_INVALID",
        "resp.result",
    )
    assert buyer.send_result(result="success", req_msg_id=ours).status_code == 200
    assert order_state(session, order_id)[0] == "ACCEPTED"


def test_confirmed_delivery_accepts_no_second_response(
    buyer: Buyer, order_id: int, confirm: Confirm, deliver_with: DeliverWith
) -> None:
    confirm(order_id)
    deliver_with("timeout")
    buyer.send_result()
    with pytest.raises(AlreadyDecided):
        confirm(order_id, "REJECT", "No")


def test_late_result_is_not_the_last_successful_delivery(
    buyer: Buyer,
    arrive: Arrive,
    confirm: Confirm,
    deliver_with: DeliverWith,
    session: Session,
    partner: Partner,
) -> None:
    first, second = arrive(2)
    good = confirm(first)
    deliver_with("ok")
    second_message = confirm(second)
    deliver_with("html")
    assert buyer.send_result(1).status_code == 200
    assert message_of(session, second_message).state is MessageState.DELIVERED
    exchange = last_delivery(session, partner.id)
    assert exchange is not None
    assert exchange.message_id == good
