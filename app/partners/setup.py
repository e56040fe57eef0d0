"""Adding, pausing and resuming partners."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from sqlalchemy import update
from sqlalchemy.orm import Session

from app import clock
from app.partners import queries
from app.partners.models import InboundKey, Partner

SHORTEST_KEY = 16
"""Characters. A key that a person makes up must at least be this long."""


class BadPartner(ValueError):
    """What was given does not make a partner; the text says why."""


def add(
    session: Session,
    name: str,
    *,
    base_url: str,
    headers: Sequence[tuple[str, str]] = (),
    allow_addresses: Sequence[str] = (),
    inbound_key: str | None = None,
    deadline_seconds: float = 15.0,
    retry_schedule: Sequence[float] = (),
) -> tuple[Partner, str]:
    """Add a partner; returns it and its inbound key, which is kept only as a digest.

    Errors: BadPartner.
    """
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise BadPartner("a partner's name has 1 to 80 characters")
    if queries.partner_named(session, name):
        raise BadPartner(f"{name} exists already")
    if not 0.1 <= deadline_seconds <= 300:
        raise BadPartner("the deadline is 0.1 to 300 seconds")
    if len(retry_schedule) > 50 or any(not 0 <= wait <= 30 * 86_400 for wait in retry_schedule):
        raise BadPartner("a retry schedule has up to 50 waits of 0 s to 30 days")
    partner = Partner(
        name=name,
        base_url=_base_url(base_url),
        headers=[list(_header(*header)) for header in headers],
        allow_addresses=[_network(cidr) for cidr in allow_addresses],
        deadline_seconds=deadline_seconds,
        retry_schedule=list(retry_schedule),
        created_at=clock.now(),
    )
    session.add(partner)
    session.flush()
    key = inbound_key if inbound_key is not None else secrets.token_urlsafe(32)
    add_key(session, partner, key)
    return partner, key


def add_key(session: Session, partner: Partner, key: str) -> None:
    """Let messages with this key in as the partner's.

    Errors: BadPartner for a key that is short, unprintable, or in use already.
    """
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable():
        raise BadPartner(f"an inbound key has at least {SHORTEST_KEY} plain characters")
    if queries.partner_with_key(session, key):
        raise BadPartner("this inbound key is in use already")
    session.add(InboundKey(partner_id=partner.id, sha256=queries.digest(key), created_at=clock.now()))
    session.flush()


def pause(session: Session, partner: Partner, reason: str) -> None:
    """Hold the partner's messages from now on. A second pause keeps the first one's time and reason."""
    session.execute(
        update(Partner)
        .where(Partner.id == partner.id, Partner.paused_at.is_(None))
        .values(paused_at=clock.now(), paused_reason=reason[:500])
    )
    session.refresh(partner)


def resume(session: Session, partner: Partner) -> None:
    """Let the partner's messages go again; what waited is due at once."""
    partner.paused_at = None
    partner.paused_reason = ""
    partner.credential_failures = 0
    session.flush()


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment or len(url) > 500:
        raise BadPartner("a base URL is http:// or https://, a host, and perhaps a port and a path")
    return url.strip().rstrip("/")


def _header(name: str, value: str) -> tuple[str, str]:
    name, value = name.strip(), value.strip()
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name):
        raise BadPartner(f"{name!r} is not the name of a header")
    if not value.isascii() or not value.isprintable() or not 1 <= len(value) <= 4000:
        raise BadPartner(f"the value of the header {name} has characters that cannot be sent")
    if name.lower() in ("content-type", "content-length", "host", "idempotency-key", "transfer-encoding"):
        raise BadPartner(f"the header {name} is set by PO Confirm itself")
    return name, value


def _network(cidr: str) -> str:
    try:
        return str(ipaddress.ip_network(cidr.strip(), strict=False))
    except ValueError as error:
        raise BadPartner(f"{cidr!r} is not an address range such as 10.1.0.0/16") from error
