"""Retention: old content is removed except what open orders and repeats need; the audit trail verifies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, undefer

from app.audit import seals, trail
from app.audit.models import AuditAction, AuditEntry, AuditObject, AuditSeal
from app.audit.retention import prune_entries
from app.clock import now
from app.db import Database
from app.delivery.events import MessageChange, message_events
from app.delivery.models import Attempt, Message, MessageState
from app.delivery.resend_blocker import ResendBlocker, resend_blocker
from app.inbound.models import Effect, InboundMessage
from app.inbound.processing import Call, Rules, receive_message
from app.network.reader import dumps
from app.network.vocabulary import Kind
from app.partners.models import Partner
from app.retention import Ages, prune_old
from tests.fixture_types import Arrive, Confirm, ConfirmOrders, Deliver, MoveClock
from tests.people import Browser

WEEK = Ages(7, 7, 7)


def whole(session: Session) -> tuple[list[Message], list[Attempt], list[InboundMessage]]:
    session.rollback()
    session.expire_all()
    return (
        list(session.scalars(select(Message).order_by(Message.id)).all()),
        list(session.scalars(select(Attempt).options(undefer(Attempt.response_body))).all()),
        list(session.scalars(select(InboundMessage).options(undefer(InboundMessage.body))).all()),
    )


def test_pruned_response_loses_its_content_and_keeps_its_row(
    database: Database,
    session: Session,
    order_id: int,
    message_id: str,
    deliver: Deliver,
    move_clock: MoveClock,
    meera: Browser,
) -> None:
    deliver()
    move_clock(days=6)
    assert prune_old(database, WEEK) == {"messages": 0, "inbound": 0, "audit": 0}
    move_clock(days=2)
    assert prune_old(database, WEEK)["messages"] == 1
    (message,), (attempt,), (inbound,) = whole(session)
    assert (message.body, attempt.response_body, attempt.request_headers) == (b"", b"", [])
    assert (message.state, attempt.status, len(message.body_sha256)) == (MessageState.DELIVERED, 200, 64)
    assert (inbound.body, inbound.effect) == (b"", Effect.APPLIED)
    for page in (f"/webhooks/{message_id}", f"/orders/{order_id}", f"/inbound/{inbound.id}", "/webhooks"):
        assert meera.get(page).status_code == 200
    assert prune_old(database, WEEK)["messages"] == 0, "pruned only once"


@pytest.mark.parametrize("state", [MessageState.FAILED, MessageState.REFUSED, MessageState.PENDING])
def test_records_of_open_orders_are_not_pruned(
    database: Database,
    session: Session,
    arrive: Arrive,
    confirm: Confirm,
    move_clock: MoveClock,
    state: MessageState,
) -> None:
    (order_id, untouched) = arrive(2)
    message_id = confirm(order_id)
    with database.writing() as writing:
        message = writing.get(Message, message_id)
        assert message
        message.state, message.finished_at = state, None if state is MessageState.PENDING else now()
        writing.flush()
        message_events.publish(writing, [MessageChange(message_id, order_id, state)])
        writing.commit()
    move_clock(days=30)
    assert prune_old(database, WEEK)["messages"] == prune_old(database, WEEK)["inbound"] == 0
    (message,), _, inbound = whole(session)
    assert message.body and all(inbound_message.body for inbound_message in inbound) and untouched


def test_pruned_message_is_not_resent(session: Session, message_id: str) -> None:
    message = session.get(Message, message_id)
    assert message and resend_blocker(session, message) is None
    message.body, message.state = b"", MessageState.FAILED
    assert resend_blocker(session, message) is ResendBlocker.CONTENT_DELETED


def test_repeat_after_pruning_gets_the_same_reply(
    database: Database,
    partner: Partner,
    example_bodies: Any,
    confirm: Confirm,
    deliver: Deliver,
    move_clock: MoveClock,
) -> None:
    def send() -> Any:
        with database.writing() as writing:
            rules = Rules(10**6, timedelta(hours=24))
            message = receive_message(
                writing, partner.id, Call(Kind.REQ_SEND, "/"), dumps(example_bodies[0]), rules
            )
            writing.commit()
        return message

    first = send()
    assert send().effect is Effect.REPEATED
    confirm(first.order_id)
    deliver()
    move_clock(days=8)
    assert prune_old(database, WEEK)["inbound"] == 2, "one body is removed, its repeat is deleted"
    again = send()
    assert (again.effect, again.response_status, again.response_body) == (
        Effect.REPEATED,
        200,
        first.response_body,
    )


def test_pruning_runs_in_small_batches(
    database: Database,
    session: Session,
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    move_clock: MoveClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.retention.BATCH", 2)
    confirm_orders(5)
    deliver()
    move_clock(days=8)
    assert prune_old(database, WEEK)["messages"] == 5
    assert not any(message.body for message in whole(session)[0])
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry and (entry.action, entry.new_values) == (AuditAction.PRUNED, {"messages": 5, "inbound": 5})


@pytest.fixture
def old_and_new(database: Database, move_clock: MoveClock) -> None:
    """Ten sealed entries of last month, five of today, and a seal over part of them."""
    for count, days in ((10, 30), (5, 0)):
        with database.writing() as session:
            for number in range(count):
                trail.record(session, AuditAction.ANNOUNCED, AuditObject.PARTNER, number)
            session.commit()
        move_clock(days=days)
        if days:
            seals.seal(database)


def test_pruning_keeps_the_seals_and_verification_right(
    database: Database, session: Session, old_and_new: None, move_clock: MoveClock
) -> None:
    assert prune_entries(database, now() - timedelta(days=7), batch=3) == 10
    seals.seal(database)
    result = seals.verify(session)
    assert (result.fault, result.pruned, result.entries) == (None, 10, 6), (
        "five, and the entry of the pruning"
    )
    assert session.scalar(select(func.count()).select_from(AuditSeal)) == 2
    move_clock(days=30)
    assert prune_entries(database, now() - timedelta(days=7)) == 6
    session.rollback()
    result = seals.verify(session)
    assert (result.fault, result.pruned, result.unsealed) == (None, 16, 1)


def test_unsealed_entries_are_not_pruned(database: Database, session: Session, move_clock: MoveClock) -> None:
    with database.writing() as writing:
        trail.record(writing, AuditAction.ANNOUNCED, AuditObject.PARTNER, 1)
        writing.commit()
    move_clock(days=30)
    assert prune_entries(database, now() - timedelta(days=7)) == 0
    assert session.scalar(select(func.count()).select_from(AuditEntry)) == 1


def test_database_rejects_deletions_after_pruning(database: Database, old_and_new: None) -> None:
    prune_entries(database, now() - timedelta(days=7))
    with pytest.raises(DBAPIError, match="audit trail"), database.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_entry"))


def test_interrupted_pruning_is_continued(
    database: Database, session: Session, old_and_new: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = now() - timedelta(days=7)
    writing, calls = database.writing, iter(range(100))

    def fail() -> Session:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return writing()

    monkeypatch.setattr(database, "writing", fail)
    with pytest.raises(KeyboardInterrupt):
        prune_entries(database, before, batch=3)
    monkeypatch.undo()
    assert seals.verify(session).fault is None
    assert prune_entries(database, before, batch=3) == 7
    session.rollback()
    assert seals.verify(session).fault is None


def test_prune_command_removes_old_records(app: Flask, old_and_new: None, move_clock: MoveClock) -> None:
    runner = app.test_cli_runner()
    nothing = runner.invoke(args=["prune"])
    assert nothing.exit_code == 1 and "--older-than" in nothing.output
    for days in ("0", "inf", "1000000", "nan"):
        assert runner.invoke(args=["prune", "--older-than", days]).exit_code == 2
    done = runner.invoke(args=["prune", "--older-than", "7"])
    assert done.output.strip() == "messages=0 inbound=0 audit=10"
