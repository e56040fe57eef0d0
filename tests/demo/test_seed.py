"""Seeded data follows the rules of the commands that the seed bypasses."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery.models import Attempt, Message, MessageState
from app.delivery.statistics import fold, outcome_counts
from app.demo.seed import NotADemo, seed
from app.inbound.file_import import ImportResult, import_body
from app.inbound.models import Effect, InboundMessage
from app.inbound.processing import Rules
from app.network.messages import parse
from app.network.reader import dumps, read_json
from app.network.vocabulary import Kind, Status
from app.orders import queries
from app.orders.checks import CheckKind, order_checks
from app.orders.models import Decision, Delivery, OrderItem, PurchaseOrder, ResponseState, Revision
from app.partners.models import Partner
from tests.delivery.counts import assert_exact
from tests.people import Browser


@pytest.fixture
def seeded(database: Database) -> dict[str, int]:
    return seed(database, messages=300, attempts=700, rng=random.Random(6))


def test_seed_creates_the_requested_counts_in_all_states(seeded: dict[str, int], session: Session) -> None:
    assert (seeded["messages"], seeded["attempts"], seeded["orders"]) == (300, 700, 315)
    for model, count in ((Message, 300), (Attempt, 700), (PurchaseOrder, 315), (Decision, 300)):
        assert session.scalar(select(func.count()).select_from(model)) == count
    states = set(session.scalars(select(Message.state)))
    assert states >= set(MessageState) - {MessageState.SENDING}
    assert set(session.scalars(select(InboundMessage.effect))) >= {Effect.APPLIED, Effect.REPEATED}


@pytest.mark.sqlite
def test_seeded_orders_have_the_state_of_their_messages(seeded: dict[str, int], session: Session) -> None:
    rows = session.execute(
        select(PurchaseOrder, Message, Decision)
        .outerjoin(Message, Message.id == PurchaseOrder.message_id)
        .outerjoin(Decision, Decision.message_id == PurchaseOrder.message_id)
    ).all()
    for order, message, decision in rows:
        if message is None:
            assert (order.response, order.delivery, order.status) == (
                ResponseState.NONE,
                Delivery.NONE,
                Status.CREATED,
            )
            continue
        assert order.delivery == message.state.value
        assert order.response == decision.response
        moved = message.state is MessageState.DELIVERED
        assert order.status == (decision.status_to if moved else Status.CREATED)
        assert order.responded_at == decision.decided_at == message.created_at
    numbers = dict(
        session.execute(select(Attempt.message_id, func.count()).group_by(Attempt.message_id)).all()
    )
    for _, message, _ in rows:
        if message is not None:
            assert message.attempts_made == numbers.get(message.id, 0)


@pytest.mark.sqlite
def test_seeded_orders_have_order_checks(seeded: dict[str, int], session: Session) -> None:
    assert session.scalar(select(func.count()).select_from(OrderItem)) == seeded["orders"]
    newest = session.scalars(select(PurchaseOrder.id).order_by(PurchaseOrder.id.desc()).limit(60))
    orders = [order for order_id in newest.all() if (order := queries.order(session, None, order_id))]
    checks = [order_checks(session, order) for order in orders]
    kinds = {check.kind for known in checks for check in known}
    assert CheckKind.PRICE in kinds


@pytest.mark.sqlite
def test_seeded_messages_follow_the_contract(seeded: dict[str, int], session: Session) -> None:
    for body in session.scalars(select(Revision.body).limit(40)):
        parse(Kind.REQ_SEND, read_json(body))
    for body in session.scalars(select(Message.body).limit(40)):
        parse(Kind.REQ_CONFIRM, read_json(body))


def test_every_attempt_is_counted(seeded: dict[str, int], database: Database, session: Session) -> None:
    ended = session.scalar(select(func.count()).select_from(Attempt).where(Attempt.ended_at.is_not(None)))
    assert sum(row.count for row in outcome_counts(session)) == ended
    assert_exact(database, clock.now())
    fold(database)
    assert_exact(database, clock.now())


def test_every_page_opens_with_seeded_data(seeded: dict[str, int], session: Session, meera: Browser) -> None:
    order_ids = session.scalars(select(PurchaseOrder.id).limit(3)).all()
    message_ids = session.scalars(select(Message.id).where(Message.attempts_made > 1).limit(3)).all()
    inbound_ids = session.scalars(select(InboundMessage.id).limit(3)).all()
    session.rollback()
    for path in (
        "/",
        "/orders",
        "/webhooks",
        "/webhooks?state=attention",
        "/inbound",
        "/health?range=30d",
        "/reports/answers?since=2020-01-01",
        "/partners",
        *(f"/orders/{row_id}" for row_id in order_ids),
        *(f"/webhooks/{row_id}" for row_id in message_ids),
        *(f"/inbound/{row_id}" for row_id in inbound_ids),
    ):
        assert meera.get(path).status_code == 200, path


def test_new_orders_are_received_after_the_seed(
    seeded: dict[str, int], database: Database, example_bodies: list[Any]
) -> None:
    rules, result = Rules(1024 * 1024, timedelta(hours=24)), ImportResult()
    with database.writing() as session:
        partner_id = session.scalars(select(Partner.id)).first()
        assert partner_id
        import_body(session, partner_id, dumps(example_bodies[0]), location="", rules=rules, result=result)
        session.commit()
        assert (result.imported, result.errors) == (1, [])
        assert (session.scalar(select(func.max(PurchaseOrder.id))) or 0) > 315


@pytest.mark.sqlite
def test_seed_refuses_a_database_with_data_unless_forced(app: Flask, database: Database) -> None:
    run = app.test_cli_runner().invoke
    assert run(args=["partners", "add", "real", "--base-url", "https://b2b.example"]).exit_code == 0
    with pytest.raises(NotADemo):
        seed(database, messages=10, attempts=20)
    refused = run(args=["seed", "--messages", "10", "--attempts", "20"])
    assert refused.exit_code == 1
    assert "has the partner real" in refused.output
    done = run(args=["seed", "--messages", "10", "--attempts", "20", "--yes"])
    assert done.exit_code == 0
    assert "messages=10 attempts=20" in done.output
    assert run(args=["rollup"]).output.strip() == "rows=0"


@pytest.mark.sqlite
@pytest.mark.parametrize("attempts", [1, 10_000])
def test_seed_with_impossible_counts_is_refused(app: Flask, attempts: int) -> None:
    done = app.test_cli_runner().invoke(args=["seed", "--messages", "100", "--attempts", str(attempts)])
    assert done.exit_code == 1
    assert "100 messages take" in done.output
