"""The form of a partner, filled in."""

from __future__ import annotations

from typing import Any

from app.partners.models import Partner
from tests.people import Browser, fields_of

NEW = "/partners/new"
WITH_TOKEN = {
    "name": "Second network",
    "allow_addresses": "127.0.0.0/8",
    "authorization": "bearer",
    "bearer_token": "a-new-bearer-token",
}
"""A new partner on this machine that authenticates with a token."""


def edit_url(partner: Partner) -> str:
    """The form of this partner."""
    return f"/partners/{partner.id}/edit"


def filled(browser: Browser, url: str, **fields: Any) -> dict[str, Any]:
    """The fields of the form at ``url``, with these values."""
    return {**browser.fill(url, url), **fields}


def fields_on(page: Any, action: str) -> dict[str, Any]:
    """The fields of the form on this page that posts to ``action``."""
    return fields_of(page.one(f"form[action='{action}']"))
