"""The data of the home page: urgent orders, the day's progress, a week of responses and recent changes.

``scope`` is the reader's supplier ids; None is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.filters import COUNT_MAX, Scope, count_rows, in_scope
from app.inbound.queries import changed_orders
from app.network.vocabulary import Kind
from app.orders.inbox_queries import OrderFilter, order_page
from app.orders.models import Decision, PurchaseOrder
from app.orders.queries import QueueCounts, queue_counts
from app.partners.models import Partner
from app.partners.queries import all_partners
from app.reports.response_report import ResponseReport, ResponseTotals, response_report
from app.webhooks.partner_status import PartnerStatus, outages, partner_statuses

URGENT = 5
"""Orders on the page."""
PARTNERS_SHOWN = 5
"""Partners on the page: those with a problem first."""
WEEK = 7
RESPONDERS_SHOWN = 3
"""The most active colleagues on the page."""


@dataclass(frozen=True, slots=True)
class Day:
    """Orders of today: responded, overdue, and due until midnight."""

    responded: int
    overdue: int
    left: int


@dataclass(frozen=True, slots=True)
class Received:
    """How many new orders were received, and from how many buyers."""

    orders: int
    buyers: int


@dataclass(frozen=True, slots=True)
class Home:
    """Everything that the page reads about orders, and the partners.

    ``changed`` and ``ended`` orders were edited, and canceled or closed, after ``since``.
    """

    urgent: Sequence[PurchaseOrder]
    queues: QueueCounts
    today: Day
    week: ResponseReport
    week_before: ResponseTotals
    since: datetime
    received: Received
    changed: int
    ended: int
    colleagues: Sequence[tuple[str, int]]
    partners: Sequence[PartnerStatus]


def home(session: Session, scope: Scope, person_id: int, now: datetime, zone: ZoneInfo) -> Home:
    """The home page of a person. ``session`` must see a snapshot."""
    today = now.astimezone(zone).date()
    midnight = datetime.combine(today + timedelta(days=1), time(), zone)
    queues = queue_counts(session, scope, now)
    week = response_report(session, scope, today - timedelta(days=WEEK - 1), today, zone)
    before = response_report(
        session, scope, today - timedelta(days=2 * WEEK - 1), today - timedelta(days=WEEK), zone
    )
    yesterday = now - timedelta(days=1)
    return Home(
        urgent=order_page(session, scope, OrderFilter(answer="open"), limit=URGENT).rows,
        queues=queues,
        today=Day(
            responded=dict(week.days)[today].count,
            overdue=queues.overdue,
            left=_due_count(session, scope, now, midnight),
        ),
        week=week,
        week_before=before.totals,
        since=yesterday,
        received=_received_since(session, scope, yesterday),
        changed=changed_orders(session, scope, Kind.REQ_EDIT, yesterday, most=COUNT_MAX),
        ended=changed_orders(session, scope, Kind.REQ_STATUS_CHANGE, yesterday, most=COUNT_MAX),
        colleagues=_responses_by_person(session, scope, yesterday, except_id=person_id),
        partners=partner_statuses(session, _problems_first(session)),
    )


def _due_count(session: Session, scope: Scope, since: datetime, until: datetime) -> int:
    """How many open orders are due from ``since`` up to ``until``; counting stops at ``COUNT_MAX``."""
    due = in_scope(select(PurchaseOrder.id), PurchaseOrder.supplier_b2b_id, scope).where(
        PurchaseOrder.needs_response, PurchaseOrder.respond_by >= since, PurchaseOrder.respond_by < until
    )
    return count_rows(session, due)


def _received_since(session: Session, scope: Scope, since: datetime) -> Received:
    """The new orders since a time; counting stops at ``COUNT_MAX``."""
    new = (
        in_scope(select(PurchaseOrder.buyer_b2b_id), PurchaseOrder.supplier_b2b_id, scope)
        .where(PurchaseOrder.received_at >= since)
        .limit(COUNT_MAX)
        .subquery()
    )
    orders, buyers = session.execute(
        select(func.count(), func.count(new.c.buyer_b2b_id.distinct())).select_from(new)
    ).one()
    return Received(orders, buyers)


def _responses_by_person(
    session: Session, scope: Scope, since: datetime, *, except_id: int
) -> Sequence[tuple[str, int]]:
    """Who else responded since a time, and how often; the most active first."""
    number = func.count()
    query = (
        in_scope(select(Decision.person_name, number), Decision.supplier_b2b_id, scope)
        .where(Decision.decided_at >= since, Decision.undone.is_(False), Decision.person_id != except_id)
        .group_by(Decision.person_name)
        .order_by(number.desc(), Decision.person_name)
        .limit(RESPONDERS_SHOWN)
    )
    return [(name, count) for name, count in session.execute(query)]


def _problems_first(session: Session) -> list[Partner]:
    not_responding = outages(session)
    partners = sorted(
        all_partners(session), key=lambda partner: not (partner.paused or partner.id in not_responding)
    )
    return partners[:PARTNERS_SHOWN]
