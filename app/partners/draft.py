"""Secrets entered in a form but not saved yet, encrypted so that users need not enter them again.

The page carries them as text that only this app can decrypt, for one hour.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken

VALID_SECONDS = 3600


def encrypt(secret_key: str, secrets: Mapping[str, str]) -> str:
    """The secrets as one encrypted text; empty if there are none."""
    return _fernet(secret_key).encrypt(json.dumps(dict(secrets)).encode()).decode() if secrets else ""


def decrypt(secret_key: str, encrypted: str) -> dict[str, str]:
    """The secrets in the text; none if it is invalid or too old."""
    try:
        decrypted = _fernet(secret_key).decrypt(encrypted.encode("ascii", "replace"), ttl=VALID_SECONDS)
    except InvalidToken:
        return {}
    return {str(name): str(value) for name, value in json.loads(decrypted).items()}


def _fernet(secret_key: str) -> Fernet:
    key = hashlib.blake2b(secret_key.encode(), digest_size=32, person=b"partner-draft").digest()
    return Fernet(base64.urlsafe_b64encode(key))
