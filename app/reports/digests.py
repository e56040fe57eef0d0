"""Emails that are written when they are sent: webhooks that need attention, and the deadline digest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.config import Settings
from app.db import Database
from app.orders.models import PurchaseOrder
from app.orders.queries import SOON
from app.reports import texts
from app.tasks.mail import DIGEST_HOUR, Topic, enqueue, last_created_at, link
from app.tasks.mail_sender import MailWriter
from app.webhooks.queries import ATTENTION, MessageFilter, attention_count, message_page

LISTED = 20
"""The most items in an email; the page has all."""
AHEAD = {"daily": timedelta(hours=24), "hourly": SOON}
"""How far a digest looks ahead."""


def mail_writers(settings: Settings) -> Mapping[Topic, MailWriter]:
    """The functions that write the emails of each topic when they are sent."""
    return {
        Topic.ATTENTION: attention_mail,
        Topic.DEADLINES: lambda session: deadlines_mail(session, settings),
    }


def attention_mail(session: Session) -> tuple[str, str] | None:
    """Subject and body about webhooks that need attention; None if there are none."""
    count = attention_count(session, None)
    if not count:
        return None
    # The same list as the page that the email links to.
    newest = message_page(session, None, MessageFilter(state=ATTENTION), limit=LISTED).rows
    return texts.attention_mail(newest, count=count, url=link(session, "/webhooks?state=attention"))


def deadlines_mail(session: Session, settings: Settings) -> tuple[str, str] | None:
    """Subject and body about orders that are overdue or due soon; None if there are none."""
    now = clock.now()
    until = now + AHEAD.get(settings.alert_deadlines, AHEAD["daily"])
    orders = session.scalars(
        select(PurchaseOrder)
        .where(PurchaseOrder.needs_response, PurchaseOrder.respond_by < until)
        .order_by(PurchaseOrder.respond_by, PurchaseOrder.id)
        .limit(LISTED + 1)
    ).all()
    if not orders:
        return None
    return texts.deadlines_mail(
        orders[:LISTED],
        has_more=len(orders) > LISTED,
        now=now,
        zone=settings.time_zone,
        url=link(session, "/orders?answer=open"),
    )


def queue_digest(database: Database, settings: Settings) -> bool:
    """Queue the digest of this hour or day unless it was queued before; returns whether it was queued."""
    if not settings.smtp_url or settings.alert_deadlines == "off":
        return False
    now = clock.now()
    digest_time = _period(now, settings)
    if digest_time is None:
        return False
    with database.writing() as session:
        last = last_created_at(session, Topic.DEADLINES)
        if last is not None and last >= digest_time:
            return False
        enqueue(session, Topic.DEADLINES, "", "")
        session.commit()
    return True


def _period(now: datetime, settings: Settings) -> datetime | None:
    """The start of the current hour or, from ``DIGEST_HOUR`` on, today at that hour; otherwise None."""
    local = now.astimezone(settings.time_zone)
    if settings.alert_deadlines == "hourly":
        return local.replace(minute=0, second=0, microsecond=0)
    digest_time = local.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return digest_time if local >= digest_time else None
