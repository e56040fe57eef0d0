"""The example conversation over HTTP ends in the documented states."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.demo.orders import ORDERS_FILE
from app.network.reader import dumps, read_json
from app.orders.models import PurchaseOrder
from app.orders.timeline import EventKind, timeline
from app.webhooks.queries import messages_of_order
from tests.buyer import Buyer, inbound_of, message_of, order_of, order_state, refusal
from tests.fixture_types import Confirm, Deliver
from tests.serving import Network

FOLLOWUPS = [read_json(line) for line in ORDERS_FILE.with_name("followups.jsonl").read_bytes().splitlines()]
OBJECT = {"req-edit": "purchaseOrder", "req-status-change": "poStatus", "resp-confirm": "poConfirmation"}


def object_id(followup: Any) -> str:
    value: str = followup["body"][OBJECT[followup["message"]]]["objectId"]
    return value


def test_example_followups_reach_their_states(
    buyer: Buyer, confirm: Confirm, deliver: Deliver, session: Session, network: Network
) -> None:
    assert {buyer.send(number).status_code for number in range(60)} == {200}
    ids = dict(session.execute(select(PurchaseOrder.object_id, PurchaseOrder.id)).all())
    # Orders 1 to 7 of the README of the examples, in the order of their follow-ups.
    edited, lines_changed, moved, _, cancelled, closed, settled, failed = (
        ids[object_id(followup)] for followup in FOLLOWUPS
    )

    responses = {order_id: confirm(order_id, remarks="Will ship") for order_id in (closed, settled, failed)}
    assert deliver() == {"delivered": 3}
    replies = {received["idempotency_key"]: received["answer"]["body"] for received in network.received()}
    for order_id in responses:
        assert order_state(session, order_id) == ("ACCEPTED", 1, "ACCEPT", "delivered")

    followup_replies = []
    for followup in FOLLOWUPS:
        body = followup["body"]
        if followup["message"] == "resp-confirm":
            ours = responses[ids[object_id(followup)]]
            body["resp"]["reqMsgId"] = replies[ours]["payload"]["resp"]["reqMsgId"]
        followup_replies.append(buyer.post(followup["message"], body))
    assert [refusal(reply) for reply in followup_replies] == [(200, "", "")] * 8

    states = {
        edited: ("CREATED", 3, "none", "none"),
        lines_changed: ("CREATED", 2, "none", "none"),
        moved: ("CREATED", 2, "none", "none"),
        cancelled: ("CANCELLED", 1, "none", "none"),
        closed: ("CLOSED", 1, "ACCEPT", "delivered"),
        settled: ("ACCEPTED", 1, "ACCEPT", "delivered"),
        failed: ("CREATED", 1, "ACCEPT", "refused"),
    }
    assert {order_id: order_state(session, order_id) for order_id in states} == states
    untouched = [order_id for order_id in ids.values() if order_id not in states]
    assert {order_state(session, order_id) for order_id in untouched} == {("CREATED", 1, "none", "none")}

    refused = message_of(session, responses[failed])
    assert (refused.error_cd, refused.error_dtl, refused.error_field) == (
        "BPR012",
        "Remarks are not acceptable",
        "poConfirmation.supplierRemarks",
    )
    assert refused.result_inbound_id == inbound_of(session, followup_replies[7]).id
    assert (
        message_of(session, responses[settled]).result_inbound_id
        == inbound_of(session, followup_replies[6]).id
    )
    assert [change.remarks for change in order_of(session, closed).status_changes] == ["All received"]
    for order_id, edits in ((edited, 2), (lines_changed, 1), (moved, 1)):
        order = order_of(session, order_id)
        events = timeline(session, order, messages_of_order(session, order_id))
        assert sum(event.kind is EventKind.EDITED for event in events) == edits

    # Repeats get the same replies and change nothing.
    again = [buyer.post(followup["message"], followup["body"]) for followup in FOLLOWUPS]
    assert [response.data for response in again] == [response.data for response in followup_replies]
    assert {order_id: order_state(session, order_id) for order_id in states} == states


def test_followup_before_its_order_is_stored(buyer: Buyer, session: Session) -> None:
    responses = [buyer.post(followup["message"], followup["body"]) for followup in FOLLOWUPS]
    assert {refusal(response)[:2] for response in responses} == {(409, "PO_UNKNOWN_OBJECT")}
    for response, followup in zip(responses, FOLLOWUPS, strict=True):
        assert inbound_of(session, response).body == dumps(followup["body"])
