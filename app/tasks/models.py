"""The task table."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_type
from app.request_context import ID_MAX, current_request_id

MAIL = "mail:"
CHORE = "chore:"
"""Prefixes of the kinds of emails and chores. All other kinds are jobs that people see."""
ATTEMPTS_MAX = 4


class JobState(StrEnum):
    """The state of a task.

    A chore is waiting until it runs for the first time, then running, also between two runs: ``lease_token``
    says whether it runs now.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELED = "cancelled"
    FAILED = "failed"


class JobNote(StrEnum):
    """How a job is going or how it ended, besides its state. ``note_params`` has the details."""

    NONE = ""
    WAITING = "waiting"
    FILE_WRITTEN = "file_written"
    IMPOSSIBLE = "impossible"


UNFINISHED = (JobState.WAITING, JobState.RUNNING)


class Task(Base):
    """A job that a person started, an email to send, or a chore that runs at an interval.

    ``parameters`` describe the work. ``cursor`` is the progress of the handler. It is committed together with
    the work itself, so a task continues after a crash and does nothing twice. ``total`` is 0 if unknown.
    """

    __tablename__ = "task"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    state: Mapped[JobState] = mapped_column(enum_type(JobState), default=JobState.WAITING)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cursor: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reason: Mapped[str] = mapped_column(String(200), default="")
    note_code: Mapped[JobNote] = mapped_column(enum_type(JobNote), default=JobNote.NONE)
    note_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str] = mapped_column(Text, default="")
    """The last error."""
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    """Consecutive runs that have not succeeded yet, with the current one."""
    max_attempts: Mapped[int | None] = mapped_column(default=ATTEMPTS_MAX)
    """None means no limit."""
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120), default="")
    person_id: Mapped[int | None]
    run_at: Mapped[datetime | None]
    """When it is due; None once it is finished."""
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_by: Mapped[str | None] = mapped_column("cancel_asked_by", String(120))
    # The ID of the request that started it, for the log and for webhooks that it queues.
    request_id: Mapped[str | None] = mapped_column(String(ID_MAX), default=current_request_id)

    __table_args__ = (
        Index("ix_task_run_at", "run_at"),
        Index("ix_task_kind_id", "kind", "id"),
        Index("ix_task_person_id_id", "person_id", "id"),
    )

    @property
    def is_finished(self) -> bool:
        return self.state not in UNFINISHED

    @property
    def is_cancelable(self) -> bool:
        """Whether canceling it would still have an effect."""
        return not self.is_finished and not self.cancel_requested_by

    @property
    def percent(self) -> int | None:
        """Progress from 0 to 100; None if the total is unknown."""
        return min(100, self.done * 100 // self.total) if self.total else None

    def finish(self, state: JobState, now: datetime) -> None:
        """End the task for good."""
        self.state, self.finished_at = state, now
        self.run_at = self.lease_token = self.lease_until = None


Job = Task
"""The name of ``Task`` for those that a person started; their ids begin with ``job_``."""
