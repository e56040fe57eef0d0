"""Labels and sentences for tasks. Each kind of background job adds its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask

from app.network.text import pluralize
from app.tasks.models import Job, JobNote, JobState
from app.ui.chips import Chip

STATES = {
    JobState.WAITING: Chip("info", "Queued"),
    JobState.RUNNING: Chip("info", "Running"),
    JobState.DONE: Chip("ok", "Done"),
    JobState.CANCELED: Chip("warn", "Canceled"),
    JobState.FAILED: Chip("bad", "Failed"),
}
_NOTES: dict[JobNote, Callable[[dict[str, Any]], str]] = {
    JobNote.NONE: lambda _: "",
    JobNote.WAITING: lambda _: "Waiting until the requested webhooks are sent.",
    JobNote.FILE_WRITTEN: lambda of: f"{pluralize(of['bytes'], 'byte')}, SHA-256 {of['sha256']}.",
    JobNote.IMPOSSIBLE: lambda of: str(of["cause"]),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The link to the result: its label and URL; ``blocker`` is why there is none, or why it is elsewhere."""

    label: str = ""
    url: str = ""
    blocker: str = ""
    kept_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobKind:
    """What the pages show of a kind of job: its title, the link to its result, and its state.

    ``chips`` gives the states by job id, for a kind that may be done without success.
    """

    title: Callable[[Job], str]
    result: Callable[[Job], Result]
    chips: Callable[[Sequence[Job]], Mapping[str, Chip]] | None = None


KINDS: dict[str, JobKind] = {}
"""The kinds by their code; the packages with jobs add theirs."""


def job_title(job: Job) -> str:
    """What the job does."""
    return KINDS[job.kind].title(job) if job.kind in KINDS else "Background job"


def job_result(job: Job) -> Result:
    """The link to the result of the job; empty if it has none."""
    return KINDS[job.kind].result(job) if job.kind in KINDS else Result()


def job_chip(job: Job) -> Chip:
    """The state of a job."""
    return STATES[job.state]


def job_chips(jobs: Sequence[Job]) -> dict[str, Chip]:
    """The state of each job by its id, with what its kind adds."""
    chips = {job.id: job_chip(job) for job in jobs}
    for code, kind in KINDS.items():
        if kind.chips and (of_kind := [job for job in jobs if job.kind == code]):
            chips.update(kind.chips(of_kind))
    return chips


def job_note(job: Job) -> str:
    """How the job is going or how it ended, in a sentence; may be empty."""
    if job.state is JobState.CANCELED and job.cancel_requested_by:
        return f"Canceled by {job.cancel_requested_by}."
    if job.state is JobState.FAILED and job.error:
        return f"Failed after {job.attempts} attempts. Last error: {job.error}."
    if not job.is_finished and job.error:
        return f"Retrying. Last error: {job.error}."
    return _NOTES[job.note_code](job.note_params)


def init_app(app: Flask) -> None:
    """Register the template filters."""
    for function in (job_chip, job_note, job_title):
        app.add_template_filter(function)
