"""Large exports: a background job writes a file that only the person who requested it can download.

The file is in the instance folder, because a database should not write and back up hundreds of megabytes. So
it is on the machine whose worker wrote it, unless the machines share the folder.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app import clock
from app.config import Settings
from app.db import Database
from app.db.filters import Scope
from app.exports import formats, sources
from app.tasks import service as task_service
from app.tasks.models import Job, JobNote, JobState
from app.tasks.worker import TaskFailed, TaskRun

KIND = "export"
FOLDER = "exports"
CLOSING_LEASE = timedelta(hours=1)
"""How long closing a large workbook may take before another worker starts again."""


def create_job(
    session: Session,
    source_name: str,
    form: str,
    query: Mapping[str, str],
    *,
    scope: Scope,
    by: str,
    person_id: int,
) -> Job:
    """Start a job that exports all rows that match ``query``."""
    return task_service.create_job(
        session,
        KIND,
        by=by,
        person_id=person_id,
        parameters={
            "what": source_name,
            "form": form,
            "query": dict(query),
            "scope": None if scope is None else sorted(scope),
        },
    )


def write(run: TaskRun, settings: Settings) -> None:
    """Run an export job. It always starts from the beginning, since a partial file is useless."""
    with run.step(resets_attempts=False) as (_, job):
        parameters, job.done = dict(job.parameters), 0
    source = sources.SOURCES[parameters["what"]]
    scope = None if parameters["scope"] is None else frozenset(parameters["scope"])
    try:
        values = sources.read_query(source, parameters["query"], settings.time_zone)
    except sources.BadFilter as error:
        raise TaskFailed(str(error)) from error
    path = path_of(settings, run.task_id, parameters["form"])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A unique name, so that a worker that lost its lease cannot remove the file of the next one.
    part = path.with_suffix(f".{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            part.chmod(0o600)
            rows = _with_progress(run, source, scope, values)
            form = parameters["form"]
            formats.write(file, form, source.columns, rows, settings.time_zone, source.title)
        details = {"bytes": part.stat().st_size, "sha256": _sha256(part)}
        with run.step(resets_attempts=False) as (_, job):
            job.note_code, job.note_params = JobNote.FILE_WRITTEN, details
            job.total, job.cursor = job.done, {"machine": socket.gethostname()}
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def path_of(settings: Settings, job_id: str, form: str) -> Path:
    """The path of a job's file. Errors: ValueError for an invalid job id or format."""
    if not re.fullmatch(r"job_[0-9A-Z]{26}", job_id) or form not in formats.MIMETYPES:
        raise ValueError(job_id)
    return settings.instance / FOLDER / f"{job_id}.{form}"


def expires_at(settings: Settings, job: Job) -> datetime | None:
    """When the file is removed; None while the job is not finished."""
    return job.finished_at + timedelta(hours=settings.export_keep_hours) if job.finished_at else None


def stored_file(settings: Settings, job: Job) -> Path | None:
    """The file of a finished job, if it is on this machine and has not expired."""
    until = expires_at(settings, job)
    path = path_of(settings, job.id, job.parameters["form"])
    return path if until and until > clock.now() and path.is_file() else None


def machine_of(settings: Settings, job: Job) -> str | None:
    """The machine that should have the file if it is not found here; None if it has expired."""
    until = expires_at(settings, job)
    is_kept = job.state is JobState.DONE and until is not None and until > clock.now()
    if not is_kept or stored_file(settings, job):
        return None
    return str(job.cursor.get("machine", "another machine"))


def is_here(machine: str) -> bool:
    """Whether this is the machine with that name."""
    return machine == socket.gethostname()


def remove_expired(_database: Database, settings: Settings) -> int:
    """Remove expired files and leftovers of crashed jobs; returns their number."""
    folder, removed = settings.instance / FOLDER, 0
    if not folder.is_dir():
        return 0
    oldest = (clock.now() - timedelta(hours=settings.export_keep_hours)).timestamp()
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _with_progress(
    run: TaskRun, source: sources.Source, scope: Scope, values: Mapping[str, Any]
) -> Iterator[Any]:
    for batch in sources.batches(run.database, source, scope, values):
        yield batch
        with run.step(resets_attempts=False) as (_, job):
            job.done += len(batch)
    with run.step(resets_attempts=False, lease=CLOSING_LEASE):
        pass  # A workbook is closed at the end in one step.


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
