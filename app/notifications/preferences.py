"""The preferences of a person, which are a part of ``Person.preferences``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.accounts.models import Person
from app.notifications.models import Category, EmailTiming

KEY = "notifications"
"""The key in ``Person.preferences``."""
DEFAULTS = {
    Category.ASSIGNED: EmailTiming.AT_ONCE,
    Category.MENTIONED: EmailTiming.AT_ONCE,
    Category.ORDERS: EmailTiming.DIGEST,
    Category.DEADLINES: EmailTiming.DIGEST,
    Category.RESPONSES: EmailTiming.AT_ONCE,
    Category.PARTNERS: EmailTiming.DIGEST,
}


@dataclass(frozen=True, slots=True)
class NotificationPreferences:
    """How a person gets each category, and the local hours between which no email is sent."""

    timings: Mapping[Category, EmailTiming]
    quiet_from: int | None = None
    quiet_until: int | None = None

    @classmethod
    def of(cls, person: Person) -> NotificationPreferences:
        """The preferences of a person, with defaults for those that are missing."""
        saved = person.preferences.get(KEY, {})
        timings = {
            category: EmailTiming(saved.get(category.value, default))
            for category, default in DEFAULTS.items()
        }
        return cls(timings, saved.get("quiet_from"), saved.get("quiet_until"))

    def save(self, person: Person) -> None:
        """Set them as the preferences of a person."""
        person.preferences = {**person.preferences, KEY: self.as_stored()}

    def as_stored(self) -> dict[str, Any]:
        """The values in ``Person.preferences``."""
        timings = {category.value: timing.value for category, timing in self.timings.items()}
        return {**timings, "quiet_from": self.quiet_from, "quiet_until": self.quiet_until}

    def mail_time(self, now: datetime, zone: ZoneInfo) -> datetime:
        """When an email may be sent: now, or when the quiet hours end."""
        if self.quiet_from is None or self.quiet_until is None or self.quiet_from == self.quiet_until:
            return now
        local = now.astimezone(zone)
        if (local.hour - self.quiet_from) % 24 >= (self.quiet_until - self.quiet_from) % 24:
            return now
        end = local.replace(hour=self.quiet_until, minute=0, second=0, microsecond=0)
        return end if end > local else end + timedelta(days=1)
