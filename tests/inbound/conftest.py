"""Fixtures for inbound tests: a buyer, a supplier, and deliveries whose result the test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app import clock
from app.db import Database
from app.delivery.call_result import CallResult, Detail, Failure
from app.delivery.claiming import ClaimedMessage, claim
from app.delivery.recording import AttemptResult, record_results
from app.delivery.retry_policy import judge
from app.network.reader import dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import Kind
from tests.buyer import Buyer


@pytest.fixture
def buyer(app: Flask, partner: Any, example_bodies: list[Any]) -> Buyer:
    """The buyer's system."""
    return Buyer(app.test_client(), example_bodies)


def call_result_of(claimed: ClaimedMessage, how: str) -> CallResult:
    """The result of a POST: ``ok``, ``refuse``, ``timeout`` or ``500``."""
    if how == "timeout":
        return CallResult(Failure.TIMEOUT, Detail(), None, (), b"", 0, False, None, 1.0, True)
    status, body = 200, b"{}"
    if how == "500":
        status = 500
    else:
        failure = {"code": None} if how == "ok" else {"code": "BPR012", "detail": "Not accepted"}
        reply = build_reply(
            Kind.REQ_CONFIRM, read_json(claimed.body), req_msg_id=f"REQ-{claimed.id}", **failure
        )
        body = dumps(reply)
    return CallResult(None, Detail(), status, (), body, len(body), False, "127.0.0.1:1", 1.0, True)


def finish(database: Database, claimed: ClaimedMessage, how: str) -> None:
    """Record a POST that ended with this result."""
    result = call_result_of(claimed, how)
    verdict = judge(
        result,
        attempts=claimed.automatic_attempts + 1,
        schedule=claimed.schedule,
        success_codes=claimed.success_codes,
        object_id=claimed.object_id,
        after_unknown=claimed.after_unknown,
        jitter=0.0,
    )
    with database.writing() as session:
        record_results(session, [AttemptResult(claimed, result, verdict, clock.now())], clock.now())
        session.commit()


@pytest.fixture
def claim_one(database: Database) -> Callable[[], ClaimedMessage]:
    """Claim the one message that is due, so that it is being sent."""

    def claim_one() -> ClaimedMessage:
        with database.writing() as session:
            (claimed,) = claim(session, 1, clock.now()).messages
            session.commit()
        return claimed

    return claim_one


@pytest.fixture
def end_attempt(database: Database) -> Callable[[ClaimedMessage, str], None]:
    """End a POST: ``ok``, ``refuse``, ``timeout`` or ``500``."""
    return lambda claimed, how: finish(database, claimed, how)


@pytest.fixture
def deliver_with(
    claim_one: Callable[[], ClaimedMessage], end_attempt: Callable[[ClaimedMessage, str], None]
) -> Callable[[str], None]:
    """Send the one message that is due, with this result."""
    return lambda how="ok": end_attempt(claim_one(), how)
