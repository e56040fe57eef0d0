"""Substring search in text indexes that the database maintains.

Migration 0011 creates them, with triggers that follow the rows. On SQLite an index is a full-text table of
trigrams. On PostgreSQL it is a table with a ``pg_trgm`` index, which changes only when the text changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

TEXT_MIN = 3
"""Shorter words have no trigram. They are so common that scanning the newest rows finds them soon."""


class TextIndex(StrEnum):
    """The text indexes, by the names of their tables."""

    ORDERS = "order_words"
    AUDIT = "audit_words"


_SQLITE = {
    index: text(f"SELECT rowid FROM {index} WHERE {index} MATCH :phrase LIMIT :limit")  # noqa: S608 - constants
    for index in TextIndex
}
_POSTGRESQL = {
    index: text(f"SELECT id FROM {index} WHERE words ILIKE :pattern LIMIT :limit")  # noqa: S608 - constants
    for index in TextIndex
}
_TABLE_EXISTS = text("SELECT 1 FROM sqlite_master WHERE name = :name")


def matching_ids(session: Session, index: TextIndex, words: str, *, limit: int) -> Sequence[int] | None:
    """The ids of all rows whose text may contain these words, case-insensitive, in no order.

    None if there are more than ``limit``, or if the index cannot tell.
    """
    if len(words) < TEXT_MIN or "\0" in words:
        return None  # SQLite's index rejects a NUL
    if session.get_bind().dialect.name == "postgresql":
        pattern = "%" + "".join(f"\\{letter}" if letter in "\\%_" else letter for letter in words) + "%"
        ids = session.scalars(_POSTGRESQL[index], {"pattern": pattern, "limit": limit + 1}).all()
    elif session.scalar(_TABLE_EXISTS, {"name": index.value}) is None:
        return None
    else:
        phrase = '"' + words.replace('"', '""') + '"'
        ids = session.scalars(_SQLITE[index], {"phrase": phrase, "limit": limit + 1}).all()
    return ids if len(ids) <= limit else None
