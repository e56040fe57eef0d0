"""Claiming: who may leave now, taken by one UPDATE … RETURNING with a lease, and noted as an attempt."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, bindparam, exists, func, insert, literal_column, select, update
from sqlalchemy.orm import Session

from app.delivery.circuit_breaker import COLUMNS as STATE_COLUMNS
from app.delivery.circuit_breaker import (
    IS_PENDING,
    IS_SENDING,
    WAS_ASKED,
    Limits,
    State,
    after_claim,
    lanes,
    lock_free,
    room,
    state_of,
)
from app.delivery.circuit_breaker import make as make_lanes
from app.delivery.circuit_breaker import save as save_lanes
from app.delivery.credentials import Credentials, credentials_of
from app.delivery.http_client import USER_AGENT, Target
from app.delivery.models import Attempt, Message, MessageState, Trigger
from app.delivery.prepared import Prepared
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.delivery.service import Change, tell
from app.partners.models import Partner

PATH = "/api/v0/purchase-order/"
LEASE_MARGIN_SECONDS = 10.0
"""A lease outlives the deadline by this much: time to record."""

messages = cast(Table, Message.__table__)
attempts = cast(Table, Attempt.__table__)
partners = cast(Table, Partner.__table__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message in a sender's hand, with all that the POST and its record need."""

    id: str
    order_id: int | None
    partner_id: int
    object_id: str
    body: bytes
    number: int
    token: str
    trigger: Trigger
    asked_by: str | None
    asked_reason: str | None
    tries: int
    after_unknown: bool
    credentials: Credentials
    headers: dict[str, str]
    schedule: tuple[float, ...]
    success_codes: tuple[int, ...]
    limits: Limits
    is_probe: bool
    is_suspect: bool
    was_mistrusted: bool

    @property
    def target(self) -> Target:
        """Where it goes."""
        return self.credentials.target


@dataclass(frozen=True, slots=True)
class Lease:
    """Under which token messages are claimed, and for how many seconds beyond their deadline."""

    token: str
    margin: float = LEASE_MARGIN_SECONDS


@dataclass(frozen=True, slots=True)
class Taken:
    """What was claimed, and when there may be more: None if nothing waits for a time."""

    claimed: list[Claimed]
    again_at: datetime | None


@dataclass(slots=True)
class _Ask:
    """What one partner may get now, or when to look again."""

    partner: Any
    state: State
    asked_only: bool = False
    again_at: datetime | None = None
    is_probe: bool = False

    @property
    def limits(self) -> Limits:
        return Limits(self.partner.concurrency, _per_second(self.partner.rate_per_minute))


def claim(session: Session, idle: int, now: datetime, lease: Lease | None = None) -> list[Claimed]:
    """Take up to ``idle`` due messages and note each attempt; see ``take``."""
    return take(session, idle, now, lease or Lease(secrets.token_hex(8)), {}).claimed


def take(session: Session, idle: int, now: datetime, lease: Lease, in_hand: Mapping[int, int]) -> Taken:
    """Take up to ``idle`` due messages, as many of each partner as its lane lets pass, and note each attempt.

    A partner that is paused or held by its breaker gets only what a person asked to send. ``in_hand`` is how
    many of each partner this deliverer sends already: one partner must not keep all of its senders busy.
    """
    asks = [ask for row in _look(session) if (ask := _ask(row, now))]
    again = [ask.again_at for ask in asks if ask.again_at]
    ready = [ask for ask in asks if not ask.again_at]
    claimed: list[Claimed] = []
    if ready:
        share = _share(idle + sum(in_hand.values()), ready[0].partner.partners_known)
        ready, skipped = _locked(session, ready)
        again += [now + BUSY_LANE] * skipped
        flying: dict[int, int] = dict(_FLYING.rows(session))
        # Whoever has least under way comes first, so that a backlog of one partner starves no other.
        for ask in sorted(ready, key=lambda ask: (flying.get(ask.partner.id, 0), ask.partner.id)):
            most = min(idle - len(claimed), share - in_hand.get(ask.partner.id, 0))
            claimed += _take_from(session, ask, _Terms(flying.get(ask.partner.id, 0), most, now, lease))
            again += [ask.again_at] if ask.again_at else []
    if claimed:
        _NOTE.many(session, [_attempt_row(one, now) for one in claimed])
        tell(session, [Change(one.id, one.order_id, MessageState.SENDING) for one in claimed])
    return Taken(claimed, min(again, default=None))


@dataclass(frozen=True, slots=True)
class _Terms:
    """How much of a partner is under way, the most that is wanted now, and under which lease."""

    flying: int
    most: int
    now: datetime
    lease: Lease


BUSY_LANE = timedelta(milliseconds=10)
"""Until another look at a lane for which another deliverer was claiming."""
CROWDED = timedelta(milliseconds=250)
"""Until another look at a lane that is full: whoever makes room in it is not record_attempts everywhere."""

_first_due = (
    select(func.min(messages.c.next_at))
    .where(messages.c.partner_id == partners.c.id, IS_PENDING)
    .correlate(partners)
    .scalar_subquery()
    .label("first_due")
)
_first_asked = (
    select(func.min(messages.c.next_at))
    .where(messages.c.partner_id == partners.c.id, IS_PENDING, WAS_ASKED)
    .correlate(partners)
    .scalar_subquery()
    .label("first_asked")
)
_SENDS_BY = (
    *("id", "base_url", "headers", "bearer_token", "oauth", "signing_secrets", "client_certificate"),
    *("ca_bundle", "allow_addresses", "deadline_seconds", "retry_schedule", "success_codes", "concurrency"),
    *("rate_per_minute", "paused_at", "credential_failures"),
)
"""What of a partner a send needs."""
_look_at = (
    select(
        *(partners.c[name] for name in _SENDS_BY),
        *(lanes.c[name] for name in STATE_COLUMNS),
        lanes.c.partner_id.label("lane_of"),
        _first_due,
        _first_asked,
        select(func.count()).select_from(partners.alias()).scalar_subquery().label("partners_known"),
    )
    .outerjoin(lanes, lanes.c.partner_id == partners.c.id)
    .where(exists().where(messages.c.partner_id == partners.c.id, IS_PENDING).correlate(partners))
)
_LOOK = Prepared(_look_at, list(_look_at.selected_columns))
_flying = select(messages.c.partner_id, func.count().label("count"))
_FLYING = Prepared(_flying.where(IS_SENDING).group_by(messages.c.partner_id), list(_flying.selected_columns))
_TAKEN = (
    *("id", "order_id", "partner_id", "kind", "object_id", "body", "attempts_made", "trigger", "asked_by"),
    *("asked_reason", "tries", "unknown_outcome", "next_at"),
)


def _take_statement(*conditions: ColumnElement[bool]) -> Prepared:
    chosen = (
        select(messages.c.id)
        .where(
            messages.c.partner_id == bindparam("of_partner"),
            IS_PENDING,
            messages.c.next_at <= bindparam("due_by"),
            *conditions,
        )
        .order_by(messages.c.next_at, messages.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
        .cte("chosen")
        # Without it PostgreSQL may run the look-up again for each row, and so exceed the limit.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    columns = [messages.c[name] for name in _TAKEN]
    taking = (
        update(messages)
        .where(messages.c.id.in_(select(chosen.c.id)))
        .values(
            state=literal_column("'sending'"),
            claims=messages.c.claims + 1,
            attempts_made=messages.c.attempts_made + 1,
            lease_token=bindparam("token"),
            lease_until=bindparam("until"),
        )
        .returning(*columns)
    )
    return Prepared(taking, columns)


_NOTED = ("message_id", "number", "trigger", "actor", "asked_reason", "url", "request_headers", "started_at")
_BLANK: dict[str, Any] = {"detail": "", "response_headers": [], "response_body": b""}
_NOTE = Prepared(insert(attempts).values({**{name: bindparam(name) for name in _NOTED}, **_BLANK}))
_TAKE = _take_statement()
_TAKE_ASKED = _take_statement(WAS_ASKED)


def _per_second(per_minute: int | None) -> float | None:
    return None if per_minute is None else per_minute / 60


def _look(session: Session) -> Sequence[Any]:
    """Each partner for whom something waits, with its lane and when the first message is due."""
    known = _LOOK.rows(session)
    without = [row.id for row in known if row.lane_of is None]
    if not without:
        return known
    make_lanes(session, without)
    return _LOOK.rows(session)


def _ask(row: Any, now: datetime) -> _Ask | None:
    """What the row's partner may get; None if all that waits for it is held until somebody lets it go."""
    state, asked_at = state_of(row), row.first_asked
    paused, held = row.paused_at is not None, state.opened_at is not None
    if (paused or held) and asked_at is not None and asked_at <= now:
        return _Ask(row, state, asked_only=True)
    if paused:
        return _Ask(row, state, again_at=asked_at) if asked_at else None
    due_at = max(row.first_due, state.probe_at) if held and state.probe_at else row.first_due
    if held and asked_at is not None:
        due_at = min(due_at, asked_at)
    return _Ask(row, state, again_at=due_at if due_at > now else None)


def _locked(session: Session, asks: list[_Ask]) -> tuple[list[_Ask], int]:
    """Those whose lane nobody else is claiming for, and how many others there were.

    On SQLite the whole database is ours. On PostgreSQL only what is counted after this lock is the truth.
    """
    if session.get_bind().dialect.name != "postgresql":
        return asks, 0
    states = lock_free(session, [ask.partner.id for ask in asks])
    free = [ask for ask in asks if ask.partner.id in states]
    for ask in free:
        ask.state = states[ask.partner.id]
    return free, len(asks) - len(free)


def _share(senders: int, partners_known: int) -> int:
    """How many of this deliverer's senders one partner may keep busy: where there are others, not all."""
    return senders if partners_known == 1 else max(senders - max(senders // 4, 1), 1)


def _take_from(session: Session, ask: _Ask, terms: _Terms) -> list[Claimed]:
    """Claim for one partner. Where nothing may leave yet, ``ask.again_at`` says when to look again."""
    now, partner = terms.now, ask.partner
    passes = room(_for(ask, ask.state), ask.limits, terms.flying, now)
    most = min(passes.count, terms.most)
    if most <= 0:
        ask.again_at = passes.again_at or now + CROWDED
        return []
    until = now + timedelta(seconds=partner.deadline_seconds + terms.lease.margin)
    statement = _TAKE_ASKED if ask.asked_only else _TAKE
    rows = statement.rows(
        session, of_partner=partner.id, due_by=now, most=most, token=terms.lease.token, until=until
    )
    ask.is_probe = passes.is_probe and not ask.asked_only
    probe_until = until if ask.is_probe and rows else None
    after = after_claim(ask.state, ask.limits, len(rows), now, probe_until=probe_until)
    if after != ask.state:
        save_lanes(session, {partner.id: after})
    # Its own results wake a deliverer; of those of others, and of what is due later, it is not told.
    left = room(_for(ask, after), ask.limits, terms.flying + len(rows), now)
    ask.again_at = left.again_at or now + CROWDED
    # RETURNING keeps no order; ids sort by their time.
    in_order = sorted(rows, key=lambda row: (row.next_at, row.id))
    kinds = {row.kind for row in rows}
    by_kind = {kind: credentials_of(partner, PATH + kind, now) for kind in kinds}
    return [_claimed(row, ask, by_kind[row.kind], terms.lease.token, now) for row in in_order]


def _for(ask: _Ask, state: State) -> State:
    """The lane as it counts: what people asked for passes by pause and breaker, but keeps to the limits."""
    return replace(state, opened_at=None, width=None) if ask.asked_only else state


def _claimed(row: Any, ask: _Ask, credentials: Credentials, token: str, now: datetime) -> Claimed:
    partner = ask.partner
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": row.id,
        "User-Agent": USER_AGENT,
        # Signed afresh for each try; who claims has an idle sender, so it leaves now.
        **credentials.message_headers(row.id, row.body, now),
    }
    return Claimed(
        id=row.id,
        order_id=row.order_id,
        partner_id=row.partner_id,
        object_id=row.object_id,
        body=row.body,
        number=row.attempts_made,
        token=token,
        trigger=row.trigger,
        asked_by=row.asked_by,
        asked_reason=row.asked_reason,
        tries=row.tries,
        after_unknown=row.unknown_outcome,
        credentials=credentials,
        headers=headers,
        schedule=tuple(partner.retry_schedule) or DEFAULT_SCHEDULE,
        success_codes=tuple(partner.success_codes),
        limits=ask.limits,
        is_probe=ask.is_probe,
        is_suspect=ask.state.is_suspect,
        was_mistrusted=partner.credential_failures > 0,
    )


def _attempt_row(claimed: Claimed, now: datetime) -> dict[str, Any]:
    """The row that says that a try is under way; the partner's own headers are secrets and never kept."""
    return {
        "message_id": claimed.id,
        "number": claimed.number,
        "trigger": claimed.trigger,
        "actor": claimed.asked_by,
        "asked_reason": claimed.asked_reason,
        "url": claimed.target.url,
        "request_headers": [
            *([name, value] for name, value in claimed.headers.items()),
            *claimed.credentials.masked_headers(),
        ],
        "started_at": now,
    }
