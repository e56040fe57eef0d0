"""Big exports: a job that writes a file, which only who asked for it may fetch, for some days.

The file stands in the instance's folder, not in the database, where a hundred megabytes would be written,
backed up and deleted with every answer beside them. So it is fetched from the machine whose worker wrote it,
or from any that share the folder; a machine that has it not says which one does.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from sqlalchemy.orm import Session

from app import clock
from app.config import Settings
from app.db import Database
from app.exports import formats, sources
from app.tasks import service as task_service
from app.tasks.models import Job, JobState
from app.tasks.worker import Broken, Work
from app.ui.numbers import things

KIND = "export"
FOLDER = "exports"
PACKING = timedelta(hours=1)
"""How long packing a large workbook may take before another worker would begin anew."""


def ask(
    session: Session,
    what: str,
    form: str,
    query: Mapping[str, str],
    *,
    scope: sources.Scope,
    by: str,
    me: int,
) -> Job:
    """Ask for a file of everything that fits."""
    return task_service.ask(
        session,
        KIND,
        title=f"{sources.SOURCES[what].title} as {formats.NAMES[form]}",
        by=by,
        person_id=me,
        parameters={
            "what": what,
            "form": form,
            "query": dict(query),
            "scope": None if scope is None else sorted(scope),
        },
    )


def write(work: Work, settings: Settings) -> None:
    """Run such a job: from the beginning each time, since half a file is none."""
    with work.step(gets_on=False) as (_, job):
        asked, job.done = dict(job.parameters), 0
    source = sources.SOURCES[asked["what"]]
    scope = None if asked["scope"] is None else frozenset(asked["scope"])
    try:
        values = sources.read_query(source, asked["query"], settings.zone)
    except sources.BadFilter as error:
        raise Broken(str(error)) from error
    whole = path_of(settings, work.job_id, asked["form"])
    whole.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A name of its own: a worker that lost its lease must not take away the file of its heir.
    part = whole.with_suffix(f".{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            part.chmod(0o600)
            _write(file, source, _counted(work, source, scope, values), asked["form"], settings)
        note = f"{things(part.stat().st_size, 'byte')}, SHA-256 {_sha256(part)}."
        with work.step(gets_on=False) as (_, job):
            job.note, job.total, job.cursor = note, job.done, {"machine": socket.gethostname()}
            part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def path_of(settings: Settings, job_id: str, form: str) -> Path:
    """Where the file of a job stands, or will stand. Errors: ValueError for what is no job's id."""
    if not re.fullmatch(r"job_[0-9A-Z]{26}", job_id) or form not in formats.MIMETYPES:
        raise ValueError(job_id)
    return settings.instance / FOLDER / f"{job_id}.{form}"


def expires_at(settings: Settings, job: Job) -> datetime | None:
    """Until when the file can be fetched; None while there is none."""
    return job.finished_at + timedelta(hours=settings.export_keep_hours) if job.finished_at else None


def found(settings: Settings, job: Job) -> Path | None:
    """The file of a finished job, while it is kept."""
    until = expires_at(settings, job)
    path = path_of(settings, job.id, job.parameters["form"])
    return path if until and until > clock.now() and path.is_file() else None


def machine_of(settings: Settings, job: Job) -> str | None:
    """The machine on which the file stands, where it is kept but not here; this one's if it went astray."""
    until = expires_at(settings, job)
    is_kept = job.state is JobState.DONE and until is not None and until > clock.now()
    if not is_kept or found(settings, job):
        return None
    return str(job.cursor.get("machine", "another machine"))


def is_here(machine: str) -> bool:
    """Whether this is the machine of that name."""
    return machine == socket.gethostname()


def tidy(_database: Database, settings: Settings) -> int:
    """Remove files whose time is over, and what crashes left; returns how many."""
    folder, removed = settings.instance / FOLDER, 0
    if not folder.is_dir():
        return 0
    oldest = (clock.now() - timedelta(hours=settings.export_keep_hours)).timestamp()
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _counted(
    work: Work, source: sources.Source, scope: sources.Scope, values: Mapping[str, Any]
) -> Iterator[Any]:
    for batch in sources.batches(work.database, source, scope, values):
        yield batch
        with work.step(gets_on=False) as (_, job):
            job.done += len(batch)
    with work.step(gets_on=False, lease=PACKING):
        pass  # a workbook is packed at the end, in one go


def _write(
    file: IO[bytes], source: sources.Source, batches: Iterator[Any], form: str, settings: Settings
) -> None:
    if form == "xlsx":
        formats.write_xlsx(file, source.columns, batches, settings.zone, source.title)
        return
    encode = formats.as_csv if form == "csv" else formats.as_jsonl
    for chunk in encode(source.columns, batches, settings.zone):
        file.write(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
