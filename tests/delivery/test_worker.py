"""From the decision to the partner's reply: claims, records, retries and resends, on both databases."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, selectinload

from app import clock
from app.db import Database
from app.delivery.claiming import claim
from app.delivery.models import Attempt, CancelReason, Message, MessageNote, MessageState, Trigger
from app.delivery.recording import INTERRUPTIONS_MAX, reclaim_expired
from app.delivery.resend_blocker import ResendBlocker, resend_blocker
from app.delivery.retry_policy import judge
from app.delivery.service import CannotResend, cancel
from app.orders.models import Delivery, PurchaseOrder, ResponseState
from app.partners.models import Partner, PauseCode
from tests.buyer import message_of, order_of
from tests.delivery.misbehaving import Connection, FakePartner, response
from tests.delivery.workers import running_worker
from tests.fixture_types import (
    Arrive,
    ChangePartner,
    ClaimOne,
    Confirm,
    ConfirmOrders,
    Deliver,
    MoveClock,
    PausePartner,
    Reclaim,
    Resend,
)
from tests.serving import Network
from tests.waiting import wait_until


def test_confirmation_reaches_the_partner_byte_for_byte(
    order_id: int, confirm: Confirm, deliver: Deliver, session: Session, network: Network
) -> None:
    message_id = confirm(order_id, remarks="Will ship on 4 December")
    assert deliver() == {"delivered": 1}

    (received,) = network.received()
    message = message_of(session, message_id)
    assert received["raw"].encode() == message.body
    assert received["idempotency_key"] == message_id
    assert received["headers"]["Content-Type"] == "application/json"
    assert message.state is MessageState.DELIVERED
    assert message.req_msg_id == received["answer"]["body"]["payload"]["resp"]["reqMsgId"]
    order = order_of(session, order_id)
    assert (order.status, order.response, order.delivery) == (
        "ACCEPTED",
        ResponseState.ACCEPT,
        Delivery.DELIVERED,
    )


def test_attempt_keeps_request_and_response_without_secrets(
    message_id: str, deliver: Deliver, session: Session
) -> None:
    deliver()
    (attempt,) = message_of(session, message_id).attempts
    assert (attempt.number, attempt.trigger, attempt.status, attempt.outcome) == (
        1,
        Trigger.AUTO,
        200,
        "delivered",
    )
    assert attempt.ended_at and attempt.started_at <= attempt.ended_at
    assert ["Idempotency-Key", message_id] in attempt.request_headers
    assert "a-secret-of-ours" not in json.dumps(attempt.request_headers)
    assert json.loads(attempt.response_body)["response_code"] == 0
    assert attempt.response_size == len(attempt.response_body)


def test_attempt_is_committed_before_the_request(
    message_id: str, claim_one: ClaimOne, session: Session
) -> None:
    claim_one()
    message = message_of(session, message_id)
    assert message.state is MessageState.SENDING
    assert message.attempts[0].in_flight


def test_unavailable_partner_is_retried_on_schedule(
    message_id: str, deliver: Deliver, session: Session, network: Network, move_clock: MoveClock
) -> None:
    network.behave("503", times=2)
    assert deliver() == {"retried": 1}
    message = message_of(session, message_id)
    assert message.state is MessageState.PENDING
    ended_at = message.attempts[0].ended_at
    assert message.next_at and ended_at
    wait = message.next_at - ended_at
    assert timedelta(seconds=5) <= wait <= timedelta(seconds=6)
    assert deliver() == {}

    move_clock(seconds=7)
    assert deliver() == {"retried": 1}
    move_clock(minutes=7)
    assert deliver() == {"delivered": 1}
    message = message_of(session, message_id)
    assert [attempt.status for attempt in message.attempts] == [200, 503, 503]
    assert len({received["raw"] for received in network.received()}) == 1


def test_message_fails_after_the_last_attempt_and_order_is_open_again(
    order_id: int,
    message_id: str,
    confirm: Confirm,
    deliver: Deliver,
    session: Session,
    network: Network,
    move_clock: MoveClock,
) -> None:
    network.behave("500")
    for _ in range(10):
        deliver()
        move_clock(days=2)
    message = message_of(session, message_id)
    assert message.state is MessageState.FAILED
    assert message.automatic_attempts == 10
    assert order_of(session, order_id).delivery is Delivery.FAILED
    network.behave("ok")
    second = confirm(order_id, remarks="Confirmed, sorry for the delay")
    assert deliver() == {"delivered": 1}
    assert message_of(session, second).decision_number == 2


def test_refused_message_keeps_the_partners_reply(
    order_id: int, message_id: str, deliver: Deliver, session: Session, network: Network
) -> None:
    network.behave("refuse", error_cd="BPR012", error_dtl="Remarks are not acceptable")
    assert deliver() == {"refused": 1}
    message = message_of(session, message_id)
    assert (message.error_cd, message.error_dtl) == ("BPR012", "Remarks are not acceptable")
    assert message.error_field == "poConfirmation.supplierRemarks"
    assert order_of(session, order_id).status == "CREATED"


def test_resend_is_another_attempt_with_the_same_bytes_id_and_the_actor(
    message_id: str, deliver: Deliver, resend: Resend, session: Session, network: Network
) -> None:
    network.behave("refuse", times=1)
    deliver()
    resend(message_id, "Fixed")
    assert deliver() == {"delivered": 1}
    message = message_of(session, message_id)
    assert [
        (attempt.number, attempt.trigger, attempt.actor, attempt.request_reason)
        for attempt in message.attempts
    ] == [(2, Trigger.MANUAL, "Ravi", "Fixed"), (1, Trigger.AUTO, None, None)]
    first, second = network.received()
    assert first["raw"] == second["raw"]
    assert first["idempotency_key"] == second["idempotency_key"] == message_id


def test_failed_resend_restores_the_previous_state(
    message_id: str,
    deliver: Deliver,
    resend: Resend,
    session: Session,
    network: Network,
    move_clock: MoveClock,
) -> None:
    network.behave("503")
    deliver()
    due = message_of(session, message_id).next_at
    resend(message_id, "Try now")
    deliver()
    message = message_of(session, message_id)
    assert (message.state, message.next_at, message.automatic_attempts) == (MessageState.PENDING, due, 1)
    assert message.trigger is Trigger.AUTO

    network.behave("refuse", times=1)
    move_clock(seconds=7)
    deliver()
    network.behave("503")
    resend(message_id, "Second attempt")
    deliver()
    message = message_of(session, message_id)
    assert message.state is MessageState.REFUSED
    assert message.error_field == "poConfirmation.supplierRemarks"
    assert message.note_code is MessageNote.FAILED_RESEND
    assert message.note_params["reason"] == "busy"


@pytest.mark.parametrize("state", [MessageState.DELIVERED, MessageState.SENDING, MessageState.CANCELED])
def test_resend_of_delivered_sending_or_canceled_message_is_rejected(
    message_id: str, database: Database, state: MessageState, resend: Resend
) -> None:
    with database.writing() as other:
        other.get_one(Message, message_id).state = state
        other.commit()
    with pytest.raises(CannotResend):
        resend(message_id)


def test_resend_of_a_superseded_response_is_rejected(
    order_id: int, confirm: Confirm, deliver: Deliver, resend: Resend, network: Network
) -> None:
    network.behave("refuse", times=1)
    older = confirm(order_id)
    deliver()
    confirm(order_id, remarks="Confirmed again")
    deliver()
    with pytest.raises(CannotResend, match="superseded"):
        resend(older)


def test_paused_partner_gets_only_manual_attempts(
    arrive: Arrive,
    confirm: Confirm,
    deliver: Deliver,
    resend: Resend,
    session: Session,
    pause_partner: PausePartner,
) -> None:
    first, second = arrive(2)
    held, requested = confirm(first), confirm(second)
    pause_partner()
    resend(requested, "A probe")
    assert deliver() == {"delivered": 1}
    assert message_of(session, requested).state is MessageState.DELIVERED
    assert message_of(session, held).is_paused


def test_three_consecutive_rejected_keys_pause_the_partner(
    confirm_orders: ConfirmOrders, deliver: Deliver, session: Session, network: Network, partner: Partner
) -> None:
    network.behave("401")
    confirm_orders(4)
    deliver()
    now = session.get(Partner, partner.id, populate_existing=True)
    assert now and now.paused
    assert (now.pause_code, now.pause_params) == (PauseCode.CREDENTIALS, {"count": 3, "status": 401})


def test_accepted_key_resets_the_count_of_refused_keys(
    arrive: Arrive, confirm: Confirm, deliver: Deliver, session: Session, network: Network, partner: Partner
) -> None:
    orders = arrive(6)

    def after(mode: str, order_id: int) -> tuple[bool, int]:
        network.behave(mode)
        confirm(order_id)
        deliver()
        row = session.get_one(Partner, partner.id, populate_existing=True)
        session.rollback()
        return row.paused, row.credential_failures

    modes = ["401", "401", "ok", "401", "401", "401"]
    assert [after(mode, order_id) for mode, order_id in zip(modes, orders, strict=True)] == [
        (False, 1),
        (False, 2),
        (False, 0),
        (False, 1),
        (False, 2),
        (True, 3),
    ]


def test_gone_partner_is_paused(
    message_id: str, deliver: Deliver, session: Session, network: Network
) -> None:
    network.behave("410")
    deliver()
    message = message_of(session, message_id)
    assert message.partner.paused
    assert message.is_paused


def test_message_of_a_lost_worker_is_sent_again_with_the_same_id(
    message_id: str,
    deliver: Deliver,
    claim_one: ClaimOne,
    session: Session,
    network: Network,
    move_clock: MoveClock,
) -> None:
    claim_one()
    assert deliver() == {}
    move_clock(minutes=1)
    assert deliver() == {"delivered": 1}
    message = message_of(session, message_id)
    assert [attempt.outcome for attempt in message.attempts] == ["delivered", "interrupted"]
    assert network.received()[0]["idempotency_key"] == message_id


# SQLite has one writer, so no row is ever locked by another.
@pytest.mark.postgresql
def test_expired_message_that_another_worker_has_locked_is_skipped(
    confirm_orders: ConfirmOrders, database: Database, session: Session, move_clock: MoveClock
) -> None:
    locked, free = confirm_orders(2)
    with database.writing() as lost:
        claim(lost, 2, clock.now())
        lost.commit()
    move_clock(minutes=1)
    with database.writing() as other:
        other.execute(select(Message.id).where(Message.id == locked).with_for_update())
        with database.writing() as writing:
            writing.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert reclaim_expired(writing, clock.now()) == 1
            writing.commit()
    assert message_of(session, locked).state is MessageState.SENDING
    assert message_of(session, free).state is MessageState.PENDING


def test_repeatedly_interrupted_message_fails(
    message_id: str, claim_one: ClaimOne, reclaim: Reclaim, session: Session, move_clock: MoveClock
) -> None:
    for _ in range(INTERRUPTIONS_MAX):
        claim_one()
        move_clock(minutes=1)
        reclaim()
    message = message_of(session, message_id)
    assert message.state is MessageState.FAILED
    assert message.note_code is MessageNote.REPEATEDLY_INTERRUPTED


def test_two_workers_never_claim_the_same_message(
    confirm_orders: ConfirmOrders, database: Database, change_partner: ChangePartner
) -> None:
    ids = set(confirm_orders(12))
    change_partner(concurrency=12)
    taken: list[str] = []
    lock = threading.Lock()

    def take() -> None:
        until = time.monotonic() + 30
        while len(taken) < len(ids) and time.monotonic() < until:
            with database.writing() as session:
                claimed = claim(session, 2, clock.now()).messages
                session.commit()
            with lock:
                taken.extend(message.id for message in claimed)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_running_worker_wakes_immediately_and_stops_cleanly(
    order_id: int, confirm: Confirm, database: Database, session: Session, network: Network
) -> None:
    with running_worker(database, senders=2):
        time.sleep(0.5)  # until it waits
        message_id = confirm(order_id)
        wait_until(lambda: message_of(session, message_id).is_final, 20)
    assert message_of(session, message_id).state is MessageState.DELIVERED


def test_order_projection_matches_its_messages(
    arrive: Arrive, confirm: Confirm, deliver: Deliver, session: Session, network: Network
) -> None:
    ids = arrive(5)
    network.behave("refuse", times=1)
    confirm(ids[0])
    deliver()
    network.behave("503", times=1)
    confirm(ids[1])
    deliver()
    confirm(ids[2])
    deliver()
    confirm(ids[3])
    for order in session.scalars(select(PurchaseOrder).options(selectinload(PurchaseOrder.decisions))):
        newest = order.decisions[0] if order.decisions else None
        message = session.get(Message, newest.message_id) if newest else None
        assert order.response == (newest.response if newest else ResponseState.NONE)
        assert order.delivery == (message.state if message else Delivery.NONE)
        assert order.message_id == (message.id if message else None)


def test_attempt_is_never_overwritten(
    message_id: str, deliver: Deliver, session: Session, network: Network, move_clock: MoveClock
) -> None:
    network.behave("500", times=1)
    deliver()
    before = session.scalars(select(Attempt).where(Attempt.message_id == message_id)).one()
    recorded = (before.status, before.outcome, before.ended_at, before.duration_ms)
    move_clock(seconds=10)
    deliver()
    session.rollback()
    after = session.scalars(
        select(Attempt).where(Attempt.message_id == message_id, Attempt.number == 1)
    ).one()
    assert (after.status, after.outcome, after.ended_at, after.duration_ms) == recorded


TOO_LONG_FOR_AN_INDEX = "".join(chr(0x10000 + 7919 * number % 0x2FFFF) for number in range(2000))


@pytest.mark.parametrize(
    "reply",
    [
        response(b'{"response_code":9999999999,"response_message":"no"}'),
        b"HTTP/1.1 500 Odd\r\nContent-Length: 3000000000\r\n\r\n{",
        response(b'{"response_code":1,"response_message":"a\\u0000b"}', "X-Odd: a\0b", status="200 OK"),
        response(b"\0\xff\xfe", "X-Odd: \x80\xff", status="502 \xff"),
        response(
            f'{{"response_code":0,"payload":{{"resp":{{"reqMsgId":"{TOO_LONG_FOR_AN_INDEX}"}}}}}}'.encode()
        ),
    ],
)
def test_unrecordable_reply_does_not_block_other_records(
    reply: bytes,
    confirm_orders: ConfirmOrders,
    database: Database,
    session: Session,
    change_partner: ChangePartner,
    network: Network,
) -> None:
    first, second = confirm_orders(2)

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(reply)

    with FakePartner(script) as other_partner:
        change_partner(base_url=other_partner.url())
        with running_worker(database, senders=2):
            wait_until(
                lambda: all(message_of(session, message_id).attempts_made for message_id in (first, second)),
                30,
            )
            wait_until(
                lambda: all(
                    message_of(session, message_id).state != "sending" for message_id in (first, second)
                ),
                30,
            )
    for message_id in (first, second):
        assert all(attempt.outcome != "interrupted" for attempt in message_of(session, message_id).attempts)


def test_reply_that_the_database_rejects_loses_only_its_own_texts(
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    database: Database,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No such reply is known. If one occurs, others are still recorded completely."""
    unstorable, *others = confirm_orders(4)
    with database.reading() as other:
        object_id = message_of(other, unstorable).object_id

    def judge_with_unstorable_text(*arguments: Any, **more: Any) -> Any:
        verdict = judge(*arguments, **more)
        return replace(verdict, result="a\0b") if more["object_id"] == object_id else verdict

    monkeypatch.setattr("app.delivery.worker.judge", judge_with_unstorable_text)
    assert deliver() == {"delivered": 4}
    refuses = session.get_bind().dialect.name == "postgresql"
    assert message_of(session, unstorable).result == ("" if refuses else "a\0b")
    assert bool(message_of(session, unstorable).attempts[0].response_headers) is not refuses
    for message_id in others:
        assert message_of(session, message_id).result == "SUCCESS"
        assert message_of(session, message_id).attempts[0].response_headers


def test_delivery_reported_without_a_lease_is_not_sent_again(
    message_id: str,
    session: Session,
    claim_one: ClaimOne,
    end_attempt: Any,
    reclaim: Reclaim,
    move_clock: MoveClock,
) -> None:
    late = claim_one()
    move_clock(minutes=1)
    reclaim()
    current = claim_one()

    def blocker() -> ResendBlocker | None:
        return resend_blocker(session, message_of(session, message_id), include_delivered=True)

    end_attempt(late, "ok")
    assert message_of(session, message_id).state is MessageState.DELIVERED
    assert blocker() is ResendBlocker.IN_FLIGHT
    end_attempt(current, "ok")
    assert blocker() is None


def test_canceled_resend_of_a_delivered_message_stays_delivered(
    order_id: int, message_id: str, deliver: Deliver, database: Database, session: Session, resend: Resend
) -> None:
    deliver()
    resend(message_id, include_delivered=True)
    assert message_of(session, message_id).state is MessageState.PENDING
    with database.writing() as writing:
        cancel(writing, message_id, CancelReason.ORDER_CANCELED)
        writing.commit()
    message = message_of(session, message_id)
    assert (message.state, message.next_at, message.cancel_requested) == (MessageState.DELIVERED, None, None)
    assert order_of(session, order_id).delivery == "delivered"
    assert deliver() == {}
