"""The job of a bulk resend: requests the messages in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, literal, select
from sqlalchemy.orm import Session

from app import clock
from app.db import literal_condition
from app.db.filters import Scope
from app.delivery.models import LIVE, CircuitBreaker, Message, MessageState, Trigger
from app.delivery.resend_blocker import ResendBlocker
from app.delivery.service import CannotResend, resend
from app.tasks import service as task_service
from app.tasks.models import Job, JobNote, JobState
from app.tasks.worker import Postpone, TaskRun
from app.webhooks.models import ResendItem
from app.webhooks.resend_plan import MESSAGES_MAX, Selection, candidates

KIND = "resend"
BATCH = 50
"""Messages requested in one step."""
REQUESTED_MAX = 100
"""Requested messages of one partner that may wait to be sent; the rest follow as these are sent."""
CHECK_AGAIN_SECONDS = 2.0
"""Pause before the next step while requested messages wait to be sent."""


class NothingToResend(Exception):
    """No message of the selection may be resent."""


def create_job(
    session: Session,
    scope: Scope,
    selection: Selection,
    *,
    by: str,
    person_id: int | None,
    reason: str,
) -> Job:
    """Create a bulk resend with a row for each message of the selection, skipped or not.

    Errors: NothingToResend.
    """
    selected, _ = candidates(session, scope, selection)
    job = task_service.create_job(
        session,
        KIND,
        by=by,
        person_id=person_id,
        parameters={"delivered_too": selection.include_delivered},
        reason=reason,
    )
    rows = select(
        literal(job.id),
        selected.c.id,
        selected.c.buyer_po_number,
        selected.c.labeled_state,
        selected.c.blocker,
    ).limit(MESSAGES_MAX)
    session.execute(
        insert(ResendItem).from_select(["job_id", "message_id", "buyer_po_number", "was", "why_not"], rows)
    )
    job.total = session.scalar(select(func.count()).select_from(_queued(job.id).subquery())) or 0
    if not job.total:
        raise NothingToResend
    session.flush()
    return job


def run(task: TaskRun) -> None:
    """Request one batch of a bulk resend, then let other jobs run: a slow partner may take hours."""
    with task.step() as (session, job):
        done_before = job.done
        has_more = request_batch(session, job)
        has_progressed = job.done > done_before
    if has_more:
        raise Postpone(0.0 if has_progressed else CHECK_AGAIN_SECONDS)


def request_batch(session: Session, job: Job, *, limit_per_partner: bool = True) -> bool:
    """Request the next attempts of a bulk resend, oldest message first; returns whether more are left.

    ``limit_per_partner`` requests only what a partner can receive soon, and one at a time while its circuit
    breaker is open.
    """
    capacity = _capacity(session, job.id) if limit_per_partner else None
    batch = _next_batch(session, job.id, capacity)
    messages = session.scalars(
        select(Message)
        .where(Message.id.in_([row.message_id for row in batch]))
        .order_by(Message.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    messages_by_id = {message.id: message for message in messages}
    for row in batch:
        item = session.get_one(ResendItem, (job.id, row.message_id))
        _request_item(session, job, item, messages_by_id.get(row.message_id))
    session.flush()
    job.done += len(batch)
    has_more = session.scalar(_queued(job.id).limit(1)) is not None
    is_waiting = has_more and not batch and capacity is not None
    job.note_code = JobNote.WAITING if is_waiting else JobNote.NONE
    return has_more


def _request_item(session: Session, job: Job, item: ResendItem, message: Message | None) -> None:
    if message is None:
        item.blocker = ResendBlocker.DELETED
        return
    number = message.attempts_made + 1
    try:
        resend(
            session,
            message,
            by=job.created_by,
            reason=job.reason,
            trigger=Trigger.BULK,
            include_delivered=bool(job.parameters.get("delivered_too")),
        )
    except CannotResend as error:
        item.blocker = error.blocker
        return
    item.requested_at, item.attempt = clock.now(), number


def run_now(session: Session, job: Job) -> None:
    """Request all messages in this transaction; for a command, while delivery workers send."""
    while request_batch(session, job, limit_per_partner=False):
        pass
    job.started_at = job.created_at
    job.finish(JobState.DONE, clock.now())


def _queued(job_id: str) -> Any:
    return select(ResendItem.message_id).where(
        ResendItem.job_id == job_id, ResendItem.blocker == "", ResendItem.requested_at.is_(None)
    )


def _next_batch(session: Session, job_id: str, capacity: Mapping[int, int] | None) -> Sequence[Any]:
    """The next messages, oldest first, at most ``capacity`` of each partner."""
    query = (
        _queued(job_id)
        .outerjoin(Message, Message.id == ResendItem.message_id)
        .add_columns(Message.partner_id)
        .order_by(ResendItem.message_id)
        .limit(BATCH)
    )
    if capacity is None:
        return session.execute(query).all()
    full = {partner_id for partner_id, count in capacity.items() if count <= 0}
    if full:
        query = query.where(Message.partner_id.not_in(full) | Message.partner_id.is_(None))
    batch: list[Any] = []
    counts: Counter[int | None] = Counter()
    for row in session.execute(query):
        limit = capacity.get(row.partner_id, REQUESTED_MAX)
        if row.partner_id is not None and counts[row.partner_id] >= limit:
            continue
        counts[row.partner_id] += 1
        batch.append(row)
    return batch


def _capacity(session: Session, job_id: str) -> dict[int, int]:
    """How many more messages of a partner may be requested; ``REQUESTED_MAX`` for partners not listed."""
    requested = dict(
        session.execute(
            select(Message.partner_id, func.count())
            .where(
                Message.state.in_(LIVE),
                literal_condition("trigger <> 'auto'"),
            )
            .group_by(Message.partner_id)
        ).all()
    )
    capacity = {partner_id: REQUESTED_MAX - count for partner_id, count in requested.items()}
    open_breakers = session.execute(
        select(CircuitBreaker.partner_id, CircuitBreaker.opened_at).where(
            CircuitBreaker.opened_at.is_not(None)
        )
    ).all()
    for partner_id, opened_at in open_breakers:
        if opened_at and not _has_delivered_since(session, job_id, partner_id, opened_at):
            capacity[partner_id] = 1 - requested.get(partner_id, 0)
    return capacity


def _has_delivered_since(session: Session, job_id: str, partner_id: int, when: datetime) -> bool:
    """Whether a message of this bulk resend was delivered since the circuit breaker opened."""
    delivered = (
        select(Message.id)
        .join(ResendItem, ResendItem.message_id == Message.id)
        .where(
            ResendItem.job_id == job_id,
            ResendItem.requested_at.is_not(None),
            Message.partner_id == partner_id,
            Message.state == MessageState.DELIVERED,
            Message.finished_at > when,
        )
    )
    return session.scalar(delivered.limit(1)) is not None
