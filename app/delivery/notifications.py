"""Mails about failed messages and failing partners, and the audit entries of the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery.events import MessageChange
from app.delivery.models import Message, MessageState
from app.partners.models import Partner
from app.tasks.mail import Topic, enqueue, enqueue_once, is_on, link, one_line

BATCH_DELAY = timedelta(minutes=5)
"""How long a mail about failed messages waits for more of them."""


class HoldReason(StrEnum):
    """Why the app stopped sending to a partner."""

    GONE = "gone"
    CREDENTIALS = "credentials"
    NO_RESPONSE = "no_response"


_MAIL_TEXTS = {
    HoldReason.GONE: "{url} returned 410 (gone).",
    HoldReason.CREDENTIALS: "{count} responses in a row rejected the key or the URL ({status}).",
    HoldReason.NO_RESPONSE: "{count} attempts in a row got no response. Probes continue.",
}


def follow(session: Session, changes: Sequence[MessageChange]) -> None:
    """Send one mail for all messages that were refused or failed within some minutes."""
    needs_attention = (MessageState.REFUSED, MessageState.FAILED)
    if is_on(session) and any(change.state in needs_attention for change in changes):
        enqueue_once(session, Topic.ATTENTION, wait=BATCH_DELAY)


def held(session: Session, partner_id: int, reason: HoldReason, params: Mapping[str, Any]) -> None:
    """Record that the app stopped sending to a partner."""
    name = _name(session, partner_id)
    trail.record(
        session,
        AuditAction.PAUSED,
        AuditObject.PARTNER,
        partner_id,
        name=name,
        after={"reason": reason.value, **params},
    )
    if not is_on(session):
        return
    count = session.scalar(
        select(func.count()).where(Message.partner_id == partner_id, Message.state == MessageState.PENDING)
    )
    cause = one_line(_MAIL_TEXTS[reason].format_map(params))
    body = f"Webhooks to {one_line(name)} are held.\n\n{cause}\n\n{count} are queued. None is lost.\n"
    enqueue(session, Topic.HELD, f"{name} is held", body + link(session, f"/partners/{partner_id}"))


def recovered(session: Session, partner_id: int, before: Mapping[str, Any]) -> None:
    """Record that a partner responds again; ``before`` is for the audit entry."""
    name = _name(session, partner_id)
    trail.record(session, AuditAction.RESUMED, AuditObject.PARTNER, partner_id, name=name, before=before)
    body = f"{one_line(name)} responds again. Queued webhooks are being sent.\n"
    enqueue(
        session, Topic.RECOVERED, f"{name} responds again", body + link(session, f"/partners/{partner_id}")
    )


def _name(session: Session, partner_id: int) -> str:
    return session.scalar(select(Partner.name).where(Partner.id == partner_id)) or f"partner {partner_id}"
