"""Notifications, and the categories that people set their preferences for."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_type

TITLE_MAX = 200


class Category(StrEnum):
    """A group of events with one preference."""

    ASSIGNED = "assigned"
    MENTIONED = "mentioned"
    ORDERS = "orders"
    DEADLINES = "deadlines"
    RESPONSES = "responses"
    PARTNERS = "partners"


class Event(StrEnum):
    """What happened."""

    ASSIGNED = "assigned"
    MENTIONED = "mentioned"
    ORDER_RECEIVED = "order_received"
    ORDER_CHANGED = "order_changed"
    DEADLINE_NEAR = "deadline_near"
    RESPONSE_REFUSED = "response_refused"
    RESPONSE_FAILED = "response_failed"
    PARTNER_FAILING = "partner_failing"
    PARTNER_PAUSED = "partner_paused"
    PARTNER_RECOVERED = "partner_recovered"

    @property
    def category(self) -> Category:
        """The group whose preference applies."""
        return _CATEGORIES[self]


_CATEGORIES = {
    Event.ASSIGNED: Category.ASSIGNED,
    Event.MENTIONED: Category.MENTIONED,
    Event.ORDER_RECEIVED: Category.ORDERS,
    Event.ORDER_CHANGED: Category.ORDERS,
    Event.DEADLINE_NEAR: Category.DEADLINES,
    Event.RESPONSE_REFUSED: Category.RESPONSES,
    Event.RESPONSE_FAILED: Category.RESPONSES,
    Event.PARTNER_FAILING: Category.PARTNERS,
    Event.PARTNER_PAUSED: Category.PARTNERS,
    Event.PARTNER_RECOVERED: Category.PARTNERS,
}


class EmailTiming(StrEnum):
    """When a person gets emails for a category. The bell shows all categories but those that are off."""

    AT_ONCE = "at_once"
    DIGEST = "digest"
    OFF = "off"


class Notification(Base):
    """One event for one person. ``path`` is the page about it."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_person_id_id", "person_id", "id"),
        # Every page counts the unread ones.
        Index(
            "ix_notification_unread",
            "person_id",
            sqlite_where=text("read_at IS NULL"),
            postgresql_where=text("read_at IS NULL"),
        ),
        Index(
            "ix_notification_digest",
            "person_id",
            sqlite_where=text("in_digest"),
            postgresql_where=text("in_digest"),
        ),
        Index("ix_notification_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    event: Mapped[Event] = mapped_column(enum_type(Event))
    # What it is about, such as a PO number, and who caused it; empty if the app did.
    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    caused_by: Mapped[str] = mapped_column(String(120), default="")
    path: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    # Whether the next digest includes it.
    in_digest: Mapped[bool] = mapped_column(default=False)
