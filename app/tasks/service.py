"""Starting and canceling jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import new_id
from app.tasks.models import Job, JobState


def create_job(
    session: Session,
    kind: str,
    *,
    by: str,
    person_id: int | None,
    parameters: Mapping[str, Any],
    reason: str = "",
    total: int = 0,
) -> Job:
    """Queue a job. A worker starts it about a second after the commit. ``total`` is 0 if unknown."""
    now = clock.now()
    job = Job(
        id=new_id("job", now),
        kind=kind,
        parameters=dict(parameters),
        reason=reason,
        total=total,
        created_at=now,
        created_by=by,
        person_id=person_id,
        run_at=now,
    )
    session.add(job)
    session.flush()
    return job


def cancel(session: Session, job: Job, *, by: str, title: str) -> None:
    """Cancel a job unless it is finished: at once, or after its current step if a worker runs it.

    ``title`` names the job in the audit trail.
    """
    if job.is_finished:
        return
    job.cancel_requested_by = by
    if job.lease_token is None:
        job.finish(JobState.CANCELED, clock.now())
    trail.record(session, AuditAction.CANCELED, AuditObject.JOB, job.id, name=title, by=by)
