"""Background jobs: steps, lease, progress, cancellation and recovery after a crash."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.background import handlers
from app.db import Database
from app.tasks import service as task_service
from app.tasks.models import ATTEMPTS_MAX, MAIL, Job, JobNote, JobState, Task
from app.tasks.presenters import KINDS, job_note
from app.tasks.worker import LEASE, WAIT_AFTER_FAILURE, Chore, TaskFailed, TaskRun, Worker
from tests.fixture_types import MoveClock
from tests.people import Browser


class Kill(BaseException):
    """Ends a worker as SIGKILL does: no handler catches it."""


@pytest.fixture
def create_job(database: Database) -> Callable[..., str]:
    """Create a job that counts to ``total``."""

    def create_job(total: int = 3, person_id: int | None = 1) -> str:
        with database.writing() as session:
            job = task_service.create_job(
                session, "count", by="Ravi", person_id=person_id, parameters={}, total=total
            )
            session.commit()
            return job.id

    return create_job


def counting(run: TaskRun, then: Callable[[int], None] = lambda _at: None) -> None:
    """Increment the cursor in each step, and call ``then`` with its value."""
    while True:
        with run.step() as (_session, job):
            at = int(job.cursor.get("at", 0))
            if at == job.total:
                return
            job.cursor = {"at": at + 1}
            job.done = at + 1
        then(at + 1)


def stored(session: Session, job_id: str) -> Job:
    session.rollback()
    session.expire_all()
    job = session.get(Job, job_id)
    assert job
    return job


def cancel(browser: Browser, job_id: str) -> Any:
    url = f"/jobs/{job_id}/cancel"
    return browser.submit(f"/jobs/{job_id}", url)


def test_job_runs_to_completion_with_progress(database: Database, session: Session, create_job: Any) -> None:
    job_id = create_job(3)
    seen = []
    worker = Worker(
        database, {"count": lambda run: counting(run, lambda _: seen.append(stored(session, job_id).percent))}
    )
    assert worker.run_next()
    job = stored(session, job_id)
    assert (job.state, job.done, job.percent, job.run_at) == (JobState.DONE, 3, 100, None)
    assert seen == [33, 66, 100]
    assert not worker.run_next()


def test_job_of_a_dead_worker_resumes_after_its_lease(
    database: Database, session: Session, create_job: Any, move_clock: MoveClock
) -> None:
    job_id = create_job(4)
    done: list[int] = []

    def dies_after_two(run: TaskRun) -> None:
        def then(at: int) -> None:
            done.append(at)
            if at == 2:
                raise Kill

        counting(run, then)

    with pytest.raises(Kill):
        Worker(database, {"count": dies_after_two}).run_next()
    other = Worker(database, {"count": lambda run: counting(run, done.append)})
    assert not other.run_next()  # the lease has not expired
    move_clock(seconds=LEASE.total_seconds() + 1)
    assert other.run_next()
    assert done == [1, 2, 3, 4]
    assert stored(session, job_id).state is JobState.DONE


def test_worker_without_its_lease_does_nothing(
    database: Database, session: Session, create_job: Any, move_clock: MoveClock
) -> None:
    job_id = create_job(3)
    done: list[tuple[str, int]] = []
    second = Worker(database, {"count": lambda run: counting(run, lambda at: done.append(("second", at)))})

    def sleeps_after_one(at: int) -> None:
        done.append(("first", at))
        move_clock(seconds=LEASE.total_seconds() + 1)
        second.run_next()

    Worker(database, {"count": lambda run: counting(run, sleeps_after_one)}).run_next()
    assert done == [("first", 1), ("second", 2), ("second", 3)]
    assert stored(session, job_id).state is JobState.DONE


def test_failed_step_is_rolled_back_and_retried(
    database: Database, session: Session, create_job: Any, move_clock: MoveClock
) -> None:
    job_id = create_job(2)
    faults = [RuntimeError("no")]

    def fails_once(run: TaskRun) -> None:
        with run.step() as (_session, job):
            job.done = 99
            if faults:
                raise faults.pop()
        counting(run)

    worker = Worker(database, {"count": fails_once})
    worker.run_next()
    job = stored(session, job_id)
    assert (job.state, job.done, job.error) == (JobState.RUNNING, 0, "RuntimeError")
    assert not worker.run_next()
    move_clock(seconds=WAIT_AFTER_FAILURE.total_seconds() + 1)
    assert worker.run_next()
    assert stored(session, job_id).state is JobState.DONE


def test_job_that_fails_repeatedly_has_failed(
    database: Database, session: Session, create_job: Any, move_clock: MoveClock
) -> None:
    job_id = create_job()

    def fails(_run: TaskRun) -> None:
        raise RuntimeError("no")

    for _ in range(ATTEMPTS_MAX + 1):
        Worker(database, {"count": fails}).run_next()
        move_clock(hours=1)
    job = stored(session, job_id)
    assert job.state is JobState.FAILED
    assert (job.attempts, job.error) == (ATTEMPTS_MAX, "RuntimeError")


def test_job_that_kills_its_worker_is_not_retried_forever(
    database: Database, session: Session, create_job: Any, move_clock: MoveClock
) -> None:
    job_id = create_job()

    def kills(_run: TaskRun) -> None:
        raise Kill

    for _ in range(ATTEMPTS_MAX):
        with pytest.raises(Kill):
            Worker(database, {"count": kills}).run_next()
        move_clock(hours=1)
    Worker(database, {"count": kills}).run_next()
    assert stored(session, job_id).state is JobState.FAILED


def test_impossible_job_fails_immediately_with_a_reason(
    database: Database, session: Session, create_job: Any
) -> None:
    job_id = create_job()

    def cannot(_run: TaskRun) -> None:
        raise TaskFailed("The filter names a partner that is gone.")

    Worker(database, {"count": cannot}).run_next()
    job = stored(session, job_id)
    assert (job.state, job.note_code) == (JobState.FAILED, JobNote.IMPOSSIBLE)
    assert job_note(job) == "The filter names a partner that is gone."


def test_stopping_worker_leaves_the_job_to_another(
    database: Database, session: Session, create_job: Any
) -> None:
    job_id = create_job(3)
    stop = threading.Event()
    Worker(database, {"count": lambda run: counting(run, lambda _: stop.set())}).run(stop)
    job = stored(session, job_id)
    assert (job.state, job.done, job.lease_token) == (JobState.RUNNING, 1, None)
    assert Worker(database, {"count": counting}).run_next()
    assert stored(session, job_id).done == 3


def test_several_workers_do_each_step_once(database: Database, session: Session, create_job: Any) -> None:
    job_ids = [create_job(5) for _ in range(4)]
    done: list[tuple[str, int]] = []
    workers = [
        Worker(database, {"count": lambda run: counting(run, lambda at: done.append((run.task_id, at)))})
        for _ in range(3)
    ]

    def drain(worker: Worker) -> None:
        while worker.run_next():
            pass

    threads = [threading.Thread(target=drain, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted((job_id, at) for job_id in job_ids for at in range(1, 6))
    assert {stored(session, job_id).state for job_id in job_ids} == {JobState.DONE}


def test_due_chore_is_run_by_one_worker(database: Database, move_clock: MoveClock) -> None:
    done: list[str] = []
    chore = Chore("sweep", timedelta(minutes=5), lambda _database: done.append("swept"))
    worker, other = Worker(database, {}, [chore]), Worker(database, {}, [chore])
    assert worker.run_next()
    assert not other.run_next()
    assert done == ["swept"]
    move_clock(minutes=6)
    assert other.run_next()
    assert not worker.run_next()
    assert done == ["swept", "swept"]


def test_failed_chore_records_its_error_and_runs_again(
    database: Database, session: Session, move_clock: MoveClock
) -> None:
    def fails(_database: Database) -> None:
        raise RuntimeError("no broom")

    worker = Worker(database, {}, [Chore("sweep", timedelta(minutes=5), fails)])
    worker.run_next()
    row = session.get(Task, "chore:sweep")
    assert row
    assert (row.attempts, row.error) == (1, "RuntimeError: no broom")
    move_clock(minutes=6)
    assert worker.run_next()


def test_job_canceled_by_its_owner_keeps_finished_steps(
    ravi: Browser, database: Database, session: Session, create_job: Any
) -> None:
    job_id = create_job(10)

    def cancel_after_two(at: int) -> None:
        if at == 2:
            assert cancel(ravi, job_id).status_code == 303

    Worker(database, {"count": lambda run: counting(run, cancel_after_two)}).run_next()
    job = stored(session, job_id)
    assert (job.state, job.done) == (JobState.CANCELED, 2)
    page = ravi.get(f"/jobs/{job_id}").visible_text
    assert "Canceled by Ravi." in page and "2 of 10" in page


def test_queued_job_is_canceled_immediately(ravi: Browser, session: Session, create_job: Any) -> None:
    job_id = create_job()
    cancel(ravi, job_id)
    assert stored(session, job_id).state is JobState.CANCELED


def test_each_kind_of_job_has_a_title_and_a_result(app: Flask) -> None:
    kinds = {kind for kind in handlers(app.extensions["settings"]) if not kind.startswith(MAIL)}
    assert kinds == KINDS.keys()


def test_people_see_their_own_jobs_and_support_sees_all(
    asha: Browser, ravi: Browser, meera: Browser, create_job: Any
) -> None:
    job_id = create_job(person_id=None)
    assert asha.get(f"/jobs/{job_id}").status_code == 404
    assert not asha.get("/jobs").page.select(".jobs a")
    assert ravi.get("/jobs").one(".jobs a").get_text(strip=True) == "Background job"
    # A manager sees it, but cannot cancel it.
    assert meera.get(f"/jobs/{job_id}").status_code == 200
    assert "Cancel job" not in meera.get(f"/jobs/{job_id}").visible_text
