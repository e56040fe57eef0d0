"""What people are told of the outbox by mail, and of holds in the trail: in the transaction of the deed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery.events import MessageChange
from app.delivery.models import Message, MessageState
from app.partners.models import Partner
from app.tasks.mail import enqueue, enqueue_once, is_on, link
from app.tasks.mail_models import Topic

GATHER = timedelta(minutes=5)
"""So long a mail about messages waits for more of them."""
NEEDING = (MessageState.REFUSED, MessageState.FAILED)


def follow(session: Session, changes: Sequence[MessageChange]) -> None:
    """A message that was refused or failed needs somebody: one mail for all of some minutes."""
    if is_on(session) and any(change.state in NEEDING for change in changes):
        enqueue_once(session, Topic.ATTENTION, wait=GATHER)


def held(session: Session, partner_id: int, why: str) -> None:
    """The app holds a partner by itself."""
    name = _name(session, partner_id)
    trail.record(session, AuditAction.PAUSED, AuditObject.PARTNER, partner_id, name=name, reason=why)
    if not is_on(session):
        return
    waits = session.scalar(
        select(func.count()).where(Message.partner_id == partner_id, Message.state == MessageState.PENDING)
    )
    body = f"Messages to {name} are held since just now.\n\n{why}\n\n{waits} wait; none is lost.\n"
    enqueue(session, Topic.HELD, f"{name} is held", body + link(session, f"/partners/{partner_id}"))


def recovered(session: Session, partner_id: int, why: str, before: Mapping[str, Any]) -> None:
    """What the app held goes again; ``before`` is what the trail tells of how it was held."""
    name = _name(session, partner_id)
    trail.record(
        session, AuditAction.RESUMED, AuditObject.PARTNER, partner_id, name=name, reason=why, before=before
    )
    body = f"Messages to {name} go out again.\n\n{why}\n" + link(session, f"/partners/{partner_id}")
    enqueue(session, Topic.RECOVERED, f"{name} takes messages again", body)


def _name(session: Session, partner_id: int) -> str:
    return session.scalar(select(Partner.name).where(Partner.id == partner_id)) or f"partner {partner_id}"
