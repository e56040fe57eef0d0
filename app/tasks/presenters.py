"""Labels and sentences for tasks."""

from __future__ import annotations

from flask import Flask

from app.tasks.models import Job, JobState

STATES = {
    JobState.WAITING: ("info", "Queued"),
    JobState.RUNNING: ("info", "Running"),
    JobState.DONE: ("ok", "Done"),
    JobState.CANCELED: ("warn", "Canceled"),
    JobState.FAILED: ("bad", "Failed"),
}
"""Tone and label of each state."""


def job_tone(job: Job) -> str:
    """The tone of the state."""
    return STATES[job.state][0]


def job_label(job: Job) -> str:
    """The label of the state."""
    return STATES[job.state][1]


def job_note(job: Job) -> str:
    """How the job is going or how it ended, in a sentence; may be empty."""
    if job.state is JobState.CANCELED and job.cancel_asked_by:
        return f"Canceled by {job.cancel_asked_by}."
    if job.state is JobState.FAILED and job.error:
        return f"Failed after {job.attempts} attempts. Last error: {job.error}."
    if not job.is_finished and job.error:
        return f"Retrying. Last error: {job.error}."
    return job.note


def init_app(app: Flask) -> None:
    """Register the template filters."""
    for function in (job_tone, job_label, job_note):
        app.add_template_filter(function)
