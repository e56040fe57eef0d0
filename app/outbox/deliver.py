"""The deliverer: claim what is due, POST it with no transaction open, record what came of it.

One thread talks to the database; as many senders as asked for talk to partners. A claim is never wider than
the senders that are idle, so "sending" is the truth, and a kill duplicates at most one message a sender.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.outbox.claim import Claimed, claim, next_due
from app.outbox.oauth import send
from app.outbox.post import Sender
from app.outbox.record import Finished, record, repair
from app.outbox.retry import Step, judge
from app.outbox.wake import Wake, wake_for

log = logging.getLogger(__name__)

FALLBACK_SECONDS = 1.0
"""How long a wake-up may be missed before the deliverer looks by itself."""
CROWDED_SECONDS = 0.25
"""How long to wait where something is due that other deliverers or a partner's limit keep from us."""
DATABASE_AWAY_SECONDS = 1.0
COUNTED = {Step.DELIVERED: "delivered", Step.RETRY: "retried", Step.REFUSED: "refused", Step.FAILED: "failed"}


class Deliverer:
    """Delivers until told to stop. Several may run, on one machine or many: claims exclude each other."""

    def __init__(self, database: Database, *, senders: int) -> None:
        self._database = database
        self._senders = senders
        self._work: queue.SimpleQueue[Claimed | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()
        self._in_flight = 0
        self._unrecorded: list[Finished] = []
        self.counts: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; then finish what is in flight and claim nothing new."""
        threads = self._start_senders()
        try:
            while not (stop.is_set() and self._in_flight == 0 and not self._unrecorded):
                try:
                    self._watch(stop)
                except DBAPIError as error:
                    log.warning("the database is away, trying again: %s", error.orig)
                    stop.wait(DATABASE_AWAY_SECONDS)
        finally:
            self._stop_senders(threads)

    def drain(self) -> Counter[str]:
        """Deliver all that is due now, and return how many were delivered, retried, refused and failed."""
        threads = self._start_senders()
        try:
            with self._database.engine.connect() as connection:
                connection = connection.execution_options(sqlite_begin="IMMEDIATE")
                self._tick(connection, claiming=True)
                while self._in_flight or self._unrecorded:
                    self._collect(self._news.get())
                    self._tick(connection, claiming=True)
        finally:
            self._stop_senders(threads)
        return self.counts

    def _start_senders(self) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._send, name=f"sender-{number}", daemon=True)
            for number in range(self._senders)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _stop_senders(self, threads: Sequence[threading.Thread]) -> None:
        for _ in threads:
            self._work.put(None)

    def _send(self) -> None:
        with Sender() as sender:
            while (claimed := self._work.get()) is not None:
                grant = claimed.credentials.grant
                outcome = send(sender, claimed.target, claimed.body, claimed.headers, grant)
                verdict = judge(
                    outcome,
                    tries=claimed.tries + 1,
                    schedule=claimed.schedule,
                    success_codes=claimed.success_codes,
                    object_id=claimed.object_id,
                    after_unknown=claimed.after_unknown,
                    jitter=random.random(),  # noqa: S311 - spreads retries, hides nothing
                )
                self._news.put(Finished(claimed, outcome, verdict, clock.now()))

    def _watch(self, stop: threading.Event) -> None:
        """Tick whenever something changed, something is due or something came back."""
        with self._database.engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin="IMMEDIATE")
            wake = wake_for(self._database, connection, self._news)
            try:
                while True:
                    due_in = self._tick(connection, claiming=not stop.is_set())
                    if stop.is_set() and self._in_flight == 0:
                        return
                    self._wait(wake, min(due_in, FALLBACK_SECONDS), stop)
            finally:
                wake.close()

    def _wait(self, wake: Wake, seconds: float, stop: threading.Event) -> None:
        until = time.monotonic() + seconds
        was_stopped = stop.is_set()
        while (left := until - time.monotonic()) > 0:
            try:
                self._collect(self._news.get(timeout=min(left, wake.interval)))
                return
            except queue.Empty:
                if wake.changed() or stop.is_set() != was_stopped:
                    return

    def _collect(self, first: Finished | None) -> None:
        """Take one piece of news and all others that are there, so that one commit records them."""
        news = [first]
        while not self._news.empty():
            news.append(self._news.get())
        came = [finished for finished in news if finished is not None]
        self._in_flight -= len(came)
        self._unrecorded += came

    def _tick(self, connection: Connection, *, claiming: bool) -> float:
        """Record what came back and claim for who is idle, in one commit.

        Returns the seconds until something is due.
        """
        idle = self._senders - self._in_flight if claiming else 0
        now = clock.now()
        with Session(connection, info={"followers": self._database.followers}) as session:
            record(session, self._unrecorded, now)
            repair(session, now)
            claimed = claim(session, idle, now) if idle else []
            due_at = next_due(session)
            session.commit()
        for finished in self._unrecorded:
            self.counts[COUNTED[finished.verdict.step]] += 1
        self._unrecorded = []
        self._in_flight += len(claimed)
        for one in claimed:
            self._work.put(one)
        if due_at is None:
            return FALLBACK_SECONDS
        return max((due_at - now).total_seconds(), CROWDED_SECONDS if not claimed else 0.0)
