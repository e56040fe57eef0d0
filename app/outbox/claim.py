"""Claiming: who may leave now, taken by one UPDATE … RETURNING with a lease, and noted as an attempt."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Row, Table, and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from app.outbox.credentials import Credentials, credentials_of
from app.outbox.messages import Change, tell
from app.outbox.models import Attempt, Message, MessageState, Trigger
from app.outbox.post import Target
from app.outbox.retry import DEFAULT_SCHEDULE
from app.partners.models import Partner

PATH = "/api/v0/purchase-order/"
LEASE_MARGIN_SECONDS = 10.0
"""A lease outlives the deadline by this much: time to record."""
USER_AGENT = "po-confirm/1"

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

    @property
    def target(self) -> Target:
        """Where it goes."""
        return self.credentials.target


def claim(session: Session, idle: int, now: datetime) -> list[Claimed]:
    """Take up to ``idle`` due messages, no partner more than its concurrency, and note each attempt.

    A paused partner's messages wait, but for those that a person asked to send.
    """
    flying: dict[int, int] = dict(
        session.execute(
            select(messages.c.partner_id, func.count())
            .where(messages.c.state == MessageState.SENDING)
            .group_by(messages.c.partner_id)
        ).all()
    )
    claimed: list[Claimed] = []
    # Whoever has least under way comes first, so that a backlog of one partner starves no other.
    known = session.execute(select(partners)).all()
    for partner in sorted(known, key=lambda row: (flying.get(row.id, 0), row.id)):
        room = min(partner.concurrency - flying.get(partner.id, 0), idle - len(claimed))
        if room > 0:
            claimed += _claim_for(session, partner, room, now)
    if claimed:
        session.execute(insert(attempts), [_attempt_row(one, now) for one in claimed])
        tell(session, [Change(one.id, one.order_id, MessageState.SENDING) for one in claimed])
    return claimed


def _claim_for(session: Session, partner: Row[Any], room: int, now: datetime) -> list[Claimed]:
    due = [
        messages.c.partner_id == partner.id,
        messages.c.state == MessageState.PENDING,
        messages.c.next_at <= now,
    ]
    if partner.paused_at is not None:
        due.append(messages.c.trigger != Trigger.AUTO)
    chosen = (
        select(messages.c.id)
        .where(and_(*due))
        .order_by(messages.c.next_at, messages.c.id)
        .limit(room)
        .with_for_update(skip_locked=True)
        .cte("chosen")
        # Without it PostgreSQL may run the look-up again for each row, and so exceed the limit.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    token = secrets.token_hex(8)
    rows = session.execute(
        update(messages)
        .where(messages.c.id.in_(select(chosen.c.id)))
        .values(
            state=MessageState.SENDING,
            claims=messages.c.claims + 1,
            attempts_made=messages.c.attempts_made + 1,
            lease_token=token,
            lease_until=now + timedelta(seconds=partner.deadline_seconds + LEASE_MARGIN_SECONDS),
        )
        .returning(messages)
    ).all()
    # RETURNING keeps no order; ids sort by their time.
    return [_claimed(row, partner, token, now) for row in sorted(rows, key=lambda row: (row.next_at, row.id))]


def _claimed(row: Row[Any], partner: Row[Any], token: str, now: datetime) -> Claimed:
    credentials = credentials_of(partner, PATH + row.kind, now)
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
        "detail": "",
        "response_headers": [],
        "response_body": b"",
    }


def next_due(session: Session) -> datetime | None:
    """When the next message is due that nothing holds; None if none waits."""
    earliest: datetime | None = session.scalar(
        select(func.min(messages.c.next_at))
        .join(partners, partners.c.id == messages.c.partner_id)
        .where(
            messages.c.state == MessageState.PENDING,
            or_(partners.c.paused_at.is_(None), messages.c.trigger != Trigger.AUTO),
        )
    )
    return earliest
