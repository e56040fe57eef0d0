"""Notifications as the page lists them: by day, and those about the same order as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from app.notifications.models import Notification
from app.ui.times import long_day


@dataclass(frozen=True, slots=True)
class Group:
    """The newest notification about an order or partner on a day, and the earlier ones about it."""

    newest: Notification
    earlier: Sequence[Notification]

    @property
    def unread_ids(self) -> list[int]:
        """The ids of those that are unread."""
        return [row.id for row in (self.newest, *self.earlier) if row.read_at is None]


@dataclass(frozen=True, slots=True)
class Day:
    """A day in the reader's time zone, with its groups; the newest is first."""

    label: str
    groups: Sequence[Group]


def by_day(notifications: Iterable[Notification], zone: ZoneInfo, now: datetime) -> list[Day]:
    """The notifications, newest first, by day and then by what they are about."""

    def day_of(row: Notification) -> date:
        return row.created_at.astimezone(zone).date()

    return [
        Day(_day_label(rows[0].created_at, zone, now), _groups(rows))
        for rows in (list(rows) for _, rows in groupby(notifications, key=day_of))
    ]


def _groups(rows: Sequence[Notification]) -> list[Group]:
    by_title: dict[str, list[Notification]] = {}
    for row in rows:
        by_title.setdefault(row.title, []).append(row)
    return [Group(newest, earlier) for newest, *earlier in by_title.values()]


def _day_label(when: datetime, zone: ZoneInfo, now: datetime) -> str:
    days = (now.astimezone(zone).date() - when.astimezone(zone).date()).days
    return {0: "Today", 1: "Yesterday"}.get(days) or long_day(when, zone)
