"""Labels, tones and sentences for incoming messages, and the template filters that give them."""

from __future__ import annotations

from flask import Flask

from app.inbound.forms import EFFECT_NAMES
from app.inbound.models import Effect, InboundMessage
from app.network.vocabulary import Kind
from app.ui.chips import Chip

_EFFECT_TONES = {
    Effect.APPLIED: "ok",
    Effect.REPEATED: "quiet",
    Effect.CONFLICT: "warn",
    Effect.REFUSED: "bad",
    Effect.UNMATCHED: "warn",
    Effect.NO_CREDENTIALS: "warn",
}


def effect_chip(message: InboundMessage) -> Chip:
    """What became of a message that a partner sent."""
    return Chip(_EFFECT_TONES[message.effect], EFFECT_NAMES[message.effect])


_INBOUND_KINDS = {
    Kind.REQ_SEND: ("New order", "It brought a new order."),
    Kind.REQ_EDIT: ("Change of an order", "It made a new version of the order."),
    Kind.REQ_STATUS_CHANGE: ("Cancelled or closed", "It ended the order."),
    Kind.RESP_CONFIRM: ("Result of an answer", "It told what became of the supplier's answer."),
}


def inbound_kind(kind: str) -> str:
    """What a partner's message is about, in a few words; an unknown kind as it came."""
    return _INBOUND_KINDS[Kind(kind)][0] if kind in _INBOUND_KINDS else kind


def effect_words(message: InboundMessage) -> str:
    """What a partner's message changed, or why nothing, in a sentence."""
    if message.effect is Effect.APPLIED:
        return _INBOUND_KINDS[Kind(message.kind)][1] if message.kind in _INBOUND_KINDS else "It was applied."
    if message.effect is Effect.REPEATED:
        return "It came before; this time it changed nothing."
    why = message.again_detail or message.detail
    return f"{why.rstrip('.')}. It changed nothing." if why else "It changed nothing."


def inbound_chips() -> dict[str, list[Chip]]:
    """All states of an incoming message that a page can show, for the style guide."""
    return {"Received": [Chip(_EFFECT_TONES[effect], name) for effect, name in EFFECT_NAMES.items()]}


def init_app(app: Flask) -> None:
    """Give the filters of this package to the templates."""
    app.jinja_env.filters.update(
        effect_chip=effect_chip,
        effect_name=lambda effect: EFFECT_NAMES[effect],
        effect_words=effect_words,
        inbound_kind=inbound_kind,
    )
