"""The activity of an order as text."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask

from app.delivery.models import Attempt, Message, MessageState
from app.orders.document_presenters import change_counts
from app.orders.line_presenters import lines_brief
from app.orders.models import Comment
from app.orders.presenters import response_label
from app.orders.team import unknown_mentions
from app.orders.timeline import EventKind, TimelineEvent
from app.webhooks.presenters import message_sentence, outcome_sentence


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """An event as text: a title, a sentence with the details, and a tone."""

    title: str
    note: str = ""
    tone: str = ""


EVENT_TITLES = {
    EventKind.RECEIVED: "Received",
    EventKind.EDITED: "Changed by the buyer",
    EventKind.VIEWED: "Viewed by {actor}",
    EventKind.RESPONDED: "{response} by {actor}",
    EventKind.ATTEMPTED: "Delivery failed",
    EventKind.RESENT: "Resent by {actor}",
    EventKind.DELIVERED: "Delivered to the partner",
    EventKind.REFUSED: "Refused by the partner",
    EventKind.FAILED: "Delivery failed, no more retries",
    EventKind.RESPONSE_CANCELED: "Response canceled",
    EventKind.RESULT: "Result from the partner",
    EventKind.CANCELED: "Canceled by the buyer",
    EventKind.CLOSED: "Closed by the buyer",
    EventKind.COMMENTED: "Comment by {actor}",
    EventKind.ASSIGNED: "Assigned to {assignee} by {actor}",
    EventKind.CLAIMED: "Claimed by {actor}",
    EventKind.UNASSIGNED: "Unassigned by {actor}",
}
EVENT_TONES = {
    EventKind.EDITED: "warn",
    EventKind.ATTEMPTED: "warn",
    EventKind.REFUSED: "bad",
    EventKind.FAILED: "bad",
}


def activity_entry(event: TimelineEvent) -> ActivityEntry:
    """The text of an event."""
    kind, message, attempt = event.kind, event.message, event.attempt
    if message and attempt and attempt.in_flight:
        return _unfinished(message)
    if kind is EventKind.RESULT and message and message.state is MessageState.REFUSED:
        kind = EventKind.REFUSED
    title = EVENT_TITLES[kind].format(
        actor=event.actor or "an unknown user",
        assignee=event.assignee,
        response=response_label(event.response),
    )
    return ActivityEntry(title, _event_note(event), EVENT_TONES.get(kind, ""))


def _event_note(event: TimelineEvent) -> str:
    message, attempt = event.message, event.attempt
    if event.comment:
        return _mention_note(event.comment)
    if event.kind is EventKind.RESPONDED:
        return lines_brief(event.line_responses)
    if event.changes is not None:
        brief = change_counts(event.changes)
        return f"{brief[:1].upper()}{brief[1:]}."
    if message is None or event.kind is EventKind.DELIVERED:
        return ""
    if attempt is None or _is_refusal_of_message(event.kind, message, attempt):
        return message_sentence(message)
    return outcome_sentence(attempt)


def _mention_note(comment: Comment) -> str:
    """The names that were not notified. The text must not reveal whether such a user exists."""
    names = unknown_mentions(comment)
    if not names:
        return ""
    verb = "was" if len(names) == 1 else "were"
    return f"{', '.join(names)} {verb} not notified: no user with that name can see this order."


def _is_refusal_of_message(kind: EventKind, message: Message, attempt: Attempt) -> bool:
    """Whether this attempt ended with a refusal, whose details are in the message's note."""
    is_newest = attempt.number == message.attempts_made
    return kind is EventKind.REFUSED and is_newest and message.state is MessageState.REFUSED


def _unfinished(message: Message) -> ActivityEntry:
    if message.state is MessageState.SENDING:
        return ActivityEntry("Sending", "", "waiting")
    return ActivityEntry("Delivery attempted", "The outcome is unknown.", "warn")


def event_sentence(event: TimelineEvent) -> str:
    """The text of an event on one line."""
    entry = activity_entry(event)
    return f"{entry.title}. {entry.note}".strip() if entry.note else f"{entry.title}."


def init_app(app: Flask) -> None:
    """Register the template functions of the activity."""
    app.jinja_env.filters.update(event_sentence=event_sentence)
    app.jinja_env.globals.update(activity_entry=activity_entry)
