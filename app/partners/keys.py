"""Keys and signing secrets that take each other's place: the old one stays good for a grace time.

Nothing here commits. Errors: BadPartner for what is no key.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, update
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.network import signing
from app.partners import queries
from app.partners.masking import last_characters
from app.partners.models import InboundKey, InboundSecret, Partner

SHORTEST_KEY = 16
"""Characters. A key that a person makes up must at least be this long."""
LONGEST_KEY = 1000
ACTIVE_MAX = 5
"""Secrets of one kind that are good at the same time: each is tried on every message."""


class BadPartner(ValueError):
    """What was given does not make a partner; the text says why, ``field`` names what was wrong.

    ``header`` is the name of the header whose value was. ``also`` is what else was wrong, in other parts.
    """

    def __init__(self, why: str, field: str = "", *, header: str = "") -> None:
        super().__init__(why)
        self.field = field
        self.header = header
        self.also: list[BadPartner] = []


def add_key(
    session: Session, partner: Partner, key: str | None = None, *, grace: timedelta | None = None
) -> str:
    """Let messages with this key in as the partner's; returns it. None makes one.

    With ``grace`` the keys so far are good for that long still, without it they stay as they are.
    Errors: BadPartner for a key that is short, unprintable, or in use already.
    """
    key = key if key is not None else secrets.token_urlsafe(32)
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise BadPartner(f"an inbound key has {SHORTEST_KEY} to {LONGEST_KEY} plain characters", "key")
    if queries.knows_key(session, key):
        raise BadPartner("this inbound key is in use already, or was once", "key")
    now = clock.now()
    if grace is not None:
        until = now + grace
        session.execute(
            update(InboundKey)
            .where(
                InboundKey.partner_id == partner.id,
                InboundKey.revoked_at.is_(None),
                or_(InboundKey.valid_until.is_(None), InboundKey.valid_until > until),
            )
            .values(valid_until=until)
        )
    _not_too_many(len(queries.active_keys(session, partner.id, now)))
    session.add(
        InboundKey(
            partner_id=partner.id, sha256=queries.digest(key), ends_in=last_characters(key), created_at=now
        )
    )
    session.flush()
    _note(session, AuditAction.KEY_ADDED, partner, "inbound key", grace)
    return key


def end_key(session: Session, partner: Partner, key_id: int) -> bool:
    """Let no message with this key in from now on; False if the partner has no such key."""
    ended = session.execute(
        update(InboundKey)
        .where(InboundKey.id == key_id, InboundKey.partner_id == partner.id, InboundKey.revoked_at.is_(None))
        .values(revoked_at=clock.now())
        .returning(InboundKey.id)
    ).first()
    if ended:
        _note(session, AuditAction.KEY_REVOKED, partner, "inbound key")
    return ended is not None


def add_inbound_secret(
    session: Session, partner: Partner, secret: str | None = None, *, grace: timedelta | None = None
) -> str:
    """Let messages that are signed with this secret in as the partner's; returns it. None makes one."""
    secret = _secret(secret)
    now = clock.now()
    ours = InboundSecret.partner_id == partner.id
    session.execute(delete(InboundSecret).where(ours, InboundSecret.valid_until <= now))
    known = queries.active_secrets(session, now)
    if any(signing.key_of(kept.secret) == signing.key_of(secret) for kept in known):
        raise BadPartner("this signing secret is in use already", "key")
    if grace is not None:
        until = now + grace
        session.execute(
            update(InboundSecret)
            .where(ours, or_(InboundSecret.valid_until.is_(None), InboundSecret.valid_until > until))
            .values(valid_until=until)
        )
    active = [kept for kept in known if kept.partner_id == partner.id]
    _not_too_many(len(active) if grace is None or grace else 0)
    session.add(InboundSecret(partner_id=partner.id, secret=secret, created_at=now))
    session.flush()
    _note(session, AuditAction.KEY_ADDED, partner, "secret of its signatures", grace)
    return secret


def end_inbound_secret(session: Session, partner: Partner, secret_id: int) -> bool:
    """Trust no signature by this secret from now on; False if the partner has no such secret."""
    ended = session.execute(
        delete(InboundSecret)
        .where(InboundSecret.id == secret_id, InboundSecret.partner_id == partner.id)
        .returning(InboundSecret.id)
    ).first()
    if ended:
        _note(session, AuditAction.KEY_REVOKED, partner, "secret of its signatures")
    return ended is not None


def add_signing_secret(
    session: Session, partner: Partner, secret: str | None = None, *, grace: timedelta | None = None
) -> str:
    """Sign what we send with this secret too; returns it. None makes one.

    Until the grace of the others has passed, a message carries a signature by each.
    """
    secret = _secret(secret)
    now = clock.now()
    kept = [one for one in partner.signing_secrets if is_active(one, now)]
    if any(signing.key_of(one["secret"]) == signing.key_of(secret) for one in kept):
        raise BadPartner("this signing secret is in use already", "key")
    if grace is not None:
        kept = [_ending(one, now + grace) for one in kept if grace]
    _not_too_many(len(kept))
    new = {
        "id": secrets.token_hex(4),
        "secret": secret,
        "created_at": now.isoformat(),
        "valid_until": None,
    }
    partner.signing_secrets = [new, *kept]
    session.flush()
    _note(session, AuditAction.KEY_ADDED, partner, "secret of our signatures", grace)
    return secret


def end_signing_secret(session: Session, partner: Partner, secret_id: str) -> bool:
    """Sign no more with this secret; False if the partner has no such secret."""
    left = [one for one in partner.signing_secrets if one["id"] != secret_id]
    ended = len(left) < len(partner.signing_secrets)
    partner.signing_secrets = left
    session.flush()
    if ended:
        _note(session, AuditAction.KEY_REVOKED, partner, "secret of our signatures")
    return ended


def active_signing_secrets(kept: Sequence[dict[str, Any]], now: datetime) -> tuple[str, ...]:
    """The secrets that sign at this time, newest first."""
    return tuple(one["secret"] for one in kept if is_active(one, now))


def is_active(kept: dict[str, Any], now: datetime) -> bool:
    """Whether a kept signing secret is good at this time."""
    return kept["valid_until"] is None or datetime.fromisoformat(kept["valid_until"]) > now


def _note(
    session: Session, deed: AuditAction, partner: Partner, kind: str, grace: timedelta | None = None
) -> None:
    """Into the audit trail; of a key nothing but its kind, and how long those before it are good."""
    after: dict[str, object] = {"kind": kind}
    if grace is not None:
        after["the others end in seconds"] = grace.total_seconds()
    trail.record(session, deed, AuditObject.PARTNER, partner.id, name=partner.name, after=after)


def _ending(kept: dict[str, Any], until: datetime) -> dict[str, Any]:
    sooner = kept["valid_until"] is not None and datetime.fromisoformat(kept["valid_until"]) <= until
    return kept if sooner else {**kept, "valid_until": until.isoformat()}


def _secret(given: str | None) -> str:
    secret = given.strip() if given is not None else signing.new_secret()
    try:
        key = signing.key_of(secret)
    except signing.BadSecret as error:
        raise BadPartner(str(error), "key") from error
    return secret if secret.startswith(signing.PREFIX) and key else signing.PREFIX + secret


def _not_too_many(active: int) -> None:
    if active >= ACTIVE_MAX:
        raise BadPartner(f"{ACTIVE_MAX} are good already: end one first", "key")
