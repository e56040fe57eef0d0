"""Masking of secrets on pages, in logs and in exports. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

MASK = "••••••••"
HINT_LENGTH = 4
"""Last characters of a secret that are shown so that users can tell secrets apart."""
MIN_HINTED_LENGTH = 12
"""Shorter secrets show no characters: four would reveal too much."""
MIN_MASKED_LENGTH = 6
"""Shorter secrets are not masked: they occur in texts by chance."""
_ESCAPED = re.compile(r"[^\x20!#-.0-\[\]-~]")
"""Characters that JSON may escape: quotes, slashes of both kinds, and everything beyond printable ASCII."""


def last_characters(secret: str) -> str:
    """The last characters of a secret, none of a short one."""
    return secret[-HINT_LENGTH:] if len(secret) >= MIN_HINTED_LENGTH else ""


def secret_hint(secret: str) -> str:
    """What a page shows of a secret: ``set, ends in …1234``, ``set``, or ``not set``."""
    if not secret:
        return "not set"
    tail = last_characters(secret)
    return f"set, ends in …{tail}" if tail else "set"


def secrets_of(partner: Any) -> list[str]:
    """Every secret of a partner."""
    return [
        *(value for _, value in partner.headers),
        partner.bearer_token,
        (partner.oauth or {}).get("client_secret", ""),
        *(saved["secret"] for saved in partner.signing_secrets),
        partner.client_certificate,
    ]


@lru_cache(maxsize=256)
def spellings(secrets: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """The spellings of the secrets, as text and as bytes, longest first; short secrets have none."""
    texts = {text for secret in secrets if len(secret) >= MIN_MASKED_LENGTH for text in _spellings(secret)}
    return tuple((text, text.encode()) for text in sorted(texts, key=len, reverse=True))


def _spellings(secret: str) -> set[str]:
    """The secret as it is and as JSON may escape it; some serializers escape slashes too."""
    if not _ESCAPED.search(secret):
        return {secret}
    return {secret} | {
        spelling
        for ascii_only in (True, False)
        for quoted in [json.dumps(secret, ensure_ascii=ascii_only)[1:-1]]
        for spelling in (quoted, quoted.replace("/", "\\/"))
    }


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with the secrets masked: a partner may send back what it received."""
    return masker(secrets)(text)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that masks these secrets, for many texts."""
    texts = [text for text, _ in spellings(tuple(secrets))]
    if not texts:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(text) for text in texts))
    return lambda text: pattern.sub(MASK, text)
