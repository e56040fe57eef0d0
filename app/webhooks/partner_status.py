"""A partner's delivery status: its queued webhooks, its last successful delivery, and outages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.delivery.models import Attempt, CircuitBreaker, Message, MessageState
from app.partners.models import Partner
from app.webhooks.queries import TAKEN

RECENT_LIMIT = 1000
"""Newest delivered webhooks of a partner among which its last successful delivery is searched."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many webhooks are queued for a partner, and since when the oldest is."""

    count: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when a partner has not responded, and when the next webhook is sent as a probe."""

    since: datetime
    probe_at: datetime | None


@dataclass(frozen=True, slots=True)
class PartnerStatus:
    """A partner with its queue, its last successful delivery, and its outage, if any."""

    partner: Partner
    waiting: Waiting
    last_good_at: datetime | None
    outage: Outage | None


def partner_statuses(session: Session, partners: Sequence[Partner]) -> list[PartnerStatus]:
    """Return the status of each of these partners."""
    queues, current_outages = waiting(session), outages(session)
    return [
        PartnerStatus(
            partner,
            queues.get(partner.id, Waiting()),
            last_delivered_at(session, partner.id),
            current_outages.get(partner.id),
        )
        for partner in partners
    ]


def outages(session: Session) -> dict[int, Outage]:
    """Return the partners that the circuit breaker holds, by their ids."""
    lanes = session.scalars(select(CircuitBreaker).where(CircuitBreaker.opened_at.is_not(None)))
    return {lane.partner_id: Outage(lane.opened_at, lane.probe_at) for lane in lanes if lane.opened_at}


def waiting(session: Session) -> dict[int, Waiting]:
    """Return the queued webhooks by partner id. It reads only those, however long the history is."""
    rows = session.execute(
        select(Message.partner_id, func.count(), func.min(Message.created_at))
        .where(Message.state == MessageState.PENDING)
        .group_by(Message.partner_id)
    ).all()
    return {partner_id: Waiting(count, oldest) for partner_id, count, oldest in rows}


def last_delivered_at(session: Session, partner_id: int) -> datetime | None:
    """Return when the partner last accepted a webhook, including one that was resent."""
    newest = _newest_delivered(partner_id, Message.finished_at)
    return max((at for at in session.scalars(newest) if at), default=None)


def last_good(session: Session, partner_id: int) -> Attempt | None:
    """Return the last attempt that the partner accepted. A late result alone has no such attempt."""
    newest = _newest_delivered(partner_id, Message.id).subquery()
    accepted = session.execute(
        select(Attempt.ended_at, Attempt.id)
        .join(newest, newest.c.id == Attempt.message_id)
        .where(Attempt.outcome.in_(TAKEN), Attempt.ended_at.is_not(None))
    ).all()
    return session.get(Attempt, max(accepted)[1]) if accepted else None


def _newest_delivered(partner_id: int, column: Any) -> Select[Any]:
    """Select a column of the partner's newest delivered webhooks, which need not be the last delivered."""
    return (
        select(column)
        .where(Message.partner_id == partner_id, Message.state == MessageState.DELIVERED)
        .order_by(Message.id.desc())
        .limit(RECENT_LIMIT)
    )


def clock_difference(headers: Sequence[Sequence[str]], at: datetime) -> float | None:
    """Return the seconds by which the partner's clock is ahead of ours, from its Date header.

    None if there is no valid Date. Date has whole seconds, so one second is no difference.
    """
    date = next((value for name, value in headers if name.lower() == "date"), "")
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if theirs.tzinfo is None:
        return None
    return (theirs - at).total_seconds()
