"""Engines and sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.orm import Session

from app import clock
from app.db import migrations
from app.db.session_settings import SessionSettings

BUSY_MILLISECONDS = 10_000
SOON_MILLISECONDS = 200
"""How long a write that may be skipped waits for SQLite's lock."""
CHECKPOINT_PAGES = 4000
"""Pages of 4 KiB in the write-ahead log before a checkpoint. Checkpoints delay commits, so they are rare."""


class Database:
    """A database and its sessions, which carry ``settings``. Without ``engine`` it creates one."""

    def __init__(
        self, url: str, *, settings: SessionSettings | None = None, engine: Engine | None = None
    ) -> None:
        self.url = url
        self.settings = settings or SessionSettings()
        self.engine = engine or new_engine(url)

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def reading(self) -> Session:
        """A session for reading. On SQLite its transactions take no lock until they write."""
        return self.session_on(self.engine)

    def session_on(self, bind: Engine | Connection) -> Session:
        """A session on an engine or on a connection that is in use."""
        return Session(bind, info={SessionSettings: self.settings}, expire_on_commit=False)

    def writing(self) -> Session:
        """A session for reading and then writing. On SQLite its first transaction begins IMMEDIATE.

        Deferred transactions fail as soon as two of them read before they write. After its commit the
        session behaves like one from ``reading``.
        """
        session = self.reading()
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        return session

    @contextmanager
    def writing_soon(self) -> Iterator[Session]:
        """A session for a write that may be skipped: SQLite waits only briefly for its lock.

        Errors: OperationalError where the lock is held for longer.
        """
        with self.engine.connect() as connection, self.session_on(connection) as session:
            self._set_busy_timeout(connection, SOON_MILLISECONDS)
            try:
                yield session
            finally:
                session.rollback()
                self._set_busy_timeout(connection, BUSY_MILLISECONDS)

    def _set_busy_timeout(self, connection: Connection, milliseconds: int) -> None:
        if not self.is_postgresql:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
            connection.rollback()  # the statement began a transaction

    def snapshot(self) -> Session:
        """A session for reading one moment, whatever others commit between its statements."""
        session = self.reading()
        if self.is_postgresql:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return session

    def upgrade(self, revision: str = "head") -> None:
        """Create the schema or migrate it to ``revision``, then update SQLite's statistics."""
        with self.engine.connect() as connection:
            before = migrations.current_revision(connection)
            connection.rollback()
            migrations.upgrade(connection, revision)
            if before not in (None, migrations.current_revision(connection)):
                connection.rollback()
                self._vacuum(connection)
        if revision == "head":
            self.optimize()

    def _vacuum(self, connection: Connection) -> None:
        """Remove from SQLite's files what a migration deleted, such as unencrypted secrets."""
        if not self.is_postgresql:
            driver = cast(sqlite3.Connection, connection.connection.driver_connection)
            driver.execute("VACUUM")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def probe_write(self) -> None:
        """Commit a write that changes nothing. Errors: DBAPIError, for example on a full disk."""
        # On SQLite this writes the header page again; on PostgreSQL it writes a commit record.
        statement = "SELECT pg_current_xact_id()" if self.is_postgresql else "PRAGMA user_version = 0"
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def is_current(self) -> bool:
        """Whether the schema is the one this code needs."""
        with self.engine.connect() as connection:
            return migrations.current_revision(connection) == migrations.newest_revision()

    def optimize(self) -> None:
        """Update the statistics of SQLite's query planner. PostgreSQL does this automatically.

        ``PRAGMA optimize`` is not enough: before SQLite 3.46 it skips tables not queried on this connection.
        """
        if self.is_postgresql:
            return
        with self.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA analysis_limit = {ANALYSIS_LIMIT}")
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
        self.engine.dispose()  # open connections keep the old statistics


ANALYSIS_LIMIT = 1000
"""Rows per index that ANALYZE reads, so that it takes milliseconds however large the table is."""


def _make_private(path: Path) -> None:
    """Let only the owner read the database. SQLite gives its -wal and -shm files the mode of the database."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(OSError):  # a read-only or foreign file fails later, with a clearer error
        path.touch(mode=0o600)
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if file.exists():
                file.chmod(0o600)


def follow_clock(connection: Connection) -> None:
    """On PostgreSQL, follow the server's clock; for callers that hold a connection for long."""
    if connection.dialect.name == "postgresql":
        _measure_clock(connection.connection.driver_connection, end=False)


def new_engine(url: str) -> Engine:
    """An engine with the pool, pragmas and clock that the app needs."""
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
        event.listen(engine, "checkout", _measure_clock)
        return engine
    _make_private(Path(str(make_url(url).database)))
    engine = create_engine(url, pool_size=10, max_overflow=20)
    event.listen(engine, "connect", _open_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _measure_clock(connection: Any, *_: object, end: bool = True) -> None:
    if not clock.needs_measurement():
        return
    sent_at = clock.ticks()
    (server_time,) = connection.execute("SELECT clock_timestamp()").fetchone()
    clock.follow(server_time, sent_at=sent_at, received_at=clock.ticks())
    if end:
        connection.rollback()


def _open_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # _begin_sqlite begins transactions, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
