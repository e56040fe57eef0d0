"""Outbound authentication: what the requests to a partner carry.

Custom headers and a bearer token belong to the target because they are the same for every message. A
signature belongs to the message. An OAuth token is requested at the time of the send.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from app.delivery.address_policy import Network
from app.delivery.http_client import USER_AGENT, Target
from app.delivery.oauth import Grant
from app.network import signing
from app.partners.keys import active_signing_secrets
from app.partners.masking import MASK, secrets_of


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the requests to one partner carry. Never logged."""

    target: Target
    grant: Grant | None
    signing_secrets: tuple[str, ...] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The secrets that the requests contain, since a partner may send them back."""

    def message_headers(self, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
        """The headers of a message besides the partner's own; the signatures depend on body and time."""
        return {
            "Content-Type": "application/json",
            "Idempotency-Key": message_id,
            "User-Agent": USER_AGENT,
            **signing.sign(self.signing_secrets, message_id, at, body),
        }

    def logged_headers(self, message_headers: Mapping[str, str]) -> list[list[str]]:
        """All headers for the log, with masked values of the partner's own."""
        headers = [[name, value] for name, value in message_headers.items()]
        headers += [[name, MASK] for name, _ in self.target.headers]
        if self.grant is not None:
            headers.append(["Authorization", MASK])
        return headers


def credentials_of(partner: Any, path: str, now: datetime, *, deadline_max: float = math.inf) -> Credentials:
    """What a request to the partner's ``path`` carries at this time.

    ``deadline_max`` limits the partner's own timeout, in seconds.
    """
    headers = [(name, value) for name, value in partner.headers]
    if partner.bearer_token:
        headers.append(("Authorization", f"Bearer {partner.bearer_token}"))
    target = Target(
        url=partner.base_url + path,
        headers=tuple(headers),
        allowed=tuple(_network(cidr) for cidr in partner.allow_addresses),
        deadline=min(partner.deadline_seconds, deadline_max),
        client_certificate=partner.client_certificate,
        ca_bundle=partner.ca_bundle,
    )
    return Credentials(
        target,
        _grant(partner, target),
        active_signing_secrets(partner.signing_secrets, now),
        tuple(secrets_of(partner)),
    )


@lru_cache(maxsize=256)
def _network(cidr: str) -> Network:
    """Parse a network once, not at every claim."""
    return ip_network(cidr)


def _grant(partner: Any, target: Target) -> Grant | None:
    if not partner.oauth:
        return None
    return Grant(
        **partner.oauth,
        allowed=target.allowed,
        client_certificate=target.client_certificate,
        ca_bundle=target.ca_bundle,
    )
