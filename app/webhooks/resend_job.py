"""The resend itself: frozen row by row, handed out in batches, and what came of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, insert, literal, select
from sqlalchemy.orm import Session

from app import clock
from app.db import literal_condition
from app.delivery.models import Attempt, CircuitBreaker, Message, MessageState, Trigger
from app.delivery.retry_policy import Reason
from app.delivery.service import CannotResend, resend
from app.tasks import service as task_service
from app.tasks.models import Job, JobState
from app.tasks.worker import Later, Work
from app.webhooks.models import ResendItem
from app.webhooks.resend_plan import MOST, Scope, Selection, candidates

KIND = "resend"
BATCH = 50
"""Messages handed out in one step."""
AHEAD = 100
"""Messages of one partner that may wait for a sender because people asked; others follow as they leave."""
LOOK_AGAIN_SECONDS = 2.0
"""After which to see whether what was handed out has left."""


class NothingToSend(Exception):
    """No message of the selection may be sent again."""


def ask_for(
    session: Session,
    scope: Scope,
    selection: Selection,
    *,
    by: str,
    person_id: int | None,
    reason: str,
) -> Job:
    """Put a resend into the queue, with a row for each message of the selection, left out or not.

    Errors: NothingToSend.
    """
    taken, _ = candidates(session, scope, selection)
    job = task_service.ask(
        session,
        KIND,
        title="Send again",
        by=by,
        person_id=person_id,
        parameters=selection.as_parameters(),
        reason=reason,
    )
    rows = select(
        literal(job.id),
        taken.c.id,
        taken.c.buyer_po_number,
        taken.c.state,
        taken.c.blocker,
    ).limit(MOST)
    session.execute(
        insert(ResendItem).from_select(["job_id", "message_id", "buyer_po_number", "was", "why_not"], rows)
    )
    job.total = session.scalar(select(func.count()).select_from(_waiting(job.id).subquery())) or 0
    if not job.total:
        raise NothingToSend
    job.title = f"Send {job.total:,} {'message' if job.total == 1 else 'messages'} again"
    session.flush()
    return job


def run(work: Work) -> None:
    """Hand out the messages of a resend, a batch at a time, as fast as their partners take them.

    Between the batches other work has its turn: a partner that does not answer may take hours.
    """
    with work.step() as (session, job):
        before = job.done
        left = hand_out(session, job)
        moved = job.done > before
    if left:
        raise Later(0.0 if moved else LOOK_AGAIN_SECONDS)


def hand_out(session: Session, job: Job, *, paced: bool = True) -> bool:
    """Ask for the next batch of a resend, oldest first; whether more is left.

    ``paced`` hands out no more than a partner's senders soon take, and one at a time to one that does not
    answer.
    """
    room = _room(session, job.id) if paced else None
    chosen = _next(session, job.id, room)
    messages = session.scalars(
        select(Message)
        .where(Message.id.in_([one.message_id for one in chosen]))
        .order_by(Message.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    by_id = {message.id: message for message in messages}
    now = clock.now()
    for one in chosen:
        item = session.get_one(ResendItem, (job.id, one.message_id))
        message = by_id.get(one.message_id)
        if message is None:
            item.blocker = "It is not kept any more."
            continue
        number = message.attempts_made + 1
        try:
            resend(
                session,
                message,
                by=job.created_by,
                reason=job.reason,
                trigger=Trigger.BULK,
                delivered_too=bool(job.parameters.get("delivered_too")),
            )
        except CannotResend as blocker:
            item.blocker = str(blocker)
            continue
        item.asked_at, item.attempt = now, number
    session.flush()
    job.done += len(chosen)
    left = session.scalar(_waiting(job.id).limit(1)) is not None
    held = left and not chosen and room is not None
    job.note = "It waits: what was handed out has to leave first." if held else ""
    return left


def finish_at_once(session: Session, job: Job) -> None:
    """Hand out all of a resend in this transaction: for a command, beside which deliverers send."""
    while hand_out(session, job, paced=False):
        pass
    job.state, job.started_at, job.finished_at, job.next_at = JobState.DONE, job.created_at, clock.now(), None


def _waiting(job_id: str) -> Any:
    return select(ResendItem.message_id).where(
        ResendItem.job_id == job_id, ResendItem.blocker == "", ResendItem.asked_at.is_(None)
    )


def _next(session: Session, job_id: str, room: Mapping[int, int] | None) -> Sequence[Any]:
    """The next messages, oldest first, as many of each partner as there is room for."""
    query = (
        select(ResendItem.message_id, Message.partner_id)
        .outerjoin(Message, Message.id == ResendItem.message_id)
        .where(ResendItem.job_id == job_id, ResendItem.blocker == "", ResendItem.asked_at.is_(None))
        .order_by(ResendItem.message_id)
        .limit(BATCH)
    )
    if room is None:
        return session.execute(query).all()
    found: list[Any] = []
    full = {partner_id for partner_id, count in room.items() if count <= 0}
    if full:
        query = query.where(Message.partner_id.not_in(full) | Message.partner_id.is_(None))
    taken: Counter[int | None] = Counter()
    for row in session.execute(query):
        if row.partner_id is not None and taken[row.partner_id] >= room.get(row.partner_id, AHEAD):
            continue
        taken[row.partner_id] += 1
        found.append(row)
    return found


def _room(session: Session, job_id: str) -> dict[int, int]:
    """How many more messages of each partner may be handed out; partners that nothing waits for have all."""
    asked = dict(
        session.execute(
            select(Message.partner_id, func.count())
            .where(
                Message.state.in_((MessageState.PENDING, MessageState.SENDING)),
                literal_condition("trigger <> 'auto'"),
            )
            .group_by(Message.partner_id)
        ).all()
    )
    room = {partner_id: AHEAD - count for partner_id, count in asked.items()}
    silent = session.execute(
        select(CircuitBreaker.partner_id, CircuitBreaker.opened_at).where(
            CircuitBreaker.opened_at.is_not(None)
        )
    ).all()
    for partner_id, opened_at in silent:
        if opened_at and not _answered_since(session, job_id, partner_id, opened_at):
            room[partner_id] = 1 - asked.get(partner_id, 0)
    return room


def _answered_since(session: Session, job_id: str, partner_id: int, when: datetime) -> bool:
    """Whether a message of this resend has arrived since the partner fell silent."""
    arrived = (
        select(Message.id)
        .join(ResendItem, ResendItem.message_id == Message.id)
        .where(
            ResendItem.job_id == job_id,
            ResendItem.asked_at.is_not(None),
            Message.partner_id == partner_id,
            Message.state == MessageState.DELIVERED,
            Message.finished_at > when,
        )
    )
    return session.scalar(arrived.limit(1)) is not None


OUTCOMES = ("delivered", "refused", "in vain", "on its way", "waiting", "not sent", "left out")
"""What may come of a message of a resend; ``not sent`` is what a cancelled resend did not come to."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the report."""

    message_id: str
    buyer_po_number: str
    was: str
    came: str
    why: str
    asked_at: datetime | None
    status: int | None


def report(
    session: Session, job: Job, *, only: str = "", after: str = "", limit: int = 100
) -> tuple[Sequence[Line], str | None]:
    """The rows of a resend by message id, oldest first, and the id after which the next page begins."""
    came = _came(job)
    query = (
        _items(job.id)
        .with_only_columns(
            ResendItem.message_id,
            ResendItem.buyer_po_number,
            ResendItem.was,
            came.label("came"),
            ResendItem.blocker,
            Attempt.detail,
            Message.note,
            ResendItem.asked_at,
            Attempt.status,
        )
        .order_by(ResendItem.message_id)
        .limit(limit + 1)
    )
    if only in OUTCOMES:
        query = query.where(came == only)
    if after:
        query = query.where(ResendItem.message_id > after)
    rows = session.execute(query).all()
    lines = [
        Line(
            message_id=row.message_id,
            buyer_po_number=row.buyer_po_number,
            was=row.was,
            came=row.came,
            why=row.blocker or row.detail or (row.note if row.came in ("refused", "in vain") else "") or "",
            asked_at=row.asked_at,
            status=row.status,
        )
        for row in rows[:limit]
    ]
    return lines, lines[-1].message_id if len(rows) > limit else None


def outcomes(session: Session, job: Job) -> dict[str, int]:
    """How many messages of a resend came to what."""
    came = _came(job)
    rows = session.execute(_items(job.id).with_only_columns(came, func.count()).group_by(came)).all()
    counts = {str(words): int(count) for words, count in rows}
    return {words: counts[words] for words in OUTCOMES if words in counts}


def _items(job_id: str) -> Any:
    return (
        select(ResendItem)
        .outerjoin(Message, Message.id == ResendItem.message_id)
        .outerjoin(
            Attempt,
            and_(Attempt.message_id == ResendItem.message_id, Attempt.number == ResendItem.attempt),
        )
        .where(ResendItem.job_id == job_id)
    )


def _came(job: Job) -> Any:
    good = (Reason.DELIVERED.value, Reason.ALREADY_RECEIVED.value)
    refused = (Reason.REFUSED_BY_PARTNER.value, Reason.REFUSED_STATUS.value)
    return case(
        (ResendItem.blocker != "", "left out"),
        (ResendItem.asked_at.is_(None), "not sent" if job.is_finished else "waiting"),
        (Attempt.outcome.in_(good), "delivered"),
        (Attempt.outcome.in_(refused), "refused"),
        (Attempt.outcome.is_not(None), "in vain"),
        # A late result may have settled it before its turn came.
        (and_(Attempt.id.is_(None), Message.state == MessageState.DELIVERED), "delivered"),
        (and_(Attempt.id.is_(None), Message.state == MessageState.CANCELLED), "not sent"),
        else_="on its way",
    )
