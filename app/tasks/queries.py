"""Jobs as people see them: everybody sees their own, and who sees everything sees all."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tasks.models import Job

PAGE = 50
"""Jobs on the page, newest first."""


def newest_jobs(session: Session, person_id: int | None, *, limit: int = PAGE) -> Sequence[Job]:
    """The newest jobs of a person, or of everybody where ``person_id`` is None."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    return session.scalars(query if person_id is None else query.where(Job.person_id == person_id)).all()


def job(session: Session, person_id: int | None, job_id: str, *, lock: bool = False) -> Job | None:
    """One job that the person may see, locked if wanted."""
    query = select(Job).where(Job.id == job_id)
    if person_id is not None:
        query = query.where(Job.person_id == person_id)
    return session.scalar(query.with_for_update() if lock else query)
