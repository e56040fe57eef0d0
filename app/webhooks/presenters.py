"""Labels, tones and sentences for webhooks and their attempts, and the template filters that give them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from http import HTTPStatus

from flask import Flask

from app import clock
from app.delivery.models import Attempt, Message
from app.delivery.retry_policy import Reason
from app.partners.masking import MASK
from app.ui import web
from app.ui.chips import Chip

STATE_CHIPS = {
    "pending": Chip("waiting", "Waiting to be sent"),
    "retrying": Chip("waiting", "Not delivered yet"),
    "held": Chip("warn", "Held"),
    "sending": Chip("waiting", "Being sent"),
    "delivered": Chip("ok", "Delivered"),
    "refused": Chip("bad", "Refused by the network"),
    "failed": Chip("bad", "Not delivered"),
    "cancelled": Chip("quiet", "Withdrawn"),
}


RETRYING = {"pending": "retrying"}


def message_chip(message: Message) -> Chip:
    """Where a message stands."""
    shown = message.state_shown
    return STATE_CHIPS[RETRYING.get(shown, shown) if message.attempts_made else shown]


OUTCOME_CHIPS = {
    Reason.DELIVERED: Chip("ok", "accepted"),
    Reason.ALREADY_RECEIVED: Chip("ok", "had it already"),
    Reason.REFUSED_BY_PARTNER: Chip("bad", "refused"),
    Reason.REFUSED_STATUS: Chip("bad", "refused"),
    Reason.UNREADABLE_ANSWER: Chip("warn", "unreadable answer"),
    Reason.WRONG_OBJECT: Chip("warn", "another order"),
    Reason.REDIRECT: Chip("warn", "redirect"),
    Reason.CREDENTIALS: Chip("warn", "key or address"),
    Reason.GONE: Chip("warn", "gone"),
    Reason.BUSY: Chip("warn", "busy"),
    Reason.SERVER_ERROR: Chip("warn", "their error"),
    Reason.TIMEOUT: Chip("warn", "timed out"),
    Reason.NAME: Chip("warn", "name not found"),
    Reason.ADDRESS_REFUSED: Chip("warn", "address not allowed"),
    Reason.CONNECT: Chip("warn", "not reached"),
    Reason.TLS: Chip("warn", "not secure"),
    Reason.RESET: Chip("warn", "broken off"),
    Reason.ODD_ANSWER: Chip("warn", "odd answer"),
    Reason.BAD_TARGET: Chip("warn", "set up wrong"),
    Reason.INTERNAL: Chip("warn", "our fault"),
    Reason.INTERRUPTED: Chip("warn", "interrupted"),
}


def outcome_words(outcome: str) -> str:
    """What came of tries, as the head of a row: ``Timed out``."""
    words = OUTCOME_CHIPS[Reason(outcome)].words if outcome in set(Reason) else outcome
    return words[:1].upper() + words[1:]


_UNDER_WAY = Chip("waiting", "under way")
_UNSEEN = Chip("warn", "end not seen")


def attempt_chip(attempt: Attempt, message: Message, now: datetime) -> Chip:
    """What came of one try of the message: ``200, refused``, ``timed out``."""
    if attempt.outcome is None:
        return _UNDER_WAY if message.may_be_flying(attempt, now) else _UNSEEN
    known = attempt.outcome in set(Reason)
    found = OUTCOME_CHIPS[Reason(attempt.outcome)] if known else Chip("warn", attempt.outcome)
    return Chip(found.tone, f"{attempt.status}, {found.words}") if attempt.status else found


def state_words(state: str) -> str:
    """Where a message stands or stood, by the name of its state."""
    return STATE_CHIPS[state].words if state in STATE_CHIPS else state


def stands(key: str) -> str:
    """Why messages stand where they stand, from ``failed:timeout``: ``Not delivered: timed out``."""
    state, _, reason = key.partition(":")
    words = state_words(RETRYING.get(state, state) if reason else state)
    return f"{words}: {OUTCOME_CHIPS[Reason(reason)].words}" if reason in set(Reason) else words


_OF_THE_CONNECTION = frozenset({"host", "content-length", "connection", "accept-encoding"})
"""Header lines that curl writes itself."""


def curl_variables(attempt: Attempt) -> dict[str, str]:
    """The shell variables that stand for a try's secrets, by the header each belongs to, in order."""
    names = dict.fromkeys(name for name, value in attempt.request_headers if MASK in value)
    return {
        name: "PARTNER_KEY" if number == 1 else f"PARTNER_KEY_{number}"
        for number, name in enumerate(names, start=1)
    }


def as_curl(message: Message, attempt: Attempt) -> str:
    """A try as a command of a shell, which runs once its secrets are in ``curl_variables``."""
    variables = curl_variables(attempt)
    parts = [f"curl -sS -X POST {shlex.quote(attempt.url)}"]
    for name, value in attempt.request_headers:
        if name.lower() in _OF_THE_CONNECTION:
            continue
        if MASK in value:
            parts.append(f"-H {shlex.quote(f'{name}: ')}" + f'"${variables[name]}"')
        else:
            parts.append(f"-H {shlex.quote(f'{name}: {value}')}")
    parts.append(f"--data-raw {shlex.quote(message.body.decode('utf-8', 'replace'))}")
    return " \\\n  ".join(parts)


def at_simulator(message: Message) -> str:
    """Where the demo's partner shows what arrived of a message; empty for every real partner.

    The setting says which address is the simulator's: nothing is guessed.
    """
    simulator = web.settings().simulator_url
    if not simulator or message.partner.base_url.rstrip("/") != simulator or not message.attempts_made:
        return ""
    return f"{simulator}/received/{message.id}"


def headers_as_text(headers: Iterable[Sequence[str]]) -> str:
    """Header lines as they travelled."""
    return "\n".join(f"{name}: {value}" for name, value in headers)


def http_phrase(status: int | None) -> str:
    """``OK`` for 200; nothing for a code that HTTP does not name."""
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""


def lasting(note: str) -> str:
    """A message's note without what comes next: the page says that itself, and truer."""
    return re.sub(r" (The next try is [^.]*|It is (tried|not sent) again by itself)\.$", "", note)


def pace(message: Message, now: datetime) -> str:
    """How often the page asks after a message: often while something happens, seldom while it waits."""
    near = min(abs((now - at).total_seconds()) for at in (message.created_at, message.next_at) if at)
    return "2s" if near < 30 else "5s" if near < 300 else "15s"


def webhook_chips() -> dict[str, list[Chip]]:
    """All states of a webhook and an attempt that a page can show, for the style guide."""
    return {
        "Delivery": list(STATE_CHIPS.values()),
        "Try": [_UNDER_WAY, _UNSEEN, *OUTCOME_CHIPS.values()],
    }


def init_app(app: Flask) -> None:
    """Give the filters of this package to the templates."""
    app.jinja_env.filters.update(
        message_chip=message_chip,
        attempt_chip=lambda attempt, message: attempt_chip(attempt, message, clock.now()),
        as_curl=as_curl,
        at_simulator=at_simulator,
        curl_variables=curl_variables,
        stands=stands,
        state_words=state_words,
        headers_as_text=headers_as_text,
        http_phrase=http_phrase,
        lasting=lasting,
        pace=lambda message: pace(message, clock.now()),
    )
