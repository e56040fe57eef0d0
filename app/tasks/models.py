"""Jobs, and when each chore is due."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_type


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


UNFINISHED = (JobState.WAITING, JobState.RUNNING)


class Job(Base):
    """One piece of long work, asked for by a person; its row is its queue, its progress and its record.

    ``parameters`` never change; ``cursor`` is where the kind of job keeps how far it came, in the same
    transaction as what it did, so that it goes on after a crash and does nothing twice. ``total`` is 0 while
    it is not known. ``note`` is a sentence for people.
    """

    __tablename__ = "job"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    title: Mapped[str] = mapped_column(String(200))
    state: Mapped[JobState] = mapped_column(enum_type(JobState), default=JobState.WAITING)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cursor: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reason: Mapped[str] = mapped_column(String(200), default="")
    note: Mapped[str] = mapped_column(Text, default="")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    """Times in a row that it broke off."""
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    person_id: Mapped[int | None]
    next_at: Mapped[datetime | None]
    """When it may go on: set while it is unfinished, and ahead of now while somebody runs it."""
    lease_token: Mapped[str | None] = mapped_column(String(32))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_asked_by: Mapped[str | None] = mapped_column(String(120))

    __table_args__ = (
        Index("ix_job_next_at", "next_at"),
        Index("ix_job_person_id_id", "person_id", "id"),
    )

    @property
    def is_finished(self) -> bool:
        return self.state not in UNFINISHED

    @property
    def percent(self) -> int | None:
        """How much is done, from 0 to 100; None while nobody knows how much there is."""
        return min(100, self.done * 100 // self.total) if self.total else None


class ChoreRun(Base):
    """When a chore is due next; the row is also its lease, so that one process at a time does it."""

    __tablename__ = "chore_run"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    next_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(Text, default="")
