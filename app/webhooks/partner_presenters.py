"""Chips and sentences for the status of partners, and the failing partners for the banner of every page."""

from __future__ import annotations

from flask import Flask

from app import clock
from app.accounts import access
from app.ui import web
from app.ui.chips import Chip
from app.ui.times import moment
from app.webhooks.partner_status import PartnerState, PartnerStatus, failing_partners

PARTNER_CHIPS = {
    PartnerState.ACTIVE: Chip("ok", "Active"),
    PartnerState.DELAYED: Chip("warn", "Delayed"),
    PartnerState.FAILING: Chip("bad", "Failing"),
    PartnerState.PAUSED: Chip("warn", "Paused"),
}


def partner_chip(status: PartnerStatus) -> Chip:
    """The state of a partner."""
    return PARTNER_CHIPS[status.state]


def next_check(status: PartnerStatus) -> str:
    """When the next attempt is made while the partner is failing; empty if none is planned."""
    when = status.outage.next_check_at if status.outage else None
    if when is None:
        return ""
    now = clock.now()
    return f"Next check: {'now' if when <= now else moment(when, web.zone(), now)}."


def failing_sentence(status: PartnerStatus) -> str:
    """What happens to the webhooks of a failing partner."""
    text = "Several attempts in a row failed. Webhooks are sent automatically when the partner recovers."
    return f"{text} {next_check(status)}".strip()


def init_app(app: Flask) -> None:
    """Register the template filters, and ``failing_partners()`` for the banner."""
    app.jinja_env.filters.update(partner_chip=partner_chip, next_check=next_check)

    @app.context_processor
    def for_all_pages() -> dict[str, object]:
        return {"failing_partners": lambda: failing_partners(web.db(), access.visible_suppliers())}
