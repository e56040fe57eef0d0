"""Attempts whose result a test chooses, without a partner."""

from __future__ import annotations

from datetime import datetime

from app import clock
from app.db import Database
from app.delivery.call_result import CallResult, Detail, Failure
from app.delivery.claiming import ClaimedMessage
from app.delivery.recording import AttemptResult, record_results
from app.delivery.retry_policy import judge
from app.network.reader import dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import Kind


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


def finish(database: Database, claimed: ClaimedMessage, how: str, now: datetime | None = None) -> None:
    """Record a POST that ended with this result."""
    now = now or clock.now()
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
        record_results(session, [AttemptResult(claimed, result, verdict, now)], now)
        session.commit()
