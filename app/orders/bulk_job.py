"""The background job that records many responses."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, or_, select

from app import clock
from app.audit import trail
from app.config import Settings
from app.db import Database
from app.orders import bulk_response
from app.orders.decisions import Responder
from app.orders.models import BulkResponse
from app.tasks.worker import Postpone, TaskRun, TaskSkipped

PLANS_KEPT = timedelta(days=1)
RESULTS_KEPT = timedelta(days=90)
REMOVED_AT_ONCE = 100


def run(work: TaskRun, settings: Settings) -> None:
    """Record one batch of responses, then let other tasks run."""
    with work.step() as (session, job):
        bulk = session.get(BulkResponse, job.parameters["bulk"])
        if bulk is None:
            raise TaskSkipped
        items = bulk_response.waiting_items(session, bulk.id, limit=bulk_response.BATCH)
        scope = job.parameters["scope"]
        with trail.acting(trail.Actor(*(job.parameters["actor"] or (bulk.person_name,)))):
            bulk_response.record(
                session,
                items,
                scope=None if scope is None else frozenset(scope),
                by=Responder(bulk.person_id, bulk.person_name),
                undo_seconds=settings.undo_seconds,
            )
        job.done += len(items)
        has_more = len(items) == bulk_response.BATCH
    if has_more:
        raise Postpone


def remove_old(database: Database) -> int:
    """Remove plans that were not sent and old results; returns how many. The responses themselves stay."""
    now = clock.now()
    old = or_(
        BulkResponse.created_at < now - RESULTS_KEPT,
        (BulkResponse.created_at < now - PLANS_KEPT) & BulkResponse.sent_at.is_(None),
    )
    with database.writing() as session:
        ids = session.scalars(select(BulkResponse.id).where(old).limit(REMOVED_AT_ONCE)).all()
        session.execute(delete(BulkResponse).where(BulkResponse.id.in_(ids)))
        session.commit()
    return len(ids)
