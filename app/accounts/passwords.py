"""Passwords: argon2id, verified outside of any write lock since it takes a tenth of a second."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
# Verified when there is no such person, so that the time of the answer tells nothing. Of a password that
# nobody knows, made once: at every start it would cost a tenth of a second.
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$Grgk8uHH6Ni30oyilAvGxA$an0fBouTdUU42PJCt8ysNNouSOo74xbapL6ivSgfe30"

LONGEST = 200
"""Characters; a longer password is refused before it is hashed."""


def hash_password(password: str) -> str:
    """The argon2id hash that is kept."""
    return _hasher.hash(password)


def is_password(kept: str | None, given: str) -> bool:
    """Whether ``given`` is the password whose hash is ``kept``; takes as long when there is none."""
    if len(given) > LONGEST:
        return False
    try:
        return _hasher.verify(kept or NOBODYS, given) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A random password that can be read over the telephone: 20 letters and digits in five groups."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))
