"""Rotation of API keys and signing secrets: the old one stays valid for a grace period.

Nothing here commits. Errors: BadPartner for an invalid key.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import advisory_lock
from app.network import signing
from app.partners import queries
from app.partners.masking import last_characters
from app.partners.models import InboundKey, InboundSecret, Partner

KEY_MIN = 16
"""Minimum length of an entered key, in characters."""
KEY_MAX = 1000
ACTIVE_MAX = 5
"""Maximum number of active secrets of one kind, since each is tried on every request."""


class BadPartner(ValueError):
    """Invalid settings of a partner: the text says what is wrong, ``field`` names the field.

    ``header`` names the header with an invalid value. ``other_errors`` has the errors of other fields.
    """

    def __init__(self, message: str, field: str = "", *, header: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.header = header
        self.other_errors: list[BadPartner] = []

    @property
    def sentence(self) -> str:
        """The message as a sentence, for a form."""
        text = str(self)
        return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def raise_all(errors: Sequence[BadPartner]) -> None:
    """Raise the first of the errors, with the others in ``other_errors``; nothing if there is none."""
    if errors:
        errors[0].other_errors = list(errors[1:])
        raise errors[0]


def add_key(
    session: Session, partner: Partner, key: str | None = None, *, grace: timedelta | None = None
) -> str:
    """Add an inbound API key and return it; None generates one.

    With ``grace`` the earlier keys expire after it; without it they stay as they are.
    Errors: BadPartner for a key that is too short, not printable, or in use.
    """
    key = key if key is not None else secrets.token_urlsafe(32)
    if not KEY_MIN <= len(key) <= KEY_MAX or not key.isascii() or not key.isprintable():
        raise BadPartner(f"enter an inbound key of {KEY_MIN} to {KEY_MAX} printable ASCII characters", "key")
    advisory_lock(session, "inbound keys")
    if queries.knows_key(session, key):
        raise BadPartner("this inbound key is or was in use", "key")
    now = clock.now()
    if grace is not None:
        _let_expire(session, InboundKey, partner, now + grace)
    _check_count(len(queries.active_keys(session, partner.id, now)))
    session.add(
        InboundKey(
            partner_id=partner.id, sha256=queries.digest(key), ends_in=last_characters(key), created_at=now
        )
    )
    session.flush()
    _record(session, AuditAction.KEY_ADDED, partner, "inbound key", grace)
    return key


def revoke_key(session: Session, partner: Partner, key_id: int) -> bool:
    """Revoke an inbound API key; False if the partner has no such key."""
    revoked = session.execute(
        update(InboundKey)
        .where(InboundKey.id == key_id, InboundKey.partner_id == partner.id, InboundKey.revoked_at.is_(None))
        .values(revoked_at=clock.now())
        .returning(InboundKey.id)
    ).first()
    if revoked:
        _record(session, AuditAction.KEY_REVOKED, partner, "inbound key")
    return revoked is not None


def add_inbound_secret(
    session: Session, partner: Partner, secret: str | None = None, *, grace: timedelta | None = None
) -> str:
    """Add an inbound signing secret and return it; None generates one. Errors: BadPartner."""
    secret = _secret(secret)
    now = clock.now()
    session.execute(
        delete(InboundSecret).where(InboundSecret.partner_id == partner.id, InboundSecret.valid_until <= now)
    )
    known = queries.active_secrets(session, now)
    if any(signing.key_of(saved.secret) == signing.key_of(secret) for saved in known):
        raise BadPartner("this signing secret is already in use", "key")
    if grace is not None:
        _let_expire(session, InboundSecret, partner, now + grace)
    active = [saved for saved in known if saved.partner_id == partner.id]
    _check_count(len(active) if grace is None or grace else 0)
    session.add(InboundSecret(partner_id=partner.id, secret=secret, created_at=now))
    session.flush()
    _record(session, AuditAction.KEY_ADDED, partner, "inbound signing secret", grace)
    return secret


def revoke_inbound_secret(session: Session, partner: Partner, secret_id: int) -> bool:
    """Revoke an inbound signing secret; False if the partner has no such secret."""
    revoked = session.execute(
        delete(InboundSecret)
        .where(InboundSecret.id == secret_id, InboundSecret.partner_id == partner.id)
        .returning(InboundSecret.id)
    ).first()
    if revoked:
        _record(session, AuditAction.KEY_REVOKED, partner, "inbound signing secret")
    return revoked is not None


def add_signing_secret(
    session: Session, partner: Partner, secret: str | None = None, *, grace: timedelta | None = None
) -> str:
    """Add an outbound signing secret and return it; None generates one. Errors: BadPartner.

    Until the others expire, each webhook has a signature for each secret.
    """
    secret = _secret(secret)
    now = clock.now()
    active = [saved for saved in partner.signing_secrets if is_active(saved, now)]
    if any(signing.key_of(saved["secret"]) == signing.key_of(secret) for saved in active):
        raise BadPartner("this signing secret is already in use", "key")
    if grace is not None:
        active = [_expiring(saved, now + grace) for saved in active if grace]
    _check_count(len(active))
    new = {
        "id": secrets.token_hex(4),
        "secret": secret,
        "created_at": now.isoformat(),
        "valid_until": None,
    }
    partner.signing_secrets = [new, *active]
    session.flush()
    _record(session, AuditAction.KEY_ADDED, partner, "outbound signing secret", grace)
    return secret


def revoke_signing_secret(session: Session, partner: Partner, secret_id: str) -> bool:
    """Revoke an outbound signing secret; False if the partner has no such secret."""
    remaining = [saved for saved in partner.signing_secrets if saved["id"] != secret_id]
    revoked = len(remaining) < len(partner.signing_secrets)
    partner.signing_secrets = remaining
    session.flush()
    if revoked:
        _record(session, AuditAction.KEY_REVOKED, partner, "outbound signing secret")
    return revoked


def active_signing_secrets(saved: Sequence[dict[str, Any]], now: datetime) -> tuple[str, ...]:
    """The outbound secrets that sign at this time, newest first."""
    return tuple(entry["secret"] for entry in saved if is_active(entry, now))


def is_active(saved: dict[str, Any], now: datetime) -> bool:
    """Whether an outbound signing secret is active at this time."""
    return saved["valid_until"] is None or datetime.fromisoformat(saved["valid_until"]) > now


def _record(
    session: Session, action: AuditAction, partner: Partner, kind: str, grace: timedelta | None = None
) -> None:
    """Write an audit entry: the kind of key, and when earlier ones expire."""
    after: dict[str, object] = {"kind": kind}
    if grace is not None:
        after["earlier ones expire in seconds"] = grace.total_seconds()
    trail.record(session, action, AuditObject.PARTNER, partner.id, name=partner.name, after=after)


def _let_expire(
    session: Session, model: type[InboundKey | InboundSecret], partner: Partner, until: datetime
) -> None:
    """Let the partner's keys or secrets expire at this time, unless they expire sooner."""
    session.execute(
        update(model)
        .where(model.partner_id == partner.id, queries.expires_after(model, until))
        .values(valid_until=until)
    )


def _expiring(saved: dict[str, Any], until: datetime) -> dict[str, Any]:
    expires_sooner = (
        saved["valid_until"] is not None and datetime.fromisoformat(saved["valid_until"]) <= until
    )
    return saved if expires_sooner else {**saved, "valid_until": until.isoformat()}


def _secret(entered: str | None) -> str:
    secret = entered.strip() if entered is not None else signing.new_secret()
    try:
        signing.key_of(secret)
    except signing.BadSecret as error:
        raise BadPartner(str(error), "key") from error
    return signing.PREFIX + secret.removeprefix(signing.PREFIX)


def _check_count(active: int) -> None:
    if active >= ACTIVE_MAX:
        raise BadPartner(f"{ACTIVE_MAX} are already active: revoke one first", "key")
