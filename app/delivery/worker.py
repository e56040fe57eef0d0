"""The delivery worker: claim due messages, send each without an open transaction, record the results.

One thread uses the database; ``senders`` threads make HTTP calls. The worker never claims more than its idle
senders, so the state Sending is accurate, and a crash repeats at most one message per sender.
"""

from __future__ import annotations

import logging
import queue
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from app import clock
from app.db import Database, follow_clock
from app.delivery.call_result import CallResult
from app.delivery.claiming import LEASE_MARGIN_SECONDS, ClaimedMessage, ClaimResult, claim
from app.delivery.http_client import Sender
from app.delivery.oauth import send
from app.delivery.recording import AttemptResult, reclaim_expired, record_results, without_response
from app.delivery.redaction import without_secrets
from app.delivery.retry_policy import Step, judge
from app.delivery.wakeup import Wakeup, wakeup_for

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often to claim when no wake-up comes."""
GATHER_SECONDS = 0.005
GATHER_MAX = 16
"""How long results wait for others, and how many results end the wait."""
RECLAIM_SECONDS = 1.0
"""How often to look for leases that have ended."""
RECONNECT_SECONDS = 1.0
STOP_SECONDS = 20.0
"""How long a stopping worker waits for an unavailable database to record its last results."""
DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, psycopg.Error)
"""What an unavailable, locked or full database raises. The transaction is repeated."""
PROGRAM_LIMIT_EXCEEDED = "54"
"""The class of PostgreSQL's errors for values that are too large, for example for an index."""
COUNT_NAMES = {
    Step.DELIVERED: "delivered",
    Step.RETRY: "retried",
    Step.REFUSED: "refused",
    Step.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message whose HTTP call has ended."""

    claimed: ClaimedMessage
    call_result: CallResult
    ended_at: datetime


class Unstorable(SQLAlchemyError):
    """A response holds a value that the database cannot store; repeating would not help."""


class ResultBox:
    """Sent messages on their way from the senders to the thread that records them.

    That thread is woken once for a batch: each time it wakes, it takes the interpreter from the senders.
    """

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._results: list[Sent] = []
        self._awaited = 1
        self._woken = False

    def put(self, result: Sent) -> None:
        """Add a result, and end the wait if it is for no more than there are now."""
        with self._arrived:
            self._results.append(result)
            if len(self._results) >= self._awaited:
                self._arrived.notify()

    def wake(self) -> None:
        """End the wait without a result."""
        with self._arrived:
            self._woken = True
            self._arrived.notify()

    def wait(self, count: int, seconds: float | None) -> bool:
        """Wait for ``count`` results or a wake-up; False if ``seconds`` passed without."""
        with self._arrived:
            self._awaited = count
            return self._arrived.wait_for(lambda: self._woken or len(self._results) >= count, seconds)

    def take(self) -> list[Sent]:
        """Remove and return the results."""
        with self._arrived:
            results, self._results, self._woken = self._results, [], False
        return results


class DeliveryWorker:
    """Delivers messages until told to stop. Any number may run, on one machine or several."""

    def __init__(
        self, database: Database, *, senders: int, lease_margin: float = LEASE_MARGIN_SECONDS
    ) -> None:
        """``senders`` is the number of concurrent HTTP calls; ``lease_margin`` is in seconds."""
        self._database = database
        self._senders = senders
        self._lease_margin = lease_margin
        self._work: queue.SimpleQueue[ClaimedMessage | None] = queue.SimpleQueue()
        self._results = ResultBox()
        self._in_flight: dict[tuple[str, str], ClaimedMessage] = {}
        """By id and lease token: a message may be claimed again before its expired attempt ends."""
        self._unrecorded: list[AttemptResult] = []
        self._reclaimed_at = float("-inf")
        self.counts: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; then record what is in flight and claim nothing new."""
        with self._running_senders():
            give_up_at: float | None = None
            while not (stop.is_set() and not self._in_flight):
                try:
                    self._deliver_until(stop)
                except DATABASE_ERRORS as error:
                    log.warning("the database is unavailable, retrying: %s", getattr(error, "orig", error))
                    if stop.is_set():
                        give_up_at = give_up_at or time.monotonic() + STOP_SECONDS
                        if time.monotonic() > give_up_at:
                            log.error("stopping with %d results unrecorded", len(self._in_flight))
                            return
                    time.sleep(RECONNECT_SECONDS)

    def drain(self) -> Counter[str]:
        """Deliver all that is due now; returns how many were delivered, retried, refused and failed."""
        with self._running_senders(), self._connection() as connection:
            self._tick(connection, claiming=True)
            while self._in_flight:
                self._wait_for_results()
                self._tick(connection, claiming=True)
        return self.counts

    @contextmanager
    def _running_senders(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._send, name=f"sender-{number}", daemon=True)
            for number in range(self._senders)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for _ in threads:
                self._work.put(None)

    def _send(self) -> None:
        """Send claimed messages: the loop of one sender thread."""
        with Sender() as sender:
            while (claimed := self._work.get()) is not None:
                grant = claimed.credentials.grant
                result = send(sender, claimed.target, claimed.body, claimed.headers, grant)
                self._results.put(Sent(claimed, result, clock.now()))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._database.engine.connect() as connection:
            yield connection.execution_options(sqlite_begin="IMMEDIATE")

    def _deliver_until(self, stop: threading.Event) -> None:
        """Tick after each result and wake-up, and when something is due. Errors: ``DATABASE_ERRORS``."""
        with self._connection() as connection:
            wakeup = wakeup_for(self._database, connection, self._results.wake)
            try:
                while True:
                    due_in = self._tick(connection, claiming=not stop.is_set())
                    if stop.is_set() and not self._in_flight:
                        return
                    self._wait(wakeup, min(due_in, POLL_SECONDS), stop)
            finally:
                wakeup.close()

    def _wait(self, wakeup: Wakeup, seconds: float, stop: threading.Event) -> None:
        until = time.monotonic() + seconds
        was_stopped = stop.is_set()
        while (remaining := until - time.monotonic()) > 0:
            if self._wait_for_results(min(remaining, wakeup.interval)):
                return
            if wakeup.changed() or stop.is_set() != was_stopped:
                return

    def _wait_for_results(self, seconds: float | None = None) -> bool:
        """Wait for a result and take those that follow within ``GATHER_SECONDS``; False if there is none.

        One commit records them together, which costs much less than a commit for each.
        """
        if not self._results.wait(1, seconds):
            return False
        self._results.wait(min(len(self._in_flight), GATHER_MAX), GATHER_SECONDS)
        self._unrecorded += [_judged(sent) for sent in self._results.take()]
        return True

    def _tick(self, connection: Connection, *, claiming: bool) -> float:
        """Record the results and claim for idle senders; returns the seconds until something is due.

        A response that cannot be stored is recorded without its text, so that it never blocks others.
        """
        try:
            return self._record_and_claim(connection, claiming=claiming)
        except Unstorable as error:
            log.error("a response cannot be stored and is left out: %s", error)
            self._unrecorded = self._without_unstorable(connection)
            return self._record_and_claim(connection, claiming=claiming)

    def _record_and_claim(self, connection: Connection, *, claiming: bool) -> float:
        idle = self._senders - len(self._in_flight) + len(self._unrecorded) if claiming else 0
        claimed = ClaimResult([], None)
        with self._transaction(connection) as session:
            follow_clock(connection)
            now = clock.now()
            _record(session, self._unrecorded, now)
            self._reclaim(session, now)
            if idle:
                claimed = claim(
                    session,
                    idle,
                    now,
                    lease_margin=self._lease_margin,
                    in_flight=self._in_flight_by_partner(),
                )
            session.flush()
        self._forget_recorded()
        self._start_sending(claimed.messages)
        if claimed.check_again_at is None:
            return POLL_SECONDS
        return max((claimed.check_again_at - now).total_seconds(), 0.0)

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Session]:
        with connection.begin(), self._database.session_on(connection) as session:
            yield session

    def _forget_recorded(self) -> None:
        for result in self._unrecorded:
            self.counts[COUNT_NAMES[result.verdict.step]] += 1
            del self._in_flight[result.claimed.id, result.claimed.token]
        self._unrecorded = []

    def _without_unstorable(self, connection: Connection) -> list[AttemptResult]:
        """The unrecorded results, without the partner's text those that fail alone or, if none does, all."""
        unstorable = [result for result in self._unrecorded if not self._is_storable(connection, result)]
        return [
            without_response(result) if result in (unstorable or self._unrecorded) else result
            for result in self._unrecorded
        ]

    def _is_storable(self, connection: Connection, result: AttemptResult) -> bool:
        try:
            with self._transaction(connection) as session:
                _record(session, [result], clock.now())
                connection.rollback()
        except Unstorable:
            return False
        return True

    def _in_flight_by_partner(self) -> Counter[int]:
        counts = Counter(message.partner_id for message in self._in_flight.values())
        counts.subtract(result.claimed.partner_id for result in self._unrecorded)
        return counts

    def _reclaim(self, session: Session, now: datetime) -> None:
        if time.monotonic() < self._reclaimed_at + RECLAIM_SECONDS:
            return
        if count := reclaim_expired(session, now):
            log.warning("%d messages had an expired lease and were released", count)
        self._reclaimed_at = time.monotonic()

    def _start_sending(self, claimed: Sequence[ClaimedMessage]) -> None:
        for message in claimed:
            self._in_flight[message.id, message.token] = message
            self._work.put(message)


def _judged(sent: Sent) -> AttemptResult:
    """The result of the attempt.

    Judged in this thread: sender threads compete for the interpreter and take four times as long.
    """
    claimed = sent.claimed
    verdict = judge(
        sent.call_result,
        attempts=claimed.automatic_attempts + 1,
        schedule=claimed.schedule,
        success_codes=claimed.success_codes,
        object_id=claimed.object_id,
        after_unknown=claimed.after_unknown,
        jitter=random.random(),  # noqa: S311 - spreads retries, hides nothing
        now=sent.ended_at,
    )
    result, verdict = without_secrets(sent.call_result, verdict, claimed.credentials.secrets)
    return AttemptResult(claimed, result, verdict, sent.ended_at)


def _record(session: Session, results: Sequence[AttemptResult], now: datetime) -> None:
    """Record these. Errors: Unstorable, else ``DATABASE_ERRORS``."""
    try:
        record_results(session, results, now)
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or ""
        if isinstance(error, DataError) or code.startswith(PROGRAM_LIMIT_EXCEEDED):
            raise Unstorable(str(error.orig)) from error
        raise
