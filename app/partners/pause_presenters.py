"""Why a partner is paused, as a sentence, and its template filter."""

from __future__ import annotations

from flask import Flask

from app.partners.models import Partner, PauseCode
from app.partners.texts import PAUSE_SENTENCES


def pause_sentence(partner: Partner) -> str:
    """Why a partner is paused: the app's reason, or that of the person who paused it."""
    if partner.pause_code is PauseCode.NONE:
        reason = partner.paused_reason
        return f"{reason}." if reason and not reason.endswith((".", "!", "?")) else reason
    return PAUSE_SENTENCES[partner.pause_code].format_map(partner.pause_params)


def init_app(app: Flask) -> None:
    """Register this package's template filters."""
    app.jinja_env.filters.update(pause_sentence=pause_sentence)
