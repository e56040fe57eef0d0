"""Random conversations against a model in plain Python: whatever comes, in whatever order, however often.

The model knows no database, no session and none of the app's tables: it says in a page what must be true of
an order after each step, and after each step the database must say the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, event, select, update
from sqlalchemy.orm import Session, selectinload

from app import clock
from app.db import Base, Database
from app.delivery import service as delivery_service
from app.delivery.claiming import ClaimedMessage, claim
from app.delivery.models import CircuitBreaker, Message, ResultFrom
from app.delivery.recording import AttemptResult, reclaim_expired, record_results
from app.delivery.retry_policy import judge
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
from tests.inbound.conftest import ASHA, record_attempts

RULES = Rules(1024 * 1024, timedelta(hours=24))
A_DAY = timedelta(days=1)
LOST_MOST = 5
ORDERS, STEPS_EACH = 5, 14
"""Of a long conversation."""
TRIES_MOST = 2
"""The partner's schedule in these tests has one wait."""

AFTER = {"ACCEPT": "ACCEPTED", "REJECT": "REJECTED", "RETURN": "RETURNED"}
ENDS = {"CANCEL": "CANCELLED", "CLOSE": "CLOSED"}
MAY_END = {
    "CANCEL": {"CREATED", "RETURNED", "ACCEPTED"},
    "CLOSE": {"ACCEPTED"},
}
FINAL = {"REJECTED", "CANCELLED", "CLOSED"}


# --- The model


@dataclass
class Sent:
    """One answer of ours on its way."""

    id: str
    version: int
    response: str
    status_from: str
    state: str = "pending"
    tries: int = 0
    attempts: int = 0
    lost: int = 0
    flight: int = 0
    told: str = ""
    late: bool | None = None
    withdrawn: bool = False
    asked: bool = False
    resume: str = ""


@dataclass
class Order:
    """One order as the three truths have it."""

    version: int = 1
    status: str = "CREATED"
    response: str = "none"
    edits: int = 0
    moves: int = 0
    sent: list[Sent] = field(default_factory=list)

    @property
    def delivery(self) -> str:
        return self.sent[-1].state if self.sent else "none"

    def standing(self) -> Sent | None:
        """The answer that is final for this version."""
        if self.sent and self.sent[-1].version == self.version:
            return self.sent[-1] if self.delivery in ("pending", "sending", "delivered") else None
        return None

    def withdraw(self) -> None:
        if self.sent and self.delivery not in ("delivered", "cancelled"):
            last = self.sent[-1]
            last.withdrawn = True
            if last.state == "pending":
                last.state, last.asked, last.resume = "cancelled", False, ""

    def delivered(self, sent: Sent) -> None:
        sent.state = "delivered"
        if (self.version, self.status) == (sent.version, sent.status_from):
            self.status = AFTER[sent.response]

    def undone(self, sent: Sent) -> None:
        others = [
            one
            for one in self.sent
            if one is not sent and (one.version, one.response) == (sent.version, sent.response)
        ]
        if any(one.state == "delivered" for one in others):
            return
        if (self.version, self.status) == (sent.version, AFTER[sent.response]):
            self.status = sent.status_from


@dataclass
class Said:
    """One message of the buyer's: what it is the same as, its content, and what it does."""

    kind: Kind
    number: int
    key: tuple[Any, ...]
    body: dict[str, Any]
    effect: Callable[[Order], str]
    """Applies itself and says "", or says why it cannot."""


class Model:
    """What must be true."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.applied: dict[tuple[Any, ...], bytes] = {}

    def take(self, said: Said) -> str:
        """Apply a message once, or say why not: the `errorCd`."""
        content = dumps(said.body)
        if said.key in self.applied:
            return "" if self.applied[said.key] == content else "PO_CONFLICT"
        if said.kind is Kind.REQ_SEND:
            if said.number in self.orders:
                return "PO_CONFLICT"
            self.orders[said.number] = Order()
        elif said.number not in self.orders:
            return "PO_UNKNOWN_OBJECT"
        elif wrong := said.effect(self.orders[said.number]):
            return wrong
        self.applied[said.key] = content
        return ""


def edit_of(current: int) -> Callable[[Order], str]:
    def edit(order: Order) -> str:
        if current != order.version:
            return "PO_STALE_VERSION"
        if order.status in FINAL:
            return "PO_TRANSITION"
        order.withdraw()
        order.version += 1
        order.edits += 1
        order.status = "CREATED"
        order.response = "none" if order.response == "none" else "changed"
        return ""

    return edit


def move_of(action: str, version: int) -> Callable[[Order], str]:
    def move(order: Order) -> str:
        if version != order.version:
            return "PO_STALE_VERSION"
        if order.status not in MAY_END[action]:
            return "PO_TRANSITION"
        order.withdraw()
        order.status = ENDS[action]
        order.moves += 1
        return ""

    return move


def result_of(succeeded: bool, told: str, version: int, response: str) -> Callable[[Order], str]:
    def meant(order: Order) -> Sent | None:
        tried = [one for one in reversed(order.sent) if one.attempts]
        by_id = [one for one in tried if told and one.told == told]
        alike = [one for one in tried if (one.version, one.response) == (version, response)]
        return next(iter(by_id + alike), None)

    def result(order: Order) -> str:
        sent = meant(order)
        if sent is None:
            return "PO_UNKNOWN_OBJECT"
        if sent.late is not None and sent.late != succeeded:
            return "PO_CONFLICT"
        sent.late, sent.told = succeeded, sent.told or told
        was, sent.asked, sent.resume = sent.state, False, ""
        if succeeded and was != "delivered":
            order.delivered(sent)
        elif not succeeded and (was == "cancelled" or (was == "sending" and sent.withdrawn)):
            sent.state = "cancelled"
        elif not succeeded:
            sent.state = "refused"
            if was == "delivered":
                order.undone(sent)
        return ""

    return result


def nothing(_order: Order) -> str:
    return ""


# --- The conversation

CHOICES: dict[str, Sequence[Any]] = {
    "number": [0, 0, 0, 1],
    # How far a version that is named is from the present one: mostly not at all.
    "off": [0, 0, 0, 1, -1],
    "word": ["one", "another"],
    "action": ["CLOSE", "CLOSE", "CANCEL"],
    "response": ["ACCEPT", "ACCEPT", "REJECT", "RETURN"],
    "succeeded": [False, True],
    "by": ["id", "id", "version", "nobody"],
    "how": ["ok", "ok", "refuse", "timeout", "500"],
    "then": ["fail", "succeed", "edit", "CANCEL", "CLOSE", "resend"],
    "meanwhile": [False, True],
    # Which of several, from the newest; it goes round.
    "pick": range(12),
}
"""What a step may be given."""
STEPS: dict[str, tuple[str, ...]] = {}
"""All steps, and what each is given."""


def step(*names: str) -> Callable[[Any], Any]:
    """Declare a step: a rule for hypothesis, and an entry for the long conversations."""

    def declare(method: Any) -> Any:
        STEPS[method.__name__] = names
        return rule(**{name: st.sampled_from(CHOICES[name]) for name in names})(method)

    return declare


class Conversation(RuleBasedStateMachine):
    """Random steps of buyer, supplier, deliverer and support, on the app and on the model."""

    def __init__(self, database: Database, bodies: list[dict[str, Any]]) -> None:
        super().__init__()
        self.database, self.buyer = database, Buyer(None, bodies)  # type: ignore[arg-type]
        self.model = Model()
        self.now: datetime = clock.now() + A_DAY
        self.flights: list[ClaimedMessage] = []
        self.said: list[tuple[str, Said]] = []
        self.refused: dict[str, Said] = {}
        self.ids: dict[int, int] = {}
        with database.writing() as session:
            for table in reversed(Base.metadata.sorted_tables):
                # The audit trail lets nobody remove anything, tests neither.
                if table.name not in ("partner", "inbound_key", "person", "person_supplier", "audit_entry"):
                    session.execute(delete(table))
            session.execute(update(Partner).values(retry_schedule=[1.0], concurrency=99, paused_at=None))
            self.partner_id = session.scalars(select(Partner.id)).one()
            session.commit()

    @initialize(late=st.sampled_from([(), (), (1,), (0, 1)]))
    def begin(self, late: tuple[int, ...]) -> None:
        """Most conversations begin with their orders, some with what should come after them."""
        for number in {0, 1} - set(late):
            self.send(number, "one")

    def _version(self, number: int, off: int) -> int:
        known = self.model.orders.get(number)
        return max((known.version if known else 1) + off, 0)

    # The buyer

    @step("number", "word")
    def send(self, number: int, word: str) -> None:
        body = self.buyer.edited(number, current=0, subject=word)
        self._say(Said(Kind.REQ_SEND, number, ("send", number), body, nothing))

    @step("number", "off", "word")
    def edit(self, number: int, off: int, word: str) -> None:
        current = self._version(number, off)
        body = self.buyer.edited(number, current=current, subject=word)
        self._say(Said(Kind.REQ_EDIT, number, ("edit", number, current), body, edit_of(current)))

    @step("number", "action", "off", "word")
    def move(self, number: int, action: str, off: int, word: str) -> None:
        version = self._version(number, off)
        body = self.buyer.moved(number, action, version=version, remarks=word)
        key = ("move", number, version, action)
        self._say(Said(Kind.REQ_STATUS_CHANGE, number, key, body, move_of(action, version)))

    @step("number", "succeeded", "pick", "by", "off")
    def result(self, number: int, succeeded: bool, pick: int, by: str, off: int) -> None:
        """The result of one of our answers, told by the partner's id or only by object and version."""
        sent = self.model.orders[number].sent[::-1] if number in self.model.orders else []
        version, response, told = self._version(number, off), "ACCEPT", ""
        if sent:
            meant = sent[pick % len(sent)]
            version, response = meant.version, meant.response
            told = {"id": f"REQ-{meant.id}", "version": "", "nobody": "of nobody"}[by]
        words = "SUCCESS" if succeeded else "FAILURE"
        body = self.buyer.reported(number, words, req_msg_id=told, version=version, response=response)
        key = ("result", number, version, response, told)
        effect = result_of(succeeded, told, version, response)
        self._say(Said(Kind.RESP_CONFIRM, number, key, body, effect))

    @step("pick")
    def say_again(self, pick: int) -> None:
        """An earlier message, byte for byte."""
        if self.said:
            self._say(_nth_last(self.said, pick)[1])

    # Support

    @step("pick")
    def reprocess(self, pick: int) -> None:
        if not self.refused:
            return
        inbound_id, said = _nth_last(list(self.refused.items()), pick)
        expected = self.model.take(said)
        with self.database.writing() as session:
            row = message_for_update(session, None, inbound_id)
            assert row
            reprocess(session, row, by="Ravi", reason="Mended", rules=RULES)
            session.commit()
            assert (row.again_detail == "") == (expected == "")
        self._learn(session, said.number)
        if not expected:
            del self.refused[inbound_id]

    @step("number", "pick")
    def resend(self, number: int, pick: int) -> None:
        order = self.model.orders.get(number)
        if not order or not order.sent:
            return
        sent = _nth_last(order.sent, pick)
        may = (
            sent.state in ("pending", "refused", "failed")
            and sent.late is None
            and not sent.withdrawn
            and not sent.asked
            and sent is order.sent[-1]
        )
        with self.database.writing() as session:
            message = session.scalar(select(Message).where(Message.id == sent.id).with_for_update())
            assert message
            assert (delivery_service.resend_blocker(session, message) is None) == may
            if may:
                delivery_service.resend(session, message, by="Ravi", reason="Mended")
                sent.resume, sent.state, sent.asked = sent.state, "pending", True
            session.commit()

    # The supplier

    @step("number", "response")
    def answer(self, number: int, response: str) -> None:
        if number not in self.model.orders:
            return
        order = self.model.orders[number]
        standing = order.standing()
        expected: type[Exception] | None = None
        if standing:
            expected = None if standing.response == response else decisions.AlreadyDecided
        elif order.status != "CREATED" or (order.response == "changed" and order.delivery == "sending"):
            expected = decisions.NotAnswerable
        message_id = self._answered(number, order, response, expected)
        if standing and not expected:
            assert message_id == standing.id
        elif not expected:
            order.sent.append(Sent(message_id, order.version, response, order.status))
            order.response = response

    def _answered(self, number: int, order: Order, response: str, expected: type[Exception] | None) -> str:
        given = DecisionInput(response, f"Because of {response}", "INITIATING_CHANNEL", "WEB")
        with self.database.writing() as session:
            found = order_for_update(session, None, self.ids[number])
            assert found
            try:
                decision = decisions.respond(
                    session, found, given, version=order.version, by=ASHA, accepts_return=True
                )
            except (decisions.AlreadyDecided, decisions.NotAnswerable) as error:
                assert type(error) is expected
                return ""
            assert expected is None
            session.commit()
            return decision.message_id

    @step("number", "response", "how", "then", "meanwhile")
    def answer_deliver_and_then(
        self, number: int, response: str, how: str, then: str, meanwhile: bool
    ) -> None:
        """Respond and deliver; after or during the delivery, the buyer or the supplier changes their mind."""
        self.answer(number, response)
        flying = len(self.flights)
        self.leave()
        gone = self.flights.pop() if len(self.flights) > flying else None
        if gone and not meanwhile:
            self._ended(gone, how)
        if then == "edit":
            self.edit(number, 0, "one")
        elif then in ENDS:
            self.move(number, then, 0, "one")
        elif then == "resend":
            self.resend(number, 0)
        else:
            self.result(number, then == "succeed", 0, "id", 0)
        if gone and meanwhile:
            self._ended(gone, how)

    # The deliverer

    @step()
    def leave(self) -> None:
        """The message that has waited longest is claimed."""
        self.now += A_DAY
        waiting = {one.id: one for one in self._messages() if one.state == "pending"}
        with self.database.writing() as session:
            session.execute(
                delete(CircuitBreaker)
            )  # the breaker, which has tests of its own, keeps out of this one
            claimed = claim(session, 1, self.now).messages
            session.commit()
        assert bool(claimed) == bool(waiting)
        for one in claimed:
            sent = waiting[one.id]
            sent.state, sent.attempts, sent.flight = "sending", one.number, one.number
            self.flights.append(one)

    @step("pick", "how")
    def end(self, pick: int, how: str) -> None:
        """A POST ends, perhaps one that nobody waits for any more."""
        if self.flights:
            self._ended(self.flights.pop(-1 - pick % len(self.flights)), how)

    def _ended(self, claimed: ClaimedMessage, how: str) -> None:
        self._record(claimed, how)
        order, sent = next(
            (order, one) for order in self.model.orders.values() for one in order.sent if one.id == claimed.id
        )
        ours = sent.state == "sending" and sent.flight == claimed.number
        if not ours and (how != "ok" or sent.state == "delivered" or sent.late is not None):
            return
        is_manual = claimed.asked_by is not None
        resume, sent.asked, sent.resume, sent.lost = sent.resume, False, "", 0
        sent.tries = claimed.tries + (0 if is_manual else 1)
        if how == "ok":
            sent.told = f"REQ-{sent.id}"
            order.delivered(sent)
        elif sent.withdrawn:
            sent.state = "cancelled"
        elif how == "refuse":
            sent.state, sent.told = "refused", f"REQ-{sent.id}"
        elif is_manual:
            sent.state = resume
        else:
            sent.state = "pending" if sent.tries < TRIES_MOST else "failed"

    def _record(self, claimed: ClaimedMessage, how: str) -> None:
        self.now += A_DAY
        outcome = record_attempts(claimed, how)
        verdict = judge(
            outcome,
            tries=claimed.tries + 1,
            schedule=claimed.schedule,
            success_codes=claimed.success_codes,
            object_id=claimed.object_id,
            after_unknown=claimed.after_unknown,
            jitter=0.0,
        )
        with self.database.writing() as session:
            record_results(session, [AttemptResult(claimed, outcome, verdict, self.now)], self.now)
            session.commit()

    @step("how")
    def deliver(self, how: str) -> None:
        """A message leaves and its POST ends at once, as it mostly does."""
        flying = len(self.flights)
        self.leave()
        if len(self.flights) > flying:
            self._ended(self.flights.pop(), how)

    @step()
    def lose(self) -> None:
        """The deliverer is gone; its leases run out. Its POSTs may yet end."""
        self.now += A_DAY
        with self.database.writing() as session:
            reclaim_expired(session, self.now)
            session.commit()
        for sent in self._messages():
            if sent.state == "sending":
                resume, sent.asked, sent.resume, sent.lost = sent.resume, False, "", sent.lost + 1
                if sent.withdrawn:
                    sent.state = "cancelled"
                elif resume not in ("", "pending"):
                    sent.state = resume
                else:
                    sent.state = "failed" if sent.lost >= LOST_MOST else "pending"

    # What must be the same

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        with self.database.reading() as session:
            found = session.scalars(
                select(PurchaseOrder).options(
                    selectinload(PurchaseOrder.revisions),
                    selectinload(PurchaseOrder.decisions),
                    selectinload(PurchaseOrder.status_changes),
                )
            ).all()
            assert {one.id for one in found} == set(self.ids.values())
            for number, order_id in self.ids.items():
                row = next(one for one in found if one.id == order_id)
                self._same_order(row, self.model.orders[number])
            self._same_messages(session)
            kept = session.scalars(select(InboundMessage.id)).all()
            assert sorted(kept) == sorted(inbound_id for inbound_id, _ in self.said)

    def _same_order(self, row: PurchaseOrder, order: Order) -> None:
        assert (row.status, row.version, row.response.value, row.delivery.value) == (
            order.status,
            order.version,
            order.response,
            order.delivery,
        )
        assert [one.version for one in row.revisions] == list(range(order.edits + 1, 0, -1))
        assert [one.message_id for one in reversed(row.decisions)] == [one.id for one in order.sent]
        assert row.message_id == (order.sent[-1].id if order.sent else None)
        assert len(row.status_changes) == order.moves

    def _same_messages(self, session: Session) -> None:
        rows = {one.id: one for one in session.scalars(select(Message))}
        assert set(rows) == {one.id for one in self._messages()}
        for sent in self._messages():
            row = rows[sent.id]
            late = {"SUCCESS": True, "FAILURE": False}[row.result] if _is_late(row) else None
            assert (row.state.value, bool(row.cancel_requested), late, row.req_msg_id) == (
                sent.state,
                sent.withdrawn,
                sent.late,
                sent.told,
            )
            assert (row.next_at is None) == row.is_final or row.state.value == "sending"
            assert (row.trigger.value == "manual") == sent.asked

    def _messages(self) -> list[Sent]:
        return [one for order in self.model.orders.values() for one in order.sent]

    def _say(self, said: Said) -> None:
        expected = self.model.take(said)
        call = Call(said.kind, "/test", received_at=clock.now())
        with self.database.writing() as session:
            receipt = receive_message(session, self.partner_id, call, dumps(said.body), RULES)
            session.commit()
            row = session.get(InboundMessage, receipt.inbound_id)
            assert row
            assert (row.answer_status, row.error_cd) == ((409, expected) if expected else (200, ""))
        self.said.append((receipt.inbound_id, said))
        if expected:
            self.refused[receipt.inbound_id] = said
        self._learn(session, said.number)

    def _learn(self, session: Session, number: int) -> None:
        """The number that the app gave to a new order."""
        if number in self.model.orders and number not in self.ids:
            object_id = self.buyer.bodies[number]["purchaseOrder"]["objectId"]
            with self.database.reading() as session:
                found = select(PurchaseOrder.id).where(PurchaseOrder.object_id == object_id)
                self.ids[number] = session.scalars(found).one()


def _is_late(row: Message) -> bool:
    return row.result_from is ResultFrom.RESP_CONFIRM


def _nth_last(several: Sequence[Any], pick: int) -> Any:
    return several[-1 - pick % len(several)]


@pytest.fixture
def careless(database: Database, partner: Partner) -> Database:
    """The database, in a hurry: what a power cut would lose is not tested here."""
    if not database.is_postgresql:
        event.listen(database.engine, "connect", _carelessly)
        database.engine.dispose()
    return database


def test_any_conversation_goes_as_the_model_says(
    careless: Database, example_bodies: list[dict[str, Any]]
) -> None:
    run_state_machine_as_test(
        lambda: Conversation(careless, example_bodies),
        settings=settings(
            max_examples=6 if careless.is_postgresql else 30,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_long_conversations_go_as_the_model_says(
    careless: Database, example_bodies: list[dict[str, Any]]
) -> None:
    """Hypothesis likes them short, so that it can tell what went wrong; what takes many steps needs these."""
    for seed in range(3 if careless.is_postgresql else 16):
        luck = random.Random(seed)
        conversation = Conversation(careless, example_bodies)
        for order in range(ORDERS):
            if luck.random() < 0.8:
                conversation.send(order, "one")
        for number in range(STEPS_EACH * ORDERS):
            name = luck.choice(list(STEPS))
            given = {one: luck.choice(CHOICES[one]) for one in STEPS[name]}
            if "number" in given:
                # An order's life is short: most steps are about one of them, then about the next.
                given["number"] = luck.choice([number // STEPS_EACH] * 3 + [luck.randrange(ORDERS)])
            note = f"seed {seed}, step {number}: {name}({given})"
            try:
                getattr(conversation, name)(**given)
                conversation.the_database_says_what_the_model_says()
            except AssertionError as error:
                raise AssertionError(note) from error


def _carelessly(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
