"""All kinds of jobs and all chores, of every room: what a worker can do."""

from __future__ import annotations

from datetime import timedelta

from app.config import Settings
from app.db import Database
from app.jobs.run import Chore, Kind, Worker
from app.outbox.rollup import CHORE_SECONDS, roll
from app.resends import run as resend


def kinds(settings: Settings) -> dict[str, Kind]:
    """How each kind of job is run."""
    return {resend.KIND: resend.run}


def chores(settings: Settings) -> list[Chore]:
    """What is done again and again, and how often."""
    return [Chore("count attempts by time", timedelta(seconds=15), _roll)]


def _roll(database: Database) -> None:
    roll(database, for_seconds=CHORE_SECONDS)


def worker(database: Database, settings: Settings) -> Worker:
    """A worker that knows everything there is to do."""
    return Worker(database, kinds(settings), chores(settings))
