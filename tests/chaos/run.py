"""One chaos run: messages, workers that are killed repeatedly, and the counts afterwards."""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from app.db import Database, encryption
from app.delivery.models import LIVE, Attempt, Message, MessageState
from app.delivery.retry_policy import Reason
from app.delivery.service import resend
from tests.chaos import child, receiver

REMAINING_MIN = 100
"""With fewer messages left, no worker is killed: the same messages would be interrupted each time."""
PATIENCE_SECONDS = 120.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.chaos.child"])


@dataclass(frozen=True)
class Plan:
    """Options: the number of kills, half at the points and half at random, and of workers."""

    kills: int
    senders: int = 8
    deliverers: int = 2
    max_lifetime_seconds: float = 0.25
    lease_margin_seconds: float = 1.0


@dataclass
class Counts:
    """The result of a run.

    ``lost``: never received. ``unsettled``: received, but not recorded as delivered. ``parked``: interrupted
    five times in a row and resent by a person. ``duplicates``: requests beyond the first of a message.
    ``changed``: requests with an unknown ID or other bytes. ``unlogged``: requests without an attempt.
    """

    messages: int
    kills: int = 0
    kills_at: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    unsettled: int = 0
    parked: int = 0
    duplicates: int = 0
    duplicates_per_kill: float = 0.0
    changed: int = 0
    unlogged: int = 0
    interrupted_attempts: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The counts for the output."""
        return asdict(self)


@contextmanager
def partner_that_records(folder: Path) -> Iterator[tuple[str, Path]]:
    """The receiver in its own process; gives its base URL and its record."""
    record = folder / "received"
    record.touch()
    process = subprocess.Popen(
        [sys.executable, str(Path(receiver.__file__)), str(record)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", record
    finally:
        process.kill()
        process.wait()


def start(url: str, options: dict[str, Any], point: str | None, passes: int = 1) -> BaseProcess:
    """A process with a ``DeliveryWorker`` that dies at ``point``, if set."""
    process = _processes.Process(
        target=child.run, args=(url, options, point, passes, encryption._Keys.fernet), daemon=True
    )
    process.start()
    return process


class _Worker:
    """One worker process, from its start to its end."""

    def __init__(self, url: str, plan: Plan, *, is_killed: bool) -> None:
        self.how = random.choice([*child.POINTS, *["at random"] * len(child.POINTS)]) if is_killed else ""
        point = self.how if self.how in child.POINTS else None
        passes = random.randint(1, 3 if point in ("after the claim", "during connect") else 12)
        options = {"senders": plan.senders, "lease_margin": plan.lease_margin_seconds}
        self.process = start(url, options, point, passes)
        started = time.monotonic()
        self.until = started + random.uniform(0.02, plan.max_lifetime_seconds) if is_killed else float("inf")
        if point is not None:
            self.until = started + 5.0  # in case it never passes the point

    def is_over(self) -> bool:
        """Whether it ended. Kills it after its time."""
        if time.monotonic() > self.until:
            self.how = "at random"
            self.process.kill()
            self.process.join()
        return not self.process.is_alive()


def run_chaos(database: Database, record: Path, plan: Plan) -> Counts:
    """Deliver all messages while workers are killed; then deliver the rest without kills."""
    started_at = time.monotonic()
    with database.reading() as session:
        counts = Counts(messages=session.scalar(select(func.count()).select_from(Message)) or 0)
    url = database.url
    workers = [_Worker(url, plan, is_killed=True) for _ in range(plan.deliverers)]
    kills: Counter[str] = Counter()
    while _remaining(database) and time.monotonic() < started_at + PATIENCE_SECONDS + plan.kills:
        for index, worker in enumerate(workers):
            if worker.is_over():
                assert worker.process.exitcode == -9, worker.process.exitcode
                kills[worker.how] += 1
                kill_next = (
                    kills.total() + plan.deliverers <= plan.kills and _remaining(database) > REMAINING_MIN
                )
                workers[index] = _Worker(url, plan, is_killed=kill_next)
        time.sleep(0.005)
    counts.parked = _resend_interrupted(database)
    workers.append(_Worker(url, plan, is_killed=False))
    while _remaining(database) and time.monotonic() < started_at + PATIENCE_SECONDS + plan.kills:
        time.sleep(0.005)
    for worker in workers:
        worker.process.terminate()
        worker.process.join(30)
    counts.kills, counts.kills_at = kills.total(), dict(sorted(kills.items()))
    count(database, record, counts)
    counts.seconds = round(time.monotonic() - started_at, 1)
    return counts


def _remaining(database: Database) -> int:
    try:
        with database.reading() as session:
            return session.scalar(select(func.count()).where(Message.state.in_(LIVE))) or 0
    except OperationalError:
        return 1  # the database is busy: messages remain


def _resend_interrupted(database: Database) -> int:
    """Resend messages that failed after too many interruptions; returns how many."""
    waits = (Message.state == MessageState.FAILED, Message.reason == Reason.INTERRUPTED.value)
    with database.writing() as session:
        messages = session.scalars(select(Message).where(*waits).with_for_update()).all()
        for message in messages:
            resend(session, message, by="Ravi", reason="checked")
        session.commit()
    return len(messages)


def count(database: Database, record: Path, counts: Counts) -> Counts:
    """Count the results from the partner's record and the database."""
    received = [tuple(line.split()) for line in record.read_text().splitlines()]
    times = Counter(message_id for message_id, _ in received)
    with database.reading() as session:
        rows = {
            row.id: row for row in session.execute(select(Message.id, Message.state, Message.body_sha256))
        }
        attempts: dict[str, int] = dict(
            session.execute(select(Attempt.message_id, func.count()).group_by(Attempt.message_id)).all()
        )
        counts.interrupted_attempts = (
            session.scalar(select(func.count()).where(Attempt.outcome == Reason.INTERRUPTED.value)) or 0
        )
    counts.lost = sum(message_id not in times for message_id in rows)
    counts.unsettled = sum(row.state is not MessageState.DELIVERED for row in rows.values())
    counts.duplicates = sum(times.values()) - len(times)
    counts.duplicates_per_kill = round(counts.duplicates / max(counts.kills, 1), 2)
    counts.changed = sum(
        message_id not in rows or rows[message_id].body_sha256 != digest for message_id, digest in received
    )
    counts.unlogged = sum(max(0, times[message_id] - attempts.get(message_id, 0)) for message_id in times)
    return counts
