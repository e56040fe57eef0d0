"""Masking of secrets on pages, in logs and in exports. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote_plus

MASK = "••••••••"
HINT_LENGTH = 4
"""Last characters of a secret that are shown so that users can tell secrets apart."""
HINTED_LENGTH_MIN = 12
"""Shorter secrets show no characters: four would reveal too much."""
MASKED_LENGTH_MIN = 6
"""Shorter secrets are not masked: they occur in texts by chance."""
_SHORT_ESCAPES = '"\\/'
"""Characters that JSON may escape with a single backslash."""


def last_characters(secret: str) -> str:
    """The last characters of a secret, none of a short one."""
    return secret[-HINT_LENGTH:] if len(secret) >= HINTED_LENGTH_MIN else ""


def secret_hint(secret: str) -> str:
    """What a page shows of a secret: ``set, ends in …1234``, ``set``, or ``not set``."""
    if not secret:
        return "not set"
    tail = last_characters(secret)
    return f"set, ends in …{tail}" if tail else "set"


def named_secrets(partner: Any) -> dict[str, list[str]]:
    """The secrets of a partner, by the name of the setting in the audit trail."""
    secrets = {
        "header values": [value for _, value in partner.headers or []],
        "bearer token": [partner.bearer_token],
        "OAuth secret": [(partner.oauth or {}).get("client_secret")],
        "client certificate": [partner.client_certificate],
        "signing secrets": [saved["secret"] for saved in partner.signing_secrets or []],
    }
    return {name: [value for value in values if value] for name, values in secrets.items()}


def secrets_of(partner: Any) -> list[str]:
    """Every secret that a request to a partner may carry, in each of its forms.

    The private key of a client certificate is never sent.
    """
    secrets = named_secrets(partner)
    del secrets["client certificate"]
    # A scheme such as Bearer is not secret, but the value after it is.
    after_scheme = [value.partition(" ")[2] for value in secrets["header values"]]
    oauth = oauth_secrets(partner.oauth["client_id"], partner.oauth["client_secret"]) if partner.oauth else []
    return [*(value for values in secrets.values() for value in values), *after_scheme, *oauth]


def oauth_secrets(client_id: str, client_secret: str) -> list[str]:
    """The client secret in every form in which it is sent, and may be sent back."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return [client_secret, quote_plus(client_secret), base64.b64encode(pair.encode()).decode()]


class Masker:
    """Masks these secrets in texts, in every spelling that JSON allows: as it is, ``\\u002d``, or ``\\/``."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= MASKED_LENGTH_MIN}
        self._secrets = sorted(known, key=len, reverse=True)
        self._has_short_escapes = any(character in secret for secret in known for character in _SHORT_ESCAPES)

    # Compiling takes a second for a token of a few thousand characters, and texts with a secret are rare.
    @cached_property
    def _text_pattern(self) -> re.Pattern[str]:
        return re.compile(self._pattern)

    @cached_property
    def _byte_pattern(self) -> re.Pattern[bytes]:
        return re.compile(self._pattern.encode())

    @property
    def _pattern(self) -> str:
        return "|".join("".join(map(_spellings, secret)) for secret in self._secrets)

    def may_change(self, text: str) -> bool:
        """Whether the text may contain a secret. Searching for all spellings takes much longer."""
        is_escaped = "\\u" in text or (self._has_short_escapes and "\\" in text)
        return any(secret in text for secret in self._secrets) or (is_escaped and bool(self._secrets))

    def text(self, text: str) -> str:
        """The text with the secrets masked."""
        return self._text_pattern.sub(MASK, text) if self.may_change(text) else text

    def data(self, data: bytes) -> bytes:
        """The same for a body, which may not be valid text."""
        if not self.may_change(data.decode("utf-8", "replace")):
            return data
        return self._byte_pattern.sub(MASK.encode(), data)


@lru_cache(maxsize=256)
def masker(secrets: tuple[str, ...]) -> Masker:
    """The masker of these secrets."""
    return Masker(secrets)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with the secrets masked: a partner may send back what it received."""
    return masker(tuple(secrets)).text(text)


def _spellings(character: str) -> str:
    """A pattern for a character: as JSON may escape it, or as it is."""
    units = character.encode("utf-16-be").hex()
    escaped = "".join(rf"\\u(?i:{units[start : start + 4]})" for start in range(0, len(units), 4))
    plain = re.escape(character)
    short = rf"\\{plain}|" if character in _SHORT_ESCAPES else ""
    return f"(?:{escaped}|{short}{plain})"
