"""Labels, tones and sentences for webhooks and their attempts, and their template filters."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from http import HTTPStatus

from flask import Flask

from app import clock
from app.accounts import access
from app.accounts.permissions import Permission
from app.delivery.call_result import Detail, DetailCode
from app.delivery.models import (
    PAUSED,
    RETRYING,
    Attempt,
    CancelReason,
    Message,
    MessageNote,
    MessageState,
    Trigger,
)
from app.delivery.presenters import detail_sentence
from app.delivery.resend_blocker import ResendBlocker
from app.delivery.retry_policy import ACCEPTED_OUTCOMES, REFUSED_OUTCOMES, Reason
from app.delivery.service import CancelBlocker
from app.network.vocabulary import FIELD_NAMES
from app.partners.masking import MASK
from app.partners.presenters import pause_sentence
from app.ui import web
from app.ui.chips import Chip

MESSAGE_STATES: dict[str, Chip] = {
    MessageState.PENDING: Chip("waiting", "Queued"),
    RETRYING: Chip("waiting", "Retrying"),
    PAUSED: Chip("warn", "Paused"),
    MessageState.SENDING: Chip("waiting", "Sending"),
    MessageState.DELIVERED: Chip("ok", "Delivered"),
    MessageState.REFUSED: Chip("refused", "Refused"),
    MessageState.FAILED: Chip("bad", "Failed"),
    MessageState.CANCELED: Chip("quiet", "Canceled"),
}
"""Labels and tones of ``Message.labeled_state``."""

ATTEMPT_OUTCOMES = {
    Reason.DELIVERED: Chip("ok", "delivered"),
    Reason.ALREADY_RECEIVED: Chip("ok", "already received"),
    Reason.REFUSED_BY_PARTNER: Chip("refused", "refused"),
    Reason.REFUSED_STATUS: Chip("refused", "refused"),
    Reason.UNREADABLE_RESPONSE: Chip("warn", "unreadable response"),
    Reason.WRONG_OBJECT: Chip("warn", "wrong order"),
    Reason.REDIRECT: Chip("warn", "redirect"),
    Reason.CREDENTIALS: Chip("warn", "wrong key or URL"),
    Reason.GONE: Chip("warn", "gone"),
    Reason.BUSY: Chip("warn", "unavailable"),
    Reason.RATE_LIMITED: Chip("warn", "rate limited"),
    Reason.SERVER_ERROR: Chip("warn", "server error"),
    Reason.TIMEOUT: Chip("warn", "timed out"),
    Reason.NAME: Chip("warn", "DNS lookup failed"),
    Reason.ADDRESS_REFUSED: Chip("warn", "address not allowed"),
    Reason.CONNECT: Chip("warn", "connection failed"),
    Reason.TLS: Chip("warn", "TLS failed"),
    Reason.RESET: Chip("warn", "connection reset"),
    Reason.MALFORMED_RESPONSE: Chip("warn", "invalid response"),
    Reason.BAD_TARGET: Chip("warn", "invalid settings"),
    Reason.INTERNAL: Chip("warn", "internal error"),
    Reason.INTERRUPTED: Chip("warn", "interrupted"),
}
"""Labels and tones of what an attempt ended with, as they follow an HTTP status: ``503, unavailable``."""

TRIGGER_LABELS = {
    Trigger.AUTO: "Automatic",
    Trigger.MANUAL: "Manual",
    Trigger.BULK: "Bulk",
}

_EVENT_SENTENCES = {
    Reason.DELIVERED: "The partner accepted it.",
    Reason.ALREADY_RECEIVED: "The partner had already received it.",
    Reason.TIMEOUT: "Timed out.",
    Reason.NAME: "DNS lookup failed.",
    Reason.ADDRESS_REFUSED: "The host resolves to an address that is not allowed.",
    Reason.CONNECT: "Connection failed.",
    Reason.TLS: "TLS connection failed.",
    Reason.RESET: "The partner closed the connection before it responded.",
    Reason.MALFORMED_RESPONSE: "The partner's HTTP response was invalid or incomplete.",
    Reason.BAD_TARGET: "The partner's URL or headers are invalid.",
    Reason.INTERNAL: "Sending failed with an internal error.",
    Reason.INTERRUPTED: "The attempt was interrupted before its result was recorded.",
    Reason.WRONG_OBJECT: "The partner's response was about another order.",
}
"""What happened in an attempt, by its outcome. A more precise ``detail`` replaces it."""

_STATUS_SENTENCES = {
    Reason.UNREADABLE_RESPONSE: "Partner returned {status} with an unreadable body.",
    Reason.REDIRECT: "Partner returned {status}. Redirects are not followed.",
    Reason.CREDENTIALS: "Partner returned {status}. Check the key and the URL.",
    Reason.GONE: "Partner returned {status} (gone).",
    Reason.BUSY: "Partner returned {status} (unavailable).",
    Reason.RATE_LIMITED: "Partner returned {status} (rate limited).",
    Reason.SERVER_ERROR: "Partner returned {status} (server error).",
}
"""What happened in an attempt, for outcomes that the HTTP status explains."""

MAYBE_RECEIVED = "May have been received."

NOTE_SENTENCES = {
    MessageNote.NONE: "",
    MessageNote.ATTEMPT: "{attempt}",
    MessageNote.FAILED_RESEND: "The resend was unsuccessful. {attempt}",
    MessageNote.REPEATEDLY_INTERRUPTED: (
        "{count} attempts in a row were interrupted. Check with the partner before you resend the webhook."
    ),
    MessageNote.LATE_DELIVERY: "The partner reported later that it accepted the response.",
    MessageNote.LATE_REFUSAL: "{cancel} {attempt}",
    MessageNote.CANCELED: "{cancel}",
    MessageNote.TEXT: "{text}",
}
"""What happened last to a message."""

CANCEL_SENTENCES = {
    CancelReason.ORDER_CHANGED: "The buyer changed the order to version {version}.",
    CancelReason.ORDER_CANCELED: "The buyer canceled the order.",
    CancelReason.ORDER_CLOSED: "The buyer closed the order.",
    CancelReason.PERSON: "{name} canceled it: {why}.",
    CancelReason.UNDO: "{name} undid the response before it was sent.",
    CancelReason.TEXT: "{text}",
}

RESEND_BLOCKERS = {
    ResendBlocker.SENDING: "It is being sent now.",
    ResendBlocker.DELIVERED: "The partner has already received it.",
    ResendBlocker.CANCELED: "It was canceled.",
    ResendBlocker.CONTENT_DELETED: "Its content was deleted after the retention period.",
    ResendBlocker.REFUSED_LATER: "The partner refused this webhook later. The order needs a new response.",
    ResendBlocker.REQUESTED: "A resend was already requested. It will be sent as soon as possible.",
    ResendBlocker.IN_FLIGHT: "A response to this order is still being sent. Wait until that attempt ends.",
    ResendBlocker.SUPERSEDED: "There is a newer response to the order.",
    ResendBlocker.ORDER_ENDED: "The buyer canceled or closed the order.",
    ResendBlocker.PARTNER_PAUSED: "The partner is paused. Resume it first.",
    ResendBlocker.DELETED: "It was deleted.",
}

CANCEL_BLOCKERS = {
    CancelBlocker.ENDED: "It is neither queued nor being sent. Nothing was canceled.",
    CancelBlocker.COPY_SENDING: "The partner has already received it, and another copy is being sent now.",
    CancelBlocker.CANCELED: "It was already canceled.",
}

IN_PROGRESS = Chip("waiting", "In progress")
OUTCOME_UNKNOWN = Chip("warn", "Outcome unknown")


def message_chip(message: Message) -> Chip:
    """The state of a message."""
    return MESSAGE_STATES[message.labeled_state]


def state_label(state: str) -> str:
    """The label of a state by its name, as the database stores it."""
    return MESSAGE_STATES[state].label if state in MESSAGE_STATES else state or ""


def outcome_label(outcome: str) -> str:
    """The label of an attempt's outcome with a capital: ``Timed out``."""
    return outcome_chip(outcome).label


def outcome_chip(outcome: str) -> Chip:
    """An attempt's outcome, with a capital."""
    known = outcome in set(Reason)
    chip = ATTEMPT_OUTCOMES[Reason(outcome)] if known else Chip("warn", outcome)
    return Chip(chip.tone, chip.label[:1].upper() + chip.label[1:])


def attempt_chip(attempt: Attempt, message: Message, now: datetime) -> Chip:
    """The result of one attempt of the message: ``200, refused``, ``Timed out``."""
    if attempt.outcome is None:
        return IN_PROGRESS if message.may_be_in_flight(attempt, now) else OUTCOME_UNKNOWN
    if attempt.status and attempt.outcome in set(Reason):
        chip = ATTEMPT_OUTCOMES[Reason(attempt.outcome)]
        return Chip(chip.tone, f"{attempt.status}, {chip.label}")
    return outcome_chip(attempt.outcome)


def state_and_reason(key: str) -> str:
    """The label of a state and its reason, from ``failed:timeout``: ``Failed: timed out``."""
    state, _, reason = key.partition(":")
    label = state_label(state)
    reason_label = ATTEMPT_OUTCOMES[Reason(reason)].label if reason in set(Reason) else ""
    return f"{label}: {reason_label}" if reason_label and reason_label != label.lower() else label


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


def attempt_sentence(
    reason: Reason,
    *,
    status: int | None = None,
    detail: Detail | None = None,
    text: str = "",
    field: str = "",
    maybe_received: bool = False,
) -> str:
    """What happened in an attempt.

    ``detail`` describes a transport error, ``text`` is the partner's own description of a refusal, and
    ``field`` the path of the field that it names.
    """
    if reason in REFUSED_OUTCOMES:
        name = FIELD_NAMES.get(field, "response")
        text = text.strip().rstrip(".")
        if not text and status and reason is Reason.REFUSED_STATUS:
            text = f"it returned {status}"
        sentence = f"The partner refused the {name}: {text}." if text else f"The partner refused the {name}."
    elif reason in _STATUS_SENTENCES:
        sentence = _STATUS_SENTENCES[reason].format(status=status or "a response")
    elif detail and detail.code and reason not in ACCEPTED_OUTCOMES:
        sentence = detail_sentence(detail)
    else:
        sentence = _EVENT_SENTENCES[reason]
    return f"{sentence} {MAYBE_RECEIVED}" if maybe_received else sentence


def outcome_sentence(attempt: Attempt) -> str:
    """What happened in an attempt that has ended."""
    return attempt_sentence(reason_of(attempt.outcome), status=attempt.status, detail=attempt.detail)


def message_sentence(message: Message) -> str:
    """What happened last to a message; empty if nothing did."""
    sentence = NOTE_SENTENCES[message.note_code].format(
        attempt=_last_attempt(message),
        cancel=cancel_sentence(message) if message.state is MessageState.CANCELED else "",
        count=message.note_params.get("count", ""),
        text=message.note_params.get("text", ""),
    )
    is_canceled = message.note_code is MessageNote.CANCELED
    if is_canceled and message.note_params.get("maybe_received"):
        sentence = f"{sentence} {MAYBE_RECEIVED}"
    return sentence.strip()


def _last_attempt(message: Message) -> str:
    """What happened in the attempt that a message's note is about."""
    params = message.note_params
    if message.note_code is MessageNote.FAILED_RESEND:
        names = ("status", "text", "field", "maybe_received")
        values = {name: params[name] for name in names if name in params}
        return attempt_sentence(reason_of(params.get("reason")), detail=_note_detail(message), **values)
    return attempt_sentence(
        reason_of(message.reason),
        status=message.status_code,
        detail=_note_detail(message),
        text=message.error_dtl or message.response_message,
        field=message.error_field,
        maybe_received=params.get("maybe_received", False),
    )


def _note_detail(message: Message) -> Detail:
    params = message.note_params
    return Detail(DetailCode(params.get("detail", "")), params.get("detail_params", {}))


def reason_of(outcome: str | None) -> Reason:
    """The reason that an attempt stored; INTERNAL for an unknown one."""
    return Reason(outcome) if outcome in set(Reason) else Reason.INTERNAL


def cancel_sentence(message: Message) -> str:
    """Why a message was canceled, or will be; empty if it is not."""
    if message.cancel_requested is None:
        return ""
    params = {name: str(value).rstrip(".") for name, value in message.cancel_params.items()}
    if message.cancel_requested is CancelReason.TEXT:
        params = message.cancel_params
    return CANCEL_SENTENCES[message.cancel_requested].format_map(params)


def pace(message: Message, now: datetime) -> str:
    """The polling interval of a message's page: short near an event, longer while it waits."""
    near = min(abs((now - at).total_seconds()) for at in (message.created_at, message.next_at) if at)
    return "2s" if near < 30 else "5s" if near < 300 else "15s"


def message_tone(message: Message) -> str:
    """The tone of the notice on a message's page."""
    tone = message_chip(message).tone
    return {"waiting": "info", "quiet": "info", "refused": "bad"}.get(tone, tone)


def message_summary(message: Message) -> str:
    """What happened to a message, in a sentence or two that do not repeat the label of its state."""
    note = message_sentence(message)
    if message.is_paused:
        why = pause_sentence(message.partner)
        return " ".join(
            filter(None, (f"Nothing is sent to {message.partner.name} until it is resumed.", why, note))
        )
    if message.state is MessageState.PENDING and not message.attempts_made:
        return "Not sent yet."
    if message.state is MessageState.SENDING and not note:
        return "An attempt is in progress."
    return note or "Never sent."


def is_scheduled(message: Message) -> bool:
    """Whether the next attempt has a time."""
    return message.state is MessageState.PENDING and message.next_at is not None and not message.is_paused


def suggests_diagnostics(message: Message) -> bool:
    """Whether the reader may run diagnostics, and they could explain the state."""
    has_problem = message.labeled_state in (MessageState.FAILED, PAUSED, RETRYING)
    return has_problem and access.can(Permission.SEND_TEST)


def may_respond_again(message: Message) -> bool:
    """Whether the reader may respond to the order again."""
    return message.order_id is not None and not message.has_order_ended and access.can(Permission.RESPOND)


def suggests_new_response(message: Message) -> bool:
    """Whether the reader should respond to the order again."""
    return message.state is MessageState.REFUSED and may_respond_again(message)


def attention_label(message: Message) -> str:
    """The link to the message's attention item; empty where there is nothing to handle."""
    if message.needs_attention and access.can(Permission.RESEND):
        return "Assign or resolve"
    if message.closed_at_attempt is None:
        return ""
    return "View history" if message.needs_attention else "Resolved: view the reason"


def cancel_help(message: Message) -> str:
    """What canceling a message's delivery means."""
    if message.resume_state is MessageState.DELIVERED:
        return "The webhook stays delivered; only the requested copy is not sent."
    effect = (
        "If the current attempt succeeds, the webhook counts as delivered; otherwise it is not retried."
        if message.state is MessageState.SENDING
        else "The webhook is not sent."
    )
    return f"{effect} The order then needs a new response. The responder sees your name and reason."


def trigger_label(attempt: Attempt) -> str:
    """What caused an attempt."""
    return TRIGGER_LABELS[attempt.trigger]


def blocker_text(blocker: str) -> str:
    """Why a message cannot be resent, by the code that the database stores."""
    return RESEND_BLOCKERS[ResendBlocker(blocker)] if blocker in set(ResendBlocker) else blocker


def short_id(message_id: str) -> str:
    """The beginning and end of a message id."""
    return f"{message_id[:4]}…{message_id[-8:]}"


def webhook_chips() -> dict[str, list[Chip]]:
    """All states of webhooks and attempts, for the style guide."""
    return {
        "Webhook": list(MESSAGE_STATES.values()),
        "Attempt": [IN_PROGRESS, OUTCOME_UNKNOWN, *map(outcome_chip, ATTEMPT_OUTCOMES)],
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
        detail_sentence=detail_sentence,
        http_phrase=http_phrase,
        message_sentence=message_sentence,
        message_tone=message_tone,
        message_summary=message_summary,
        is_scheduled=is_scheduled,
        suggests_diagnostics=suggests_diagnostics,
        suggests_new_response=suggests_new_response,
        attention_label=attention_label,
        cancel_help=cancel_help,
        trigger_label=trigger_label,
        blocker_text=blocker_text,
        short_id=short_id,
        pace=lambda message: pace(message, clock.now()),
    )
