"""Parallel calls: one succeeds, the others get a conflict, and none waits forever."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery.claiming import claim
from app.delivery.models import Message, MessageState
from app.inbound.models import Effect, InboundMessage
from app.orders.decisions import AlreadyDecided, CannotRespond, StaleVersion
from tests.buyer import Buyer, order_of, order_state, refusal
from tests.delivery.attempts import finish
from tests.fixture_types import Arrive, Confirm
from tests.queries import run_together


def buyers(app: Flask, bodies: list[Any], count: int) -> list[Buyer]:
    return [Buyer(app.test_client(), bodies) for _ in range(count)]


def test_parallel_equal_edits_make_one_revision(
    app: Flask, order_id: int, example_bodies: list[Any], session: Session
) -> None:
    responses = run_together(*(buyer.edit for buyer in buyers(app, example_bodies, 6)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.data for response in responses}) == 1
    assert order_state(session, order_id) == ("CREATED", 2, "none", "none")
    assert len(order_of(session, order_id).revisions) == 2
    effects = Counter(session.scalars(select(InboundMessage.effect).where(InboundMessage.kind == "req-edit")))
    assert effects == {Effect.APPLIED: 1, Effect.REPEATED: 5}


def test_parallel_different_edits_conflict(
    app: Flask, order_id: int, example_bodies: list[Any], session: Session
) -> None:
    first, second = buyers(app, example_bodies, 2)
    responses = run_together(lambda: first.edit(subject="One"), lambda: second.edit(subject="Two"))
    assert sorted(response.status_code for response in responses) == [200, 409]
    applied = "One" if responses[0].status_code == 200 else "Two"
    assert order_of(session, order_id).subject == applied


def test_parallel_edit_and_cancellation_first_wins(
    app: Flask, order_id: int, example_bodies: list[Any], session: Session
) -> None:
    first, second = buyers(app, example_bodies, 2)
    responses = run_together(first.edit, second.change_status)
    results = {refusal(response)[:2] for response in responses}
    if order_state(session, order_id)[0] == "CANCELLED":
        assert results == {(200, ""), (409, "PO_TRANSITION")}
    else:
        assert results == {(200, ""), (409, "PO_STALE_VERSION")}
        assert order_state(session, order_id)[:2] == ("CREATED", 2)


def test_parallel_edits_responses_and_deliveries_never_deadlock(
    app: Flask,
    arrive: Arrive,
    confirm: Confirm,
    database: Database,
    example_bodies: list[Any],
    session: Session,
) -> None:
    orders = arrive(3)
    rounds = 8
    failures: list[BaseException] = []
    done = threading.Event()

    def edit(number: int) -> None:
        (buyer,) = buyers(app, example_bodies, 1)
        for version in range(1, rounds + 1):
            response = buyer.edit(number, current=version, subject=f"Version {version + 1}")
            assert response.status_code == 200, response.data

    def respond(number: int) -> None:
        for _ in range(rounds * 2):
            with contextlib.suppress(AlreadyDecided, CannotRespond, StaleVersion):
                confirm(orders[number])

    def send() -> None:
        while not done.is_set():
            with database.writing() as other:
                claimed = claim(other, 4, clock.now()).messages
                other.commit()
            for message in claimed:
                finish(database, message, "ok")

    def guarded(call: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                call()
            except BaseException as error:
                failures.append(error)

        return run

    senders = [threading.Thread(target=guarded(send), daemon=True) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        run_together(
            *(guarded(partial(edit, number)) for number in range(3)),
            *(guarded(partial(respond, number)) for number in range(3)),
        )
    finally:
        done.set()
        for sender in senders:
            sender.join(timeout=30)
    assert failures == []
    for order_id in orders:
        order = order_of(session, order_id)
        assert order.version == rounds + 1
        message = session.get(Message, order.message_id) if order.message_id else None
        assert order.delivery.value == (message.state.value if message else "none")
    live = session.scalar(
        select(func.count()).select_from(Message).where(Message.state == MessageState.SENDING)
    )
    assert live == 0
