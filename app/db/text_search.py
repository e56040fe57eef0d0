"""Looking up rows by words anywhere in their text, in indexes that the database keeps by itself.

The migration 0011 makes them, with triggers that follow the rows. On SQLite such an index is a full-text one
of all groups of three letters; on PostgreSQL a table of its own with an index of ``pg_trgm``: it changes with
the words only, not with every step of an order's delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

SHORTEST = 3
"""Letters that an index needs; shorter words are so common that a walk meets them soon."""


class Indexed(StrEnum):
    """What there are indexes of, by the names of their tables."""

    ORDERS = "order_words"
    AUDIT = "audit_words"


_SQLITE = {
    one: text(f"SELECT rowid FROM {one} WHERE {one} MATCH :phrase LIMIT :most")  # noqa: S608 - our own names
    for one in Indexed
}
_POSTGRESQL = {
    one: text(f"SELECT id FROM {one} WHERE words ILIKE :pattern LIMIT :most")  # noqa: S608 - our own names
    for one in Indexed
}
_IS_THERE = text("SELECT 1 FROM sqlite_master WHERE name = :name")


def ids_mentioning(session: Session, index: Indexed, words: str, *, most: int) -> Sequence[int] | None:
    """The ids of all rows in whose text these words may stand, in no order: perhaps in other case.

    None where there are more than ``most``, or no index can tell.
    """
    if len(words) < SHORTEST or "\0" in words:
        return None  # no index holds a NUL, and SQLite's would not take the question
    if session.get_bind().dialect.name == "postgresql":
        pattern = "%" + "".join(f"\\{letter}" if letter in "\\%_" else letter for letter in words) + "%"
        found = session.scalars(_POSTGRESQL[index], {"pattern": pattern, "most": most + 1}).all()
    elif session.scalar(_IS_THERE, {"name": index.value}) is None:
        return None
    else:
        phrase = '"' + words.replace('"', '""') + '"'
        found = session.scalars(_SQLITE[index], {"phrase": phrase, "most": most + 1}).all()
    return found if len(found) <= most else None
