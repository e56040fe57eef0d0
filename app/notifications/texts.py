"""The sentence of each event, for pages and emails, and the emails to one person."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from app.network.text import pluralize
from app.notifications.models import Event, Notification
from app.tasks.mail import mail_line

DIGEST_LISTED = 50
"""The most notifications in a digest; the page has all."""

TEXTS = {
    Event.ASSIGNED: "{by} assigned {title} to you",
    Event.MENTIONED: "{by} mentioned you on {title}",
    Event.ORDER_RECEIVED: "New order {title}",
    Event.ORDER_CHANGED: "Order {title} changed",
    Event.DEADLINE_NEAR: "Order {title} needs a response soon",
    Event.RESPONSE_REFUSED: "The response to {title} was refused",
    Event.RESPONSE_FAILED: "The response to {title} could not be delivered",
    Event.PARTNER_FAILING: "{title} is failing",
    Event.PARTNER_PAUSED: "{title} was paused automatically",
    Event.PARTNER_RECOVERED: "{title} has recovered",
}


class AccountChange(StrEnum):
    """What changed; the value is the subject of the email."""

    PASSWORD = "Your password was changed"  # noqa: S105
    PASSWORD_RESET = "An administrator reset your password"  # noqa: S105
    MAIL_ADDRESS = "Your email address was changed"


def notification_text(notification: Notification) -> str:
    """What happened, in a sentence without a full stop."""
    return TEXTS[notification.event].format(title=notification.title, by=notification.caused_by)


def notification_mail(notification: Notification, *, url: str) -> tuple[str, str]:
    """Subject and body of one notification. ``url`` is the line with the link."""
    text = mail_line(notification_text(notification))
    return text, f"{text}.\n{url}"


def digest_mail(notifications: Sequence[Notification], *, url: str) -> tuple[str, str]:
    """Subject and body of a daily email."""
    lines = [f"* {mail_line(notification_text(notification))}" for notification in notifications]
    more = [f"and {len(lines) - DIGEST_LISTED} more"] if len(lines) > DIGEST_LISTED else []
    return pluralize(len(lines), "notification"), "\n".join([*lines[:DIGEST_LISTED], *more, url])


def account_change_mail(change: AccountChange, username: str, *, url: str) -> tuple[str, str]:
    """Subject and body about a change to an account."""
    body = (
        f"{change.value}. The username is {username}.\n\n"
        f"If you did not expect this, contact your administrator and review your sessions:\n{url}"
    )
    return change.value, body
