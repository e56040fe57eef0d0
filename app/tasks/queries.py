"""Jobs for the pages. People see their own jobs; those who see everything see all."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.db.filters import PAGE
from app.tasks.models import Job


def newest_jobs(session: Session, person_id: int | None) -> Sequence[Job]:
    """The newest jobs of a person, or of everyone if ``person_id`` is None."""
    return session.scalars(_jobs(person_id).order_by(Job.id.desc()).limit(PAGE)).all()


def job(session: Session, person_id: int | None, job_id: str, *, lock: bool = False) -> Job | None:
    """A job that the person may see."""
    query = _jobs(person_id).where(Job.id == job_id)
    return session.scalar(query.with_for_update(key_share=True) if lock else query)


def _jobs(person_id: int | None) -> Select[Job]:
    query = select(Job).where(Job.id >= "job_", Job.id < "job`")  # ` follows _: all ids with this prefix
    return query if person_id is None else query.where(Job.person_id == person_id)
