"""Claiming: lease the due messages that may be sent now, and record each attempt as in flight."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, exists, func, insert, select, update
from sqlalchemy.orm import Session

from app.delivery.circuit_breaker import COLUMNS as BREAKER_COLUMNS
from app.delivery.circuit_breaker import (
    IS_PENDING,
    IS_REQUESTED,
    IS_SENDING,
    BreakerState,
    Limits,
    after_claim,
    capacity,
    create_missing,
    lock_states,
    save_states,
    state_of,
)
from app.delivery.credentials import Credentials, credentials_of
from app.delivery.events import MessageChange, message_events
from app.delivery.http_client import Target
from app.delivery.models import MessageState, Trigger, attempts, breakers, messages
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.network.paths import API_PATH
from app.partners.models import partners

LEASE_MARGIN_SECONDS = 10.0
"""A lease outlives the deadline of the HTTP call by this much: time to record the result."""
LOCKED_RETRY = timedelta(milliseconds=10)
"""When to check a partner again whose row another worker has locked."""
FULL_RETRY = timedelta(milliseconds=250)
"""When to check a partner again that has no capacity: other workers do not tell when theirs becomes free."""


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A leased message, with all that the HTTP call and its record need."""

    id: str
    order_id: int | None
    partner_id: int
    object_id: str
    body: bytes
    number: int
    token: str
    trigger: Trigger
    requested_by: str | None
    request_reason: str | None
    request_id: str | None
    automatic_attempts: int
    after_unknown: bool
    credentials: Credentials
    headers: dict[str, str]
    schedule: tuple[float, ...]
    success_codes: tuple[int, ...]
    limits: Limits
    is_probe: bool
    is_suspect: bool
    had_credential_failures: bool

    @property
    def target(self) -> Target:
        """Where it is sent."""
        return self.credentials.target


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """The claimed messages, and when to claim again: None if nothing is scheduled."""

    messages: list[ClaimedMessage]
    check_again_at: datetime | None


@dataclass(slots=True)
class _Candidate:
    """A partner with pending messages: what it may be sent now, or when to check it again."""

    partner: Any
    state: BreakerState
    sending: int
    """Messages of the partner that are being sent, by all workers."""
    requested_only: bool = False
    check_again_at: datetime | None = None
    is_probe: bool = False

    @property
    def limits(self) -> Limits:
        per_minute = self.partner.rate_per_minute
        return Limits(self.partner.concurrency, None if per_minute is None else per_minute / 60)

    def effective_state(self, state: BreakerState) -> BreakerState:
        """What a person requested bypasses pause and breaker, but respects the limits."""
        return replace(state, opened_at=None, width=None) if self.requested_only else state


@dataclass(frozen=True, slots=True)
class _Claim:
    """The terms of one call of ``claim``."""

    now: datetime
    token: str
    lease_margin: float


def claim(
    session: Session,
    limit: int,
    now: datetime,
    *,
    lease_margin: float = LEASE_MARGIN_SECONDS,
    in_flight: Mapping[int, int] | None = None,
) -> ClaimResult:
    """Lease up to ``limit`` due messages until their deadline plus ``lease_margin`` seconds.

    Each partner gets as many as its breaker and limits permit. A paused partner gets only what a person
    requested. While its breaker is open, a partner gets that and probes. ``in_flight`` counts what this
    worker is sending, by partner: no single partner may occupy all of its senders.
    """
    in_flight = in_flight or {}
    terms = _Claim(now, secrets.token_hex(8), lease_margin)
    candidates = [candidate for row in _partners_with_pending(session) if (candidate := _candidate(row, now))]
    check_again = [candidate.check_again_at for candidate in candidates if candidate.check_again_at]
    ready = [candidate for candidate in candidates if not candidate.check_again_at]
    claimed: list[ClaimedMessage] = []
    if ready:
        share = _share(limit + sum(in_flight.values()), ready[0].partner.partner_count)
        ready, locked_count = _lock(session, ready)
        check_again += [now + LOCKED_RETRY] * locked_count
        # The partner with the fewest messages in flight comes first, so that no backlog starves others.
        for candidate in sorted(ready, key=lambda item: (item.sending, item.partner.id)):
            most = min(limit - len(claimed), share - in_flight.get(candidate.partner.id, 0))
            claimed += _claim_for(session, candidate, terms, most)
            check_again += [candidate.check_again_at] if candidate.check_again_at else []
    if claimed:
        session.connection().execute(_INSERT_ATTEMPTS, [_attempt_row(message, now) for message in claimed])
        message_events.publish(
            session,
            [MessageChange(message.id, message.order_id, MessageState.SENDING) for message in claimed],
        )
    return ClaimResult(claimed, min(check_again, default=None))


_first_due = (
    select(func.min(messages.c.next_at))
    .where(messages.c.partner_id == partners.c.id, IS_PENDING)
    .correlate(partners)
    .scalar_subquery()
    .label("first_due")
)
_first_requested = (
    select(func.min(messages.c.next_at))
    .where(messages.c.partner_id == partners.c.id, IS_PENDING, IS_REQUESTED)
    .correlate(partners)
    .scalar_subquery()
    .label("first_requested")
)
_PARTNER_COLUMNS = (
    "id",
    "base_url",
    "headers",
    "bearer_token",
    "oauth",
    "signing_secrets",
    "client_certificate",
    "ca_bundle",
    "allow_addresses",
    "deadline_seconds",
    "retry_schedule",
    "success_codes",
    "concurrency",
    "rate_per_minute",
    "paused_at",
    "credential_failures",
)
_PARTNERS_WITH_PENDING = (
    select(
        *(partners.c[name] for name in _PARTNER_COLUMNS),
        *(breakers.c[name] for name in BREAKER_COLUMNS),
        breakers.c.partner_id.label("breaker_of"),
        _first_due,
        _first_requested,
        select(func.count())
        .where(messages.c.partner_id == partners.c.id, IS_SENDING)
        .correlate(partners)
        .scalar_subquery()
        .label("sending"),
        select(func.count()).select_from(partners.alias()).scalar_subquery().label("partner_count"),
    )
    .outerjoin(breakers, breakers.c.partner_id == partners.c.id)
    .where(exists().where(messages.c.partner_id == partners.c.id, IS_PENDING).correlate(partners))
)
_SENDING_BY_PARTNER = (
    select(messages.c.partner_id, func.count()).where(IS_SENDING).group_by(messages.c.partner_id)
)
_INSERT_ATTEMPTS = insert(attempts)
_MESSAGE_COLUMNS = (
    "id",
    "order_id",
    "partner_id",
    "kind",
    "object_id",
    "body",
    "attempts_made",
    "trigger",
    "requested_by",
    "request_reason",
    "request_id",
    "automatic_attempts",
    "unknown_outcome",
    "next_at",
)


def _lease_statement(*, requested_only: bool) -> Any:
    due = select(messages.c.id).where(
        messages.c.partner_id == bindparam("of_partner"),
        IS_PENDING,
        messages.c.next_at <= bindparam("due_by"),
    )
    if requested_only:
        due = due.where(IS_REQUESTED)
    chosen = (
        due.order_by(messages.c.next_at, messages.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, key_share=True)
        .cte("chosen")
        # Otherwise PostgreSQL may evaluate it once per row, and so exceed the limit.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return (
        update(messages)
        .where(messages.c.id.in_(select(chosen.c.id)))
        .values(
            state=MessageState.SENDING,
            claims=messages.c.claims + 1,
            attempts_made=messages.c.attempts_made + 1,
            lease_token=bindparam("token"),
            lease_until=bindparam("until"),
        )
        .returning(*(messages.c[name] for name in _MESSAGE_COLUMNS))
    )


_LEASE = _lease_statement(requested_only=False)
_LEASE_REQUESTED = _lease_statement(requested_only=True)


def _partners_with_pending(session: Session) -> Sequence[Any]:
    """Each partner with pending messages, with its breaker and when the first message is due."""
    rows = session.connection().execute(_PARTNERS_WITH_PENDING).all()
    without_breaker = [row.id for row in rows if row.breaker_of is None]
    if not without_breaker:
        return rows
    create_missing(session, without_breaker)
    return session.execute(_PARTNERS_WITH_PENDING).all()


def _candidate(row: Any, now: datetime) -> _Candidate | None:
    """What the row's partner may be sent; None if nothing until a person resumes it."""
    state, requested_at = state_of(row), row.first_requested
    is_paused, is_open = row.paused_at is not None, state.opened_at is not None
    if (is_paused or is_open) and requested_at is not None and requested_at <= now:
        return _Candidate(row, state, row.sending, requested_only=True)
    if is_paused:
        return _Candidate(row, state, row.sending, check_again_at=requested_at) if requested_at else None
    due_at = max(row.first_due, state.probe_at) if is_open and state.probe_at else row.first_due
    if is_open and requested_at is not None:
        due_at = min(due_at, requested_at)
    return _Candidate(row, state, row.sending, check_again_at=due_at if due_at > now else None)


def _lock(session: Session, candidates: list[_Candidate]) -> tuple[list[_Candidate], int]:
    """The candidates whose breaker row was free and is now locked, and the number of the others.

    SQLite has one writer, so all are free there. On PostgreSQL the count of messages in flight is reliable
    only after this lock.
    """
    if session.get_bind().dialect.name != "postgresql":
        return candidates, 0
    states = lock_states(session, [candidate.partner.id for candidate in candidates], skip_locked=True)
    free = [candidate for candidate in candidates if candidate.partner.id in states]
    sending: dict[int, int] = dict(session.connection().execute(_SENDING_BY_PARTNER).all())
    for candidate in free:
        candidate.state = states[candidate.partner.id]
        candidate.sending = sending.get(candidate.partner.id, 0)
    return free, len(candidates) - len(free)


def _share(senders: int, partner_count: int) -> int:
    """How many senders one partner may occupy: all of them only if it is the only partner."""
    return senders if partner_count == 1 else max(senders - max(senders // 4, 1), 1)


def _claim_for(session: Session, candidate: _Candidate, terms: _Claim, most: int) -> list[ClaimedMessage]:
    """Claim up to ``most`` messages of one partner. Sets ``candidate.check_again_at``."""
    now, partner, sending = terms.now, candidate.partner, candidate.sending
    permitted = capacity(candidate.effective_state(candidate.state), candidate.limits, sending, now)
    most = min(permitted.count, most)
    if most <= 0:
        candidate.check_again_at = permitted.check_again_at or now + FULL_RETRY
        return []
    until = now + timedelta(seconds=partner.deadline_seconds + terms.lease_margin)
    rows = (
        session.connection()
        .execute(
            _LEASE_REQUESTED if candidate.requested_only else _LEASE,
            {"of_partner": partner.id, "due_by": now, "most": most, "token": terms.token, "until": until},
        )
        .all()
    )
    candidate.is_probe = permitted.is_probe and not candidate.requested_only
    probe_until = until if candidate.is_probe and rows else None
    state = after_claim(candidate.state, candidate.limits, len(rows), now, probe_until=probe_until)
    if state != candidate.state:
        save_states(session, {partner.id: state})
    remaining = capacity(candidate.effective_state(state), candidate.limits, sending + len(rows), now)
    candidate.check_again_at = remaining.check_again_at or now + FULL_RETRY
    # RETURNING has no defined order.
    rows = sorted(rows, key=lambda row: (row.next_at, row.id))
    by_kind = {kind: credentials_of(partner, API_PATH + kind, now) for kind in {row.kind for row in rows}}
    return [_claimed(row, candidate, by_kind[row.kind], terms) for row in rows]


def _claimed(row: Any, candidate: _Candidate, credentials: Credentials, terms: _Claim) -> ClaimedMessage:
    partner = candidate.partner
    # Signed for each attempt: an idle sender sends it at once.
    headers = credentials.message_headers(row.id, row.body, terms.now)
    return ClaimedMessage(
        id=row.id,
        order_id=row.order_id,
        partner_id=row.partner_id,
        object_id=row.object_id,
        body=row.body,
        number=row.attempts_made,
        token=terms.token,
        trigger=row.trigger,
        requested_by=row.requested_by,
        request_reason=row.request_reason,
        request_id=row.request_id,
        automatic_attempts=row.automatic_attempts,
        after_unknown=row.unknown_outcome,
        credentials=credentials,
        headers=headers,
        schedule=tuple(partner.retry_schedule) or DEFAULT_SCHEDULE,
        success_codes=tuple(partner.success_codes),
        limits=candidate.limits,
        is_probe=candidate.is_probe,
        is_suspect=candidate.state.is_suspect,
        had_credential_failures=partner.credential_failures > 0,
    )


def _attempt_row(message: ClaimedMessage, now: datetime) -> dict[str, Any]:
    """The row of an attempt in flight. The partner's own headers are secrets and stored masked."""
    return {
        "message_id": message.id,
        "number": message.number,
        "trigger": message.trigger,
        "actor": message.requested_by,
        "request_reason": message.request_reason,
        "request_id": message.request_id,
        "url": message.target.url,
        "request_headers": message.credentials.logged_headers(message.headers),
        "started_at": now,
    }
