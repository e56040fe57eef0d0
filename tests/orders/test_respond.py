"""The commands that record, undo and cancel a response, without pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.delivery.models import CancelReason, Message, MessageState
from app.network.text import search_key
from app.orders import decisions
from app.orders.decisions import AlreadyDecided, CannotRespond, ResponseBlocker, StaleVersion, TooLate
from app.orders.line_responses import LineAction, LineResponse
from app.orders.models import Decision, Delivery, PurchaseOrder, ResponseState
from app.orders.queries import order_for_update
from app.orders.req_confirm import DecisionInput
from app.partners.models import Partner
from tests.people import ASHA

REJECTED_LINE = LineResponse("00010", LineAction.REJECTED, remarks="Out of stock")
CONFIRM = DecisionInput("ACCEPT", "Confirmed", "INITIATING_CHANNEL", "WEB")
FULL = DecisionInput(
    "ACCEPT", "Will ship soon", "GEOCODE", "1,2", (("costCentre", "CC1"), ("note", "")), (REJECTED_LINE,)
)


Respond = Callable[..., Decision]


@pytest.fixture
def order(order_id: int, database: Database) -> Any:
    """A received order, locked in a session that the test may write to."""
    with database.writing() as session:
        order = order_for_update(session, None, order_id)
        assert order
        yield order
        session.rollback()


@pytest.fixture
def respond(order: PurchaseOrder) -> Respond:
    """Respond to the order in Asha's name."""

    def respond(data: DecisionInput = CONFIRM, **options: Any) -> Decision:
        options = {"version": order.version, "by": ASHA, **options}
        return decisions.respond(session_of(order), order, data, **options)

    return respond


def session_of(order: PurchaseOrder) -> Session:
    session = Session.object_session(order)
    assert session
    return session


def last_entry(order: PurchaseOrder, action: AuditAction) -> AuditEntry:
    query = select(AuditEntry).where(AuditEntry.action == action.value).order_by(AuditEntry.id.desc())
    entry = session_of(order).scalars(query).first()
    assert entry
    return entry


@pytest.mark.sqlite
def test_response_is_recorded_completely(
    order: PurchaseOrder, respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr("app.clock.now", lambda: now)
    order.revised_at, order.respond_by = now - timedelta(seconds=600.5), now + timedelta(seconds=299.5)
    decision = respond(FULL)
    assert (decision.order_id, decision.number, decision.version) == (order.id, 1, 1)
    assert decisions.input_of(decision) == FULL
    assert decision.infos == [["costCentre", "CC1"], ["note", ""]]
    assert (decision.status_from, decision.status_to) == ("CREATED", "ACCEPTED")
    assert (decision.person_id, decision.person_name) == (1, "Asha")
    assert (decision.decided_at, decision.took_seconds, decision.left_seconds) == (now, 600, 299)
    assert (decision.supplier_b2b_id, decision.undone) == (order.supplier_b2b_id, False)

    assert (order.response, order.delivery) == (ResponseState.ACCEPT, Delivery.PENDING)
    assert (order.responded_at, order.responded_by) == (decision.decided_at, "Asha")
    assert order.message_id == decision.message_id
    session_of(order).refresh(order)
    assert order.search_text.endswith("\n" + search_key("Will ship soon"))
    assert search_key(order.buyer_po_number) in order.search_text

    message = session_of(order).get_one(Message, decision.message_id)
    assert (message.kind, message.partner_id, message.order_id) == ("req-confirm", order.partner_id, order.id)
    assert (message.decision_number, message.object_version) == (1, 1)
    assert (message.object_id, message.buyer_po_number) == (order.object_id, order.buyer_po_number)
    assert message.buyer_b2b_id == order.buyer_b2b_id
    assert message.supplier_b2b_id == order.supplier_b2b_id
    assert (message.created_by, message.state) == ("Asha", MessageState.PENDING)
    assert message.next_at == message.created_at
    body = json.loads(message.body)
    assert body["b2bIds"] == {"buyerB2BId": order.buyer_b2b_id, "supplierB2BId": order.supplier_b2b_id}
    assert body["poConfirmation"]["objectId"] == order.object_id


@pytest.mark.sqlite
def test_response_is_audited_with_the_one_before(order: PurchaseOrder, respond: Respond) -> None:
    first = respond(FULL)
    entry = last_entry(order, AuditAction.RESPONDED)
    assert (entry.object_kind, entry.object_id) == ("order", str(order.id))
    assert (entry.object_name, entry.actor) == (order.buyer_po_number, "Asha")
    recorded = {
        "answer": "ACCEPT",
        "remarks": "Will ship soon",
        "version": 1,
        "message": first.message_id,
        "further": ["costCentre: CC1", "note: "],
        "lines": ["line/00010/response: REJECTED", "line/00010/remarks: Out of stock"],
    }
    assert (entry.old_values, entry.new_values) == ({"answer": "none"}, recorded)
    decisions.cancel_response(session_of(order), order, CancelReason.ORDER_CHANGED, version=2)
    second = respond(CONFIRM)
    assert second.number == 2
    assert order.last_decision is second
    entry = last_entry(order, AuditAction.RESPONDED)
    assert entry.old_values == recorded
    assert entry.new_values == {
        "answer": "ACCEPT",
        "remarks": "Confirmed",
        "version": 1,
        "message": second.message_id,
        "further": [],
    }


@pytest.mark.sqlite
def test_grace_time_delays_the_webhook(order: PurchaseOrder, respond: Respond) -> None:
    message = session_of(order).get_one(Message, respond(undo_seconds=10).message_id)
    assert message.next_at and message.next_at - message.created_at == timedelta(seconds=10)


@pytest.mark.sqlite
def test_identical_response_returns_the_one_in_effect(order: PurchaseOrder, respond: Respond) -> None:
    first = respond()
    assert respond() is first
    with pytest.raises(AlreadyDecided) as conflict:
        respond(FULL)
    assert conflict.value.decision is first


@pytest.mark.sqlite
def test_response_to_another_version_is_stale(order: PurchaseOrder, respond: Respond) -> None:
    for version in (0, 2):
        with pytest.raises(StaleVersion):
            respond(version=version)
    respond()
    with pytest.raises(StaleVersion):
        respond(version=2)


@pytest.mark.sqlite
@pytest.mark.parametrize("delivery", Delivery)
def test_decision_is_in_effect_until_its_webhook_has_failed(
    order: PurchaseOrder, respond: Respond, delivery: Delivery
) -> None:
    assert decisions.unsuccessful_response(order) is None
    decision = respond()
    order.delivery = delivery
    in_effect = delivery in (Delivery.PENDING, Delivery.SENDING, Delivery.DELIVERED)
    assert decisions.current_decision(order) is (decision if in_effect else None)
    assert decisions.unsuccessful_response(order) == (None if in_effect else CONFIRM)
    order.version = 2
    assert order.last_decision is decision
    assert decisions.current_decision(order) is None
    assert decisions.unsuccessful_response(order) is None


@pytest.mark.sqlite
def test_lines_need_a_partner_that_accepts_them(order: PurchaseOrder, respond: Respond) -> None:
    session_of(order).get_one(Partner, order.partner_id).accepts_line_responses = False
    with pytest.raises(CannotRespond) as refused:
        respond(FULL)
    assert refused.value.blocker is ResponseBlocker.LINES_NOT_SUPPORTED
    assert respond(CONFIRM).line_responses == []


@pytest.mark.sqlite
def test_return_needs_a_partner_that_accepts_it(order: PurchaseOrder, respond: Respond) -> None:
    returned = DecisionInput("RETURN", "Please check", "IP", "::1")
    with pytest.raises(CannotRespond) as refused:
        respond(returned)
    assert refused.value.blocker is ResponseBlocker.RETURN_NOT_SUPPORTED
    order.partner.accepts_return = True
    assert respond(returned).status_to == "RETURNED"


@pytest.mark.sqlite
def test_canceled_response_is_audited_in_the_partners_name(order: PurchaseOrder, respond: Respond) -> None:
    session = session_of(order)
    decisions.cancel_response(session, order, CancelReason.ORDER_CLOSED)
    assert not session.scalars(select(AuditEntry).where(AuditEntry.action == "webhook_canceled")).all()
    message_id = respond().message_id
    decisions.cancel_response(session, order, CancelReason.ORDER_CHANGED, version=2)
    assert order.delivery is Delivery.CANCELED
    message = session.get_one(Message, message_id)
    assert (message.cancel_requested, message.cancel_params) == (CancelReason.ORDER_CHANGED, {"version": 2})
    entry = last_entry(order, AuditAction.WEBHOOK_CANCELED)
    assert (entry.object_kind, entry.object_id) == ("message", message_id)
    assert (entry.object_name, entry.actor) == (order.buyer_po_number, "Bharat Connect")
    assert entry.old_values == {"delivery": "pending"}
    assert entry.new_values == {"reason": "order_changed", "version": 2}


@pytest.mark.sqlite
def test_undone_response_is_marked_and_audited(order: PurchaseOrder, respond: Respond) -> None:
    session = session_of(order)
    with pytest.raises(TooLate):
        decisions.undo(session, order, by=ASHA)
    decision = respond(undo_seconds=10)
    decisions.undo(session, order, by=Person(id=2, full_name="Omar"))
    session.refresh(decision)
    assert decision.undone
    message = session.get_one(Message, decision.message_id)
    assert message.state is MessageState.CANCELED
    assert (message.cancel_requested, message.cancel_params) == (CancelReason.UNDO, {"name": "Omar"})
    entry = last_entry(order, AuditAction.RESPONSE_UNDONE)
    assert (entry.object_kind, entry.object_id) == ("order", str(order.id))
    assert (entry.object_name, entry.actor) == (order.buyer_po_number, "Omar")
    assert entry.old_values == {"answer": "ACCEPT", "message": decision.message_id}
    assert entry.new_values == {}
    with pytest.raises(TooLate):
        decisions.undo(session, order, by=ASHA)


@pytest.mark.sqlite
def test_undo_leaves_earlier_responses(order: PurchaseOrder, respond: Respond) -> None:
    session = session_of(order)
    first = respond()
    session.execute(update(Message).values(state=MessageState.FAILED))
    order.delivery = Delivery.FAILED
    respond(FULL, undo_seconds=10)
    decisions.undo(session, order, by=ASHA)
    session.refresh(first)
    assert not first.undone


def test_response_can_be_undone_until_its_webhook_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)

    def waiting(**values: Any) -> Any:
        defaults = {"state": MessageState.PENDING, "attempts_made": 0, "next_at": now + timedelta(seconds=1)}
        return Message(**{**defaults, **values})

    assert waiting().is_undoable
    for values in (
        {"state": MessageState.SENDING},
        {"attempts_made": 1},
        {"next_at": None},
        {"next_at": now},
    ):
        assert not waiting(**values).is_undoable, values


@pytest.mark.parametrize(
    ("values", "response", "blocker"),
    [
        ({}, None, None),
        ({}, "REJECT", None),
        ({}, "PERHAPS", ResponseBlocker.FINAL_STATUS),
        ({"status": "ON_HOLD"}, None, ResponseBlocker.UNKNOWN_STATUS),
        ({"status": "ACCEPTED"}, None, ResponseBlocker.FINAL_STATUS),
        ({}, "RETURN", ResponseBlocker.RETURN_NOT_SUPPORTED),
        ({"delivery": Delivery.SENDING}, None, ResponseBlocker.EARLIER_RESPONSE_SENDING),
        ({"delivery": Delivery.SENDING, "response": ResponseState.ACCEPT}, None, None),
    ],
)
def test_blocker_says_why_an_order_accepts_no_response(
    values: dict[str, Any], response: str | None, blocker: ResponseBlocker | None
) -> None:
    defaults = {"status": "CREATED", "response": ResponseState.CHANGED, "delivery": Delivery.FAILED}
    partner = SimpleNamespace(accepts_return=False)
    order: Any = SimpleNamespace(partner=partner, **{**defaults, **values})
    assert decisions.response_blocker(order, response) is blocker
    if response == "RETURN":
        partner.accepts_return = True
        assert decisions.response_blocker(order, response) is None


@pytest.mark.sqlite
def test_line_numbers_are_kept_exactly(order: PurchaseOrder, respond: Respond) -> None:
    changed = LineResponse("00010", LineAction.CHANGED, quantity=Decimal("40.50"))
    data = DecisionInput("ACCEPT", "Confirmed", "IP", "::1", line_responses=(changed,))
    decision = respond(data)
    session_of(order).expire(decision)
    assert str(decisions.input_of(decision).line_responses[0].quantity) == "40.50"
