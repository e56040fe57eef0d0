"""Labels, tones and sentences for incoming messages, and the template filters that give them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Flask

from app.inbound.models import Effect, InboundMessage
from app.inbound.processing import ReprocessBlocker
from app.inbound.queries import InboundFilter
from app.network.vocabulary import Kind
from app.ui.chips import Chip
from app.ui.listing import EmptyList, no_matches, no_recent_matches

EFFECTS = {
    Effect.APPLIED: Chip("ok", "Applied"),
    Effect.REPEATED: Chip("quiet", "Repeated"),
    Effect.CONFLICT: Chip("warn", "Conflict"),
    Effect.REJECTED: Chip("bad", "Rejected"),
    Effect.UNMATCHED: Chip("warn", "Unmatched"),
    Effect.UNAUTHENTICATED: Chip("warn", "Unauthenticated"),
}

KINDS = {
    Kind.REQ_SEND: "New order",
    Kind.REQ_EDIT: "Changed order",
    Kind.REQ_STATUS_CHANGE: "Canceled or closed",
    Kind.RESP_CONFIRM: "Late result",
}

APPLIED_SENTENCES = {
    Kind.REQ_SEND: "Created order.",
    Kind.REQ_EDIT: "Created a new version of the order.",
    Kind.REQ_STATUS_CHANGE: "Canceled or closed the order.",
    Kind.RESP_CONFIRM: "Recorded the result of the response.",
}

REPROCESS_BLOCKERS = {
    ReprocessBlocker.ALREADY_APPLIED: "This message was already applied.",
    ReprocessBlocker.NO_BODY: "The body was not stored, so the message can't be reprocessed.",
}

UNKNOWN_SENDER = "Unknown sender"
SHOW_ALL = "Show all incoming"


def effect_chip(message: InboundMessage) -> Chip:
    """The result of a message with its tone."""
    return EFFECTS[message.effect]


def inbound_kind(kind: str) -> str:
    """The label of a message kind; an unknown kind as received."""
    return KINDS[Kind(kind)] if kind in KINDS else kind


def effect_sentence(message: InboundMessage) -> str:
    """What a message changed, or why it changed nothing."""
    if message.effect is Effect.APPLIED:
        return APPLIED_SENTENCES[Kind(message.kind)] if message.kind in APPLIED_SENTENCES else "Applied."
    if message.effect is Effect.REPEATED:
        return "Received before. No change."
    error = message.reprocess_error or message.detail
    return f"{error.rstrip('.')}. No change." if error else "No change."


def problem_text(message: InboundMessage) -> str:
    """Why a message changed nothing, with its error code; empty for one that was applied or repeated."""
    if message.effect in (Effect.APPLIED, Effect.REPEATED):
        return ""
    code = f" ({message.error_cd})" if message.error_cd else ""
    return effect_sentence(message).removesuffix(" No change.") + code


def sender(message: InboundMessage) -> str:
    """The name of the partner that sent a message."""
    return message.partner.name if message.partner else UNKNOWN_SENDER


def log_title(effect: str) -> str:
    """The heading of the log with this result filter."""
    return EFFECTS[Effect(effect)].label if effect in set(Effect) else "Incoming"


def empty_log(
    filters: InboundFilter, active: Mapping[str, Any], searched_back_to: datetime | None
) -> EmptyList:
    """Why the log is empty; ``active`` are the filters that are set."""
    if set(active) == {"effect"} and filters.effect == Effect.UNMATCHED:
        text = "Every message matches an order."
        return EmptyList("done", "No unmatched messages", text, SHOW_ALL)
    if searched_back_to:
        return no_recent_matches("messages", filters.q)
    if active:
        return no_matches("messages", filters.q, SHOW_ALL)
    text = "Orders, changes, cancellations and results from partners appear here with our responses."
    return EmptyList("empty", "No messages yet", text)


def notice_tone(message: InboundMessage) -> str:
    """The tone of the notice on a message's page; a quiet result has the tone info."""
    tone = EFFECTS[message.effect].tone
    return "info" if tone == "quiet" else tone


def reprocess_summary(message: InboundMessage) -> str:
    """Whether the last reprocessing succeeded."""
    return "Reprocessed" if message.effect is Effect.APPLIED else "Reprocessing failed; tried"


def original_result(message: InboundMessage) -> str:
    """The result on receipt of a message that was reprocessed later, with its error."""
    if message.first_effect is None:
        return ""
    label = EFFECTS[message.first_effect].label
    return f"Original result: {label}. {message.detail}".rstrip()


def reprocess_blocker_text(blocker: ReprocessBlocker | None) -> str:
    """Why a message cannot be reprocessed; empty if it can."""
    return REPROCESS_BLOCKERS[blocker] if blocker else ""


def inbound_chips() -> dict[str, list[Chip]]:
    """All results of an incoming message, for the style guide."""
    return {"Received": list(EFFECTS.values())}


def init_app(app: Flask) -> None:
    """Add the template filters of this package."""
    app.jinja_env.filters.update(
        effect_chip=effect_chip,
        effect_sentence=effect_sentence,
        inbound_problem=problem_text,
        inbound_kind=inbound_kind,
        inbound_notice_tone=notice_tone,
        inbound_original_result=original_result,
        inbound_reprocess_summary=reprocess_summary,
        inbound_sender=sender,
    )
