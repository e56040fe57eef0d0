"""Recording: the result of each attempt, the next state of its message, and leases that have ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import Any

from sqlalchemy import bindparam, null, select, update
from sqlalchemy.orm import Session

from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery import circuit_breaker, notifications, statistics
from app.delivery.call_result import CallResult, Detail
from app.delivery.claiming import LEASE_MARGIN_SECONDS, ClaimedMessage
from app.delivery.events import MessageChange, message_events
from app.delivery.models import MessageNote, MessageState, ResultFrom, Trigger, attempts, messages
from app.delivery.retry_policy import PartnerReplyDetails, Reason, Step, Verdict
from app.delivery.service import NO_MANUAL_REQUEST
from app.delivery.statistics import CountedAttempt
from app.partners.models import PauseCode, partners

INTEGER_MAX = 2**31 - 1
"""The largest number that PostgreSQL stores in an INTEGER. Partners may send larger ones."""
INTERRUPTIONS_MAX = 5
"""Consecutive interrupted attempts after which a message has failed instead of being sent again."""
CREDENTIAL_FAILURES_MAX = 3
"""Consecutive responses that reject the key or the address, after which the partner is paused."""

STATE_AFTER = {
    Step.DELIVERED: MessageState.DELIVERED,
    Step.REFUSED: MessageState.REFUSED,
    Step.RETRY: MessageState.PENDING,
    Step.FAILED: MessageState.FAILED,
}
RELEASED: dict[str, Any] = {
    "lease_token": None,
    "lease_until": None,
    "interruptions": 0,
    **NO_MANUAL_REQUEST,
}
"""The columns of a message that is no longer leased."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How one attempt ended."""

    claimed: ClaimedMessage
    call_result: CallResult
    verdict: Verdict
    ended_at: datetime

    @property
    def is_automatic(self) -> bool:
        return self.claimed.trigger is Trigger.AUTO


_LOCK_COLUMNS = (
    "id",
    "order_id",
    "created_at",
    "state",
    "lease_token",
    "cancel_requested",
    "unknown_outcome",
    "resume_state",
    "resume_at",
    "result_from",
)
# Statements of the hot path are built once; composing them costs more than running them.
_LOCK = (
    select(*(messages.c[name] for name in _LOCK_COLUMNS))
    .where(messages.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(messages.c.id)
    .with_for_update(key_share=True)
)
_END_ATTEMPT = update(attempts).where(
    attempts.c.message_id == bindparam("of_message"), attempts.c.number == bindparam("of_number")
)


def record_results(session: Session, results: Sequence[AttemptResult], now: datetime) -> None:
    """Write the end of each attempt and the next state of its message, in a few statements.

    A worker that lost its lease still logs its attempt, and a delivery always counts. Otherwise the message
    belongs to the new lease and does not change.
    """
    if not results:
        return
    rows = _lock_messages(session, [result.claimed.id for result in results])
    recorded = _recorded_before(session, rows, results)
    session.connection().execute(_END_ATTEMPT, [_attempt_end(result) for result in results])
    changed: dict[str, dict[str, Any]] = {}
    counted: list[CountedAttempt] = []
    for result in results:
        row = rows.get(result.claimed.id)
        may_change = row is not None and _may_change(row, result)
        if (result.claimed.id, result.claimed.number) not in recorded:
            counted.append(_counted_attempt(result, row if may_change else None))
        if row is not None and may_change:
            values = _next_values(row, result, now)
            row.update(RELEASED, **values)
            changed.setdefault(row["id"], {}).update(values)
    automatic = [result for result in results if result.is_automatic]
    # A consistent lock order prevents deadlock between workers.
    for result in sorted(automatic, key=lambda result: result.claimed.partner_id):
        _pause_if_rejecting(session, result, now)
    _update_messages(session, changed)
    message_events.publish(
        session, [MessageChange(key, rows[key]["order_id"], rows[key]["state"]) for key in changed]
    )
    circuit_breaker.record_attempts(session, [_ended_attempt(result) for result in results], now)
    statistics.record(session, counted)


def _lock_messages(session: Session, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    locked = session.connection().execute(_LOCK, {"ids": ids})
    return {row[0]: dict(zip(_LOCK_COLUMNS, row, strict=True)) for row in locked}


def _update_messages(session: Session, changed: Mapping[str, Mapping[str, Any]]) -> None:
    """Release these messages and set their columns: one statement for all that set the same columns."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for message_id, values in changed.items():
        row = {f"new_{name}": value for name, value in values.items()}
        groups[tuple(values)].append({"of_message": message_id, **row})
    for columns, rows in groups.items():
        session.connection().execute(_update_statement(columns), rows)


@cache
def _update_statement(columns: tuple[str, ...]) -> Any:
    # NULL in the statement, since a parameter costs time for each message.
    released = {name: null() if value is None else value for name, value in RELEASED.items()}
    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(messages).where(messages.c.id == bindparam("of_message")).values({**released, **new})


def _recorded_before(
    session: Session, rows: Mapping[str, dict[str, Any]], results: Sequence[AttemptResult]
) -> set[tuple[str, int]]:
    """Message ids and numbers of attempts whose end was recorded already: they are not counted twice.

    A worker records again if it does not know whether its first commit succeeded; by then its lease is gone.
    An attempt that counts as interrupted is counted again when its worker reports it.
    """
    without_lease = {
        result.claimed.id
        for result in results
        if result.claimed.id in rows and rows[result.claimed.id]["lease_token"] != result.claimed.token
    }
    if not without_lease:
        return set()
    recorded = select(attempts.c.message_id, attempts.c.number).where(
        attempts.c.message_id.in_(without_lease), attempts.c.outcome != Reason.INTERRUPTED.value
    )
    return {(message_id, number) for message_id, number in session.execute(recorded)}


def _counted_attempt(result: AttemptResult, row: dict[str, Any] | None) -> CountedAttempt:
    """The attempt for the statistics. ``row`` is its message before the change, if it may change it."""
    delivery_ms = None
    delivers = result.verdict.step is Step.DELIVERED
    if row is not None and delivers and row["resume_state"] is not MessageState.DELIVERED:
        delivery_ms = (result.ended_at - row["created_at"]).total_seconds() * 1000
    return CountedAttempt(
        partner_id=result.claimed.partner_id,
        ended_at=result.ended_at,
        outcome=result.verdict.reason.value,
        status=result.call_result.status,
        duration_ms=result.call_result.duration_ms,
        delivery_ms=delivery_ms,
    )


def _ended_attempt(result: AttemptResult) -> circuit_breaker.EndedAttempt:
    return circuit_breaker.EndedAttempt(
        partner_id=result.claimed.partner_id,
        limits=result.claimed.limits,
        got_response=not result.verdict.transport,
        was_probe=result.claimed.is_probe,
        was_suspect=result.claimed.is_suspect,
        failed=_shows_failing_partner(result),
        succeeded=result.verdict.step in (Step.DELIVERED, Step.REFUSED),
        is_automatic=result.is_automatic,
    )


def _shows_failing_partner(result: AttemptResult) -> bool:
    """Whether the attempt failed because of the partner.

    Rejected credentials have their own count, 429 only slows down, and internal errors are ours.
    """
    verdict = result.verdict
    if verdict.credentials or verdict.gone or verdict.reason is Reason.INTERNAL:
        return False
    is_rate_limited = result.call_result.status == HTTPStatus.TOO_MANY_REQUESTS
    return verdict.step in (Step.RETRY, Step.FAILED) and not is_rate_limited


def _attempt_end(result: AttemptResult) -> dict[str, Any]:
    call_result = result.call_result
    return {
        "of_message": result.claimed.id,
        "of_number": result.claimed.number,
        "ended_at": result.ended_at,
        "outcome": result.verdict.reason.value,
        "detail_code": call_result.detail.code,
        "detail_params": call_result.detail.params,
        "remote_address": call_result.remote_address,
        "status": call_result.status,
        "response_headers": [list(header) for header in call_result.headers],
        "response_body": call_result.body,
        "response_size": None if call_result.body_size is None else min(call_result.body_size, INTEGER_MAX),
        "duration_ms": call_result.duration_ms,
    }


def _may_change(row: dict[str, Any], result: AttemptResult) -> bool:
    """Whether the attempt may change the message: it holds the lease, or it is the first delivery."""
    if row["state"] is MessageState.SENDING and row["lease_token"] == result.claimed.token:
        return True
    # A late result overrides every attempt.
    is_settled = row["state"] is MessageState.DELIVERED or row["result_from"] is ResultFrom.RESP_CONFIRM
    return result.verdict.step is Step.DELIVERED and not is_settled


def _next_values(row: dict[str, Any], result: AttemptResult, now: datetime) -> dict[str, Any]:
    """The message's columns that change after this attempt, besides those of ``RELEASED``."""
    claimed, verdict = result.claimed, result.verdict
    # Once an attempt may have been received, a later "duplicate" means that it was.
    values: dict[str, Any] = {"unknown_outcome": row["unknown_outcome"] or verdict.unknown}
    if result.is_automatic:
        values["automatic_attempts"] = claimed.automatic_attempts + 1
    if row["lease_token"] not in (None, claimed.token):
        # The message ends here, but another worker is sending it, at most for this long.
        values["lease_until"] = now + timedelta(seconds=claimed.target.deadline + LEASE_MARGIN_SECONDS)
    if verdict.step is not Step.DELIVERED and row["cancel_requested"]:
        return {**values, **_canceled(now, maybe_received=verdict.unknown)}
    if _is_failed_resend(row, result):
        return {**values, **_resumed(row, result)}
    values |= {"state": STATE_AFTER[verdict.step], **_response_values(result)}
    if verdict.step is Step.RETRY:
        return {**values, "next_at": result.ended_at + timedelta(seconds=verdict.wait_seconds or 0)}
    return {**values, "next_at": None, "finished_at": now}


def _is_failed_resend(row: dict[str, Any], result: AttemptResult) -> bool:
    """Whether a requested attempt failed, so that the message returns to its earlier state."""
    if result.is_automatic or not row["resume_state"]:
        return False
    # The partner keeps what was delivered, even if it refuses a second copy.
    was_delivered = row["resume_state"] is MessageState.DELIVERED
    step = result.verdict.step
    return step in (Step.RETRY, Step.FAILED) or (was_delivered and step is Step.REFUSED)


def _resumed(row: dict[str, Any], result: AttemptResult) -> dict[str, Any]:
    """The columns of a message after a failed resend."""
    values = {"state": row["resume_state"], "next_at": row["resume_at"]}
    if row["resume_state"] is MessageState.PENDING:
        return {**values, **_response_values(result)}
    # A failed resend changes neither state nor reason.
    return {**values, "note_code": MessageNote.FAILED_RESEND, "note_params": _failed_resend_params(result)}


def _response_values(result: AttemptResult) -> dict[str, Any]:
    verdict = result.verdict
    code = verdict.response_code
    return {
        "reason": verdict.reason.value,
        "note_code": MessageNote.ATTEMPT,
        "note_params": _attempt_params(result),
        "status_code": result.call_result.status,
        # A code may be any number; one that no column holds is dropped after it was judged.
        "response_code": None if code is None or abs(code) > INTEGER_MAX else code,
        "response_message": verdict.response_message,
        "result": verdict.result,
        "req_msg_id": verdict.req_msg_id,
        "error_cd": verdict.error_cd,
        "error_dtl": verdict.error_dtl,
        "error_field": verdict.error_field,
        "result_from": ResultFrom.RESPONSE if verdict.step in (Step.DELIVERED, Step.REFUSED) else None,
    }


def _canceled(now: datetime, *, maybe_received: bool) -> dict[str, Any]:
    return {
        "state": MessageState.CANCELED,
        "finished_at": now,
        "next_at": None,
        "note_code": MessageNote.CANCELED,
        "note_params": {"maybe_received": maybe_received},
    }


def _attempt_params(result: AttemptResult) -> dict[str, Any]:
    """The parameters of ``MessageNote.ATTEMPT`` that no other column holds."""
    verdict = result.verdict
    maybe_received = verdict.unknown and verdict.step in (Step.RETRY, Step.FAILED)
    detail = result.call_result.detail
    params = {"detail": detail.code.value, "detail_params": detail.params} if detail.code else {}
    return {**params, "maybe_received": maybe_received}


def _failed_resend_params(result: AttemptResult) -> dict[str, Any]:
    return {
        **_attempt_params(result),
        "reason": result.verdict.reason.value,
        "status": result.call_result.status,
        "text": result.verdict.partner_text,
        "field": result.verdict.error_field,
    }


def without_response(result: AttemptResult) -> AttemptResult:
    """The same result without the partner's text, for a response that the database cannot store."""
    call_result = replace(result.call_result, body=b"", headers=(), detail=Detail(), body_size=None)
    verdict = replace(result.verdict, **asdict(PartnerReplyDetails()))
    return replace(result, call_result=call_result, verdict=verdict)


def _pause_if_rejecting(session: Session, result: AttemptResult, now: datetime) -> None:
    """Pause a partner whose responses reject the key or the address instead of the order."""
    if result.verdict.gone:
        params = {"url": result.claimed.target.url[:400]}
        _pause(session, result.claimed.partner_id, PauseCode.GONE, params, now)
    elif result.verdict.credentials:
        _count_credential_failure(session, result, now)
    elif result.claimed.had_credential_failures and result.call_result.status is not None:
        session.execute(
            update(partners)
            .where(partners.c.id == result.claimed.partner_id, partners.c.credential_failures > 0)
            .values(credential_failures=0)
        )


def _count_credential_failure(session: Session, result: AttemptResult, now: datetime) -> None:
    """Pause the partner at the last of ``CREDENTIAL_FAILURES_MAX`` consecutive failures."""
    partner_id = result.claimed.partner_id
    failures = session.execute(
        update(partners)
        .where(partners.c.id == partner_id)
        .values(credential_failures=partners.c.credential_failures + 1)
        .returning(partners.c.credential_failures)
    ).scalar()
    if failures is not None and failures >= CREDENTIAL_FAILURES_MAX:
        params = {"count": CREDENTIAL_FAILURES_MAX, "status": result.call_result.status}
        _pause(session, partner_id, PauseCode.CREDENTIALS, params, now)


def _pause(session: Session, partner_id: int, code: PauseCode, params: dict[str, Any], now: datetime) -> None:
    """Pause the partner and notify people, unless it is paused already."""
    paused = session.execute(
        update(partners)
        .where(partners.c.id == partner_id, partners.c.paused_at.is_(None))
        .values(paused_at=now, pause_code=code, pause_params=params)
        .returning(partners.c.id)
    ).first()
    if paused:
        notifications.notify_paused(session, partner_id, code, params)


def reclaim_expired(session: Session, now: datetime) -> int:
    """Release messages whose lease has ended, and record their attempts as interrupted; returns how many.

    Their worker stopped or could not record in time, so the partner may have received them. Unless
    canceled, they are sent again with the same id. After ``INTERRUPTIONS_MAX`` consecutive interruptions they
    have failed. A failed resend returns to its earlier state.
    """
    expired = session.execute(
        select(messages)
        .where(circuit_breaker.IS_SENDING, messages.c.lease_until < now)
        .order_by(messages.c.id)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    changes = []
    for row in expired:
        session.execute(
            update(attempts)
            .where(attempts.c.message_id == row.id, attempts.c.outcome.is_(None))
            .values(outcome=Reason.INTERRUPTED.value, ended_at=now)
        )
        values = _after_interruption(row, now)
        session.execute(update(messages).where(messages.c.id == row.id).values(values))
        if values["state"] is MessageState.FAILED and row.resume_state is not MessageState.FAILED:
            _record_failure(session, row, values)
        changes.append(MessageChange(row.id, row.order_id, values["state"]))
    message_events.publish(session, changes)
    statistics.record(
        session,
        [CountedAttempt(row.partner_id, now, Reason.INTERRUPTED.value, None, None) for row in expired],
    )
    return len(expired)


def _record_failure(session: Session, row: Any, values: Mapping[str, Any]) -> None:
    """Record in the audit trail that a message failed because it was interrupted too often."""
    trail.record(
        session,
        AuditAction.WEBHOOK_FAILED,
        AuditObject.MESSAGE,
        row.id,
        name=row.buyer_po_number,
        after={"reason": values["note_code"].value, **values["note_params"]},
    )


def _after_interruption(row: Any, now: datetime) -> dict[str, Any]:
    values = {
        **RELEASED,
        "unknown_outcome": True,
        "interruptions": row.interruptions + 1,
        "reason": Reason.INTERRUPTED.value,
        "note_code": MessageNote.ATTEMPT,
        "note_params": {"maybe_received": True},
    }
    if row.cancel_requested:
        return {**values, **_canceled(now, maybe_received=True)}
    if row.resume_state and row.resume_state is not MessageState.PENDING:
        # A failed resend changes neither state nor reason.
        return {
            **values,
            "state": row.resume_state,
            "next_at": row.resume_at,
            "reason": row.reason,
            "note_code": MessageNote.FAILED_RESEND,
            "note_params": {"reason": Reason.INTERRUPTED.value, "maybe_received": True},
        }
    if row.interruptions + 1 >= INTERRUPTIONS_MAX:
        return {
            **values,
            "state": MessageState.FAILED,
            "finished_at": now,
            "next_at": None,
            "note_code": MessageNote.REPEATEDLY_INTERRUPTED,
            "note_params": {"count": INTERRUPTIONS_MAX},
        }
    return {**values, "state": MessageState.PENDING, "next_at": now}
