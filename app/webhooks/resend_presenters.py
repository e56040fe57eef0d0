"""Labels and sentences of bulk resends, and their template filters."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from app.network.text import pluralize
from app.tasks.models import Job, JobState
from app.tasks.presenters import job_chip
from app.ui.chips import Chip
from app.ui.numbers import number
from app.webhooks.presenters import blocker_text, message_chip, message_sentence, outcome_sentence
from app.webhooks.resend_report import NOT_DELIVERED, ResendResult, ResendRow

RESEND_RESULTS = {
    ResendResult.DELIVERED: Chip("ok", "Delivered"),
    ResendResult.REFUSED: Chip("refused", "Refused"),
    ResendResult.FAILED: Chip("warn", "Unsuccessful"),
    ResendResult.SENDING: Chip("waiting", "Sending"),
    ResendResult.QUEUED: Chip("waiting", "Queued"),
    ResendResult.NOT_SENT: Chip("quiet", "Not sent"),
    ResendResult.SKIPPED: Chip("quiet", "Skipped"),
}
"""Labels and tones of what happened to the resend; the webhook's state may differ, such as *Retrying*."""
DELETED = Chip("quiet", "Deleted")
NOT_COUNTED = Chip("quiet", "Done, see result")


def resend_result_chip(result: ResendResult) -> Chip:
    """The result of one message of a bulk resend."""
    return RESEND_RESULTS[result]


def resend_row_chip(row: ResendRow) -> Chip:
    """The result of a row of the report, with the HTTP status."""
    chip = RESEND_RESULTS[row.result]
    status = row.attempt.status if row.attempt else None
    return Chip(chip.tone, f"{chip.label}, {status}") if status else chip


def resend_row_detail(row: ResendRow) -> str:
    """Why a row was skipped, or what went wrong in its attempt."""
    if row.item.blocker:
        return blocker_text(row.item.blocker)
    if row.attempt is None or row.result not in NOT_DELIVERED:
        return ""
    is_newest = row.message is not None and row.message.attempts_made == row.attempt.number
    if row.message and is_newest and row.result is ResendResult.REFUSED:
        return message_sentence(row.message)
    return outcome_sentence(row.attempt)


def resend_state_chip(row: ResendRow) -> Chip:
    """The state of a row's webhook now."""
    return message_chip(row.message) if row.message else DELETED


def resend_job_title(job: Job) -> str:
    """The title of a bulk resend."""
    return f"Resend {pluralize(job.total, 'webhook')}"


def resend_job_chip(job: Job, not_delivered: int | None) -> Chip:
    """The state of a bulk resend, with its failures, or a hint if these were not counted.

    *Done* alone only means that every attempt was requested.
    """
    if job.state is not JobState.DONE or not_delivered == 0:
        return job_chip(job)
    if not_delivered is None:
        return NOT_COUNTED
    return Chip("warn", f"Done, {number(not_delivered)} not delivered")


def resend_progress(counts: Mapping[ResendResult, int]) -> str:
    """The progress of a bulk resend: ``0 delivered, 4 unsuccessful``."""
    shown = {ResendResult.DELIVERED: 0, **counts}
    return ", ".join(
        f"{number(shown[result])} {chip.label.lower()}"
        for result, chip in RESEND_RESULTS.items()
        if result in shown
    )


def init_app(app: Flask) -> None:
    """Register the template filters."""
    app.jinja_env.filters.update(
        resend_result_chip=resend_result_chip,
        resend_row_chip=resend_row_chip,
        resend_row_detail=resend_row_detail,
        resend_state_chip=resend_state_chip,
        resend_progress=resend_progress,
    )
