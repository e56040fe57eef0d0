"""The task handlers and chores of all packages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from app.audit import seals
from app.config import Settings
from app.db import Database
from app.delivery.statistics import fold
from app.exports import files
from app.notifications.service import prune as prune_notifications
from app.notifications.service import send_digests
from app.orders import bulk_response
from app.orders.deadlines import notify_near_deadlines
from app.orders.presence import remove_closed_forms
from app.reports import digests
from app.retention import Ages, prune_old
from app.tasks import mail_sender
from app.tasks.worker import Chore, Handler, Worker
from app.webhooks import resend_job as resend

PRUNE_SECONDS = 15.0
"""How long one hourly run may take for each kind of record; other tasks of the worker wait."""


def handlers(settings: Settings) -> dict[str, Handler]:
    """The handlers of all kinds of tasks."""
    return {
        resend.KIND: resend.run,
        bulk_response.KIND: lambda run: bulk_response.run(run, settings),
        files.KIND: lambda run: files.write(run, settings),
        **mail_sender.handlers(settings, digests.mail_writers(settings)),
    }


def chores(settings: Settings) -> list[Chore]:
    """All scheduled tasks with their intervals."""
    return [
        _chore("fold attempt statistics", timedelta(minutes=5), fold),
        _chore("seal the audit trail", timedelta(minutes=1), seals.seal),
        _chore(
            "remove old exports",
            timedelta(hours=1),
            lambda database: files.remove_expired(database, settings),
        ),
        _chore("prune old records", timedelta(hours=1), lambda database: _prune(database, settings)),
        _chore(
            "queue deadline digests",
            timedelta(minutes=1),
            lambda database: digests.queue_digest(database, settings),
        ),
        _chore("queue notification digests", timedelta(minutes=1), send_digests),
        _chore("notify of near deadlines", timedelta(minutes=5), notify_near_deadlines),
        _chore("remove closed forms", timedelta(hours=1), remove_closed_forms),
        _chore("remove old notifications", timedelta(days=1), prune_notifications),
        _chore("remove old bulk responses", timedelta(hours=1), bulk_response.remove_old),
        _chore("update planner statistics", timedelta(days=1), Database.optimize),
    ]


def _prune(database: Database, settings: Settings) -> None:
    prune_old(database, Ages.of(settings), for_seconds=PRUNE_SECONDS)


def _chore(name: str, interval: timedelta, does: Callable[[Database], object]) -> Chore:
    def run(database: Database) -> None:
        does(database)

    return Chore(name, interval, run)


def worker(database: Database, settings: Settings) -> Worker:
    """A worker with all handlers and chores."""
    return Worker(database, handlers(settings), chores(settings))
