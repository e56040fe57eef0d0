"""What the end of an attempt changes: its message, its partner, and what is counted. Without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.delivery.call_result import CallResult, Detail, DetailCode
from app.delivery.circuit_breaker import EndedAttempt, Limits
from app.delivery.claiming import LEASE_MARGIN_SECONDS
from app.delivery.models import CancelReason, MessageNote, MessageState, ResultFrom, Trigger
from app.delivery.recording import (
    INTEGER_MAX,
    INTERRUPTIONS_MAX,
    RELEASED,
    AttemptResult,
    _after_interruption,
    _attempt_end,
    _counted_attempt,
    _ended_attempt,
    _may_change,
    _next_values,
    without_response,
)
from app.delivery.retry_policy import Reason, Step, Verdict
from app.delivery.statistics import CountedAttempt

CREATED = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDED = CREATED + timedelta(seconds=90)
NOW = ENDED + timedelta(seconds=1)
LATER = NOW + timedelta(hours=1)
LIMITS = Limits(concurrency=4)
DETAIL = Detail(DetailCode.RESPONSE_TIMEOUT, {"host": "partner.example"})
RESPONSE = CallResult(
    failure=None,
    detail=Detail(),
    status=200,
    headers=(("X-Served-By", "one"),),
    body=b"{}",
    body_size=2,
    truncated=False,
    remote_address="192.0.2.1",
    duration_ms=12.5,
    sent=True,
)
NO_RESPONSE = replace(RESPONSE, detail=DETAIL, status=None, headers=(), body=b"", body_size=None)
DELIVERED = Verdict(
    step=Step.DELIVERED,
    reason=Reason.DELIVERED,
    response_code=0,
    response_message="Success",
    result="SUCCESS",
    req_msg_id="req-1",
)
REFUSED = Verdict(
    step=Step.REFUSED,
    reason=Reason.REFUSED_BY_PARTNER,
    response_code=1,
    response_message="Failure",
    result="FAILURE",
    error_cd="E7",
    error_dtl="too long",
    error_field="x.y",
)
TIMEOUT = Verdict(step=Step.RETRY, reason=Reason.TIMEOUT, wait_seconds=300, unknown=True, transport=True)
FAILED = replace(TIMEOUT, step=Step.FAILED, wait_seconds=None)


def attempt(verdict: Verdict, result: CallResult = RESPONSE, **claimed: Any) -> AttemptResult:
    values = {
        "id": "msg_1",
        "partner_id": 7,
        "number": 3,
        "token": "ours",
        "trigger": Trigger.AUTO,
        "automatic_attempts": 2,
        "target": SimpleNamespace(deadline=20.0),
        "limits": LIMITS,
        "is_probe": False,
        "is_suspect": False,
    }
    claimed_message: Any = SimpleNamespace(**{**values, **claimed})
    return AttemptResult(claimed_message, result, verdict, ENDED)


def row(**values: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "order_id": 1,
        "created_at": CREATED,
        "state": MessageState.SENDING,
        "lease_token": "ours",
        "cancel_requested": None,
        "unknown_outcome": False,
        "resume_state": None,
        "resume_at": None,
        "result_from": None,
        **values,
    }


NO_TEXT = {"response_message": "", "result": "", "req_msg_id": "", "error_cd": "", "error_dtl": ""}
AFTER_TIMEOUT = {
    **NO_TEXT,
    "unknown_outcome": True,
    "reason": "timeout",
    "note_code": MessageNote.ATTEMPT,
    "note_params": {
        "detail": "response_timeout",
        "detail_params": {"host": "partner.example"},
        "maybe_received": True,
    },
    "status_code": None,
    "response_code": None,
    "error_field": "",
    "result_from": None,
}


def test_delivered_message_is_final_and_keeps_the_reply() -> None:
    assert _next_values(row(), attempt(DELIVERED), NOW) == {
        "unknown_outcome": False,
        "automatic_attempts": 3,
        "state": MessageState.DELIVERED,
        "next_at": None,
        "finished_at": NOW,
        "reason": "delivered",
        "note_code": MessageNote.ATTEMPT,
        "note_params": {"maybe_received": False},
        "status_code": 200,
        "response_code": 0,
        "response_message": "Success",
        "result": "SUCCESS",
        "req_msg_id": "req-1",
        "error_cd": "",
        "error_dtl": "",
        "error_field": "",
        "result_from": ResultFrom.RESPONSE,
    }


def test_refused_message_keeps_the_errors() -> None:
    values = _next_values(row(unknown_outcome=True), attempt(REFUSED), NOW)
    assert values == {
        "unknown_outcome": True,
        "automatic_attempts": 3,
        "state": MessageState.REFUSED,
        "next_at": None,
        "finished_at": NOW,
        "reason": "refused_by_partner",
        "note_code": MessageNote.ATTEMPT,
        "note_params": {"maybe_received": False},
        "status_code": 200,
        "response_code": 1,
        "response_message": "Failure",
        "result": "FAILURE",
        "req_msg_id": "",
        "error_cd": "E7",
        "error_dtl": "too long",
        "error_field": "x.y",
        "result_from": ResultFrom.RESPONSE,
    }


def test_message_without_a_response_is_due_after_the_wait() -> None:
    assert _next_values(row(), attempt(TIMEOUT, NO_RESPONSE), NOW) == {
        **AFTER_TIMEOUT,
        "automatic_attempts": 3,
        "state": MessageState.PENDING,
        "next_at": ENDED + timedelta(seconds=300),
    }
    at_once = _next_values(row(), attempt(replace(TIMEOUT, wait_seconds=None)), NOW)
    assert at_once["next_at"] == ENDED


def test_message_without_further_attempts_has_failed() -> None:
    assert _next_values(row(), attempt(FAILED, NO_RESPONSE), NOW) == {
        **AFTER_TIMEOUT,
        "automatic_attempts": 3,
        "state": MessageState.FAILED,
        "next_at": None,
        "finished_at": NOW,
    }


@pytest.mark.parametrize(
    ("code", "stored"),
    [
        (INTEGER_MAX, INTEGER_MAX),
        (-INTEGER_MAX, -INTEGER_MAX),
        (INTEGER_MAX + 1, None),
        (-INTEGER_MAX - 1, None),
        (None, None),
    ],
)
def test_response_code_that_fits_no_column_is_dropped(code: int | None, stored: int | None) -> None:
    values = _next_values(row(), attempt(replace(REFUSED, response_code=code)), NOW)
    assert values["response_code"] == stored


@pytest.mark.parametrize(
    ("verdict", "maybe_received"),
    [(REFUSED, False), (TIMEOUT, True), (replace(FAILED, unknown=False), False)],
)
def test_canceled_message_ends_after_an_attempt_that_did_not_deliver(
    verdict: Verdict, maybe_received: bool
) -> None:
    canceled = row(cancel_requested=CancelReason.ORDER_CHANGED)
    assert _next_values(canceled, attempt(verdict), NOW) == {
        "unknown_outcome": maybe_received,
        "automatic_attempts": 3,
        "state": MessageState.CANCELED,
        "finished_at": NOW,
        "next_at": None,
        "note_code": MessageNote.CANCELED,
        "note_params": {"maybe_received": maybe_received},
    }
    assert _next_values(canceled, attempt(DELIVERED), NOW)["state"] is MessageState.DELIVERED


@pytest.mark.parametrize(
    ("resumed", "verdict"),
    [
        (MessageState.REFUSED, TIMEOUT),
        (MessageState.FAILED, FAILED),
        (MessageState.DELIVERED, TIMEOUT),
        (MessageState.DELIVERED, REFUSED),
    ],
)
def test_unsuccessful_resend_changes_neither_state_nor_reason(
    resumed: MessageState, verdict: Verdict
) -> None:
    result = replace(RESPONSE, detail=DETAIL, status=503)
    requested = row(resume_state=resumed)
    assert _next_values(requested, attempt(verdict, result, trigger=Trigger.MANUAL), NOW) == {
        "unknown_outcome": verdict.unknown,
        "state": resumed,
        "next_at": None,
        "note_code": MessageNote.FAILED_RESEND,
        "note_params": {
            "detail": "response_timeout",
            "detail_params": {"host": "partner.example"},
            "maybe_received": verdict.step is not Step.REFUSED,
            "reason": verdict.reason.value,
            "status": 503,
            "text": verdict.partner_text,
            "field": verdict.error_field,
        },
    }


def test_unsuccessful_resend_of_a_queued_message_keeps_its_schedule() -> None:
    requested = row(resume_state=MessageState.PENDING, resume_at=LATER)
    result = attempt(TIMEOUT, NO_RESPONSE, trigger=Trigger.MANUAL)
    assert _next_values(requested, result, NOW) == {
        **AFTER_TIMEOUT,
        "state": MessageState.PENDING,
        "next_at": LATER,
    }


@pytest.mark.parametrize(
    ("requested", "trigger", "verdict", "state"),
    [
        (row(resume_state=MessageState.FAILED), Trigger.MANUAL, REFUSED, MessageState.REFUSED),
        (row(resume_state=MessageState.REFUSED), Trigger.BULK, DELIVERED, MessageState.DELIVERED),
        (row(resume_state=MessageState.FAILED), Trigger.AUTO, TIMEOUT, MessageState.PENDING),
        (row(), Trigger.BULK, FAILED, MessageState.FAILED),
    ],
)
def test_other_results_of_a_resend_count(
    requested: dict[str, Any], trigger: Trigger, verdict: Verdict, state: MessageState
) -> None:
    values = _next_values(requested, attempt(verdict, trigger=trigger), NOW)
    assert values["state"] is state
    assert ("automatic_attempts" in values) is (trigger is Trigger.AUTO)


@pytest.mark.parametrize(("token", "keeps_lease"), [("ours", False), (None, False), ("theirs", True)])
def test_delivery_without_the_lease_keeps_the_other_workers_lease(
    token: str | None, keeps_lease: bool
) -> None:
    values = _next_values(row(lease_token=token), attempt(DELIVERED), NOW)
    expected = NOW + timedelta(seconds=20 + LEASE_MARGIN_SECONDS)
    assert values.get("lease_until") == (expected if keeps_lease else None)


@pytest.mark.parametrize(
    ("values", "verdict", "may_change"),
    [
        ({}, TIMEOUT, True),
        ({}, DELIVERED, True),
        ({"lease_token": "theirs"}, TIMEOUT, False),
        ({"lease_token": "theirs"}, DELIVERED, True),
        ({"state": MessageState.PENDING}, TIMEOUT, False),
        ({"state": MessageState.PENDING}, REFUSED, False),
        ({"state": MessageState.FAILED, "lease_token": None}, DELIVERED, True),
        ({"state": MessageState.DELIVERED, "lease_token": None}, DELIVERED, False),
        ({"state": MessageState.REFUSED, "result_from": ResultFrom.RESP_CONFIRM}, DELIVERED, False),
        ({"state": MessageState.REFUSED, "result_from": ResultFrom.RESPONSE}, DELIVERED, True),
    ],
)
def test_attempt_changes_its_message_with_a_lease_or_as_the_first_delivery(
    values: dict[str, Any], verdict: Verdict, may_change: bool
) -> None:
    assert _may_change(row(**values), attempt(verdict)) is may_change


def test_end_of_an_attempt_is_stored_completely() -> None:
    result = replace(RESPONSE, detail=DETAIL)
    assert _attempt_end(attempt(DELIVERED, result)) == {
        "of_message": "msg_1",
        "of_number": 3,
        "ended_at": ENDED,
        "outcome": "delivered",
        "detail_code": DetailCode.RESPONSE_TIMEOUT,
        "detail_params": {"host": "partner.example"},
        "remote_address": "192.0.2.1",
        "status": 200,
        "response_headers": [["X-Served-By", "one"]],
        "response_body": b"{}",
        "response_size": 2,
        "duration_ms": 12.5,
    }
    assert _attempt_end(attempt(TIMEOUT, NO_RESPONSE))["response_size"] is None
    huge = replace(RESPONSE, body_size=INTEGER_MAX + 1)
    assert _attempt_end(attempt(DELIVERED, huge))["response_size"] == INTEGER_MAX


def test_result_without_its_response_keeps_the_verdict() -> None:
    verdict = replace(REFUSED, req_msg_id="req-1", unknown=True, credentials=True)
    result = attempt(verdict, replace(RESPONSE, detail=DETAIL))
    stripped = without_response(result)
    assert stripped == AttemptResult(
        result.claimed,
        replace(RESPONSE, body=b"", headers=(), body_size=None),
        Verdict(step=Step.REFUSED, reason=Reason.REFUSED_BY_PARTNER, unknown=True, credentials=True),
        ENDED,
    )


# --- What is counted


def test_delivery_is_counted_with_the_time_since_the_creation() -> None:
    counted = CountedAttempt(7, ENDED, "delivered", 200, 12.5, 90_000)
    assert _counted_attempt(attempt(DELIVERED), row()) == counted
    copy = row(resume_state=MessageState.DELIVERED)
    for message in (copy, None):
        assert _counted_attempt(attempt(DELIVERED), message) == replace(counted, delivery_ms=None)
    assert _counted_attempt(attempt(TIMEOUT, NO_RESPONSE), row()) == CountedAttempt(
        7, ENDED, "timeout", None, 12.5, None
    )


BUSY = Verdict(step=Step.RETRY, reason=Reason.BUSY, wait_seconds=5)
GONE = Verdict(step=Step.RETRY, reason=Reason.GONE, wait_seconds=5, gone=True)
CREDENTIALS = Verdict(step=Step.RETRY, reason=Reason.CREDENTIALS, wait_seconds=5, credentials=True)
INTERNAL = Verdict(step=Step.RETRY, reason=Reason.INTERNAL, wait_seconds=5)


@pytest.mark.parametrize(
    ("verdict", "status", "failed"),
    [
        (DELIVERED, 200, False),
        (REFUSED, 200, False),
        (TIMEOUT, None, True),
        (FAILED, None, True),
        (BUSY, 503, True),
        (BUSY, 429, False),
        (BUSY, 428, True),
        (GONE, 410, False),
        (CREDENTIALS, 401, False),
        (INTERNAL, None, False),
    ],
)
def test_breaker_is_updated_by_each_kind_of_attempt(
    verdict: Verdict, status: int | None, failed: bool
) -> None:
    result = attempt(verdict, replace(RESPONSE, status=status), is_probe=True)
    assert _ended_attempt(result) == EndedAttempt(
        partner_id=7,
        limits=LIMITS,
        got_response=not verdict.transport,
        was_probe=True,
        was_suspect=False,
        failed=failed,
        succeeded=verdict in (DELIVERED, REFUSED),
        is_automatic=True,
    )
    manual = _ended_attempt(attempt(verdict, is_suspect=True, trigger=Trigger.BULK))
    assert (manual.was_probe, manual.was_suspect, manual.is_automatic) == (False, True, False)


# --- Leases that have ended


def interrupted(**values: Any) -> Any:
    defaults = {
        "interruptions": 1,
        "cancel_requested": None,
        "resume_state": None,
        "resume_at": None,
        "reason": "busy",
    }
    return SimpleNamespace(**{**defaults, **values})


AFTER_INTERRUPTION = {
    **RELEASED,
    "unknown_outcome": True,
    "interruptions": 2,
    "reason": "interrupted",
    "note_code": MessageNote.ATTEMPT,
    "note_params": {"maybe_received": True},
}


@pytest.mark.parametrize("resumed", [None, MessageState.PENDING])
def test_interrupted_message_is_due_now(resumed: MessageState | None) -> None:
    assert _after_interruption(interrupted(resume_state=resumed, resume_at=LATER), NOW) == {
        **AFTER_INTERRUPTION,
        "state": MessageState.PENDING,
        "next_at": NOW,
    }


def test_interrupted_message_with_a_cancel_request_is_canceled() -> None:
    assert _after_interruption(interrupted(cancel_requested=CancelReason.PERSON), NOW) == {
        **AFTER_INTERRUPTION,
        "state": MessageState.CANCELED,
        "finished_at": NOW,
        "next_at": None,
        "note_code": MessageNote.CANCELED,
    }


def test_interrupted_resend_restores_state_and_reason() -> None:
    resend = interrupted(resume_state=MessageState.REFUSED, resume_at=LATER, interruptions=9)
    assert _after_interruption(resend, NOW) == {
        **AFTER_INTERRUPTION,
        "interruptions": 10,
        "state": MessageState.REFUSED,
        "next_at": LATER,
        "reason": "busy",
        "note_code": MessageNote.FAILED_RESEND,
        "note_params": {"reason": "interrupted", "maybe_received": True},
    }


def test_message_fails_with_the_last_interruption() -> None:
    before = _after_interruption(interrupted(interruptions=INTERRUPTIONS_MAX - 2), NOW)
    assert before["state"] is MessageState.PENDING
    assert _after_interruption(interrupted(interruptions=INTERRUPTIONS_MAX - 1), NOW) == {
        **AFTER_INTERRUPTION,
        "interruptions": INTERRUPTIONS_MAX,
        "state": MessageState.FAILED,
        "finished_at": NOW,
        "next_at": None,
        "note_code": MessageNote.REPEATEDLY_INTERRUPTED,
        "note_params": {"count": INTERRUPTIONS_MAX},
    }
