"""The encryption of stored secrets: a check at start, and key rotation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from app.db import Base
from app.db.encryption import EncryptedJSON, EncryptedText


def check(session: Session) -> None:
    """Decrypt every stored secret. Errors: WrongKey."""
    for model, _ in _encrypted():
        session.scalars(select(model)).all()


def rotate(session: Session) -> int:
    """Encrypt all secrets again with the first key. Returns the number of rows. Errors: WrongKey."""
    count = 0
    for model, names in _encrypted():
        for row in session.scalars(select(model)):
            count += 1
            for name in names:
                flag_modified(row, name)
    return count


def _encrypted() -> Iterator[tuple[Any, list[str]]]:
    """The models with encrypted columns, and the names of these."""
    for mapper in Base.registry.mappers:
        names = [
            attribute.key
            for attribute in mapper.column_attrs
            if isinstance(attribute.columns[0].type, EncryptedText | EncryptedJSON)
        ]
        if names:
            yield mapper.class_, names
