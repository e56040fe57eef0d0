"""Labels, tones and sentences for webhooks and their attempts, and their template filters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from http import HTTPStatus

from flask import Flask

from app import clock
from app.delivery.models import Attempt, Message, MessageState, Trigger
from app.delivery.retry_policy import Reason
from app.partners.masking import MASK
from app.ui import web
from app.ui.chips import Chip

MESSAGE_STATES = {
    "pending": Chip("waiting", "Queued"),
    "retrying": Chip("waiting", "Retrying"),
    "held": Chip("warn", "Paused"),
    "sending": Chip("waiting", "Sending"),
    "delivered": Chip("ok", "Delivered"),
    "refused": Chip("bad", "Refused"),
    "failed": Chip("bad", "Failed"),
    "cancelled": Chip("quiet", "Canceled"),
}
"""Labels and tones of ``MessageState``, and of two states that are derived: ``retrying`` and ``held``."""

ATTEMPT_OUTCOMES = {
    Reason.DELIVERED: Chip("ok", "accepted"),
    Reason.ALREADY_RECEIVED: Chip("ok", "already received"),
    Reason.REFUSED_BY_PARTNER: Chip("bad", "refused"),
    Reason.REFUSED_STATUS: Chip("bad", "refused"),
    Reason.UNREADABLE_ANSWER: Chip("warn", "unreadable response"),
    Reason.WRONG_OBJECT: Chip("warn", "wrong order"),
    Reason.REDIRECT: Chip("warn", "redirect"),
    Reason.CREDENTIALS: Chip("warn", "wrong key or URL"),
    Reason.GONE: Chip("warn", "gone"),
    Reason.BUSY: Chip("warn", "unavailable"),
    Reason.SERVER_ERROR: Chip("warn", "server error"),
    Reason.TIMEOUT: Chip("warn", "timed out"),
    Reason.NAME: Chip("warn", "DNS lookup failed"),
    Reason.ADDRESS_REFUSED: Chip("warn", "address not allowed"),
    Reason.CONNECT: Chip("warn", "connection failed"),
    Reason.TLS: Chip("warn", "TLS failed"),
    Reason.RESET: Chip("warn", "connection reset"),
    Reason.ODD_ANSWER: Chip("warn", "invalid response"),
    Reason.BAD_TARGET: Chip("warn", "invalid settings"),
    Reason.INTERNAL: Chip("warn", "internal error"),
    Reason.INTERRUPTED: Chip("warn", "interrupted"),
}
"""Labels and tones of what an attempt ended with."""

TRIGGER_LABELS = {
    Trigger.AUTO: "Automatic",
    Trigger.MANUAL: "Manual",
    Trigger.BULK: "Bulk",
    Trigger.TEST: "Test",
}

IN_PROGRESS = Chip("waiting", "in progress")
OUTCOME_UNKNOWN = Chip("warn", "outcome unknown")


def message_chip(message: Message) -> Chip:
    """The state of a message."""
    retrying = message.attempts_made and message.state_shown == MessageState.PENDING
    return MESSAGE_STATES["retrying" if retrying else message.state_shown]


def state_label(state: str) -> str:
    """The label of a state by its name, as the database stores it."""
    return MESSAGE_STATES[state].words if state in MESSAGE_STATES else state


def outcome_label(outcome: str) -> str:
    """The label of an attempt's outcome with a capital: ``Timed out``."""
    words = ATTEMPT_OUTCOMES[Reason(outcome)].words if outcome in set(Reason) else outcome
    return words[:1].upper() + words[1:]


def attempt_chip(attempt: Attempt, message: Message, now: datetime) -> Chip:
    """The result of one attempt of the message: ``200, refused``, ``timed out``."""
    if attempt.outcome is None:
        return IN_PROGRESS if message.may_be_flying(attempt, now) else OUTCOME_UNKNOWN
    known = attempt.outcome in set(Reason)
    chip = ATTEMPT_OUTCOMES[Reason(attempt.outcome)] if known else Chip("warn", attempt.outcome)
    return Chip(chip.tone, f"{attempt.status}, {chip.words}") if attempt.status else chip


def state_and_reason(key: str) -> str:
    """The label of a state and its reason, from ``failed:timeout``: ``Failed: timed out``."""
    state, _, reason = key.partition(":")
    label = state_label("retrying" if reason and state == MessageState.PENDING else state)
    return f"{label}: {ATTEMPT_OUTCOMES[Reason(reason)].words}" if reason in set(Reason) else label


_ADDED_BY_CURL = frozenset({"host", "content-length", "connection", "accept-encoding"})
"""Headers that curl adds on its own."""


def curl_variables(attempt: Attempt) -> dict[str, str]:
    """Shell variables that replace the secrets of an attempt, by header name."""
    names = dict.fromkeys(name for name, value in attempt.request_headers if MASK in value)
    return {
        name: "PARTNER_KEY" if number == 1 else f"PARTNER_KEY_{number}"
        for number, name in enumerate(names, start=1)
    }


def as_curl(message: Message, attempt: Attempt) -> str:
    """An attempt as a curl command; set the ``curl_variables`` before running it."""
    variables = curl_variables(attempt)
    parts = [f"curl -sS -X POST {shlex.quote(attempt.url)}"]
    for name, value in attempt.request_headers:
        if name.lower() in _ADDED_BY_CURL:
            continue
        if MASK in value:
            parts.append(f"-H {shlex.quote(f'{name}: ')}" + f'"${variables[name]}"')
        else:
            parts.append(f"-H {shlex.quote(f'{name}: {value}')}")
    parts.append(f"--data-raw {shlex.quote(message.body.decode('utf-8', 'replace'))}")
    return " \\\n  ".join(parts)


def simulator_link(message: Message) -> str:
    """The partner simulator's page about a message; empty for every other partner."""
    simulator = web.settings().simulator_url
    if not simulator or message.partner.base_url.rstrip("/") != simulator or not message.attempts_made:
        return ""
    return f"{simulator}/received/{message.id}"


def headers_as_text(headers: Iterable[Sequence[str]]) -> str:
    """Headers, one per line."""
    return "\n".join(f"{name}: {value}" for name, value in headers)


def http_phrase(status: int | None) -> str:
    """The standard phrase of a status, such as ``OK`` for 200; empty for an unknown one."""
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""


def lasting(note: str) -> str:
    """A message's note without what comes next: the page says that itself, and truer."""
    return re.sub(r" (The next try is [^.]*|It is (tried|not sent) again by itself)\.$", "", note)


def pace(message: Message, now: datetime) -> str:
    """The polling interval of a message's page: short near an event, longer while it waits."""
    near = min(abs((now - at).total_seconds()) for at in (message.created_at, message.next_at) if at)
    return "2s" if near < 30 else "5s" if near < 300 else "15s"


def webhook_chips() -> dict[str, list[Chip]]:
    """All states of webhooks and attempts, for the style guide."""
    return {
        "Webhook": list(MESSAGE_STATES.values()),
        "Attempt": [IN_PROGRESS, OUTCOME_UNKNOWN, *ATTEMPT_OUTCOMES.values()],
    }


def init_app(app: Flask) -> None:
    """Register this package's template filters."""
    app.jinja_env.filters.update(
        message_chip=message_chip,
        attempt_chip=lambda attempt, message: attempt_chip(attempt, message, clock.now()),
        as_curl=as_curl,
        at_simulator=simulator_link,
        curl_variables=curl_variables,
        state_and_reason=state_and_reason,
        state_label=state_label,
        outcome_label=outcome_label,
        headers_as_text=headers_as_text,
        http_phrase=http_phrase,
        lasting=lasting,
        pace=lambda message: pace(message, clock.now()),
    )
