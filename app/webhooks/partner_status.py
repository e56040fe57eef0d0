"""A partner's delivery status: active, delayed, failing or paused; its queue and its last delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Select, case, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db import SessionSettings
from app.db.filters import Scope, in_scope
from app.delivery.circuit_breaker import failing_condition
from app.delivery.models import LIVE, Attempt, CircuitBreaker, Message, MessageState
from app.delivery.retry_policy import ACCEPTED_OUTCOMES
from app.partners.models import Partner

RECENT_MAX = 1000
"""Newest delivered webhooks of a partner among which its last successful delivery is searched."""


class PartnerState(StrEnum):
    """Whether webhooks reach a partner."""

    ACTIVE = "active"
    # Some webhooks are retrying.
    DELAYED = "delayed"
    # Several attempts in a row have failed.
    FAILING = "failing"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many webhooks are in the queue of a partner, how many of them are retrying, and two times.

    ``oldest_at`` is when the oldest was created, ``next_at`` when the next one is due.
    """

    count: int = 0
    oldest_at: datetime | None = None
    retrying: int = 0
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when the attempts of a failing partner fail, and when the next one is made."""

    since: datetime
    next_check_at: datetime | None


@dataclass(frozen=True, slots=True)
class PartnerStatus:
    """A partner with its queue, its outage, if any, and its last successful delivery."""

    partner: Partner
    waiting: Waiting
    outage: Outage | None = None
    last_delivery_at: datetime | None = None

    @property
    def state(self) -> PartnerState:
        """The state. A pause hides the others: nothing automatic is sent."""
        if self.partner.paused:
            return PartnerState.PAUSED
        if self.outage:
            return PartnerState.FAILING
        return PartnerState.DELAYED if self.waiting.retrying else PartnerState.ACTIVE

    @property
    def since(self) -> datetime | None:
        """When the partner was paused or began to fail; None for the other states."""
        return self.partner.paused_at or (self.outage.since if self.outage else None)


def partner_statuses(session: Session, partners: Sequence[Partner]) -> list[PartnerStatus]:
    """The status of each of these partners."""
    queues = waiting(session)
    current_outages = outages(session)
    deliveries = last_delivery_times(session, [partner.id for partner in partners])
    return [
        PartnerStatus(
            partner,
            queues.get(partner.id, Waiting()),
            current_outages.get(partner.id),
            deliveries.get(partner.id),
        )
        for partner in partners
    ]


def stopped_partners(session: Session) -> list[PartnerStatus]:
    """The paused and the failing partners, by name, without their last delivery."""
    current_outages = outages(session)
    partners = session.scalars(
        select(Partner)
        .where(or_(Partner.paused_at.is_not(None), Partner.id.in_(current_outages)))
        .order_by(Partner.name)
    ).all()
    queues = waiting(session) if partners else {}
    return [
        PartnerStatus(partner, queues.get(partner.id, Waiting()), current_outages.get(partner.id))
        for partner in partners
    ]


def stopped_partner_count(session: Session) -> int:
    """How many partners are paused or failing."""
    stopped = or_(Partner.paused_at.is_not(None), Partner.id.in_(outages(session)))
    return session.scalar(select(func.count()).select_from(Partner).where(stopped)) or 0


def failing_partners(session: Session, scope: Scope) -> list[PartnerStatus]:
    """The failing partners for a reader, with the reader's own webhooks in ``waiting``.

    A reader of some suppliers gets only partners for which webhooks of these suppliers wait.
    """
    current_outages = outages(session)
    if not current_outages:
        return []
    partners = session.scalars(
        select(Partner)
        .where(Partner.id.in_(current_outages), Partner.paused_at.is_(None))
        .order_by(Partner.name)
    ).all()
    queues = waiting(session, scope, include_sending=True)
    return [
        PartnerStatus(partner, queues.get(partner.id, Waiting()), current_outages[partner.id])
        for partner in partners
        if scope is None or partner.id in queues
    ]


def failed_count(session: Session, partner_id: int) -> int:
    """How many failed webhooks of a partner need attention."""
    failed = select(func.count()).where(
        Message.partner_id == partner_id, Message.needs_attention, Message.state == MessageState.FAILED
    )
    return session.scalar(failed) or 0


def outages(session: Session) -> dict[int, Outage]:
    """The outages of failing partners by partner id, also of paused ones.

    A failing partner without an affected webhook has no outage: nothing is left that could end it.
    """
    rows = session.execute(_select_outages(SessionSettings.of(session).failing_after))
    return {partner_id: Outage(since, next_check_at) for partner_id, since, next_check_at in rows}


@cache
def _select_outages(threshold: int) -> Select[*tuple[Any, ...]]:
    """The query of ``outages``, built once, since every page runs it."""
    since = func.coalesce(
        CircuitBreaker.failed_since, CircuitBreaker.opened_at, type_=Message.created_at.type
    )
    of_partner = Message.partner_id == CircuitBreaker.partner_id
    has_live = exists().where(of_partner, Message.state.in_(LIVE))
    has_failed = exists().where(
        of_partner,
        Message.state == MessageState.FAILED,
        Message.needs_attention,
        Message.finished_at >= since,
    )
    next_at = (
        select(func.min(Message.next_at))
        .where(of_partner, Message.state == MessageState.PENDING)
        .scalar_subquery()
    )
    return select(
        CircuitBreaker.partner_id,
        since,
        func.coalesce(CircuitBreaker.probe_at, next_at),
    ).where(failing_condition(threshold), or_(has_live, has_failed))


def waiting(session: Session, scope: Scope = None, *, include_sending: bool = False) -> dict[int, Waiting]:
    """The queued webhooks by partner id. It reads only those, however long the history is."""
    states = LIVE if include_sending else (MessageState.PENDING,)
    query = select(
        Message.partner_id,
        func.count(),
        func.min(Message.created_at),
        func.sum(case((Message.attempts_made > 0, 1), else_=0)),
        func.min(Message.next_at),
    ).where(Message.state.in_(states))
    query = in_scope(query, Message.supplier_b2b_id, scope).group_by(Message.partner_id)
    return {row[0]: Waiting(*row[1:]) for row in session.execute(query)}


def last_delivery_times(session: Session, partner_ids: Sequence[int]) -> dict[int, datetime | None]:
    """When each partner last accepted a webhook, including one that was resent."""
    newest = _newest_delivered(Partner.id, Message.finished_at).correlate(Partner).subquery()
    last = select(func.max(newest.c.finished_at)).scalar_subquery()
    return dict(session.execute(select(Partner.id, last).where(Partner.id.in_(partner_ids))).all())


def last_delivery(session: Session, partner_id: int) -> Attempt | None:
    """The last attempt that the partner accepted. A late result alone has no such attempt."""
    newest = _newest_delivered(partner_id, Message.id).subquery()
    accepted = session.execute(
        select(Attempt.ended_at, Attempt.id)
        .join(newest, newest.c.id == Attempt.message_id)
        .where(Attempt.outcome.in_(ACCEPTED_OUTCOMES), Attempt.ended_at.is_not(None))
    ).all()
    return session.get(Attempt, max(accepted)[1]) if accepted else None


def _newest_delivered(partner_id: int | InstrumentedAttribute[int], column: Any) -> Select[Any]:
    """Select a column of the partner's newest delivered webhooks, which need not be the last delivered."""
    return (
        select(column)
        .where(Message.partner_id == partner_id, Message.state == MessageState.DELIVERED)
        .order_by(Message.id.desc())
        .limit(RECENT_MAX)
    )


def clock_difference(headers: Sequence[Sequence[str]], at: datetime) -> float | None:
    """The seconds by which the partner's clock is ahead of ours, from its Date header.

    None if there is no valid Date. Date has whole seconds, so one second does not count as a difference.
    """
    date = next((value for name, value in headers if name.lower() == "date"), "")
    try:
        partner_time = parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if partner_time.tzinfo is None:
        return None
    return (partner_time - at).total_seconds()
