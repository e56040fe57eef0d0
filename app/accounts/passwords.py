"""Passwords: argon2id. Hashing takes a tenth of a second, so it never happens under a write lock."""

from __future__ import annotations

import re
import secrets
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

_hasher = PasswordHasher()
# Verified when the username is unknown, so that the response time does not reveal which usernames exist.
# The hash of a discarded random password; computing it at every start would cost a tenth of a second.
UNKNOWN_USER_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$Grgk8uHH6Ni30oyilAvGxA$an0fBouTdUU42PJCt8ysNNouSOo74xbapL6ivSgfe30"
)

PASSWORD_MIN = 12
"""Minimum length, in characters."""
PASSWORD_MAX = 200
"""Maximum length, in characters; a longer password is refused before it is hashed."""
SCORE_NEEDED = 3
"""Of zxcvbn's 0 to 4: more than a hundred million guesses."""
ESTIMATED_LENGTH = 72
"""The number of characters that zxcvbn checks; longer passwords would take too long."""


class PasswordProblem(StrEnum):
    """Why a password is not accepted; the sentences are in ``presenters``."""

    LENGTH = "length"
    PERSONAL = "personal"
    GUESSABLE = "guessable"


def password_problem(password: str, *names: str) -> PasswordProblem | None:
    """Why a password must not be used, or None. ``names`` are the names and supplier ids of its owner."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        return PasswordProblem.LENGTH
    words = [word for name in names for word in re.findall(r"\w+", name.lower())]
    if any(len(word) >= 4 and word in password.lower() for word in words):
        return PasswordProblem.PERSONAL
    estimate = zxcvbn(password[:ESTIMATED_LENGTH], user_inputs=[*words, "confirm", "purchase", "order"])
    return PasswordProblem.GUESSABLE if estimate["score"] < SCORE_NEEDED else None


def hash_password(password: str) -> str:
    """The argon2id hash to store."""
    return _hasher.hash(password)


def is_password(password_hash: str | None, password: str) -> bool:
    """Whether the password matches the hash; takes equally long if there is no hash."""
    if len(password) > PASSWORD_MAX:
        return False
    try:
        return _hasher.verify(password_hash or UNKNOWN_USER_HASH, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A random password that is easy to read aloud: 20 letters and digits in five groups."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))
