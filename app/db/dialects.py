"""Differences between SQLite and PostgreSQL in statements."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, BindParameter, ColumnElement, Text, bindparam, func, literal_column, text
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import TableValuedAlias
from ulid import ULID


def advisory_lock(session: Session, *key: object) -> None:
    """Wait until no other transaction holds the lock of this key, then hold it until the transaction ends.

    SQLite allows only one writer, so nothing is needed there.
    """
    if session.get_bind().dialect.name == "postgresql":
        digest = hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest()
        session.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": int.from_bytes(digest, "big", signed=True)}
        )


def notify(session: Session, channel: str) -> None:
    """Notify the listeners of ``channel`` when this transaction commits.

    On SQLite nothing is needed: listeners poll ``PRAGMA data_version``.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


def literal_condition(sql: str) -> ColumnElement[bool]:
    """A condition in SQL, written as in a partial index so that SQLite can use it. Never pass user input."""
    return cast(ColumnElement[bool], literal_column(f"({sql})"))


class _TextRows(FunctionElement[str]):
    """See ``text_rows``."""

    inherit_cache = True


@compiles(_TextRows)
def _json_each(element: _TextRows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_TextRows, "postgresql")
def _jsonb_elements(element: _TextRows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text({compiler.process(element.clauses, **options)})"


def text_rows(parameter: str) -> TableValuedAlias:
    """A list of texts, a parameter of the statement, as rows with the column ``value``.

    Unlike ``VALUES``, such a statement is compiled only once.
    """
    texts: BindParameter[Any] = bindparam(parameter, type_=JSON)
    return _TextRows(texts).table_valued("value")


def new_id(prefix: str, at: datetime) -> str:
    """A new id that sorts by its time, such as ``msg_01JD6K…``."""
    return f"{prefix}_{ULID.from_datetime(at)}"


def id_at(prefix: str, when: datetime, *, last: bool = False) -> str:
    """The first or last id of a millisecond. Ids of ``new_id`` sort by time, so this bounds a time range."""
    stamp = str(ULID.from_timestamp(max(when.timestamp(), 0.0)))[:10]
    return f"{prefix}_{stamp}{('Z' if last else '0') * 16}"


def bytes_contain(session: Session, column: Any, words: str) -> ColumnElement[bool]:
    """Whether a column of bytes contains the words; case-insensitive for ASCII."""
    if session.get_bind().dialect.name != "postgresql":
        # SQLite's LIKE is case-insensitive for ASCII.
        return cast(ColumnElement[bool], column.cast(Text).contains(words, autoescape=True))
    # The bytes need not be UTF-8, so both sides are compared in PostgreSQL's "escape" format.
    escaped = "".join(_escaped(byte) for byte in words.encode())
    return func.encode(column.cast(BYTEA), "escape").icontains(escaped, autoescape=True)


def _escaped(byte: int) -> str:
    """A byte in PostgreSQL's "escape" format."""
    if byte == ord("\\"):
        return "\\\\"
    return chr(byte) if 0 < byte < 128 else f"\\{byte:03o}"
