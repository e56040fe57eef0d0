"""Waking the delivery worker immediately: LISTEN/NOTIFY on PostgreSQL, ``PRAGMA data_version`` on SQLite."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from app.db import Database
from app.delivery.service import CHANNEL

log = logging.getLogger(__name__)

DATA_VERSION_SECONDS = 0.005
"""How often to check whether another connection wrote to the SQLite file; a check takes about 3 µs."""
LISTEN_SECONDS = 0.5
RECONNECT_SECONDS = 1.0


class Wakeup(Protocol):
    """Tells whether messages may have become due."""

    interval: float
    """Seconds between two calls of ``changed``."""

    def changed(self) -> bool:
        """Whether another connection wrote since the last call."""

    def close(self) -> None:
        """Stop."""


def wakeup_for(database: Database, connection: Connection, notify: Callable[[], None]) -> Wakeup:
    """The wake-up for this database. On PostgreSQL a thread calls ``notify``."""
    if database.is_postgresql:
        return _Listen(database.url, notify)
    return _DataVersion(connection)


class _DataVersion:
    """SQLite: the data version changes when another connection commits, not by our own commits."""

    interval = DATA_VERSION_SECONDS

    def __init__(self, connection: Connection) -> None:
        # The driver's connection, because SQLAlchemy would begin a transaction.
        self._driver: Any = connection.connection.driver_connection
        self._version = self._read()

    def _read(self) -> int:
        return int(self._driver.execute("PRAGMA data_version").fetchone()[0])

    def changed(self) -> bool:
        previous, self._version = self._version, self._read()
        return previous != self._version

    def close(self) -> None:
        pass


class _Listen:
    """PostgreSQL: a thread that listens. While its connection is broken, the worker polls."""

    interval = 60.0

    def __init__(self, url: str, notify: Callable[[], None]) -> None:
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._notify = notify
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="listen", daemon=True).start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._notify()  # for what was sent before we listened
                    while not self._stop.is_set():
                        for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                            self._notify()
            except psycopg.Error as error:
                log.warning("cannot listen, polling instead: %s", error)
                self._stop.wait(RECONNECT_SECONDS)

    def changed(self) -> bool:
        return False

    def close(self) -> None:
        self._stop.set()
