"""The worker: takes jobs under a lease and runs them step by step, and does the chores when they are due.

Any number of workers may run, on any number of machines: a job and a chore are with one of them at a time.
A worker that dies leaves a lease that ends; the next one goes on from the last step that was committed.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.tasks.models import ChoreRun, Job, JobState

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""How long a step may take before another worker may take the job over."""
LOOK_SECONDS = 1.0
"""How often to look for work."""
TRIES = 4
"""Times in a row that a job may break off before it has failed."""
WAIT_AFTER_FAILURE = timedelta(seconds=10)


class Broken(Exception):
    """A job cannot be done, and trying again would not help; the text is a sentence for people."""


class Later(Exception):
    """The job goes on after so many seconds: it waits for something, and others have their turn meanwhile."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.wait = timedelta(seconds=seconds)


class _Stopped(Exception):
    """The run ends here: the job was cancelled, taken over, or the worker was told to stop."""


class Work:
    """A job in hand, as its kind sees it."""

    def __init__(self, database: Database, job_id: str, token: str, stop: threading.Event) -> None:
        self.database = database
        self.job_id = job_id
        self._token = token
        self._stop = stop

    @contextmanager
    def step(self, *, gets_on: bool = True, lease: timedelta = LEASE) -> Iterator[tuple[Session, Job]]:
        """One short transaction: what the job does in it and its ``cursor`` are committed together.

        The lease is renewed with it, for as long as what follows may take. Between steps the job can be
        cancelled, and the worker stopped. A job that begins anew each time is not ``gets_on``: its steps
        prove nothing, so that it breaks off only so many times.
        """
        if self._stop.is_set():
            raise _Stopped
        with self.database.writing() as session:
            job = session.scalar(select(Job).where(Job.id == self.job_id).with_for_update())
            if job is None or job.lease_token != self._token:
                raise _Stopped
            now = clock.now()
            if job.cancel_asked_by:
                _finish(job, JobState.CANCELLED, now, f"Cancelled by {job.cancel_asked_by}.")
                session.commit()
                raise _Stopped
            job.next_at = now + lease
            yield session, job
            if gets_on:
                job.failures = 0
            session.commit()


Kind = Callable[[Work], None]
"""How a kind of job is run: in steps, each from where ``cursor`` says; it returns when all is done."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done again and again. ``run`` may be cut off at any point and must bear being repeated."""

    name: str
    every: timedelta
    run: Callable[[Database], None]


class Worker:
    """Runs jobs of the ``kinds`` that it knows, and ``chores``."""

    def __init__(self, database: Database, kinds: Mapping[str, Kind], chores: Sequence[Chore] = ()) -> None:
        self._database = database
        self._kinds = dict(kinds)
        self._chores = {chore.name: chore for chore in chores}

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; what is in hand ends with its present step and goes on later."""
        while not stop.is_set():
            try:
                busy = self.once(stop)
            except DBAPIError as error:
                log.warning("the database is away, the work waits: %s", error.orig)
                busy = False
            if not busy:
                stop.wait(LOOK_SECONDS)

    def once(self, stop: threading.Event | None = None) -> bool:
        """Run the job that has waited longest and the chores that are due; whether there was any."""
        stop = stop or threading.Event()
        did_chores = self._do_chores(stop)
        return self._run_job(stop) or did_chores

    def _run_job(self, stop: threading.Event) -> bool:
        token = secrets.token_hex(16)
        taken = self._take(token)
        if taken is None:
            return False
        job_id, kind = taken
        try:
            self._kinds[kind](Work(self._database, job_id, token, stop))
        except _Stopped:
            self._put_back(job_id, token)
        except Later as later:
            self._put_back(job_id, token, later.wait)
        except Broken as error:
            self._end(job_id, token, JobState.FAILED, str(error))
        except Exception as error:
            log.exception("job %s broke off", job_id)
            self._broke_off(job_id, token, error)
        else:
            self._end(job_id, token, JobState.DONE, "")
        return True

    def _take(self, token: str) -> tuple[str, str] | None:
        with self._database.writing() as session:
            now = clock.now()
            job = session.scalar(
                select(Job)
                .where(Job.next_at <= now, Job.kind.in_(self._kinds))
                .order_by(Job.next_at, Job.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if job is None:
                return None
            job.state = JobState.RUNNING
            job.started_at = job.started_at or now
            job.lease_token = token
            job.next_at = now + LEASE
            # Counted before it runs: a job that kills its worker must not be taken for ever.
            job.failures += 1
            taken = (job.id, job.kind)
            if job.failures > TRIES:
                _finish(job, JobState.FAILED, now, f"It broke off {TRIES} times. {job.note}".strip())
                log.error("job %s failed: %s", job.id, job.note)
            session.commit()
            return None if job.is_finished else taken

    def _end(self, job_id: str, token: str, state: JobState, note: str) -> None:
        with self._ours(job_id, token) as job:
            if job:
                _finish(job, state, clock.now(), note or job.note)

    def _put_back(self, job_id: str, token: str, wait: timedelta = timedelta(0)) -> None:
        with self._ours(job_id, token) as job:
            if job and not job.is_finished:
                job.lease_token, job.next_at = None, clock.now() + wait
                job.failures = max(0, job.failures - 1)

    def _broke_off(self, job_id: str, token: str, error: Exception) -> None:
        with self._ours(job_id, token) as job:
            if job:
                job.lease_token = None
                job.note = f"Last trouble: {type(error).__name__}."
                job.next_at = clock.now() + WAIT_AFTER_FAILURE * max(1, job.failures)

    @contextmanager
    def _ours(self, job_id: str, token: str) -> Iterator[Job | None]:
        with self._database.writing() as session:
            job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
            yield job if job and job.lease_token == token else None
            session.commit()

    def _do_chores(self, stop: threading.Event) -> bool:
        did = False
        for chore in self._chores.values():
            if stop.is_set() or not self._is_due(chore):
                continue
            did, note = True, ""
            try:
                chore.run(self._database)
            except Exception as error:
                log.exception("chore %s broke off", chore.name)
                note = f"{type(error).__name__}: {error}"
            with self._database.writing() as session:
                session.execute(
                    update(ChoreRun)
                    .where(ChoreRun.name == chore.name)
                    .values(
                        next_at=clock.now() + chore.every,
                        ended_at=clock.now(),
                        failures=ChoreRun.failures + 1 if note else 0,
                        note=note,
                    )
                )
                session.commit()
        return did

    def _is_due(self, chore: Chore) -> bool:
        with self._database.reading() as session:
            # Looked at first without a lock: most of the time nothing is due.
            next_at = session.scalar(select(ChoreRun.next_at).where(ChoreRun.name == chore.name))
        now = clock.now()
        if next_at and next_at > now:
            return False
        with self._database.writing() as session:
            try:
                if next_at is None:
                    session.add(ChoreRun(name=chore.name, next_at=now + LEASE, failures=0, note=""))
                    session.commit()
                    return True
                mine = session.execute(
                    update(ChoreRun)
                    .where(ChoreRun.name == chore.name, ChoreRun.next_at == next_at)
                    .values(next_at=now + LEASE)
                    .returning(ChoreRun.name)
                ).all()
                session.commit()
                return bool(mine)
            except IntegrityError:
                return False  # another worker was first


def _finish(job: Job, state: JobState, now: datetime, note: str) -> None:
    job.state, job.finished_at, job.note = state, now, note
    job.next_at = job.lease_token = None
