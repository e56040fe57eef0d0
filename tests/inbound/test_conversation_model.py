"""Random conversations between buyer, supplier and delivery worker, checked against a model in plain Python.

The model uses no database and none of the app's tables. It states on one page what must be true of an order
after each step, and the database must agree after each step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, selectinload

from app import clock
from app.db import Base, Database
from app.delivery import service as delivery_service
from app.delivery.claiming import ClaimedMessage, claim
from app.delivery.models import CircuitBreaker, Message, ResultFrom
from app.delivery.recording import reclaim_expired
from app.delivery.resend_blocker import resend_blocker
from app.inbound.models import InboundMessage
from app.inbound.processing import Call, Rules, receive_message, reprocess
from app.inbound.queries import message_for_update
from app.network.reader import dumps
from app.network.vocabulary import Kind
from app.orders import decisions
from app.orders.models import PurchaseOrder
from app.orders.queries import order_for_update
from app.orders.req_confirm import DecisionInput
from app.partners.models import Partner
from tests.buyer import Buyer
from tests.delivery.attempts import finish
from tests.people import ASHA

RULES = Rules(1024 * 1024, timedelta(hours=24))
DAY = timedelta(days=1)
INTERRUPTIONS_MAX = 5
ORDERS, STEPS_EACH = 5, 14
"""The size of a long conversation."""
TRIES_MAX = 2
"""The partner's schedule in these tests has one wait."""

STATUS_AFTER_RESPONSE = {"ACCEPT": "ACCEPTED", "REJECT": "REJECTED", "RETURN": "RETURNED"}
STATUS_AFTER_ACTION = {"CANCEL": "CANCELLED", "CLOSE": "CLOSED"}
ALLOWED_FROM = {"CANCEL": {"CREATED", "RETURNED", "ACCEPTED"}, "CLOSE": {"ACCEPTED"}}
FINAL_STATUSES = {"REJECTED", "CANCELLED", "CLOSED"}


# --- The model


@dataclass
class Webhook:
    """One webhook with a response."""

    id: str
    version: int
    response: str
    status_from: str
    state: str = "pending"
    automatic_attempts: int = 0
    attempts: int = 0
    interruptions: int = 0
    attempt_number: int = 0
    reference: str = ""
    late: bool | None = None
    cancel_requested: bool = False
    requested: bool = False
    state_before_resend: str = ""


@dataclass
class Order:
    """One order: its status, its response and its webhooks."""

    version: int = 1
    status: str = "CREATED"
    response: str = "none"
    edits: int = 0
    status_changes: int = 0
    webhooks: list[Webhook] = field(default_factory=list)

    @property
    def delivery(self) -> str:
        return self.webhooks[-1].state if self.webhooks else "none"

    def final_webhook(self) -> Webhook | None:
        """The webhook whose response is final for this version."""
        if self.webhooks and self.webhooks[-1].version == self.version:
            return self.webhooks[-1] if self.delivery in ("pending", "sending", "delivered") else None
        return None

    def cancel_response(self) -> None:
        if self.webhooks and self.delivery not in ("delivered", "cancelled"):
            last = self.webhooks[-1]
            last.cancel_requested = True
            if last.state == "pending":
                last.state, last.requested, last.state_before_resend = "cancelled", False, ""

    def mark_delivered(self, webhook: Webhook) -> None:
        webhook.state = "delivered"
        if (self.version, self.status) == (webhook.version, webhook.status_from):
            self.status = STATUS_AFTER_RESPONSE[webhook.response]

    def revert_delivery(self, webhook: Webhook) -> None:
        others = [
            other
            for other in self.webhooks
            if other is not webhook and (other.version, other.response) == (webhook.version, webhook.response)
        ]
        if any(other.state == "delivered" for other in others):
            return
        if (self.version, self.status) == (webhook.version, STATUS_AFTER_RESPONSE[webhook.response]):
            self.status = webhook.status_from


@dataclass
class BuyerMessage:
    """One message of the buyer: the key of its repeats, its content and its effect."""

    kind: Kind
    number: int
    key: tuple[Any, ...]
    body: dict[str, Any]
    effect: Callable[[Order], str]
    """Applies the message and returns "", or returns the `errorCd`."""


class Model:
    """The expected state of all orders."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.applied: dict[tuple[Any, ...], bytes] = {}

    def apply(self, message: BuyerMessage) -> str:
        """Apply a message once; returns the `errorCd`, empty if it was accepted."""
        content = dumps(message.body)
        if message.key in self.applied:
            return "" if self.applied[message.key] == content else "PO_CONFLICT"
        if message.kind is Kind.REQ_SEND:
            if message.number in self.orders:
                return "PO_CONFLICT"
            self.orders[message.number] = Order()
        elif message.number not in self.orders:
            return "PO_UNKNOWN_OBJECT"
        elif error_code := message.effect(self.orders[message.number]):
            return error_code
        self.applied[message.key] = content
        return ""


def edit_effect(current: int) -> Callable[[Order], str]:
    def edit(order: Order) -> str:
        if current != order.version:
            return "PO_STALE_VERSION"
        if order.status in FINAL_STATUSES:
            return "PO_TRANSITION"
        order.cancel_response()
        order.version += 1
        order.edits += 1
        order.status = "CREATED"
        order.response = "none" if order.response == "none" else "changed"
        return ""

    return edit


def status_change_effect(action: str, version: int) -> Callable[[Order], str]:
    def change_status(order: Order) -> str:
        if version != order.version:
            return "PO_STALE_VERSION"
        if order.status not in ALLOWED_FROM[action]:
            return "PO_TRANSITION"
        order.cancel_response()
        order.status = STATUS_AFTER_ACTION[action]
        order.status_changes += 1
        return ""

    return change_status


def result_effect(succeeded: bool, reference: str, version: int, response: str) -> Callable[[Order], str]:
    def target(order: Order) -> Webhook | None:
        attempted = [webhook for webhook in reversed(order.webhooks) if webhook.attempts]
        by_id = [webhook for webhook in attempted if reference and webhook.reference == reference]
        equal = [
            webhook for webhook in attempted if (webhook.version, webhook.response) == (version, response)
        ]
        return next(iter(by_id + equal), None)

    def result(order: Order) -> str:
        webhook = target(order)
        if webhook is None:
            return "PO_UNKNOWN_OBJECT"
        if webhook.late is not None and webhook.late != succeeded:
            return "PO_CONFLICT"
        webhook.late, webhook.reference = succeeded, webhook.reference or reference
        was, webhook.requested, webhook.state_before_resend = webhook.state, False, ""
        if succeeded and was != "delivered":
            order.mark_delivered(webhook)
        elif not succeeded and (was == "cancelled" or (was == "sending" and webhook.cancel_requested)):
            webhook.state = "cancelled"
        elif not succeeded:
            webhook.state = "refused"
            if was == "delivered":
                order.revert_delivery(webhook)
        return ""

    return result


def no_effect(_order: Order) -> str:
    return ""


# --- The conversation

CHOICES: dict[str, Sequence[Any]] = {
    "number": [0, 0, 0, 1],
    # Difference between the version in a message and the current one, mostly 0.
    "offset": [0, 0, 0, 1, -1],
    "text": ["one", "another"],
    "action": ["CLOSE", "CLOSE", "CANCEL"],
    "response": ["ACCEPT", "ACCEPT", "REJECT", "RETURN"],
    "succeeded": [False, True],
    "by": ["id", "id", "version", "unknown"],
    "how": ["ok", "ok", "refuse", "timeout", "500"],
    "then": ["fail", "succeed", "edit", "CANCEL", "CLOSE", "resend"],
    "meanwhile": [False, True],
    # Position from the newest, modulo the length.
    "position": range(12),
}
"""The values of each argument."""
STEPS: dict[str, tuple[str, ...]] = {}
"""The arguments of each step."""


def step(*names: str) -> Callable[[Any], Any]:
    """Declare a step: a rule for hypothesis, and an entry for the long conversations."""

    def declare(method: Any) -> Any:
        STEPS[method.__name__] = names
        values: dict[str, Any] = {name: st.sampled_from(CHOICES[name]) for name in names}
        rule_of_values: Callable[[Any], Any] = rule(**values)
        return rule_of_values(method)

    return declare


class Conversation(RuleBasedStateMachine):
    """Random steps of buyer, supplier, delivery worker and support, in the app and in the model."""

    def __init__(self, database: Database, bodies: list[dict[str, Any]]) -> None:
        super().__init__()
        self.database, self.buyer = database, Buyer(None, bodies)  # type: ignore[arg-type]
        self.model = Model()
        self.now: datetime = clock.now() + DAY
        self.in_flight: list[ClaimedMessage] = []
        self.received: list[tuple[str, BuyerMessage]] = []
        self.rejected: dict[str, BuyerMessage] = {}
        self.ids: dict[int, int] = {}
        with database.writing() as session:
            for table in reversed(Base.metadata.sorted_tables):
                # The database refuses to delete audit entries.
                if table.name not in ("partner", "inbound_key", "person", "person_supplier", "audit_entry"):
                    session.execute(delete(table))
            values = {"retry_schedule": [1.0], "concurrency": 99, "paused_at": None, "accepts_return": True}
            session.execute(update(Partner).values(values))
            self.partner_id = session.scalars(select(Partner.id)).one()
            session.commit()

    @initialize(late=st.sampled_from([(), (), (1,), (0, 1)]))
    def start(self, late: tuple[int, ...]) -> None:
        """Most conversations begin with their orders, some with a message that should follow them."""
        for number in {0, 1} - set(late):
            self.send(number, "one")

    def _version(self, number: int, offset: int) -> int:
        known = self.model.orders.get(number)
        return max((known.version if known else 1) + offset, 0)

    # The buyer

    @step("number", "text")
    def send(self, number: int, text: str) -> None:
        body = self.buyer.edit_body(number, current=0, subject=text)
        self._post(BuyerMessage(Kind.REQ_SEND, number, ("send", number), body, no_effect))

    @step("number", "offset", "text")
    def edit(self, number: int, offset: int, text: str) -> None:
        current = self._version(number, offset)
        body = self.buyer.edit_body(number, current=current, subject=text)
        self._post(BuyerMessage(Kind.REQ_EDIT, number, ("edit", number, current), body, edit_effect(current)))

    @step("number", "action", "offset", "text")
    def change_status(self, number: int, action: str, offset: int, text: str) -> None:
        version = self._version(number, offset)
        body = self.buyer.status_change_body(number, action, version=version, remarks=text)
        key = ("change_status", number, version, action)
        self._post(
            BuyerMessage(Kind.REQ_STATUS_CHANGE, number, key, body, status_change_effect(action, version))
        )

    @step("number", "succeeded", "position", "by", "offset")
    def result(self, number: int, succeeded: bool, position: int, by: str, offset: int) -> None:
        """The result of a response, matched by the partner's id or by object and version."""
        webhooks = self.model.orders[number].webhooks[::-1] if number in self.model.orders else []
        version, response, reference = self._version(number, offset), "ACCEPT", ""
        if webhooks:
            target = webhooks[position % len(webhooks)]
            version, response = target.version, target.response
            reference = {"id": f"REQ-{target.id}", "version": "", "unknown": "unknown-id"}[by]
        code = "SUCCESS" if succeeded else "FAILURE"
        body = self.buyer.result_body(number, code, req_msg_id=reference, version=version, response=response)
        key = ("result", number, version, response, reference)
        effect = result_effect(succeeded, reference, version, response)
        self._post(BuyerMessage(Kind.RESP_CONFIRM, number, key, body, effect))

    @step("position")
    def repeat(self, position: int) -> None:
        """Send an earlier message again, byte for byte."""
        if self.received:
            self._post(_nth_last(self.received, position)[1])

    # Support

    @step("position")
    def reprocess(self, position: int) -> None:
        if not self.rejected:
            return
        inbound_id, message = _nth_last(list(self.rejected.items()), position)
        expected = self.model.apply(message)
        with self.database.writing() as session:
            row = message_for_update(session, None, inbound_id)
            assert row
            reprocess(session, row, by="Ravi", reason="Fixed", rules=RULES)
            session.commit()
            assert (row.reprocess_error == "") == (expected == "")
        self._store_id(session, message.number)
        if not expected:
            del self.rejected[inbound_id]

    @step("number", "position")
    def resend(self, number: int, position: int) -> None:
        order = self.model.orders.get(number)
        if not order or not order.webhooks:
            return
        webhook = _nth_last(order.webhooks, position)
        can_resend = (
            webhook.state in ("pending", "refused", "failed")
            and webhook.late is None
            and not webhook.cancel_requested
            and not webhook.requested
            and webhook is order.webhooks[-1]
        )
        with self.database.writing() as session:
            message = session.scalar(select(Message).where(Message.id == webhook.id).with_for_update())
            assert message
            assert (resend_blocker(session, message) is None) == can_resend
            if can_resend:
                delivery_service.resend(session, message, by="Ravi", reason="Fixed")
                webhook.state_before_resend, webhook.state, webhook.requested = webhook.state, "pending", True
            session.commit()

    # The supplier

    @step("number", "response")
    def respond(self, number: int, response: str) -> None:
        if number not in self.model.orders:
            return
        order = self.model.orders[number]
        final = order.final_webhook()
        expected: type[Exception] | None = None
        if final:
            expected = None if final.response == response else decisions.AlreadyDecided
        elif order.status != "CREATED" or (order.response == "changed" and order.delivery == "sending"):
            expected = decisions.CannotRespond
        message_id = self._decide(number, order, response, expected)
        if final and not expected:
            assert message_id == final.id
        elif not expected:
            order.webhooks.append(Webhook(message_id, order.version, response, order.status))
            order.response = response

    def _decide(self, number: int, order: Order, response: str, expected: type[Exception] | None) -> str:
        decision_input = DecisionInput(response, f"Because of {response}", "INITIATING_CHANNEL", "WEB")
        with self.database.writing() as session:
            row = order_for_update(session, None, self.ids[number])
            assert row
            try:
                decision = decisions.respond(session, row, decision_input, version=order.version, by=ASHA)
            except (decisions.AlreadyDecided, decisions.CannotRespond) as error:
                assert type(error) is expected
                return ""
            assert expected is None
            session.commit()
            return decision.message_id

    @step("number", "response", "how", "then", "meanwhile")
    def respond_deliver_and_then(
        self, number: int, response: str, how: str, then: str, meanwhile: bool
    ) -> None:
        """Respond and deliver; during or after the delivery, the buyer or support acts."""
        self.respond(number, response)
        count = len(self.in_flight)
        self.claim_one()
        claimed = self.in_flight.pop() if len(self.in_flight) > count else None
        if claimed and not meanwhile:
            self._end_attempt(claimed, how)
        if then == "edit":
            self.edit(number, 0, "one")
        elif then in STATUS_AFTER_ACTION:
            self.change_status(number, then, 0, "one")
        elif then == "resend":
            self.resend(number, 0)
        else:
            self.result(number, then == "succeed", 0, "id", 0)
        if claimed and meanwhile:
            self._end_attempt(claimed, how)

    # The delivery worker

    @step()
    def claim_one(self) -> None:
        """Claim the webhook that has waited longest."""
        self.now += DAY
        waiting = {webhook.id: webhook for webhook in self._webhooks() if webhook.state == "pending"}
        with self.database.writing() as session:
            session.execute(delete(CircuitBreaker))  # the circuit breaker has its own tests
            claimed = claim(session, 1, self.now).messages
            session.commit()
        assert bool(claimed) == bool(waiting)
        for message in claimed:
            webhook = waiting[message.id]
            webhook.state, webhook.attempts, webhook.attempt_number = (
                "sending",
                message.number,
                message.number,
            )
            self.in_flight.append(message)

    @step("position", "how")
    def end_attempt(self, position: int, how: str) -> None:
        """End a POST, perhaps one whose lease has expired."""
        if self.in_flight:
            self._end_attempt(self.in_flight.pop(-1 - position % len(self.in_flight)), how)

    def _end_attempt(self, claimed: ClaimedMessage, how: str) -> None:
        self._record(claimed, how)
        order, webhook = next(
            (order, webhook)
            for order in self.model.orders.values()
            for webhook in order.webhooks
            if webhook.id == claimed.id
        )
        is_current = webhook.state == "sending" and webhook.attempt_number == claimed.number
        if not is_current and (how != "ok" or webhook.state == "delivered" or webhook.late is not None):
            return
        is_manual = claimed.requested_by is not None
        state_before, webhook.requested, webhook.state_before_resend, webhook.interruptions = (
            webhook.state_before_resend,
            False,
            "",
            0,
        )
        webhook.automatic_attempts = claimed.automatic_attempts + (0 if is_manual else 1)
        if how == "ok":
            webhook.reference = f"REQ-{webhook.id}"
            order.mark_delivered(webhook)
        elif webhook.cancel_requested:
            webhook.state = "cancelled"
        elif how == "refuse":
            webhook.state, webhook.reference = "refused", f"REQ-{webhook.id}"
        elif is_manual:
            webhook.state = state_before
        else:
            webhook.state = "pending" if webhook.automatic_attempts < TRIES_MAX else "failed"

    def _record(self, claimed: ClaimedMessage, how: str) -> None:
        self.now += DAY
        finish(self.database, claimed, how, self.now)

    @step("how")
    def deliver(self, how: str) -> None:
        """Claim a webhook and end its POST immediately."""
        count = len(self.in_flight)
        self.claim_one()
        if len(self.in_flight) > count:
            self._end_attempt(self.in_flight.pop(), how)

    @step()
    def expire_leases(self) -> None:
        """The worker died and its leases expire. Its POSTs may still end."""
        self.now += DAY
        with self.database.writing() as session:
            reclaim_expired(session, self.now)
            session.commit()
        for webhook in self._webhooks():
            if webhook.state == "sending":
                state_before, webhook.requested, webhook.state_before_resend, webhook.interruptions = (
                    webhook.state_before_resend,
                    False,
                    "",
                    webhook.interruptions + 1,
                )
                if webhook.cancel_requested:
                    webhook.state = "cancelled"
                elif state_before not in ("", "pending"):
                    webhook.state = state_before
                else:
                    webhook.state = "failed" if webhook.interruptions >= INTERRUPTIONS_MAX else "pending"

    # Comparison

    @invariant()
    def database_agrees_with_the_model(self) -> None:
        with self.database.reading() as session:
            rows = session.scalars(
                select(PurchaseOrder).options(
                    selectinload(PurchaseOrder.revisions),
                    selectinload(PurchaseOrder.decisions),
                    selectinload(PurchaseOrder.status_changes),
                )
            ).all()
            assert {row.id for row in rows} == set(self.ids.values())
            for number, order_id in self.ids.items():
                row = next(row for row in rows if row.id == order_id)
                self._compare_order(row, self.model.orders[number])
            self._compare_messages(session)
            stored = session.scalars(select(InboundMessage.id)).all()
            assert sorted(stored) == sorted(inbound_id for inbound_id, _ in self.received)

    def _compare_order(self, row: PurchaseOrder, order: Order) -> None:
        assert (row.status, row.version, row.response.value, row.delivery.value) == (
            order.status,
            order.version,
            order.response,
            order.delivery,
        )
        assert [revision.version for revision in row.revisions] == list(range(order.edits + 1, 0, -1))
        assert [decision.message_id for decision in reversed(row.decisions)] == [
            webhook.id for webhook in order.webhooks
        ]
        assert row.message_id == (order.webhooks[-1].id if order.webhooks else None)
        assert len(row.status_changes) == order.status_changes

    def _compare_messages(self, session: Session) -> None:
        rows = {row.id: row for row in session.scalars(select(Message))}
        assert set(rows) == {webhook.id for webhook in self._webhooks()}
        for webhook in self._webhooks():
            row = rows[webhook.id]
            late = {"SUCCESS": True, "FAILURE": False}[row.result] if _is_late(row) else None
            assert (row.state.value, bool(row.cancel_requested), late, row.req_msg_id) == (
                webhook.state,
                webhook.cancel_requested,
                webhook.late,
                webhook.reference,
            )
            assert (row.next_at is None) == row.is_final or row.state.value == "sending"
            assert (row.trigger.value == "manual") == webhook.requested

    def _webhooks(self) -> list[Webhook]:
        return [webhook for order in self.model.orders.values() for webhook in order.webhooks]

    def _post(self, message: BuyerMessage) -> None:
        expected = self.model.apply(message)
        call = Call(message.kind, "/test", received_at=clock.now())
        with self.database.writing() as session:
            row = receive_message(session, self.partner_id, call, dumps(message.body), RULES)
            session.commit()
            assert (row.response_status, row.error_cd) == ((409, expected) if expected else (200, ""))
        self.received.append((row.id, message))
        if expected:
            self.rejected[row.id] = message
        self._store_id(session, message.number)

    def _store_id(self, session: Session, number: int) -> None:
        """Store the id of a new order."""
        if number in self.model.orders and number not in self.ids:
            object_id = self.buyer.bodies[number]["purchaseOrder"]["objectId"]
            with self.database.reading() as session:
                query = select(PurchaseOrder.id).where(PurchaseOrder.object_id == object_id)
                self.ids[number] = session.scalars(query).one()


def _is_late(row: Message) -> bool:
    return row.result_from is ResultFrom.RESP_CONFIRM


def _nth_last(values: Sequence[Any], position: int) -> Any:
    return values[-1 - position % len(values)]


def test_any_conversation_agrees_with_the_model(
    database: Database, partner: Partner, example_bodies: list[dict[str, Any]]
) -> None:
    class OnThisDatabase(Conversation):
        def __init__(self) -> None:
            super().__init__(database, example_bodies)

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=6 if database.is_postgresql else 20,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_long_conversation_agrees_with_the_model(
    database: Database, partner: Partner, example_bodies: list[dict[str, Any]]
) -> None:
    """Hypothesis prefers short conversations; some states need many steps."""
    for seed in range(3 if database.is_postgresql else 10):
        rng = random.Random(seed)
        conversation = Conversation(database, example_bodies)
        for order in range(ORDERS):
            if rng.random() < 0.8:
                conversation.send(order, "one")
        for number in range(STEPS_EACH * ORDERS):
            name = rng.choice(list(STEPS))
            arguments = {argument: rng.choice(CHOICES[argument]) for argument in STEPS[name]}
            if "number" in arguments:
                # Most steps are about one order, then about the next.
                arguments["number"] = rng.choice([number // STEPS_EACH] * 3 + [rng.randrange(ORDERS)])
            note = f"seed {seed}, step {number}: {name}({arguments})"
            try:
                getattr(conversation, name)(**arguments)
                conversation.database_agrees_with_the_model()
            except AssertionError as error:
                raise AssertionError(note) from error
