"""Secrets: what of them may be seen. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

MASK = "••••••••"
SHOWN_LETTERS = 4
"""By these last letters of a secret people tell one from another."""
SHORTEST_TOLD_APART = 12
"""A shorter secret shows no letter at all: four would be too much of it."""
SHORTEST_MASKED = 6
"""What is shorter stands in texts by chance: blotting it out would make nonsense of them."""
_ESCAPED = re.compile(r"[^\x20!#-.0-\[\]-~]")
"""What some JSON writes in another way: quotes, slashes of both kinds, and all beyond printable ASCII."""


def ends_in(secret: str) -> str:
    """The letters of a secret that may be shown, none of a short one."""
    return secret[-SHOWN_LETTERS:] if len(secret) >= SHORTEST_TOLD_APART else ""


def told(secret: str) -> str:
    """What a page says of a kept secret: ``set, ends in …1234``, ``set``, or ``not set``."""
    if not secret:
        return "not set"
    tail = ends_in(secret)
    return f"set, ends in …{tail}" if tail else "set"


def secrets_of(partner: Any) -> list[str]:
    """Every secret in a partner's row."""
    return [
        *(value for _, value in partner.headers),
        partner.bearer_token,
        (partner.oauth or {}).get("client_secret", ""),
        *(kept["secret"] for kept in partner.signing_secrets),
        partner.client_certificate,
    ]


def spellings(secret: str) -> set[str]:
    """The secret as it is, and as JSON carries it where a partner sends it back; some escape slashes too."""
    if not _ESCAPED.search(secret):
        return {secret}
    return {secret} | {
        spelling
        for ascii_only in (True, False)
        for quoted in [json.dumps(secret, ensure_ascii=ascii_only)[1:-1]]
        for spelling in (quoted, quoted.replace("/", "\\/"))
    }


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets: a partner may send back what it got."""
    return masker(secrets)(text)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """What takes these secrets out of texts, for many of them."""
    found = {one for secret in secrets if len(secret) >= SHORTEST_MASKED for one in spellings(secret)}
    worth = sorted(found, key=len, reverse=True)
    if not worth:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(secret) for secret in worth))
    return lambda text: pattern.sub(MASK, text)
