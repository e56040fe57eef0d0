"""The activity of an order: events from its versions, views, responses, webhooks and status changes.

An event is a code with parameters; ``activity_presenters`` turns it into text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby, pairwise
from typing import Any

from sqlalchemy.orm import Session

from app.audit import queries as audit_queries
from app.audit.models import AuditAction, AuditEntry, AuditObject
from app.delivery.models import Attempt, Message, MessageState, ResultFrom, Trigger
from app.delivery.retry_policy import ACCEPTED_OUTCOMES, REFUSED_OUTCOMES
from app.network.vocabulary import BuyerAction
from app.orders.comparison import Differences, compare
from app.orders.models import Comment, Decision, OrderView, PurchaseOrder, Revision, StatusChange
from app.orders.presence import list_views
from app.orders.team import ASSIGNED_TO, NO_ASSIGNEE, comments_of

ASSIGNMENTS_SHOWN = 50
"""The newest assignments that the activity lists."""


class EventKind(StrEnum):
    """The kinds of events. The values are CSS classes and part of the evidence pack."""

    RECEIVED = "received"
    EDITED = "edited"
    VIEWED = "seen"
    RESPONDED = "answered"
    ATTEMPTED = "tried"
    RESENT = "asked"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    RESPONSE_CANCELED = "withdrawn"
    RESULT = "result"
    CANCELED = "cancelled"
    CLOSED = "closed"
    COMMENTED = "commented"
    ASSIGNED = "assigned"
    CLAIMED = "claimed"
    UNASSIGNED = "unassigned"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One event of an order.

    ``actor`` is a person or the buyer; empty for automatic events. ``remarks`` is the actor's own text.
    ``message_id`` and ``inbound_id`` link to the logs where not empty. ``count`` is the number of attempts
    that ``attempt`` is the last of. ``line_responses`` are as a decision stores them.
    """

    at: datetime
    kind: EventKind
    actor: str = ""
    remarks: str = ""
    version: int | None = None
    message_id: str = ""
    inbound_id: str = ""
    count: int = 1
    response: str = ""
    line_responses: Sequence[dict[str, Any]] = ()
    changes: Differences | None = None
    message: Message | None = None
    attempt: Attempt | None = None
    comment: Comment | None = None
    assignee: str = ""


def timeline(session: Session, order: PurchaseOrder, messages: Sequence[Message]) -> list[TimelineEvent]:
    """All events of an order except the comments of the team, oldest first.

    ``order`` is loaded with its revisions, decisions and status changes, ``messages`` with their attempts.
    """
    events = [
        *_revisions(order),
        *(_view(view) for view in list_views(session, order.id)),
        *(_decision(decision) for decision in reversed(order.decisions)),
        *(event for message in reversed(messages) for event in _message(message)),
        *(_status_change(order, change) for change in reversed(order.status_changes)),
    ]
    # The sort is stable: of two events at the same moment, the cause stays first.
    return sorted(events, key=lambda event: event.at)


def activity(session: Session, order: PurchaseOrder, messages: Sequence[Message]) -> list[TimelineEvent]:
    """The timeline of an order with the comments and assignments of the team."""
    comments = [
        TimelineEvent(comment.created_at, EventKind.COMMENTED, comment.person_name, comment=comment)
        for comment in comments_of(session, order.id)
    ]
    entries = audit_queries.newest_of(
        session, AuditObject.ORDER, [str(order.id)], actions=[AuditAction.ASSIGNED], limit=ASSIGNMENTS_SHOWN
    )
    team = [*comments, *(_assignment(entry) for entry in reversed(entries))]
    return sorted([*timeline(session, order, messages), *team], key=lambda event: event.at)


def _assignment(entry: AuditEntry) -> TimelineEvent:
    """An assignment, which only the audit trail records."""
    assignee = str(entry.new_values.get(ASSIGNED_TO) or "")
    kind = EventKind.ASSIGNED
    if assignee == NO_ASSIGNEE:
        kind = EventKind.UNASSIGNED
    elif assignee == entry.actor:
        kind = EventKind.CLAIMED
    return TimelineEvent(entry.at, kind, entry.actor, assignee=assignee)


def _revisions(order: PurchaseOrder) -> Iterator[TimelineEvent]:
    oldest_first = list(reversed(order.revisions))
    if oldest_first:
        yield _revision(order, oldest_first[0], EventKind.RECEIVED)
    for old, new in pairwise(oldest_first):
        changes = compare(old.message, new.message)
        yield _revision(order, new, EventKind.EDITED, changes)


def _revision(
    order: PurchaseOrder, revision: Revision, kind: EventKind, changes: Differences | None = None
) -> TimelineEvent:
    return TimelineEvent(
        revision.received_at,
        kind,
        order.buyer_name,
        version=revision.version,
        inbound_id=revision.inbound_id,
        changes=changes,
    )


def _view(view: OrderView) -> TimelineEvent:
    return TimelineEvent(view.seen_at, EventKind.VIEWED, view.person_name, version=view.version)


def _decision(decision: Decision) -> TimelineEvent:
    return TimelineEvent(
        decision.decided_at,
        EventKind.RESPONDED,
        decision.person_name,
        remarks=decision.remarks,
        version=decision.version,
        message_id=decision.message_id,
        response=decision.response,
        line_responses=decision.line_responses,
    )


def _status_change(order: PurchaseOrder, change: StatusChange) -> TimelineEvent:
    return TimelineEvent(
        change.received_at,
        EventKind.CANCELED if change.action == BuyerAction.CANCEL else EventKind.CLOSED,
        order.buyer_name,
        remarks=change.remarks,
        version=change.version,
        inbound_id=change.inbound_id,
    )


def _message(message: Message) -> Iterator[TimelineEvent]:
    """The attempts of one message, how it ended, and a late result."""
    oldest_first = sorted(message.attempts, key=lambda attempt: attempt.number)
    for kind, group in groupby(oldest_first, key=_attempt_kind):
        yield from _attempts(message, kind, list(group))
    ended_at = message.finished_at or message.created_at
    if message.state is MessageState.FAILED:
        yield TimelineEvent(ended_at, EventKind.FAILED, message_id=message.id, message=message)
    elif message.state is MessageState.CANCELED:
        yield TimelineEvent(ended_at, EventKind.RESPONSE_CANCELED, message_id=message.id, message=message)
    if message.result_from is ResultFrom.RESP_CONFIRM and message.result_at:
        yield TimelineEvent(
            message.result_at,
            EventKind.RESULT,
            message_id=message.id,
            inbound_id=message.result_inbound_id or "",
            message=message,
        )


def _attempt_kind(attempt: Attempt) -> EventKind:
    if attempt.outcome in ACCEPTED_OUTCOMES:
        return EventKind.DELIVERED
    return EventKind.REFUSED if attempt.outcome in REFUSED_OUTCOMES else EventKind.ATTEMPTED


def _attempts(message: Message, kind: EventKind, attempts: Sequence[Attempt]) -> Iterator[TimelineEvent]:
    """Consecutive attempts with the same outcome are one event; each manual resend is an event as well."""
    for attempt in attempts:
        if attempt.trigger is not Trigger.AUTO:
            yield TimelineEvent(
                attempt.started_at,
                EventKind.RESENT,
                attempt.actor or "",
                remarks=attempt.request_reason or "",
                message_id=message.id,
            )
    last = attempts[-1]
    yield TimelineEvent(
        last.ended_at or last.started_at,
        kind,
        message_id=message.id,
        count=len(attempts),
        message=message,
        attempt=last,
    )
