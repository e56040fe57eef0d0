"""The sentence of each event, for pages and mails."""

from __future__ import annotations

from app.notifications.models import Event, Notification

TEXTS = {
    Event.ASSIGNED: "{by} assigned {title} to you",
    Event.MENTIONED: "{by} mentioned you on {title}",
    Event.ORDER_RECEIVED: "New order {title}",
    Event.ORDER_CHANGED: "Order {title} changed",
    Event.DEADLINE_NEAR: "Order {title} needs a response soon",
    Event.RESPONSE_REFUSED: "The response to {title} was refused",
    Event.RESPONSE_FAILED: "The response to {title} could not be delivered",
    Event.PARTNER_FAILING: "{title} is failing",
    Event.PARTNER_RECOVERED: "{title} has recovered",
}


def notification_text(notification: Notification) -> str:
    """What happened, in a sentence without a full stop."""
    return TEXTS[notification.event].format(title=notification.title, by=notification.caused_by)
