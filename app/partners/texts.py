"""Why the app paused a partner, as a sentence for pages and emails, and the email that it is resumed."""

from __future__ import annotations

from app.partners.models import PauseCode
from app.tasks.mail import mail_line

PAUSE_SENTENCES = {
    PauseCode.GONE: "{url} returned 410 (gone).",
    PauseCode.CREDENTIALS: "The partner rejected the key or the URL {count} times in a row ({status}).",
}


def resumed_mail(name: str, reason: str, *, by: str, url: str) -> tuple[str, str]:
    """Subject and body: a person resumed the partner. ``url`` is the line with the link."""
    name = mail_line(name)
    quote = f" “{mail_line(reason)}”" if reason else ""
    body = f"Webhooks to {name} are sent again. Resumed by {mail_line(by) or 'PO Confirm'}.{quote}\n{url}"
    return f"{name} is no longer paused", body
