"""How things stand with a partner, as the outbox knows it: what waits, and when all was last well."""

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

LOOKED_AT = 1000
"""So many of a partner's newest delivered messages are looked at for when it last took one."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages wait for a partner, and since when the oldest does."""

    count: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Since when a partner that does not answer is left alone, and when the next message tries it."""

    since: datetime
    probe_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One partner, what waits for it, when it last took a message, and whether it answers at all."""

    partner: Partner
    waiting: Waiting
    last_good_at: datetime | None
    silence: Silence | None


def standings(session: Session, partners: Sequence[Partner]) -> list[Standing]:
    """How things stand with each of these partners."""
    waits, silent = waiting(session), silences(session)
    return [
        Standing(
            partner,
            waits.get(partner.id, Waiting()),
            last_delivered_at(session, partner.id),
            silent.get(partner.id),
        )
        for partner in partners
    ]


def silences(session: Session) -> dict[int, Silence]:
    """The partners that the breaker holds, which nobody paused and yet get nothing, by their ids."""
    lanes = session.scalars(select(CircuitBreaker).where(CircuitBreaker.opened_at.is_not(None)))
    return {lane.partner_id: Silence(lane.opened_at, lane.probe_at) for lane in lanes if lane.opened_at}


def waiting(session: Session) -> dict[int, Waiting]:
    """What waits, by partner. It reads only what waits, however long the history is."""
    rows = session.execute(
        select(Message.partner_id, func.count(), func.min(Message.created_at))
        .where(Message.state == MessageState.PENDING)
        .group_by(Message.partner_id)
    ).all()
    return {partner_id: Waiting(count, oldest) for partner_id, count, oldest in rows}


def last_delivered_at(session: Session, partner_id: int) -> datetime | None:
    """When the partner last took a message: an old one that was sent again counts as any other."""
    newest = _newest_delivered(partner_id, Message.finished_at)
    return max((at for at in session.scalars(newest) if at), default=None)


def last_good(session: Session, partner_id: int) -> Attempt | None:
    """The last try that the partner took; of what only a late result settled, none is known to be good."""
    newest = _newest_delivered(partner_id, Message.id).subquery()
    tries = session.execute(
        select(Attempt.ended_at, Attempt.id)
        .join(newest, newest.c.id == Attempt.message_id)
        .where(Attempt.outcome.in_(TAKEN), Attempt.ended_at.is_not(None))
    ).all()
    return session.get(Attempt, max(tries)[1]) if tries else None


def _newest_delivered(partner_id: int, column: Any) -> Select[Any]:
    """A column of the newest messages that the partner took, which need not be those that it took last."""
    return (
        select(column)
        .where(Message.partner_id == partner_id, Message.state == MessageState.DELIVERED)
        .order_by(Message.id.desc())
        .limit(LOOKED_AT)
    )


def clock_difference(headers: Sequence[Sequence[str]], at: datetime) -> float | None:
    """Seconds by which the partner's clock is ahead of ours, by the Date that it sent at this time.

    None where it sent none that makes sense. Date has whole seconds: a difference of one is none.
    """
    date = next((value for name, value in headers if name.lower() == "date"), "")
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if theirs.tzinfo is None:
        return None
    return (theirs - at).total_seconds()
