"""Subject and body of each email about a partner. ``url`` is the line with the link, which may be empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.network.text import pluralize
from app.partners.models import PauseCode
from app.partners.texts import PAUSE_SENTENCES
from app.tasks.mail import mail_line


def paused_mail(
    name: str, reason: PauseCode, params: Mapping[str, Any], *, queued: int, url: str
) -> tuple[str, str]:
    """The app paused the partner."""
    name = mail_line(name)
    cause = mail_line(PAUSE_SENTENCES[reason].format_map(params))
    body = f"Webhooks to {name} are paused.\n\n{cause}\n\n{_queued_text(queued)}\n{url}"
    return f"{name} is paused", body


def failing_mail(name: str, failures: int, *, queued: int, url: str) -> tuple[str, str]:
    """The last attempts to send to the partner failed."""
    name = mail_line(name)
    body = (
        f"{name} is failing: the last {failures} attempts failed.\n\n"
        f"{_queued_text(queued)} Webhooks are sent when {name} recovers.\n{url}"
    )
    return f"{name} is failing", body


def recovered_mail(name: str, *, failed: int, url: str) -> tuple[str, str]:
    """The partner responds again. ``failed`` webhooks failed during the outage."""
    name = mail_line(name)
    body = f"{name} is responding again. Queued webhooks are being sent.\n"
    if failed:
        body += f"\nWebhooks that failed during the outage: {failed}. You can resend them in bulk.\n"
    return f"{name} has recovered", body + url


def _queued_text(count: int) -> str:
    return f"{pluralize(count, 'webhook is', 'webhooks are')} queued. Nothing is lost."
