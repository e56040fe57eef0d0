"""Recording: what came of each attempt, where its message goes next, what a lost deliverer left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import bindparam, case, literal, null, select, update
from sqlalchemy.orm import Session

from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery import circuit_breaker, notifications
from app.delivery.claiming import LEASE_MARGIN_SECONDS, Claimed, attempts, messages, partners
from app.delivery.models import MessageState, ResultFrom, Trigger
from app.delivery.prepared import Prepared, by_dialect
from app.delivery.retry_policy import Reason, Step, Verdict, sentence
from app.delivery.service import NO_MANUAL_REQUEST, Change, tell
from app.delivery.tally import count_ends, mark
from app.delivery.wire.outcome import Outcome
from app.network.vocabulary import FIELD_NAMES

LARGEST = 2**31 - 1
"""The largest number that PostgreSQL keeps in an INTEGER; partners may send larger ones."""
ERROR_TEXTS = ("error_cd", "error_dtl", "error_field")
INTERRUPTIONS_MAX = 5
"""Claims in a row without a recorded end after which a person must look, not another loop."""
CREDENTIAL_FAILURES_MAX = 3
"""Answers in a row that say the key or the address is wrong, after which the partner is paused."""
MAYBE_RECEIVED = "It was withdrawn while it was being sent; it may have reached the partner."

AFTER = {
    Step.DELIVERED: MessageState.DELIVERED,
    Step.REFUSED: MessageState.REFUSED,
    Step.RETRY: MessageState.PENDING,
    Step.FAILED: MessageState.FAILED,
}
NO_LEASE: dict[str, Any] = {"lease_token": None, "lease_until": None, "interruptions": 0}


ATTEMPT_END = (
    "ended_at",
    "outcome",
    "detail",
    "remote_address",
    "status",
    "response_headers",
    "response_body",
    "response_size",
    "duration_ms",
)
FREED: dict[str, Any] = {**NO_LEASE, **NO_MANUAL_REQUEST}
"""The columns of a message that no longer is in anybody's hand."""
SEEN = (
    *("id", "order_id", "state", "lease_token", "cancel_requested", "unknown_outcome"),
    *("resume_state", "resume_at", "result_from"),
)
"""What of a message is looked at; its body and much else is not."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of one attempt."""

    claimed: Claimed
    outcome: Outcome
    verdict: Verdict
    ended_at: datetime


# Built once: at thousands of messages a second, composing statements would be most of the work.
_seen = [messages.c[name] for name in SEEN]
_SEE = Prepared(
    by_dialect(
        lambda among: (
            select(*_seen).where(among(messages.c.id, "ids")).with_for_update().order_by(messages.c.id)
        )
    ),
    _seen,
)
_END_ATTEMPT = Prepared(
    update(attempts)
    .where(attempts.c.message_id == bindparam("of_message"), attempts.c.number == bindparam("of_number"))
    .values({name: bindparam(name) for name in ATTEMPT_END})
)


@cache
def _move(columns: tuple[str, ...]) -> Prepared:
    """The statement that frees a message and changes these columns of it."""
    changed: dict[str, Any] = {name: bindparam(f"to_{name}") for name in columns}
    freed = {
        name: null() if value is None else literal(value, messages.c[name].type)
        for name, value in FREED.items()
    }
    return Prepared(
        update(messages).where(messages.c.id == bindparam("of_message")).values({**freed, **changed})
    )


def record(session: Session, finished: Sequence[Finished], now: datetime) -> None:
    """Write the end of each attempt and the next state of its message, all in a few statements.

    Who lost the lease still logs the attempt, and a delivery counts all the same; for the rest the
    message is somebody else's by then.
    """
    if not finished:
        return
    seen = _SEE.rows(session, ids=[one.claimed.id for one in finished])
    rows = {row.id: row._asdict() for row in seen}
    counted = _counted_before(session, rows, finished)
    _END_ATTEMPT.many(session, [_attempt_end(one) for one in finished])
    moves: dict[str, dict[str, Any]] = {}
    for one in finished:
        row = rows.get(one.claimed.id)
        if row is not None and _is_ours(row, one):
            values = _next_values(row, one, now)
            row.update(FREED, **values)
            moves.setdefault(row["id"], {}).update(values)
    # Partners in one order everywhere, so that two deliverers never wait for each other in a circle.
    for one in sorted(finished, key=lambda one: one.claimed.partner_id):
        if one.claimed.trigger is Trigger.AUTO:
            _judge_partner(session, one, now)
    _write_moves(session, moves)
    tell(
        session,
        [Change(message_id, rows[message_id]["order_id"], rows[message_id]["state"]) for message_id in moves],
    )
    circuit_breaker.record_attempts(
        session, [_try(one) for one in finished if one.claimed.trigger is Trigger.AUTO], now
    )
    count_ends(
        session,
        ((one.claimed.partner_id, one.verdict.reason.value, one.outcome.duration_ms) for one in finished),
    )
    mark(session, [*(one.ended_at for one in finished), *counted])


def _write_moves(session: Session, moves: Mapping[str, Mapping[str, Any]]) -> None:
    """Change these columns of these messages: those that change the same ones together."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for message_id, values in moves.items():
        row = {f"to_{name}": value for name, value in values.items()}
        alike[tuple(values)].append({"of_message": message_id, **row})
    for columns, rows in alike.items():
        _move(columns).many(session, rows)


def _counted_before(
    session: Session, rows: Mapping[str, dict[str, Any]], finished: Sequence[Finished]
) -> Sequence[datetime]:
    """When attempts ended whose counts change with these: of messages that somebody else had or has in hand.

    Who lost the lease may find its attempt ended as interrupted; and of two tries that were taken, only the
    first is the message's arrival.
    """
    lost = {
        one.claimed.id
        for one in finished
        if one.claimed.id in rows and rows[one.claimed.id]["lease_token"] != one.claimed.token
    }
    if not lost:
        return []
    ended = select(attempts.c.ended_at).where(
        attempts.c.message_id.in_(lost), attempts.c.ended_at.is_not(None)
    )
    return session.scalars(ended).all()


def _try(finished: Finished) -> circuit_breaker.Try:
    claimed = finished.claimed
    return circuit_breaker.Try(
        partner_id=claimed.partner_id,
        limits=claimed.limits,
        answered=not finished.verdict.transport,
        was_probe=claimed.is_probe,
        was_suspect=claimed.is_suspect,
    )


def _attempt_end(finished: Finished) -> dict[str, Any]:
    outcome, verdict = finished.outcome, finished.verdict
    return {
        "of_message": finished.claimed.id,
        "of_number": finished.claimed.number,
        "ended_at": finished.ended_at,
        "outcome": verdict.reason.value,
        "detail": outcome.detail[:2000],
        "remote_address": outcome.remote_address,
        "status": outcome.status,
        "response_headers": [list(header) for header in outcome.headers],
        "response_body": outcome.body,
        "response_size": None if outcome.body_size is None else min(outcome.body_size, LARGEST),
        "duration_ms": outcome.duration_ms,
    }


def _is_ours(row: dict[str, Any], finished: Finished) -> bool:
    """Whether this attempt may move the message: it holds the lease, or it delivered what was not yet."""
    if row["state"] is MessageState.SENDING and row["lease_token"] == finished.claimed.token:
        return True
    return finished.verdict.step is Step.DELIVERED and not _is_settled(row)


def _is_settled(row: dict[str, Any]) -> bool:
    """Whether a delivery brings nothing new: there is one, or a late result, which knows better."""
    return row["state"] is MessageState.DELIVERED or row["result_from"] is ResultFrom.RESP_CONFIRM


def _next_values(row: dict[str, Any], finished: Finished, now: datetime) -> dict[str, Any]:
    """The message's columns that change after this attempt, besides those of FREED."""
    claimed, verdict = finished.claimed, finished.verdict
    is_manual = claimed.trigger is not Trigger.AUTO
    # Once a try may have arrived, a later "duplicate" means that it did, whatever came between.
    unknown = row["unknown_outcome"] or verdict.unknown
    values: dict[str, Any] = {"unknown_outcome": unknown}
    if not is_manual:
        values["tries"] = claimed.tries + 1
    if row["lease_token"] not in (None, claimed.token):
        # It ends here, but somebody else sends it just now, at most for so long.
        values["lease_until"] = now + timedelta(seconds=claimed.target.deadline + LEASE_MARGIN_SECONDS)
    # What the network has, it has: that it does not want a second copy changes nothing.
    was_delivered = row["resume_state"] is MessageState.DELIVERED
    in_vain = verdict.step in (Step.RETRY, Step.FAILED) or (was_delivered and verdict.step is Step.REFUSED)
    if verdict.step is not Step.DELIVERED and row["cancel_requested"]:
        note = str(row["cancel_requested"])
        note = f"{note} {MAYBE_RECEIVED}" if verdict.unknown else note
        return {**values, "state": MessageState.CANCELLED, "finished_at": now, "next_at": None, "note": note}
    if in_vain and is_manual and row["resume_state"]:
        values |= {"state": row["resume_state"], "next_at": row["resume_at"]}
        if row["resume_state"] is not MessageState.PENDING:
            # It stands where it stood, with the reason it had; only the try was in vain.
            return {**values, "note": f"Sent again by hand, in vain. {in_words(finished, Step.FAILED)}"}
        return {**values, **_what_was_said(finished)}
    values |= {"state": AFTER[verdict.step], **_what_was_said(finished)}
    if verdict.step is Step.RETRY:
        return {**values, "next_at": finished.ended_at + timedelta(seconds=verdict.wait_seconds or 0)}
    return {**values, "next_at": None, "finished_at": now}


def _what_was_said(finished: Finished) -> dict[str, Any]:
    verdict = finished.verdict
    return {
        "reason": verdict.reason.value,
        "note": in_words(finished),
        "status_code": finished.outcome.status,
        "response_code": _kept(verdict.response_code),
        "response_message": verdict.response_message,
        "result": verdict.result,
        "req_msg_id": verdict.req_msg_id,
        "error_cd": verdict.error_cd,
        "error_dtl": verdict.error_dtl,
        "error_field": verdict.error_field,
        "result_from": ResultFrom.ANSWER if verdict.step in (Step.DELIVERED, Step.REFUSED) else None,
    }


def _kept(code: int | None) -> int | None:
    """The partner's code, if a column holds it: it may be any number, and was judged before."""
    return None if code is None or abs(code) > LARGEST else code


def without_answer(finished: Finished) -> Finished:
    """The same end without anything that the partner wrote: for an answer that the database will not keep."""
    outcome = replace(
        finished.outcome, body=b"", headers=(), detail="What came back cannot be kept.", body_size=None
    )
    blank: dict[str, Any] = dict.fromkeys(("response_message", "result", "req_msg_id", *ERROR_TEXTS), "")
    return replace(finished, outcome=outcome, verdict=replace(finished.verdict, response_code=None, **blank))


def in_words(finished: Finished, step: Step | None = None) -> str:
    """What happened, in a sentence or two for the page; when the next try is stands elsewhere.

    ``step`` is what happens next where it is not the verdict's own: a try by hand is not followed by others.
    """
    verdict = finished.verdict
    return sentence(
        verdict.reason,
        step or verdict.step,
        detail=finished.outcome.detail,
        status=finished.outcome.status,
        said=verdict.said,
        field=FIELD_NAMES.get(verdict.error_field, ""),
        unknown=verdict.unknown,
    )


def _judge_partner(session: Session, finished: Finished, now: datetime) -> None:
    """Pause a partner whose answers say that not the order but the key or the address is wrong."""
    if finished.verdict.gone:
        _pause_gone(session, finished.claimed, now)
    elif finished.verdict.credentials:
        _count_mistrust(session, finished, now)
    elif finished.claimed.was_mistrusted and finished.outcome.status is not None:
        session.execute(
            update(partners)
            .where(partners.c.id == finished.claimed.partner_id, partners.c.credential_failures > 0)
            .values(credential_failures=0)
        )


def _pause_gone(session: Session, claimed: Claimed, now: datetime) -> None:
    reason = f"{claimed.target.url[:400]} answered 410: it says that it is gone for good."
    paused = session.execute(
        update(partners)
        .where(partners.c.id == claimed.partner_id, partners.c.paused_at.is_(None))
        .values(paused_at=now, paused_reason=reason)
        .returning(partners.c.id)
    ).first()
    if paused:
        notifications.held(session, claimed.partner_id, reason)


def _count_mistrust(session: Session, finished: Finished, now: datetime) -> None:
    """One more answer that says so; some in a row pause the partner."""
    partner_id = finished.claimed.partner_id
    failures = partners.c.credential_failures + 1
    trips = (failures >= CREDENTIAL_FAILURES_MAX) & partners.c.paused_at.is_(None)
    reason = (
        f"{CREDENTIAL_FAILURES_MAX} answers in a row were {finished.outcome.status} or alike: "
        "the key or the address is wrong."
    )
    row = session.execute(
        update(partners)
        .where(partners.c.id == partner_id)
        .values(
            credential_failures=failures,
            paused_at=case((trips, now), else_=partners.c.paused_at),
            paused_reason=case((trips, reason), else_=partners.c.paused_reason),
        )
        .returning(partners.c.paused_at, partners.c.credential_failures)
    ).first()
    # Others of this batch may follow with the same fault: the one that tripped it tells.
    if row and row.paused_at == now and row.credential_failures == CREDENTIAL_FAILURES_MAX:
        notifications.held(session, partner_id, reason)


def repair(session: Session, now: datetime, lost: Mapping[str, str | None] | None = None) -> int:
    """Take back messages whose deliverer is gone; nobody knows what arrived. Returns how many.

    They are ``lost``, tokens by message id; without it, all whose lease ran out. They go out again under the
    same id; after some such ends in a row a person must look.
    """
    which = messages.c.lease_until < now if lost is None else messages.c.id.in_(lost)
    rows = session.execute(
        select(messages)
        .where(messages.c.state == MessageState.SENDING, which)
        .order_by(messages.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    # What was claimed anew since somebody saw that it was lost is not.
    rows = [row for row in rows if lost is None or lost[row.id] == row.lease_token]
    changes = []
    for row in rows:
        session.execute(
            update(attempts)
            .where(attempts.c.message_id == row.id, attempts.c.outcome.is_(None))
            .values(
                outcome=Reason.INTERRUPTED.value,
                ended_at=now,
                detail="The deliverer was lost while it sent this. The partner may have received it.",
            )
        )
        values = _after_interruption(row, now)
        session.execute(update(messages).where(messages.c.id == row.id).values(values))
        if values["state"] is MessageState.FAILED and row.resume_state is not MessageState.FAILED:
            name, why = row.buyer_po_number, values["note"]
            trail.record(session, AuditAction.HELD, AuditObject.MESSAGE, row.id, name=name, reason=why)
        changes.append(Change(row.id, row.order_id, values["state"]))
    tell(session, changes)
    count_ends(session, ((row.partner_id, Reason.INTERRUPTED.value, 0.0) for row in rows))
    if rows:
        mark(session, [now])
    return len(rows)


def _after_interruption(row: Any, now: datetime) -> dict[str, Any]:
    values = {
        **FREED,
        "unknown_outcome": True,
        "interruptions": row.interruptions + 1,
        "reason": Reason.INTERRUPTED.value,
        "note": "The deliverer was lost while it sent this. The partner may have received it.",
    }
    if row.cancel_requested:
        note = f"{row.cancel_requested} {MAYBE_RECEIVED}"
        return {**values, "state": MessageState.CANCELLED, "finished_at": now, "next_at": None, "note": note}
    if row.resume_state and row.resume_state is not MessageState.PENDING:
        # It stands where it stood, with the reason it had; only the try was in vain.
        note = f"Sent again by hand, in vain. {values['note']}"
        standing = {"state": row.resume_state, "next_at": row.resume_at, "reason": row.reason, "note": note}
        return {**values, **standing}
    if row.interruptions + 1 >= INTERRUPTIONS_MAX:
        note = f"Its deliverer was lost {INTERRUPTIONS_MAX} times in a row. Look before it is sent again."
        return {**values, "state": MessageState.FAILED, "finished_at": now, "next_at": None, "note": note}
    return {**values, "state": MessageState.PENDING, "next_at": now}
