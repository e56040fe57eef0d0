"""Sessions, and all that differs between SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Engine,
    Enum,
    LargeBinary,
    MetaData,
    Text,
    create_engine,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.engine import Connection, Dialect, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator
from ulid import ULID

from app import clock
from app.db import typical

MIGRATIONS = Path(__file__).parent.parent / "migrations"
BUSY_MILLISECONDS = 10_000
CHECKPOINT_PAGES = 4000
"""After so many pages of 4 KiB the log of changes is carried into the file: seldom, since many pages change
again and again, and whoever commits waits for it."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone, so it is put back on the way out."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """On SQLite the text itself: SQLAlchemy's own way of making it takes four times as long."""
        return super().bind_processor(dialect) if dialect.name == "postgresql" else _as_text

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone never reaches the database")
    return value.astimezone(UTC)


@lru_cache(maxsize=256)  # one moment is written into many columns of many rows
def _as_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    # Of one width, so that they sort as times do.
    return _in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def one_of(kind: type[StrEnum]) -> Enum:
    """The column type of a lifecycle: the enum's words as text, checked by Python on the way in and out."""
    return Enum(
        kind, native_enum=False, length=24, values_callable=lambda words: [word.value for word in words]
    )


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime,
        bytes: LargeBinary,
        dict[str, Any]: JSON().with_variant(JSONB, "postgresql"),
        list[str]: JSON().with_variant(JSONB, "postgresql"),
        list[int]: JSON().with_variant(JSONB, "postgresql"),
        list[float]: JSON().with_variant(JSONB, "postgresql"),
        list[list[str]]: JSON().with_variant(JSONB, "postgresql"),
        list[dict[str, Any]]: JSON().with_variant(JSONB, "postgresql"),
    }


class Database:
    """One database: where sessions come from. Every session carries ``info``."""

    def __init__(self, url: str, *, info: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self.info = dict(info or {})
        self.engine = _engine(url)

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def reading(self) -> Session:
        """A session for looking: on SQLite its transactions take no lock until they write."""
        return Session(self.engine, info=dict(self.info), expire_on_commit=False)

    def writing(self) -> Session:
        """A session whose transaction may read and then write: on SQLite it begins IMMEDIATE.

        A deferred one would fail as soon as two of them read first. After its commit it is as ``reading``.
        """
        session = self.reading()
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        return session

    def snapshot(self) -> Session:
        """A session for looking that sees one moment, whatever is committed between its statements."""
        session = self.reading()
        if self.is_postgresql:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return session

    def upgrade(self, revision: str = "head") -> None:
        """Create the schema, or bring it to this version of the code (or to an older ``revision`` of it)."""
        with self.engine.connect() as connection:
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        if not self.is_postgresql and revision == "head":
            with self.engine.begin() as connection:
                typical.tell(connection)
            self.engine.dispose()  # who is connected already goes by what was there before

    def probe_write(self) -> None:
        """Commit a write that changes nothing. Errors: DBAPIError, for example on a full disk."""
        # On SQLite this writes the header page again; on PostgreSQL it writes a commit record.
        statement = "SELECT pg_current_xact_id()" if self.is_postgresql else "PRAGMA user_version = 0"
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def is_current(self) -> bool:
        """Whether the schema is the one that this code was written for."""
        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == newest_revision()


def newest_revision() -> str | None:
    """The revision that the migrations lead to."""
    return ScriptDirectory.from_config(_alembic()).get_current_head()


def serialise(session: Session, *words: object) -> None:
    """Let only one transaction at a time pass with these words; the others wait until it ends.

    SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        digest = hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=8).digest()
        session.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": int.from_bytes(digest, "big", signed=True)}
        )


def notify(session: Session, channel: str) -> None:
    """Wake whoever listens on ``channel`` when this transaction commits.

    On SQLite nothing is needed: a watcher sees ``PRAGMA data_version`` move.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


def word_for_word(words: str) -> ColumnElement[bool]:
    """A condition as a partial index has it, so that SQLite sees that it fits; never what somebody typed."""
    return cast(ColumnElement[bool], literal_column(f"({words})"))


def id_at(prefix: str, when: datetime, *, last: bool = False) -> str:
    """The first or the last id of its millisecond. Ids sort by time, so a time is a place among them."""
    stamp = str(ULID.from_timestamp(max(when.timestamp(), 0.0)))[:10]
    return f"{prefix}_{stamp}{('Z' if last else '0') * 16}"


def mentions(session: Session, body: Any, words: str) -> ColumnElement[bool]:
    """Whether the words stand in a column of bytes; case does not count within ASCII."""
    if session.get_bind().dialect.name != "postgresql":
        # SQLite's LIKE is deaf to case in ASCII by itself.
        return cast(ColumnElement[bool], body.cast(Text).contains(words, autoescape=True))
    # The bytes need not be UTF-8, so they are compared as PostgreSQL spells them, and the words likewise.
    spelled = "".join(_spelled(byte) for byte in words.encode())
    return func.encode(body.cast(BYTEA), "escape").icontains(spelled, autoescape=True)


def _spelled(byte: int) -> str:
    """A byte in PostgreSQL's `escape` format."""
    if byte == ord("\\"):
        return "\\\\"
    return chr(byte) if 0 < byte < 128 else f"\\{byte:03o}"


def follow_clock(connection: Connection) -> None:
    """On PostgreSQL, let the clock follow the server's; for who holds a connection for long."""
    if connection.dialect.name == "postgresql":
        _measure_clock(connection.connection.driver_connection, end=False)


def _measure_clock(connection: Any, *_: object, end: bool = True) -> None:
    if not clock.wants_measure():
        return
    asked_at = clock.ticks()
    (said,) = connection.execute("SELECT clock_timestamp()").fetchone()
    clock.follow(said, asked_at=asked_at, told_at=clock.ticks())
    if end:
        connection.rollback()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
        event.listen(engine, "checkout", _measure_clock)
        return engine
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=10, max_overflow=20)
    event.listen(engine, "connect", _open_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: _begin_sqlite does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    how = cast(str, connection.get_execution_options().get("sqlite_begin", "DEFERRED"))
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    try:
        # Straight to the driver: what SQLAlchemy does around a statement costs more than this one.
        driver.execute(f"BEGIN {how}")
    except sqlite3.Error as error:
        raise DBAPIError.instance("BEGIN", None, error, sqlite3.Error, dialect=connection.dialect) from error
