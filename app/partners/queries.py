"""Partners, as they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.orm import Session

from app import clock
from app.network import signing
from app.partners.models import InboundKey, InboundSecret, Partner


def digest(key: str) -> str:
    """The SHA-256 under which an inbound key is kept. Keys are long and random: no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def partner_with_key(session: Session, key: str) -> Partner | None:
    """The partner whose active inbound key this is.

    The look-up compares digests, so its time tells nothing of the key.
    """
    return session.scalar(
        select(Partner).join(InboundKey).where(InboundKey.sha256 == digest(key), *_good(clock.now()))
    )


def partner_of_call(session: Session, key: str, signature: Mapping[str, str], body: bytes) -> Partner | None:
    """The partner whose key or whose signature came with a message; each active secret is tried.

    Where a partner with a signature secret signs, the signature must be right, whatever key came with it.
    A partner that must sign is not accepted by its key alone.
    ``signature`` is what ``signing.signature_of`` found; ``body`` is exactly as it came.
    """
    now = clock.now()
    with_key = partner_with_key(session, key) if key else None
    by_key = None if with_key is None or with_key.signature_required else with_key
    if not signature:
        return by_key
    secrets = active_secrets(session, now, with_key.id if with_key else None)
    if not secrets:
        return by_key
    for partner_id in dict.fromkeys(kept.partner_id for kept in secrets):
        of_partner = [kept.secret for kept in secrets if kept.partner_id == partner_id]
        if signing.verify(of_partner, signature, body, now):
            return session.get(Partner, partner_id)
    return None


def knows_key(session: Session, key: str) -> bool:
    """Whether this inbound key is or was anybody's."""
    return session.scalar(select(InboundKey.id).where(InboundKey.sha256 == digest(key))) is not None


def active_keys(session: Session, partner_id: int, now: datetime) -> Sequence[InboundKey]:
    """The partner's inbound keys that are good at this time, newest first."""
    return session.scalars(
        select(InboundKey)
        .where(InboundKey.partner_id == partner_id, *_good(now))
        .order_by(InboundKey.id.desc())
    ).all()


def active_secrets(session: Session, now: datetime, partner_id: int | None = None) -> Sequence[InboundSecret]:
    """The inbound signature secrets that are good at this time, newest first; of one partner or of all."""
    query = select(InboundSecret).where(
        or_(InboundSecret.valid_until.is_(None), InboundSecret.valid_until > now)
    )
    if partner_id is not None:
        query = query.where(InboundSecret.partner_id == partner_id)
    return session.scalars(query.order_by(InboundSecret.id.desc())).all()


def partner(session: Session, partner_id: int) -> Partner | None:
    """One partner."""
    return session.get(Partner, partner_id)


def partner_for_update(session: Session, partner_id: int) -> Partner | None:
    """One partner, locked until the transaction ends, as it is now."""
    return session.scalar(
        select(Partner)
        .where(Partner.id == partner_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def partner_by_name(session: Session, name: str) -> Partner | None:
    """The partner of this name."""
    return session.scalar(select(Partner).where(Partner.name == name))


def all_partners(session: Session) -> Sequence[Partner]:
    """Every partner, by name."""
    return session.scalars(select(Partner).order_by(Partner.name)).all()


def incidents(session: Session) -> Sequence[Row[str, str, datetime | None, str]]:
    """What everybody should know just now: partner's name, note, since when and by whom; newest first.

    Columns, not objects: a page that asked the network meanwhile shows the note as it is now.
    """
    return session.execute(
        select(Partner.name, Partner.incident_note, Partner.incident_at, Partner.incident_by)
        .where(Partner.incident_note != "")
        .order_by(Partner.incident_at.desc())
    ).all()


def _good(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        InboundKey.revoked_at.is_(None),
        or_(InboundKey.valid_until.is_(None), InboundKey.valid_until > now),
    )
