"""Notifications and emails about undelivered webhooks and about failing or paused partners.

What concerns a partner is also recorded in the audit trail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Role
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery import texts
from app.delivery.events import MessageChange
from app.delivery.models import LIVE, Message, MessageState
from app.notifications.models import Event
from app.notifications.queries import people_of_supplier, people_with_roles
from app.notifications.service import notify
from app.partners.models import Partner, PauseCode
from app.tasks.mail import Topic, enqueue, enqueue_once, is_on, link

BATCH_DELAY = timedelta(minutes=5)
"""How long an email about failed messages waits for more of them."""


RESPONSE_EVENTS = {
    MessageState.REFUSED: Event.RESPONSE_REFUSED,
    MessageState.FAILED: Event.RESPONSE_FAILED,
}


def notify_unsuccessful(session: Session, changes: Sequence[MessageChange]) -> None:
    """Notify supplier staff of refused and failed messages, with one email for all within ``BATCH_DELAY``."""
    unsuccessful = [change for change in changes if change.state in RESPONSE_EVENTS]
    if not unsuccessful:
        return
    enqueue_once(session, Topic.ATTENTION, wait=BATCH_DELAY)
    for change in unsuccessful:
        row = session.execute(
            select(Message.buyer_po_number, Message.supplier_b2b_id).where(Message.id == change.message_id)
        ).one()
        notify(
            session,
            people_of_supplier(session, row.supplier_b2b_id),
            RESPONSE_EVENTS[change.state],
            title=row.buyer_po_number,
            path=f"/webhooks/{change.message_id}",
        )


def notify_paused(session: Session, partner_id: int, reason: PauseCode, params: Mapping[str, Any]) -> None:
    """Record, and email people, that the app paused a partner."""
    name = _name(session, partner_id)
    trail.record(
        session,
        AuditAction.PAUSED,
        AuditObject.PARTNER,
        partner_id,
        name=name,
        after={"reason": reason.value, **params},
    )
    _notify_affected(session, partner_id, Event.PARTNER_PAUSED)
    if not is_on(session):
        return
    url = link(session, f"/partners/{partner_id}")
    mail = texts.paused_mail(name, reason, params, queued=_queued(session, partner_id), url=url)
    enqueue(session, Topic.PAUSED, *mail)


def breaker_opened(session: Session, partner_id: int, failures: int) -> None:
    """Record that only probes are sent to a partner, after ``failures`` attempts without a response."""
    trail.record(
        session,
        AuditAction.BREAKER_OPENED,
        AuditObject.PARTNER,
        partner_id,
        name=_name(session, partner_id),
        after={"attempts": failures},
    )


def breaker_closed(session: Session, partner_id: int, since: datetime, probes: int) -> None:
    """Record that a partner responds again, after ``probes`` failed probes."""
    trail.record(
        session,
        AuditAction.BREAKER_CLOSED,
        AuditObject.PARTNER,
        partner_id,
        name=_name(session, partner_id),
        before={"since": since.isoformat(), "failed probes": probes},
    )


def notify_failing(session: Session, partner_id: int, failures: int) -> None:
    """Notify people and send the email that a partner is failing, after ``failures`` failed attempts."""
    _notify_affected(session, partner_id, Event.PARTNER_FAILING)
    if not is_on(session):
        return
    name, queued = _name(session, partner_id), _queued(session, partner_id)
    mail = texts.failing_mail(name, failures, queued=queued, url=_item_link(session, partner_id))
    enqueue(session, Topic.FAILING, *mail)


def notify_recovered(session: Session, partner_id: int, since: datetime) -> None:
    """Notify people and send the email that a partner has recovered. It was failing since this time."""
    _notify_affected(session, partner_id, Event.PARTNER_RECOVERED)
    if not is_on(session):
        return
    failed = session.scalar(
        select(func.count()).where(
            Message.partner_id == partner_id,
            Message.state == MessageState.FAILED,
            Message.needs_attention,
            Message.finished_at >= since,
        )
    )
    name, url = _name(session, partner_id), _item_link(session, partner_id)
    enqueue(session, Topic.RECOVERED, *texts.recovered_mail(name, failed=failed or 0, url=url))


def _notify_affected(session: Session, partner_id: int, event: Event) -> None:
    """Notify support, and the supplier staff whose webhooks to the partner are queued."""
    name = _name(session, partner_id)
    support = people_with_roles(session, [Role.SUPPORT, Role.ADMIN])
    notify(session, support, event, title=name, path=_item_path(partner_id))
    queued = select(Message.supplier_b2b_id).where(Message.partner_id == partner_id, Message.state.in_(LIVE))
    suppliers = session.scalars(queued.distinct()).all()
    staff = people_of_supplier(session, *suppliers)
    notify(session, staff, event, title=name, path=f"/webhooks?partner={quote(name)}")


def _queued(session: Session, partner_id: int) -> int:
    queued = select(func.count()).where(Message.partner_id == partner_id, Message.state.in_(LIVE))
    return session.scalar(queued) or 0


def _item_path(partner_id: int) -> str:
    """The page of the partner's attention item, a package above."""
    return f"/attention/{AuditObject.PARTNER}-{partner_id}"


def _item_link(session: Session, partner_id: int) -> str:
    return link(session, _item_path(partner_id))


def _name(session: Session, partner_id: int) -> str:
    return session.scalar(select(Partner.name).where(Partner.id == partner_id)) or f"partner {partner_id}"
