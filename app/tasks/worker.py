"""The worker: claims due tasks under a lease and runs them.

Any number of workers may run on any number of machines; each task runs in one of them at a time. When a
worker dies, its lease ends and another worker continues after the last committed step.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.request_context import set_request_id
from app.tasks.models import CHORE, JobNote, JobState, Task

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""How long a step may take before another worker may take over."""
POLL_SECONDS = 1.0
WAIT_AFTER_FAILURE = timedelta(seconds=10)
"""Multiplied by the number of attempts."""


class TaskFailed(Exception):
    """The task cannot succeed. The text is the cause, for people to read."""


class TaskSkipped(Exception):
    """There is nothing left to do. The task ends as canceled."""


class Postpone(Exception):
    """Run the task again after ``seconds``. With ``is_attempt`` this run counts as a failed attempt."""

    def __init__(self, seconds: float = 0.0, *, is_attempt: bool = False) -> None:
        super().__init__(seconds)
        self.wait = timedelta(seconds=seconds)
        self.is_attempt = is_attempt


class _Stopped(Exception):
    """This run ends: the task was canceled or taken over, or the worker is stopping."""


class TaskRun:
    """A claimed task, as its handler sees it."""

    def __init__(self, database: Database, task_id: str, token: str, stop: threading.Event) -> None:
        self.database = database
        self.task_id = task_id
        self._token = token
        self._stop = stop

    @contextmanager
    def step(
        self, *, resets_attempts: bool = True, lease: timedelta = LEASE
    ) -> Iterator[tuple[Session, Task]]:
        """One short transaction, in which work and progress are committed together.

        It renews the lease for what follows. Before each step the task may be canceled or the worker stopped.
        A handler that starts from the beginning in each run passes ``resets_attempts=False``.
        """
        if self._stop.is_set():
            raise _Stopped
        with self.database.writing() as session:
            task = session.scalar(select(Task).where(Task.id == self.task_id).with_for_update(key_share=True))
            if task is None or task.lease_token != self._token:
                raise _Stopped
            now = clock.now()
            if task.cancel_requested_by:
                task.finish(JobState.CANCELED, now)
                session.commit()
                raise _Stopped
            task.lease_until = now + lease
            yield session, task
            if resets_attempts:
                task.attempts = 0
            session.commit()


Handler = Callable[[TaskRun], None]
"""Runs a kind of task from where ``cursor`` points, and returns when it is done."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Work at an interval. ``run`` may be interrupted at any point and must be repeatable."""

    name: str
    interval: timedelta
    run: Callable[[Database], None]


class Worker:
    """Runs tasks of the kinds it has handlers for, and chores."""

    def __init__(
        self, database: Database, handlers: Mapping[str, Handler], chores: Sequence[Chore] = ()
    ) -> None:
        self._database = database
        self._handlers = dict(handlers)
        self._chores = {CHORE + chore.name: chore for chore in chores}
        self._has_chore_rows = False

    def run(self, stop: threading.Event) -> None:
        """Run tasks until ``stop`` is set; the current one ends with its current step and continues later."""
        while not stop.is_set():
            try:
                was_busy = self.run_next(stop)
            except DBAPIError as error:
                log.warning("the database is unavailable, tasks wait: %s", error.orig)
                was_busy = False
            if not was_busy:
                stop.wait(POLL_SECONDS)

    def run_next(self, stop: threading.Event | None = None) -> bool:
        """Run the task that has been due the longest. False if none is due."""
        self._add_missing_chores()
        token = secrets.token_hex(16)
        claimed = self._claim(token)
        if claimed is None:
            return False
        task_id, kind, request_id = claimed
        set_request_id(request_id)
        run = TaskRun(self._database, task_id, token, stop or threading.Event())
        try:
            if kind in self._chores:
                self._chores[kind].run(self._database)
            else:
                self._handlers[kind](run)
        except _Stopped:
            self._release(run, timedelta(0))
        except Postpone as postpone:
            self._release(run, postpone.wait, is_attempt=postpone.is_attempt)
        except TaskFailed as error:
            self._end(run, JobState.FAILED, cause=str(error))
        except TaskSkipped:
            self._end(run, JobState.CANCELED)
        except Exception as error:
            log.exception("task %s failed", task_id)
            self._retry(run, error)
        else:
            self._end(run, JobState.DONE)
        finally:
            set_request_id(None)
        return True

    def _add_missing_chores(self) -> None:
        if self._has_chore_rows:
            return
        with self._database.writing() as session:
            existing = set(session.scalars(select(Task.id).where(Task.id.in_(self._chores))).all())
            now = clock.now()
            for kind in self._chores.keys() - existing:
                session.add(Task(id=kind, kind=kind, created_at=now, run_at=now, max_attempts=None))
            try:
                session.commit()
            except IntegrityError:
                return  # another worker added one; check again next time
        self._has_chore_rows = True

    def _claim(self, token: str) -> tuple[str, str, str | None] | None:
        kinds = [*self._handlers, *self._chores]
        now = clock.now()
        due = (
            select(Task)
            .where(
                Task.run_at <= now,
                or_(Task.lease_until.is_(None), Task.lease_until <= now),
                Task.kind.in_(kinds),
            )
            .order_by(Task.run_at, Task.id)
            .limit(1)
        )
        with self._database.reading() as session:
            # Most of the time nothing is due, so look without a lock first.
            if session.scalar(due) is None:
                return None
        with self._database.writing() as session:
            task = session.scalar(due.with_for_update(skip_locked=True, key_share=True))
            if task is None:
                return None
            # Counted before the run: a task that kills its worker must not run forever.
            task.attempts += 1
            if task.max_attempts is not None and task.attempts > task.max_attempts:
                log.error("task %s failed after %s attempts", task.id, task.max_attempts)
                task.attempts = task.max_attempts
                task.finish(JobState.FAILED, now)
                session.commit()
                return None
            task.state, task.started_at = JobState.RUNNING, task.started_at or now
            task.lease_token, task.lease_until = token, now + LEASE
            session.commit()
            return task.id, task.kind, task.request_id

    def _release(self, run: TaskRun, wait: timedelta, *, is_attempt: bool = False) -> None:
        with self._claimed(run) as task:
            if task:
                _schedule(task, clock.now() + wait)
                if not is_attempt:
                    task.attempts = max(task.attempts - 1, 0)

    def _retry(self, run: TaskRun, error: Exception) -> None:
        with self._claimed(run) as task:
            if task is None:
                return
            now = clock.now()
            if task.kind in self._chores:
                task.error = f"{type(error).__name__}: {error}"
                _schedule(task, now + self._chores[task.kind].interval)
                return
            task.error = type(error).__name__
            if task.max_attempts is not None and task.attempts >= task.max_attempts:
                task.finish(JobState.FAILED, now)
            else:
                _schedule(task, now + WAIT_AFTER_FAILURE * task.attempts)

    def _end(self, run: TaskRun, state: JobState, *, cause: str = "") -> None:
        with self._claimed(run) as task:
            if task is None:
                return
            now = clock.now()
            if task.kind in self._chores:
                task.finished_at, task.attempts, task.error = now, 0, ""
                _schedule(task, now + self._chores[task.kind].interval)
            else:
                if cause:
                    task.note_code, task.note_params = JobNote.IMPOSSIBLE, {"cause": cause}
                task.finish(state, now)

    @contextmanager
    def _claimed(self, run: TaskRun) -> Iterator[Task | None]:
        """The task, or None if this worker has lost the lease."""
        with self._database.writing() as session:
            task = session.scalar(select(Task).where(Task.id == run.task_id).with_for_update(key_share=True))
            yield task if task and task.lease_token == run._token else None
            session.commit()


def _schedule(task: Task, run_at: datetime) -> None:
    task.run_at, task.lease_token, task.lease_until = run_at, None, None
