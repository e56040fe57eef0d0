"""Labels and sentences of bulk resends, and their template filters."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from app.delivery.presenters import detail_sentence
from app.ui.chips import Chip
from app.webhooks.presenters import blocker_text, message_sentence
from app.webhooks.resend_job import ResendResult, ResendRow

RESEND_RESULTS = {
    ResendResult.DELIVERED: Chip("ok", "delivered"),
    ResendResult.REFUSED: Chip("bad", "refused"),
    ResendResult.FAILED: Chip("warn", "failed"),
    ResendResult.SENDING: Chip("waiting", "sending"),
    ResendResult.QUEUED: Chip("waiting", "queued"),
    ResendResult.NOT_SENT: Chip("quiet", "not sent"),
    ResendResult.SKIPPED: Chip("quiet", "skipped"),
}


def resend_result_chip(result: ResendResult) -> Chip:
    """The result of one message of a bulk resend."""
    return RESEND_RESULTS[result]


def resend_row_chip(row: ResendRow) -> Chip:
    """The result of a row of the report, with the HTTP status."""
    chip = RESEND_RESULTS[row.result]
    status = row.attempt.status if row.attempt else None
    return Chip(chip.tone, f"{chip.label}, {status}") if status else chip


def resend_row_detail(row: ResendRow) -> str:
    """Why a row was skipped, or what went wrong."""
    if row.item.blocker:
        return blocker_text(row.item.blocker)
    if row.attempt and row.attempt.detail.code:
        return detail_sentence(row.attempt.detail)
    if row.message is None:
        return ""
    return message_sentence(row.message) if row.result in (ResendResult.REFUSED, ResendResult.FAILED) else ""


def resend_progress(counts: Mapping[ResendResult, int]) -> str:
    """The progress of a bulk resend, for screen readers."""
    delivered = f"{counts.get(ResendResult.DELIVERED, 0)} delivered"
    sending = counts.get(ResendResult.SENDING, 0)
    return f"{delivered}, {sending} sending" if sending else delivered


def init_app(app: Flask) -> None:
    """Register the template filters."""
    app.jinja_env.filters.update(
        resend_result_chip=resend_result_chip,
        resend_row_chip=resend_row_chip,
        resend_row_detail=resend_row_detail,
        resend_progress=resend_progress,
    )
