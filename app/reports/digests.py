"""The words of mails that are found when they are sent, and the digest of deadlines by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.config import Settings
from app.db import Database
from app.orders.models import PurchaseOrder
from app.tasks.mail import enqueue, link
from app.tasks.mail_models import Mail, Topic
from app.tasks.mail_sender import Words
from app.webhooks.queries import ATTENTION, MessageFilter, attention_count, message_page

LISTED = 20
"""Lines of a mail; the page has all."""
AHEAD = {"daily": timedelta(hours=24), "hourly": timedelta(hours=4)}
"""How far a digest looks ahead."""
DAILY_HOUR = 8
"""On the clock of the setting: before people begin."""


def words(settings: Settings) -> Mapping[Topic, Words]:
    """What each gathered mail says."""
    return {Topic.ATTENTION: attention, Topic.DEADLINES: lambda session: deadlines(session, settings)}


def attention(session: Session) -> tuple[str, str] | None:
    """What was refused or failed and still needs somebody."""
    count = attention_count(session, None)
    if not count:
        return None
    # The very list of the page, whatever needs somebody there.
    newest = message_page(session, None, MessageFilter(state=ATTENTION), limit=LISTED).messages
    lines = [f"* {one.buyer_po_number}: {one.state.value}. {one.note}".strip() for one in newest]
    more = f"\nand {count - len(newest)} more\n" if count > len(newest) else "\n"
    said = "1 message needs attention" if count == 1 else f"{count} messages need attention"
    return said, f"{said}:\n\n" + "\n".join(lines) + more + link(session, "/webhooks?state=attention")


def deadlines(session: Session, settings: Settings) -> tuple[str, str] | None:
    """The orders that are overdue or soon will be."""
    now = clock.now()
    until = now + AHEAD.get(settings.alert_deadlines, AHEAD["daily"])
    found = session.scalars(
        select(PurchaseOrder)
        .where(PurchaseOrder.needs_response, PurchaseOrder.respond_by < until)
        .order_by(PurchaseOrder.respond_by, PurchaseOrder.id)
        .limit(LISTED + 1)
    ).all()
    if not found:
        return None
    lines = [_line(one, now, settings) for one in found[:LISTED]]
    more = "\nand more\n" if len(found) > LISTED else "\n"
    count = f"More than {LISTED} orders wait" if len(found) > LISTED else f"{len(found)} orders wait"
    said = "1 order waits for an answer" if len(found) == 1 else f"{count} for an answer"
    return said, f"{said}:\n\n" + "\n".join(lines) + more + link(session, "/orders?answer=open")


def digest(database: Database, settings: Settings) -> bool:
    """Ask for the digest of this hour or day, once; whether that was done just now."""
    if not settings.smtp_url or settings.alert_deadlines == "off":
        return False
    now = clock.now()
    begun = _period(now, settings)
    if begun is None:
        return False
    with database.writing() as session:
        last = session.scalar(
            select(Mail.created_at)
            .where(Mail.topic == Topic.DEADLINES.value)
            .order_by(Mail.id.desc())
            .limit(1)
        )
        if last is not None and last >= begun:
            return False
        enqueue(session, Topic.DEADLINES, "", "")
        session.commit()
    return True


def _period(now: datetime, settings: Settings) -> datetime | None:
    """When the present hour, or day, began; None before people begin."""
    local = now.astimezone(settings.zone)
    if settings.alert_deadlines == "hourly":
        return local.replace(minute=0, second=0, microsecond=0)
    begun = local.replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
    return begun if local >= begun else None


def _line(order: PurchaseOrder, now: datetime, settings: Settings) -> str:
    by = order.respond_by.astimezone(settings.zone)
    late = " (overdue)" if order.respond_by < now else ""
    return f"* {order.buyer_po_number}, {order.buyer_name}: by {by:%d %b %Y %H:%M}{late}"
