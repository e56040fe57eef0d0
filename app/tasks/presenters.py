"""Labels and sentences for tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
CHIPS: dict[str, Callable[[Sequence[Job]], Mapping[str, Chip]]] = {}
"""Per kind of job that may be done without success, a function for the chips by the id of the job."""
_NOTES: dict[JobNote, Callable[[dict[str, Any]], str]] = {
    JobNote.NONE: lambda _: "",
    JobNote.WAITING: lambda _: "Waiting until the requested webhooks are sent.",
    JobNote.FILE_WRITTEN: lambda of: f"{pluralize(of['bytes'], 'byte')}, SHA-256 {of['sha256']}.",
    JobNote.IMPOSSIBLE: lambda of: str(of["cause"]),
}


def job_chip(job: Job) -> Chip:
    """The state of a job."""
    return STATES[job.state]


def job_chips(jobs: Sequence[Job]) -> dict[str, Chip]:
    """The state of each job by its id, with what its kind adds."""
    chips = {job.id: job_chip(job) for job in jobs}
    for kind in CHIPS.keys() & {job.kind for job in jobs}:
        chips.update(CHIPS[kind]([job for job in jobs if job.kind == kind]))
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
    for function in (job_chip, job_note):
        app.add_template_filter(function)
