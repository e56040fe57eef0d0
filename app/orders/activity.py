"""What happened to an order, as its page tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.delivery.models import Message, MessageState
from app.orders.timeline import Event, What
from app.webhooks.presenters import lasting


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """An event as the page tells it: a few words, a sentence where they do not say it all, and its colour."""

    title: str
    note: str = ""
    tone: str = ""


_HAPPENINGS = {
    What.DELIVERED: ("Delivered to the network", ""),
    What.REFUSED: ("Refused by the network", "bad"),
    What.FAILED: ("Could not be delivered", "bad"),
    What.WITHDRAWN: ("Answer withdrawn", ""),
    What.RESULT: ("Result from the network", ""),
}


def activity_entry(event: Event, messages: Iterable[Message] = ()) -> ActivityEntry:
    """How the page tells an event; ``messages`` are the order's, for how a result came out."""
    words = event.sentence.rstrip(".")
    if event.what in (What.SEEN, What.ANSWERED, What.ASKED):
        return ActivityEntry(f"{words.removesuffix(' by hand')} by {event.actor or 'somebody'}")
    if event.what is What.EDITED:
        title, _, note = words.partition(": ")
        return ActivityEntry(title, note and f"{note[:1].upper()}{note[1:]}.", "warn")
    if event.what is What.TRIED:
        tried = ActivityEntry("Tried in vain", event.sentence, "warn")
        return ActivityEntry(words, "", "waiting") if event.sentence == "Being sent." else tried
    if event.what not in _HAPPENINGS:
        return ActivityEntry(words)
    title, tone = _HAPPENINGS[event.what]
    if event.what is What.RESULT:
        about = next((message for message in messages if message.id == event.message_id), None)
        refused = about is not None and about.state is MessageState.REFUSED
        tone, title = ("bad", "Refused by the network") if refused else ("", title)
    return ActivityEntry(title, "" if event.what is What.DELIVERED else lasting(event.sentence), tone)
