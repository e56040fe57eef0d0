"""All kinds of jobs and all chores, of every room: what a worker can do."""

from __future__ import annotations

from app.config import Settings
from app.db import Database
from app.exports import files
from app.jobs.run import Chore, Kind, Worker


def kinds(settings: Settings) -> dict[str, Kind]:
    """How each kind of job is run."""
    return {files.KIND: lambda work: files.write(work, settings)}


def chores(settings: Settings) -> list[Chore]:
    """What is done again and again, and how often."""
    return []


def worker(database: Database, settings: Settings) -> Worker:
    """A worker that knows everything there is to do."""
    return Worker(database, kinds(settings), chores(settings))
