"""Passwords: argon2id. Hashing takes a tenth of a second, so it never happens under a write lock."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
# Verified when the username is unknown, so that the response time does not tell which usernames exist.
# The hash of a discarded random password; computing it at every start would cost a tenth of a second.
UNKNOWN_USER_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$Grgk8uHH6Ni30oyilAvGxA$an0fBouTdUU42PJCt8ysNNouSOo74xbapL6ivSgfe30"
)

SHORTEST = 8
"""Characters."""
LONGEST = 200
"""Characters; a longer password is refused before it is hashed."""


def hash_password(password: str) -> str:
    """The argon2id hash to store."""
    return _hasher.hash(password)


def is_password(password_hash: str | None, password: str) -> bool:
    """Whether the password matches the hash; takes equally long if there is no hash."""
    if len(password) > LONGEST:
        return False
    try:
        return _hasher.verify(password_hash or UNKNOWN_USER_HASH, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A random password that is easy to read aloud: 20 letters and digits in five groups."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))
