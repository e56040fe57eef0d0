"""The report of a bulk resend: the result of each message, and how many there are of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from operator import attrgetter
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session, defer, joinedload

from app.db.filters import Page, page_of
from app.delivery.models import Attempt, Message, MessageState
from app.delivery.retry_policy import ACCEPTED_OUTCOMES, REFUSED_OUTCOMES
from app.tasks.models import Job, JobState
from app.webhooks.models import ResendItem

COUNTED_MAX = 100_000
"""Webhooks whose results the list of jobs counts."""
REPORT_PAGE = 100
"""Rows of a page of the report."""


class ResendResult(StrEnum):
    """The result of one message of a bulk resend."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    SENDING = "sending"
    QUEUED = "queued"
    # The bulk resend was canceled before this message was requested.
    NOT_SENT = "not_sent"
    SKIPPED = "skipped"


NOT_DELIVERED = (ResendResult.REFUSED, ResendResult.FAILED)


@dataclass(frozen=True, slots=True)
class ResendRow:
    """One row of the report; ``message`` is None if it was deleted since."""

    item: ResendItem
    result: ResendResult
    attempt: Attempt | None
    message: Message | None


def report(session: Session, job: Job, *, only: str = "", after: str = "") -> Page[ResendRow]:
    """The rows of a bulk resend by message id, oldest first."""
    result = _result(is_finished=job.is_finished)
    query = (
        _items(job)
        .with_only_columns(ResendItem, result, Attempt, Message)
        .options(defer(Message.body), joinedload(Message.partner))
        .order_by(ResendItem.message_id)
        .limit(REPORT_PAGE + 1)
    )
    if only:
        query = query.where(result == only)
    if after:
        query = query.where(ResendItem.message_id > after)
    rows = [
        ResendRow(item, ResendResult(code), attempt, message)
        for item, code, attempt, message in session.execute(query)
    ]
    return page_of(rows, REPORT_PAGE, key=attrgetter("item.message_id"))


def count_results(session: Session, job: Job) -> dict[ResendResult, int]:
    """How many messages of a bulk resend have which result."""
    result = _result(is_finished=job.is_finished)
    rows = session.execute(_items(job).with_only_columns(result, func.count()).group_by(result)).all()
    counts = {ResendResult(code): int(count) for code, count in rows}
    return {code: counts[code] for code in ResendResult if code in counts}


def count_not_delivered(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """How many attempts of each finished bulk resend were not successful, by the id of its job.

    The first of the jobs are counted, up to ``COUNTED_MAX`` webhooks in all, since each one takes time.
    """
    done = [job for job in jobs if job.state is JobState.DONE]
    totals = accumulate(job.total for job in done)
    ids = [job.id for job, total in zip(done, totals, strict=True) if total <= COUNTED_MAX]
    is_attempt = and_(Attempt.message_id == ResendItem.message_id, Attempt.number == ResendItem.attempt)
    counts = (
        select(ResendItem.job_id, func.count())
        .join(Attempt, is_attempt)
        .where(
            ResendItem.job_id.in_(ids),
            Attempt.outcome.not_in(ACCEPTED_OUTCOMES),  # not while it is NULL
        )
        .group_by(ResendItem.job_id)
    )
    return {**dict.fromkeys(ids, 0), **dict(session.execute(counts).all())}


def _items(job: Job) -> Any:
    return (
        select(ResendItem)
        .outerjoin(Message, Message.id == ResendItem.message_id)
        .outerjoin(
            Attempt,
            and_(Attempt.message_id == ResendItem.message_id, Attempt.number == ResendItem.attempt),
        )
        .where(ResendItem.job_id == job.id)
    )


def _result(*, is_finished: bool) -> Any:
    not_requested = ResendResult.NOT_SENT if is_finished else ResendResult.QUEUED
    return case(
        (ResendItem.blocker != "", ResendResult.SKIPPED.value),
        (ResendItem.requested_at.is_(None), not_requested.value),
        (Attempt.outcome.in_(ACCEPTED_OUTCOMES), ResendResult.DELIVERED.value),
        (Attempt.outcome.in_(REFUSED_OUTCOMES), ResendResult.REFUSED.value),
        (Attempt.outcome.is_not(None), ResendResult.FAILED.value),
        # A late result may have ended the message before its attempt.
        (and_(Attempt.id.is_(None), Message.state == MessageState.DELIVERED), ResendResult.DELIVERED.value),
        (and_(Attempt.id.is_(None), Message.state == MessageState.CANCELED), ResendResult.NOT_SENT.value),
        else_=ResendResult.SENDING.value,
    )
