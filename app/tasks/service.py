"""Jobs: ask for one, cancel one. Each takes a session and leaves the commit to the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session
from ulid import ULID

from app import clock
from app.tasks.models import Job, JobState


def ask(
    session: Session,
    kind: str,
    *,
    title: str,
    by: str,
    person_id: int | None,
    parameters: Mapping[str, Any],
    reason: str = "",
    total: int = 0,
) -> Job:
    """Put a job into the queue; a worker takes it within a second or so of the commit.

    ``title`` and ``reason`` are for people; ``total`` is how much there is to do, 0 if that is not known yet.
    """
    now = clock.now()
    job = Job(
        id=f"job_{ULID.from_datetime(now)}",
        kind=kind,
        title=title,
        parameters=dict(parameters),
        reason=reason,
        total=total,
        created_at=now,
        created_by=by,
        person_id=person_id,
        next_at=now,
    )
    session.add(job)
    session.flush()
    return job


def cancel(job: Job, *, by: str) -> bool:
    """Cancel it: at once if nobody runs it, else after its present step. Whether it was unfinished."""
    if job.is_finished:
        return False
    job.cancel_asked_by = by
    if job.lease_token is None:
        job.state, job.finished_at, job.next_at = JobState.CANCELLED, clock.now(), None
        job.note = f"Cancelled by {by}."
    return True
