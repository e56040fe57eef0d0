"""Waking the deliverer at once: what differs between SQLite and PostgreSQL."""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from app.db import Database
from app.delivery.result_queue import News
from app.delivery.service import CHANNEL

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.005
"""How often to look whether another connection wrote to the SQLite file; a look costs some 3 µs."""
LISTEN_SECONDS = 0.5
RECONNECT_SECONDS = 1.0


class Wake(Protocol):
    """Says whether something may have become due."""

    interval: float
    """Seconds after which ``changed`` wants to be asked again."""

    def changed(self) -> bool:
        """Whether somebody wrote since the last look."""

    def close(self) -> None:
        """Stop looking."""


def wake_for(database: Database, connection: Connection, news: News) -> Wake:
    """The wake for this database. On PostgreSQL a notice nudges who waits for ``news``."""
    if database.is_postgresql:
        return _Listen(database.url, news)
    return _DataVersion(connection)


class _DataVersion:
    """SQLite: the data version moves when another connection commits, never by our own commits."""

    interval = LOOK_SECONDS

    def __init__(self, connection: Connection) -> None:
        # Beneath SQLAlchemy, which would begin a transaction.
        self._driver: Any = connection.connection.driver_connection
        self._seen = self._look()

    def _look(self) -> int:
        return int(self._driver.execute("PRAGMA data_version").fetchone()[0])

    def changed(self) -> bool:
        seen, self._seen = self._seen, self._look()
        return seen != self._seen

    def close(self) -> None:
        pass


class _Listen:
    """PostgreSQL: a thread that listens; where the connection breaks, the deliverer's own looks go on."""

    interval = 60.0

    def __init__(self, url: str, news: News) -> None:
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._news = news
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="listen", daemon=True).start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._news.nudge()  # what was sent before we listened
                    while not self._stop.is_set():
                        for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                            self._news.nudge()
            except psycopg.Error as error:
                log.warning("not listening, looking every second instead: %s", error)
                self._stop.wait(RECONNECT_SECONDS)

    def changed(self) -> bool:
        return False

    def close(self) -> None:
        self._stop.set()
