"""The list of webhooks as people read it: its groups, its rows, and why it is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.delivery.models import PAUSED, Attempt, Message, MessageNote, MessageState
from app.delivery.retry_policy import Reason
from app.network.text import pluralize
from app.ui.chips import Chip
from app.ui.listing import EmptyList, Group, no_matches, no_recent_matches
from app.ui.numbers import count
from app.webhooks.forms import STATES
from app.webhooks.presenters import (
    ATTEMPT_OUTCOMES,
    IN_PROGRESS,
    http_phrase,
    is_scheduled,
    message_chip,
    message_summary,
    outcome_label,
    reason_of,
    trigger_label,
)
from app.webhooks.queries import ATTENTION, NO_RESPONSE, MessageFilter

ALL_CLEAR = {
    "attention": "No webhooks were refused or failed.",
    "refused": "No refused webhooks.",
    "failed": "No failed webhooks.",
    PAUSED: "No paused webhooks.",
}
SHOW_ALL = "Show all webhooks"
MARK_LABELS = {
    "ok": "delivered",
    "failed": "failed",
    "timeout": "timed out",
    "refused": "refused",
    "next": "next attempt",
}
"""The shapes of attempts in the list, for its legend."""
TABS = {state: label for state, label in STATES if state not in (ATTENTION, "sending")} | {"": "All"}
"""The tabs of the list, by the state filter. Items that need attention have a page of their own."""
ALARMING = ("refused", "failed")
"""Tabs whose number is shown as a problem."""
CODE_LABELS = [
    ("2xx", "success"),
    ("4xx", "refused"),
    ("5xx", "server error"),
    (NO_RESPONSE, "no response"),
]
"""Suggestions for the filter by HTTP status."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab of the list; ``count`` is empty where a number would not help."""

    state: str
    label: str
    count: str
    is_alarming: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """One attempt as a small mark: its shape and its label."""

    shape: str
    label: str


@dataclass(frozen=True, slots=True)
class LogRow:
    """A webhook in the list. ``text`` is empty for a success, or if the group's heading explains it."""

    message: Message
    chip: Chip
    marks: Sequence[Mark]
    marks_label: str
    duration_ms: float | None
    actor: str
    text: str
    next_at: datetime | None
    next_label: str


GROUPED_FROM = 3
"""Webhooks with the same reason that make a group."""
_TIMEOUTS = (Reason.TIMEOUT, Reason.INTERRUPTED)


def log_groups(
    page: Sequence[Message],
    last_attempts: Mapping[str, Attempt],
    outcomes: Mapping[str, Sequence[str | None]],
) -> list[Group]:
    """The rows of the list: each group of webhooks that fail for one shared reason, then the others.

    ``last_attempts`` has the newest attempt of each message by id, ``outcomes`` those of the newest ones.
    """

    def row(message: Message, *, in_group: bool = False) -> LogRow:
        last, newest = last_attempts.get(message.id), outcomes.get(message.id, ())
        return _log_row(message, last, newest, in_group=in_group)

    failing: dict[tuple[int, str, int | None], list[Message]] = {}
    for message in page:
        if is_scheduled(message) and message.attempts_made:
            failing.setdefault((message.partner_id, message.reason, message.status_code), []).append(message)
    shared = [messages for messages in failing.values() if len(messages) >= GROUPED_FROM]
    grouped = {message.id for messages in shared for message in messages}
    groups = [
        Group(
            rows=[row(message, in_group=True) for message in messages],
            title=f"{messages[0].partner.name}: {_short_reason(messages[0])}",
            partner=messages[0].partner,
        )
        for messages in shared
    ]
    others = [row(message) for message in page if message.id not in grouped]
    if others:
        groups.append(Group(others, "All other webhooks" if groups else ""))
    return groups


def _log_row(
    message: Message, last: Attempt | None, outcomes: Sequence[str | None], *, in_group: bool
) -> LogRow:
    scheduled = is_scheduled(message)
    marks = [attempt_mark(outcome) for outcome in outcomes]
    label = ", ".join(mark.label for mark in marks)
    if scheduled and message.attempts_made:
        marks.append(Mark("next", "next attempt"))
    return LogRow(
        message=message,
        chip=message_chip(message),
        marks=marks,
        marks_label=f"{pluralize(message.attempts_made, 'attempt')}{f': {label}' if label else ''}",
        duration_ms=last.duration_ms if last else None,
        actor=(last.actor or trigger_label(last)) if last else "",
        text="" if in_group else _log_text(message),
        next_at=message.next_at if scheduled else None,
        next_label="Next attempt" if message.attempts_made else "Sending",
    )


def attempt_mark(outcome: str | None) -> Mark:
    """The mark of an attempt by its outcome; None has not ended."""
    if outcome is None:
        return Mark("running", IN_PROGRESS.label.lower())
    reason = reason_of(outcome)
    chip = ATTEMPT_OUTCOMES[reason]
    shape = {"ok": "ok", "refused": "refused"}.get(chip.tone, "timeout" if reason in _TIMEOUTS else "failed")
    return Mark(shape, chip.label)


def _log_text(message: Message) -> str:
    if message.is_paused:
        return "Sent when the partner is resumed."
    if message.state is MessageState.DELIVERED:
        return "Already received." if message.reason == Reason.ALREADY_RECEIVED else ""
    if is_scheduled(message) and not message.attempts_made:
        return ""
    is_refusal = message.note_code in (MessageNote.ATTEMPT, MessageNote.LATE_REFUSAL)
    if message.state is MessageState.REFUSED and is_refusal and message.error_dtl.strip():
        # The state says that the partner refused it, and the column is too narrow for a sentence.
        code = f" ({message.error_cd})" if message.error_cd else ""
        return message.error_dtl.strip().rstrip(".") + code
    return message_summary(message)


def _short_reason(message: Message) -> str:
    if message.status_code is not None:
        return f"{message.status_code} {http_phrase(message.status_code)}".strip()
    return outcome_label(message.reason)


def log_title(state: str) -> str:
    """The heading of the list with this state filter."""
    return "Needs attention" if state == ATTENTION else "Outgoing"


def tabs(counts: Mapping[str, int]) -> list[Tab]:
    """The tabs of the list, with how many webhooks are waiting or were not delivered."""
    return [
        Tab(state, label, count(counts[state]) if counts.get(state) else "", state in ALARMING)
        for state, label in TABS.items()
    ]


def empty_log(
    filters: MessageFilter, active: Mapping[str, Any], searched_back_to: datetime | None
) -> EmptyList:
    """Why the list is empty; ``active`` are the filters that are set."""
    if set(active) == {"state"} and filters.state in ALL_CLEAR:
        return EmptyList("done", "All clear", ALL_CLEAR[filters.state], SHOW_ALL)
    if searched_back_to:
        return no_recent_matches("webhooks", filters.q)
    if active:
        return no_matches("webhooks", filters.q, SHOW_ALL)
    text = "When someone responds to an order, the webhook appears here with its requests and responses."
    return EmptyList("empty", "No webhooks yet", text)
