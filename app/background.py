"""All kinds of jobs and all chores, of every room: what a worker can do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from app.audit import seals
from app.config import Settings
from app.db import Database
from app.delivery.statistics import fold
from app.exports import files
from app.reports import digests
from app.retention import Ages, prune_old
from app.tasks.mail_sender import send_due
from app.tasks.worker import Chore, Kind, Worker
from app.webhooks import resend_job as resend

PRUNE_SECONDS = 15.0
"""How long pruning keeps a worker from its other work, for each kind of record, once an hour."""


def kinds(settings: Settings) -> dict[str, Kind]:
    """How each kind of job is run."""
    return {resend.KIND: resend.run, files.KIND: lambda work: files.write(work, settings)}


def chores(settings: Settings) -> list[Chore]:
    """What is done again and again, and how often."""
    mails = digests.words(settings)
    return [
        _chore("fold attempt statistics", timedelta(minutes=5), fold),
        _chore("seal the audit trail", timedelta(minutes=1), seals.seal),
        _chore(
            "remove old exports",
            timedelta(hours=1),
            lambda database: files.remove_expired(database, settings),
        ),
        _chore("prune", timedelta(hours=1), lambda database: _prune(database, settings)),
        _chore("ask for digests", timedelta(minutes=1), lambda database: digests.digest(database, settings)),
        _chore("update planner statistics", timedelta(days=1), Database.optimize),
        _chore("send mails", timedelta(seconds=10), lambda database: send_due(database, settings, mails)),
    ]


def _prune(database: Database, settings: Settings) -> None:
    prune_old(database, Ages.of(settings), for_seconds=PRUNE_SECONDS)


def _chore(name: str, every: timedelta, does: Callable[[Database], object]) -> Chore:
    def run(database: Database) -> None:
        does(database)

    return Chore(name, every, run)


def worker(database: Database, settings: Settings) -> Worker:
    """A worker that knows everything there is to do."""
    return Worker(database, kinds(settings), chores(settings))
