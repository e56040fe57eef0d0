"""The only clock. Everything that asks for the time asks here, so that tests can hold it in hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_offset = timedelta(0)


def now() -> datetime:
    """The present, aware, in UTC, at microsecond precision."""
    return datetime.now(UTC) + _offset


def offset() -> timedelta:
    """How far the clock stands from the machine's own."""
    return _offset


def set_offset(by: timedelta) -> None:
    """Set the clock ``by`` ahead of the machine's own: a test moves time, PostgreSQL's server gives it."""
    global _offset  # noqa: PLW0603 - there is one clock
    _offset = by
