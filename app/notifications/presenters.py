"""Groups notifications for the page: by day, then by order or partner. Several new orders are one group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from flask import url_for

from app.network.text import pluralize
from app.notifications.models import Event, Notification
from app.notifications.texts import notification_text
from app.ui.times import long_day

NEW_ORDERS_MIN = 3
"""This many new orders in a day, or more, are shown as one group."""


@dataclass(frozen=True, slots=True)
class Group:
    """Notifications of a day that are one entry, newest first: about one order or partner, or new orders."""

    rows: Sequence[Notification]

    @property
    def newest(self) -> Notification:
        """The newest one."""
        return self.rows[0]

    @property
    def has_new_orders(self) -> bool:
        """Whether it is about several new orders."""
        return len({row.title for row in self.rows}) > 1

    @property
    def text(self) -> str:
        """What happened."""
        count = pluralize(len(self.rows), "new order")
        return count if self.has_new_orders else notification_text(self.newest)

    @property
    def path(self) -> str:
        """The page about it."""
        newest_orders = url_for("orders.inbox", answer="open", sort="-received_at")
        return newest_orders if self.has_new_orders else self.newest.path

    @property
    def collapsed(self) -> Sequence[Notification]:
        """Those that are listed below: all new orders, or the earlier notifications."""
        return self.rows if self.has_new_orders else self.rows[1:]

    @property
    def collapsed_label(self) -> str:
        """The label of the collapsed notifications."""
        return "Show orders" if self.has_new_orders else f"{len(self.collapsed)} earlier"

    @property
    def unread_ids(self) -> list[int]:
        """The ids of the unread notifications."""
        return [row.id for row in self.rows if row.read_at is None]


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
    groups = [Group(same) for same in by_title.values()]
    new = [group for group in groups if [row.event for row in group.rows] == [Event.ORDER_RECEIVED]]
    if len(new) < NEW_ORDERS_MIN:
        return groups
    orders = Group([group.newest for group in new])
    return [orders if group is new[0] else group for group in groups if group not in new[1:]]


def _day_label(when: datetime, zone: ZoneInfo, now: datetime) -> str:
    days = (now.astimezone(zone).date() - when.astimezone(zone).date()).days
    return {0: "Today", 1: "Yesterday"}.get(days) or long_day(when, zone)
