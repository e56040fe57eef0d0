"""The index of the words in orders, which the database keeps by itself (see the migration 0011).

On SQLite it is a full-text index of all groups of three letters, on PostgreSQL a table of its own with an
index of ``pg_trgm``: its rows change with an order's words only, not with every step of its delivery.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

SHORTEST = 3
"""Letters that the index needs; shorter words are so common that a walk meets them soon."""
_SQLITE = text("SELECT rowid FROM order_words WHERE order_words MATCH :phrase LIMIT :most")
_POSTGRESQL = text("SELECT order_id FROM order_words WHERE words LIKE :pattern LIMIT :most")
_IS_THERE = text("SELECT 1 FROM sqlite_master WHERE name = 'order_words'")


def ids_mentioning(session: Session, words: str, *, most: int) -> Sequence[int] | None:
    """The ids of all orders in whose ``search_text`` these casefolded words stand, in no order.

    None where there are more than ``most``, or the index cannot tell.
    """
    if len(words) < SHORTEST:
        return None
    if session.get_bind().dialect.name == "postgresql":
        pattern = "%" + "".join(f"\\{letter}" if letter in "\\%_" else letter for letter in words) + "%"
        found = session.scalars(_POSTGRESQL, {"pattern": pattern, "most": most + 1}).all()
    elif session.scalar(_IS_THERE) is None:
        return None
    else:
        phrase = '"' + words.replace('"', '""') + '"'
        found = session.scalars(_SQLITE, {"phrase": phrase, "most": most + 1}).all()
    return found if len(found) <= most else None
