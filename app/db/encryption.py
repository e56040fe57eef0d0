"""Encryption of secrets at rest: column types over Fernet, and rotation of its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Dialect, Text, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy.types import TypeDecorator

from app.db.base import Base


class WrongKey(Exception):
    """A stored secret cannot be decrypted with any of the configured keys."""


class _Keys:
    """The keys of this process: the first encrypts, all of them decrypt."""

    fernet: MultiFernet | None = None


def configure(keys: Sequence[str]) -> None:
    """Use these Fernet keys from now on. Errors: ValueError for a malformed key."""
    _Keys.fernet = MultiFernet([Fernet(key) for key in keys])
    decrypt.cache_clear()


def encrypt(text: str) -> str:
    """The text as a token of the first key."""
    return _fernet().encrypt(text.encode()).decode()


@lru_cache(maxsize=512)
def decrypt(token: str) -> str:
    """The text of a token. Errors: WrongKey."""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise WrongKey("A stored secret cannot be decrypted. Check PO_ENCRYPTION_KEYS.") from error


def _fernet() -> MultiFernet:
    if _Keys.fernet is None:
        raise RuntimeError("encryption.configure() was not called")
    return _Keys.fernet


class EncryptedText(TypeDecorator[str]):
    """A text that is stored encrypted; the empty text stays empty."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Encrypt on the way in."""
        return encrypt(value) if value else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Decrypt on the way out."""
        return decrypt(value) if value else value


class EncryptedJSON(TypeDecorator[Any]):
    """A JSON value that is stored encrypted."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encrypt on the way in."""
        return None if value is None else encrypt(json.dumps(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decrypt on the way out."""
        return None if value is None else json.loads(decrypt(value))


def check_secrets(session: Session) -> None:
    """Decrypt every stored secret. Errors: WrongKey."""
    for model, _ in _encrypted():
        session.scalars(select(model)).all()


def rotate_secrets(session: Session) -> int:
    """Encrypt all secrets again with the first key. Returns the number of rows. Errors: WrongKey."""
    count = 0
    for model, names in _encrypted():
        for row in session.scalars(select(model)):
            count += 1
            for name in names:
                flag_modified(row, name)
    return count


def _encrypted() -> Iterator[tuple[Any, list[str]]]:
    """The models with encrypted columns, and the names of these columns."""
    for mapper in Base.registry.mappers:
        names = [
            attribute.key
            for attribute in mapper.column_attrs
            if isinstance(attribute.columns[0].type, EncryptedText | EncryptedJSON)
        ]
        if names:
            yield mapper.class_, names
