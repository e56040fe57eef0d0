"""Sentences about webhooks: what happened, why it was canceled, why it cannot be resent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.delivery.call_result import Detail, DetailCode
from app.delivery.models import Attempt, CancelReason, Message, MessageNote, MessageState
from app.delivery.resend_blocker import ResendBlocker
from app.delivery.retry_policy import Reason
from app.delivery.service import CancelBlocker
from app.partners.models import Partner, PauseCode
from app.webhooks.presenters import (
    CANCEL_BLOCKERS,
    CANCEL_SENTENCES,
    NOTE_SENTENCES,
    RESEND_BLOCKERS,
    attempt_chip,
    attempt_sentence,
    message_chip,
    message_sentence,
    message_summary,
    outcome_label,
    state_and_reason,
)

NOON = datetime(2025, 11, 21, 12, tzinfo=UTC)
PAUSED_PARTNER = Partner(
    name="Bharat Connect", paused_at=NOON, pause_code=PauseCode.NONE, paused_reason="Wait"
)
REMARKS = "poConfirmation.supplierRemarks"


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            attempt_sentence(Reason.DELIVERED, status=200, detail=Detail(DetailCode.OTHER, {"text": "odd"})),
            "The partner accepted it.",
        ),
        (attempt_sentence(Reason.ALREADY_RECEIVED), "The partner had already received it."),
        (
            attempt_sentence(Reason.REFUSED_BY_PARTNER, text="too long.", field=REMARKS),
            "The partner refused the remarks: too long.",
        ),
        (
            attempt_sentence(Reason.REFUSED_STATUS, status=422, text="too long"),
            "The partner refused the response: too long.",
        ),
        (
            attempt_sentence(Reason.REFUSED_STATUS, status=422),
            "The partner refused the response: it returned 422.",
        ),
        (
            attempt_sentence(
                Reason.TIMEOUT,
                detail=Detail(DetailCode.RESPONSE_TIMEOUT, {"host": "", "seconds": 15.0}),
                maybe_received=True,
            ),
            "No response within 15 s. May have been received.",
        ),
        (attempt_sentence(Reason.CONNECT), "Connection failed."),
        (
            attempt_sentence(Reason.BUSY, status=503, maybe_received=True),
            "Partner returned 503 (unavailable). May have been received.",
        ),
        (attempt_sentence(Reason.RATE_LIMITED, status=429), "Partner returned 429 (rate limited)."),
        (
            attempt_sentence(Reason.CREDENTIALS, status=401),
            "Partner returned 401. Check the key and the URL.",
        ),
        (attempt_sentence(Reason.GONE, status=410), "Partner returned 410 (gone)."),
        (attempt_sentence(Reason.REDIRECT, status=302), "Partner returned 302. Redirects are not followed."),
    ],
)
def test_attempt_sentence_describes_the_result(sentence: str, expected: str) -> None:
    assert sentence == expected


@pytest.mark.parametrize("reason", Reason)
def test_attempt_sentence_without_details_is_complete_for_every_reason(reason: Reason) -> None:
    sentence = attempt_sentence(reason)
    assert sentence.endswith(".")
    assert "  " not in sentence
    assert "None" not in sentence


def message(**values: object) -> Message:
    blank: dict[str, object] = {
        "state": MessageState.PENDING,
        "reason": "",
        "note_code": MessageNote.NONE,
        "note_params": {},
        "cancel_requested": None,
        "cancel_params": {},
        "error_dtl": "",
        "response_message": "",
        "error_field": "",
    }
    return Message(**{**blank, **values})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ""),
        (
            {"note_code": MessageNote.ATTEMPT, "reason": "refused_by_partner", "error_dtl": "too long"},
            "The partner refused the response: too long.",
        ),
        (
            {
                "note_code": MessageNote.FAILED_RESEND,
                "reason": "refused_by_partner",
                "note_params": {"reason": "timeout", "maybe_received": True},
            },
            "The resend was unsuccessful. Timed out. May have been received.",
        ),
        (
            {
                "state": MessageState.CANCELED,
                "note_code": MessageNote.CANCELED,
                "note_params": {"maybe_received": True},
                "cancel_requested": CancelReason.ORDER_CHANGED,
                "cancel_params": {"version": 2},
            },
            "The buyer changed the order to version 2. May have been received.",
        ),
        (
            {
                "state": MessageState.CANCELED,
                "note_code": MessageNote.CANCELED,
                "cancel_requested": CancelReason.PERSON,
                "cancel_params": {"name": "Ravi", "why": "The buyer called."},
            },
            "Ravi canceled it: The buyer called.",
        ),
        (
            {
                "state": MessageState.CANCELED,
                "note_code": MessageNote.LATE_REFUSAL,
                "reason": "refused_by_partner",
                "cancel_requested": CancelReason.ORDER_CLOSED,
            },
            "The buyer closed the order. The partner refused the response.",
        ),
        (
            {"note_code": MessageNote.TEXT, "note_params": {"text": "An {old} sentence."}},
            "An {old} sentence.",
        ),
    ],
)
def test_message_sentence_describes_the_last_event(values: dict[str, object], expected: str) -> None:
    assert message_sentence(message(**values)) == expected


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"attempts_made": 1, "note_code": MessageNote.ATTEMPT, "reason": "timeout"},
        {"partner": PAUSED_PARTNER},
        {"state": MessageState.SENDING},
        {"state": MessageState.DELIVERED, "note_code": MessageNote.ATTEMPT, "reason": "delivered"},
        {"state": MessageState.DELIVERED, "note_code": MessageNote.LATE_DELIVERY},
        {"state": MessageState.REFUSED, "note_code": MessageNote.ATTEMPT, "reason": "refused_status"},
        {"state": MessageState.FAILED, "note_code": MessageNote.ATTEMPT, "reason": "timeout"},
        {"state": MessageState.CANCELED},
        {
            "state": MessageState.CANCELED,
            "note_code": MessageNote.CANCELED,
            "cancel_requested": CancelReason.PERSON,
            "cancel_params": {"name": "Ravi", "why": "The buyer called"},
        },
    ],
)
def test_summary_does_not_repeat_the_label_before_it(values: dict[str, object]) -> None:
    shown = message(**{"partner": Partner(name="Bharat Connect"), "attempts_made": 0, **values})
    label, summary = message_chip(shown).label, message_summary(shown)
    assert summary
    assert not summary.lower().startswith(label.lower())


@pytest.mark.parametrize("reason", Reason)
def test_attempts_of_the_same_outcome_have_one_label(reason: Reason) -> None:
    """It begins with a capital, unless it follows the HTTP status."""
    shown, now = message(), NOON
    chip = attempt_chip(Attempt(outcome=reason.value, status=None), shown, now)
    with_status = attempt_chip(Attempt(outcome=reason.value, status=200), shown, now)
    assert chip.label == outcome_label(reason.value) and chip.label[0].isupper()
    assert with_status.label.lower() == f"200, {chip.label.lower()}"


def test_every_code_has_a_sentence() -> None:
    assert set(NOTE_SENTENCES) == set(MessageNote)
    assert set(CANCEL_SENTENCES) == set(CancelReason)
    assert set(RESEND_BLOCKERS) == set(ResendBlocker)
    assert set(CANCEL_BLOCKERS) == set(CancelBlocker)


def test_state_and_reason_with_the_same_label_is_not_repeated() -> None:
    assert state_and_reason(f"failed:{Reason.TIMEOUT}") == "Failed: timed out"
    assert state_and_reason(f"refused:{Reason.REFUSED_BY_PARTNER}") == "Refused"
