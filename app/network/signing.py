"""Standard Webhooks signatures: sign and verify. Pure; the time is an argument.

Source: the Standard Webhooks specification, symmetric signatures (``v1``). Its package for Python reads the
machine's clock and knows one secret at a time; here the clock is in the caller's hand and several secrets
are active while one takes the other's place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
"""How far the sender's clock may be from ours, either way."""
SHORTEST_BYTES, LONGEST_BYTES = 24, 64
"""The specification's bounds for a secret."""
SIGNATURES_MAX = 10
"""Signatures of one message that are looked at: enough for every rotation."""
ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"


class BadSecret(ValueError):
    """The text is no signing secret; its message says what one looks like and never repeats the text."""


def new_secret() -> str:
    """A signing secret made at random, such as ``whsec_…``."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret, with or without its prefix.

    Errors: BadSecret.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not SHORTEST_BYTES <= len(key) <= LONGEST_BYTES:
        raise BadSecret(
            f"A signing secret is {PREFIX} and {SHORTEST_BYTES} to {LONGEST_BYTES} bytes in base64."
        )
    return key


def sign(given: Iterable[str], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message, with one signature for each secret; nothing without a secret.

    Errors: BadSecret.
    """
    timestamp = str(int(at.timestamp()))
    signatures = [_signature(key_of(secret), message_id, timestamp, body) for secret in given]
    if not signatures:
        return {}
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: " ".join(signatures),
    }


def signature_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The three headers among all that came with a message; empty where it claims no signature."""
    ours = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    found = {name.lower(): value for name, value in headers if name.lower() in ours}
    return found if found.get(SIGNATURE_HEADER) else {}


def is_fresh(headers: Mapping[str, str], now: datetime) -> bool:
    """Whether the message's timestamp is within the tolerance of now."""
    text = headers.get(TIMESTAMP_HEADER, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        return False
    return abs(now.timestamp() - int(text)) <= TOLERANCE_SECONDS


def verify(given: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Whether one of the secrets signed exactly this message, not longer ago than the tolerance.

    Each secret is tried against each signature, in a time that tells nothing of either.
    """
    message_id = headers.get(ID_HEADER, "")
    if not message_id or not is_fresh(headers, now):
        return False
    signatures = headers.get(SIGNATURE_HEADER, "").split()[:SIGNATURES_MAX]
    right = False
    for secret in given:
        expected = _signature(key_of(secret), message_id, headers[TIMESTAMP_HEADER], body).encode()
        for signature in signatures:
            right |= hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
    return right


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode("utf-8", "replace"), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
