"""Standard Webhooks signatures: sign and verify. Pure; the time is an argument.

Source: the Standard Webhooks specification, symmetric signatures (``v1``). Its package for Python reads the
machine's clock and takes one secret at a time. Here the time is an argument, and several secrets can be
active during a rotation.
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
"""The allowed difference between the clocks, in either direction."""
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64
"""The length of a secret according to the specification."""
SIGNATURES_MAX = 10
"""The number of signatures that are checked per message; enough for any rotation."""
ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"


class BadSecret(ValueError):
    """The text is not a signing secret; the message describes the format and never repeats the text."""


def new_secret() -> str:
    """A random signing secret such as ``whsec_…``."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret, with or without its prefix.

    Errors: BadSecret.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise BadSecret(
            f"A signing secret is {PREFIX} and {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes in base64."
        )
    return key


def sign(signing_secrets: Iterable[str], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three signature headers, with one signature per secret; empty without a secret.

    Errors: BadSecret.
    """
    timestamp = str(int(at.timestamp()))
    signatures = [_signature(key_of(secret), message_id, timestamp, body) for secret in signing_secrets]
    if not signatures:
        return {}
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: " ".join(signatures),
    }


def signature_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The three signature headers of a message; empty if it has no signature."""
    names = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    values = {name.lower(): value for name, value in headers if name.lower() in names}
    return values if values.get(SIGNATURE_HEADER) else {}


def is_fresh(headers: Mapping[str, str], now: datetime) -> bool:
    """Whether the timestamp of the message is within the tolerance of ``now``."""
    text = headers.get(TIMESTAMP_HEADER, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        return False
    return abs(now.timestamp() - int(text)) <= TOLERANCE_SECONDS


def verify(signing_secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Whether one of the secrets signed exactly this message within the tolerance.

    Every secret is compared with every signature, in constant time.
    """
    message_id = headers.get(ID_HEADER, "")
    if not message_id or not is_fresh(headers, now):
        return False
    signatures = headers.get(SIGNATURE_HEADER, "").split()[:SIGNATURES_MAX]
    is_valid = False
    for secret in signing_secrets:
        expected = _signature(key_of(secret), message_id, headers[TIMESTAMP_HEADER], body).encode()
        for signature in signatures:
            is_valid |= hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
    return is_valid


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode("utf-8", "replace"), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
