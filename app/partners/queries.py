"""Queries for partners, their inbound keys and their signing secrets."""

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
    """The SHA-256 of an inbound key, which is stored instead of it.

    Keys are long and random, so no salt is needed.
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def partner_with_key(session: Session, key: str) -> Partner | None:
    """The partner with this active inbound key.

    Digests are compared, so the time of the query reveals nothing about the key.
    """
    return session.scalar(
        select(Partner).join(InboundKey).where(InboundKey.sha256 == digest(key), *_active(clock.now()))
    )


def partner_of_call(session: Session, key: str, signature: Mapping[str, str], body: bytes) -> Partner | None:
    """The partner that sent a request, by its key or signature; each active secret is tried.

    If a partner with a signing secret signs, the signature must be valid even if the key is.
    A partner that must sign is not accepted by its key alone.
    ``signature`` is what ``signing.signature_of`` returned; ``body`` is the raw body.
    """
    now = clock.now()
    with_key = partner_with_key(session, key) if key else None
    by_key = None if with_key is None or with_key.signature_required else with_key
    if not signature:
        return by_key
    secrets = active_secrets(session, now, with_key.id if with_key else None)
    if not secrets:
        return by_key
    for partner_id in dict.fromkeys(saved.partner_id for saved in secrets):
        of_partner = [saved.secret for saved in secrets if saved.partner_id == partner_id]
        if signing.verify(of_partner, signature, body, now):
            return session.get(Partner, partner_id)
    return None


def knows_key(session: Session, key: str) -> bool:
    """Whether a partner has or had this inbound key."""
    return session.scalar(select(InboundKey.id).where(InboundKey.sha256 == digest(key))) is not None


def active_keys(session: Session, partner_id: int, now: datetime) -> Sequence[InboundKey]:
    """The partner's inbound keys that are active at this time, newest first."""
    return session.scalars(
        select(InboundKey)
        .where(InboundKey.partner_id == partner_id, *_active(now))
        .order_by(InboundKey.id.desc())
    ).all()


def active_secrets(session: Session, now: datetime, partner_id: int | None = None) -> Sequence[InboundSecret]:
    """The active inbound signing secrets, newest first; without a partner ID those of all."""
    query = select(InboundSecret).where(expires_after(InboundSecret, now))
    if partner_id is not None:
        query = query.where(InboundSecret.partner_id == partner_id)
    return session.scalars(query.order_by(InboundSecret.id.desc())).all()


def partner_for_update(session: Session, partner_id: int) -> Partner | None:
    """A partner, read again and locked until the transaction ends."""
    return session.scalar(
        select(Partner)
        .where(Partner.id == partner_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def partner_by_name(session: Session, name: str) -> Partner | None:
    """The partner with this name."""
    return session.scalar(select(Partner).where(Partner.name == name))


def partner_id_of(session: Session, name: str) -> int:
    """The ID of the partner with this name, for an index on partners; -1 if there is none."""
    return session.scalar(select(Partner.id).where(Partner.name == name)) or -1


def all_partners(session: Session) -> Sequence[Partner]:
    """All partners, by name."""
    return session.scalars(select(Partner).order_by(Partner.name)).all()


# Built once, since many pages run them.
_NAMES = select(Partner.name).order_by(Partner.name)
# Columns instead of objects, so that a page that called a partner shows the current text.
_ANNOUNCEMENTS = (
    select(Partner.name, Partner.announcement, Partner.announced_at, Partner.announced_by)
    .where(Partner.announcement != "")
    .order_by(Partner.announced_at.desc())
)


def partner_choices(session: Session) -> list[tuple[str, str]]:
    """The partners as values and labels of a filter, by name."""
    return [(name, name) for name in session.scalars(_NAMES)]


def announcements(session: Session) -> Sequence[Row[str, str, datetime | None, str]]:
    """The announcements, newest first: partner, text, since when and by whom."""
    return session.execute(_ANNOUNCEMENTS).all()


def _active(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return InboundKey.revoked_at.is_(None), expires_after(InboundKey, now)


def expires_after(model: type[InboundKey | InboundSecret], time: datetime) -> ColumnElement[bool]:
    """Whether a key or secret expires later than that, or never."""
    return or_(model.valid_until.is_(None), model.valid_until > time)
