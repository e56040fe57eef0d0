"""Partners, as they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.partners.models import InboundKey, Partner


def digest(key: str) -> str:
    """The SHA-256 under which an inbound key is kept. Keys are long and random: no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def partner_with_key(session: Session, key: str) -> Partner | None:
    """The partner whose active inbound key this is.

    The look-up compares digests, so its time tells nothing of the key.
    """
    return session.scalar(
        select(Partner)
        .join(InboundKey)
        .where(InboundKey.sha256 == digest(key), InboundKey.revoked_at.is_(None))
    )


def partner_named(session: Session, name: str) -> Partner | None:
    """The partner of this name."""
    return session.scalar(select(Partner).where(Partner.name == name))


def all_partners(session: Session) -> Sequence[Partner]:
    """Every partner, by name."""
    return session.scalars(select(Partner).order_by(Partner.name)).all()
