"""The only clock. Everything that asks for the time asks here, so that tests can hold it in hand.

On PostgreSQL it is the server's: measured now and then, and counted on from there by the machine's stopwatch,
so that neither differing nor jumping clocks of machines matter.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

MEASURED_FOR_SECONDS = 5.0
"""How long a measure of the server's clock is good."""
INACCURACY_SECONDS = 0.005
"""Differences up to this, and up to what a measure took, do not move the clock."""

_offset = timedelta(0)
_server: tuple[datetime, float] | None = None
_measured_at = float("-inf")


def now() -> datetime:
    """The present, aware, in UTC, at microsecond precision."""
    return _plain() + _offset


def offset() -> timedelta:
    """How far the clock was set ahead."""
    return _offset


def set_offset(by: timedelta) -> None:
    """Set the clock ``by`` ahead: a test moves time."""
    global _offset  # noqa: PLW0603 - there is one clock
    _offset = by


def ticks() -> float:
    """The machine's stopwatch, in seconds: never set, and running while the machine sleeps where it can."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def wants_measure() -> bool:
    """Whether the last measure of the server's clock is too old."""
    return ticks() - _measured_at > MEASURED_FOR_SECONDS


def follow(server: datetime, *, asked_at: float, told_at: float) -> None:
    """Follow the clock of a server that said ``server`` between these two readings of ``ticks``."""
    global _server, _measured_at  # noqa: PLW0603 - there is one clock
    middle, doubt = (asked_at + told_at) / 2, (told_at - asked_at) / 2
    _measured_at = told_at
    if _server is not None:
        expected = _server[0] + timedelta(seconds=middle - _server[1])
        if abs((server - expected).total_seconds()) <= doubt + INACCURACY_SECONDS:
            return
    _server = (server.astimezone(UTC), middle)


def forget_server() -> None:
    """Follow the machine's own clock again."""
    global _server, _measured_at
    _server, _measured_at = None, float("-inf")


def _plain() -> datetime:
    if _server is None:
        return datetime.now(UTC)
    return _server[0] + timedelta(seconds=ticks() - _server[1])
