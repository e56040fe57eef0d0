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

FEW = 100
"""Messages left, from where on nobody is killed: the same few would be lost again and again."""
PATIENCE_SECONDS = 120.0

_nursery = multiprocessing.get_context("forkserver")
_nursery.set_forkserver_preload(["tests.chaos.child"])


@dataclass(frozen=True)
class Plan:
    """What to do: ``kills`` in all, half of them at the points, half at random, over ``deliverers``."""

    kills: int
    senders: int = 8
    deliverers: int = 2
    longest_life_seconds: float = 0.25
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
        """For printing."""
        return asdict(self)


@contextmanager
def partner_that_records(folder: Path) -> Iterator[tuple[str, Path]]:
    """The receiver in a process of its own: its base URL and its record."""
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
    """A deliverer process with the options of ``DeliveryWorker``, which dies at the point if one is given."""
    process = _nursery.Process(
        target=child.run, args=(url, options, point, passes, encryption._Keys.fernet), daemon=True
    )
    process.start()
    return process


class _Life:
    """One deliverer process, from its start to its death."""

    def __init__(self, url: str, plan: Plan, *, doomed: bool) -> None:
        self.how = random.choice([*child.POINTS, *["at random"] * len(child.POINTS)]) if doomed else ""
        point = self.how if self.how in child.POINTS else None
        passes = random.randint(1, 3 if point in ("after the claim", "during connect") else 12)
        options = {"senders": plan.senders, "lease_margin": plan.lease_margin_seconds}
        self.process = start(url, options, point, passes)
        born = time.monotonic()
        self.until = born + random.uniform(0.02, plan.longest_life_seconds) if doomed else float("inf")
        if point is not None:
            self.until = born + 5.0  # in case its point is never reached

    def is_over(self) -> bool:
        """Whether it died; one whose time has come is killed."""
        if time.monotonic() > self.until:
            self.how = "at random"
            self.process.kill()
            self.process.join()
        return not self.process.is_alive()


def storm(database: Database, record: Path, plan: Plan) -> Counts:
    """Deliver all that waits while deliverers are killed; then let the rest be delivered in peace."""
    began = time.monotonic()
    with database.reading() as session:
        counts = Counts(messages=session.scalar(select(func.count()).select_from(Message)) or 0)
    url = database.url
    lives = [_Life(url, plan, doomed=True) for _ in range(plan.deliverers)]
    kills: Counter[str] = Counter()
    while _remaining(database) and time.monotonic() < began + PATIENCE_SECONDS + plan.kills:
        for place, life in enumerate(lives):
            if life.is_over():
                assert life.process.exitcode == -9, life.process.exitcode
                kills[life.how] += 1
                doomed = kills.total() + plan.deliverers <= plan.kills and _remaining(database) > FEW
                lives[place] = _Life(url, plan, doomed=doomed)
        time.sleep(0.005)
    counts.parked = _sent_again_by_a_person(database)
    lives.append(_Life(url, plan, doomed=False))
    while _remaining(database) and time.monotonic() < began + PATIENCE_SECONDS + plan.kills:
        time.sleep(0.005)
    for life in lives:
        life.process.terminate()
        life.process.join(30)
    counts.kills, counts.kills_at = kills.total(), dict(sorted(kills.items()))
    count(database, record, counts)
    counts.seconds = round(time.monotonic() - began, 1)
    return counts


def _remaining(database: Database) -> int:
    try:
        with database.reading() as session:
            return session.scalar(select(func.count()).where(Message.state.in_(LIVE))) or 0
    except OperationalError:
        return 1  # busy: there is something to be busy with


def _sent_again_by_a_person(database: Database) -> int:
    """What lost its deliverer so often that it waits for a person is sent again by one; returns how many."""
    waits = (Message.state == MessageState.FAILED, Message.reason == Reason.INTERRUPTED.value)
    with database.writing() as session:
        found = session.scalars(select(Message).where(*waits).with_for_update()).all()
        for message in found:
            resend(session, message, by="Ravi", reason="looked at it")
        session.commit()
    return len(found)


def count(database: Database, record: Path, counts: Counts) -> Counts:
    """Fill in what the partner's record and our rows say."""
    received = [tuple(line.split()) for line in record.read_text().splitlines()]
    times = Counter(message_id for message_id, _ in received)
    with database.reading() as session:
        ours = {
            row.id: row for row in session.execute(select(Message.id, Message.state, Message.body_sha256))
        }
        attempts: dict[str, int] = dict(
            session.execute(select(Attempt.message_id, func.count()).group_by(Attempt.message_id)).all()
        )
        counts.interrupted_attempts = (
            session.scalar(select(func.count()).where(Attempt.outcome == Reason.INTERRUPTED.value)) or 0
        )
    counts.lost = sum(message_id not in times for message_id in ours)
    counts.unsettled = sum(row.state is not MessageState.DELIVERED for row in ours.values())
    counts.duplicates = sum(times.values()) - len(times)
    counts.duplicates_per_kill = round(counts.duplicates / max(counts.kills, 1), 2)
    counts.changed = sum(
        message_id not in ours or ours[message_id].body_sha256 != digest for message_id, digest in received
    )
    counts.unlogged = sum(max(0, times[one] - attempts.get(one, 0)) for one in times)
    return counts
