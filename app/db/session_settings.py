"""The settings of the app that domain code reads from its session."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Settings that every session of a ``Database`` carries, for commands that get only a session."""

    failing_after: int = 3
    """How many consecutive failed attempts make a partner failing."""
    mail_base_url: str | None = None
    """The base URL of links in emails, which may be empty; None if email is off."""
    time_zone: ZoneInfo = field(default=ZoneInfo("UTC"))
    """The time zone of people without their own."""

    @classmethod
    def of(cls, session: Session) -> SessionSettings:
        """The settings that a session carries; the defaults if it carries none."""
        return session.info.get(cls) or cls()
