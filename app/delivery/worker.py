"""The deliverer: claim what is due, POST it with no transaction open, record what came of it.

One thread talks to the database; as many senders as asked for talk to partners. A claim is never wider than
the senders that are idle, so "sending" is the truth, and a kill duplicates at most one message a sender.
"""

from __future__ import annotations

import logging
import queue
import random
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from app import clock
from app.db import Database, follow_clock
from app.delivery.claiming import LEASE_MARGIN_SECONDS, Claimed, Lease, Taken, take
from app.delivery.http_client import Sender
from app.delivery.lost import Search
from app.delivery.oauth import send
from app.delivery.prepared import CONNECTION
from app.delivery.presence import Presence, presence_for
from app.delivery.recording import Finished, record, repair, without_answer
from app.delivery.redaction import without_secrets
from app.delivery.result_queue import News
from app.delivery.retry_policy import Step, judge
from app.delivery.wakeup import Wake, wake_for

log = logging.getLogger(__name__)

FALLBACK_SECONDS = 1.0
"""How long a wake-up may be missed before the deliverer looks by itself."""
DATABASE_AWAY_SECONDS = 1.0
COALESCE_SECONDS = 0.004
"""How long results wait for each other, where several messages are under way."""
ENOUGH = 8
"""So many results are worth a commit of their own."""
GIVE_UP_SECONDS = 20.0
"""How long a deliverer that was told to stop waits for a database that is away."""
SEARCH_SECONDS = 1.0
"""How often to look for messages whose deliverer is gone."""
AWAY = (SQLAlchemyError, sqlite3.Error, psycopg.Error)
"""What a database raises that is away, locked or full; nothing was sent or lost by it."""
TOO_MUCH = "54"
"""The class of PostgreSQL's errors that say that a value is too large, for an index for instance."""
NOTHING = Taken([], None)
COUNTED = {Step.DELIVERED: "delivered", Step.RETRY: "retried", Step.REFUSED: "refused", Step.FAILED: "failed"}


class NotKept(SQLAlchemyError):
    """The database is there and refuses something in a result: an answer with what it cannot keep."""


class Deliverer:
    """Delivers until told to stop. Several may run, on one machine or many: claims exclude each other."""

    def __init__(
        self, database: Database, *, senders: int, lease_margin: float = LEASE_MARGIN_SECONDS
    ) -> None:
        """``senders`` messages may be under way at once; ``lease_margin`` is in seconds."""
        self._database = database
        self._senders = senders
        self._lease_margin = lease_margin
        self._work: queue.SimpleQueue[Claimed | None] = queue.SimpleQueue()
        self._news = News()
        self._in_hand: dict[tuple[str, str], Claimed] = {}
        """By id and lease: after a resend a message may be claimed anew before its earlier try ended."""
        self._unrecorded: list[Finished] = []
        self._presence: Presence | None = None
        self._search: Search | None = None
        self._searched_at = float("-inf")
        self.counts: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; then finish what is in flight and claim nothing new."""
        with self._at_work():
            give_up_at: float | None = None
            while not (stop.is_set() and not self._in_hand):
                try:
                    self._watch(stop)
                except AWAY as error:
                    log.warning("the database is away, trying again: %s", getattr(error, "orig", error))
                    if stop.is_set():
                        give_up_at = give_up_at or time.monotonic() + GIVE_UP_SECONDS
                        if time.monotonic() > give_up_at:
                            log.error("stopping with %d results unrecorded", len(self._in_hand))
                            return
                    time.sleep(DATABASE_AWAY_SECONDS)

    def drain(self) -> Counter[str]:
        """Deliver all that is due now, and return how many were delivered, retried, refused and failed."""
        with self._at_work(), self._database.engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin="IMMEDIATE")
            self._tick(connection, claiming=True)
            while self._in_hand:
                self._news.wait()
                self._collect()
                self._tick(connection, claiming=True)
        return self.counts

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Senders running, and the proof of life held."""
        threads = [
            threading.Thread(target=self._send, name=f"sender-{number}", daemon=True)
            for number in range(self._senders)
        ]
        self._presence = presence_for(self._database)
        self._search = Search(self._presence)
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for _ in threads:
                self._work.put(None)
            self._presence.close()

    def _send(self) -> None:
        with Sender() as sender:
            while (claimed := self._work.get()) is not None:
                grant = claimed.credentials.grant
                outcome = send(sender, claimed.target, claimed.body, claimed.headers, grant)
                ended_at = clock.now()
                verdict = judge(
                    outcome,
                    tries=claimed.tries + 1,
                    schedule=claimed.schedule,
                    success_codes=claimed.success_codes,
                    object_id=claimed.object_id,
                    after_unknown=claimed.after_unknown,
                    jitter=random.random(),  # noqa: S311 - spreads retries, hides nothing
                    now=ended_at,
                )
                outcome, verdict = without_secrets(outcome, verdict, claimed.credentials)
                self._news.tell(Finished(claimed, outcome, verdict, ended_at))

    def _watch(self, stop: threading.Event) -> None:
        """Tick whenever something changed, something is due or something came back."""
        with self._database.engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin="IMMEDIATE")
            wake = wake_for(self._database, connection, self._news)
            try:
                while True:
                    due_in = self._tick(connection, claiming=not stop.is_set())
                    if stop.is_set() and not self._in_hand:
                        return
                    self._wait(wake, min(due_in, FALLBACK_SECONDS), stop)
            finally:
                wake.close()

    def _wait(self, wake: Wake, seconds: float, stop: threading.Event) -> None:
        until = time.monotonic() + seconds
        was_stopped = stop.is_set()
        while (left := until - time.monotonic()) > 0:
            if self._news.wait(min(left, wake.interval)):
                self._collect()
                return
            if wake.changed() or stop.is_set() != was_stopped:
                return

    def _collect(self) -> None:
        """Take all news: those of a few messages together, so that one commit records them.

        It waits a moment for them; of many, half are enough, and the other half works on meanwhile.
        """
        under_way = len(self._in_hand)
        enough = min(max(under_way // 2, ENOUGH), under_way)
        self._unrecorded += self._news.gather(enough, COALESCE_SECONDS)

    def _tick(self, connection: Connection, *, claiming: bool) -> float:
        """Record what came back and claim for who is idle, in one commit.

        One odd answer must not keep all results from being recorded, again and again: it loses its texts.
        Returns the seconds until something is due.
        """
        try:
            return self._in_one_commit(connection, claiming=claiming)
        except NotKept as refused:
            log.error("an answer cannot be kept and is left out: %s", refused)
            self._unrecorded = self._without_odd(connection)
            return self._in_one_commit(connection, claiming=claiming)

    def _in_one_commit(self, connection: Connection, *, claiming: bool) -> float:
        idle = self._senders - len(self._in_hand) + len(self._unrecorded) if claiming else 0
        # The transaction is the connection's; a session that only looks on costs less than one of its own.
        with connection.begin(), self._session(connection) as session:
            follow_clock(connection)
            now = clock.now()
            _record(session, self._unrecorded, now)
            self._look_for_lost(session, now)
            taken = take(session, idle, now, self._lease(), self._busy_with()) if idle else NOTHING
            session.flush()
        for finished in self._unrecorded:
            self.counts[COUNTED[finished.verdict.step]] += 1
            del self._in_hand[finished.claimed.id, finished.claimed.token]
        self._unrecorded = []
        self._hand_over(taken.claimed)
        if taken.again_at is None:
            return FALLBACK_SECONDS
        return max((taken.again_at - now).total_seconds(), 0.0)

    def _session(self, connection: Connection) -> Session:
        return Session(connection, info={**self._database.info, CONNECTION: connection})

    def _without_odd(self, connection: Connection) -> list[Finished]:
        """What came back, but without the texts of what cannot be kept: each is tried alone and undone."""
        odd = [one for one in self._unrecorded if not self._is_kept(connection, one)]
        return [without_answer(one) if one in (odd or self._unrecorded) else one for one in self._unrecorded]

    def _is_kept(self, connection: Connection, finished: Finished) -> bool:
        try:
            with connection.begin() as tried, self._session(connection) as session:
                _record(session, [finished], clock.now())
                tried.rollback()
        except NotKept:
            return False
        return True

    def _busy_with(self) -> Counter[int]:
        """How many messages of each partner are on their way."""
        busy = Counter(one.partner_id for one in self._in_hand.values())
        busy.subtract(finished.claimed.partner_id for finished in self._unrecorded)
        return busy

    def _lease(self) -> Lease:
        token = self._presence.token() if self._presence else secrets.token_hex(8)
        return Lease(token, self._lease_margin)

    def _look_for_lost(self, session: Session, now: datetime) -> None:
        if self._search is None or time.monotonic() < self._searched_at + SEARCH_SECONDS:
            return
        lost = self._search.look(session, now, self._in_hand, margin=self._lease_margin)
        if lost and (count := repair(session, now, lost)):
            log.warning("%d messages lost their deliverer and go out again", count)
        self._searched_at = time.monotonic()

    def _hand_over(self, claimed: Sequence[Claimed]) -> None:
        """Give the senders what is claimed and committed."""
        for one in claimed:
            self._in_hand[one.id, one.token] = one
            self._work.put(one)


def _record(session: Session, finished: Sequence[Finished], now: datetime) -> None:
    """Record these. Errors: NotKept for what this very database will never take, else those of ``AWAY``."""
    try:
        record(session, finished, now)
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or ""
        if isinstance(error, DataError) or code.startswith(TOO_MUCH):
            raise NotKept(str(error.orig)) from error
        raise
