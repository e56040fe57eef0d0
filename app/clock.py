"""The only clock of the app, so that tests can move it.

On PostgreSQL it follows the server's clock: an offset is measured every few seconds, and a monotonic counter
continues from there, so clocks that jump or differ between machines do no harm.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

MEASURED_FOR_SECONDS = 5.0
"""How long a measurement of the server's clock is valid."""
INACCURACY_SECONDS = 0.005
"""A smaller difference, beyond the duration of the measurement, does not move the clock."""

_offset = timedelta(0)
_server: tuple[datetime, float] | None = None
_measured_at = float("-inf")


def now() -> datetime:
    """The current time: aware, UTC, with microseconds."""
    return _unshifted() + _offset


def offset() -> timedelta:
    """How far the clock is set ahead."""
    return _offset


def set_offset(by: timedelta) -> None:
    """Set the clock ahead. For tests."""
    global _offset  # noqa: PLW0603 - there is one clock
    _offset = by


def ticks() -> float:
    """A monotonic counter in seconds. Where possible it also counts while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def needs_measurement() -> bool:
    """Whether the last measurement of the server's clock is outdated."""
    return ticks() - _measured_at > MEASURED_FOR_SECONDS


def follow(server: datetime, *, sent_at: float, received_at: float) -> None:
    """Follow a server that reported the time ``server`` between these two values of ``ticks``."""
    global _server, _measured_at  # noqa: PLW0603 - there is one clock
    middle, uncertainty = (sent_at + received_at) / 2, (received_at - sent_at) / 2
    _measured_at = received_at
    if _server is not None:
        expected = _server[0] + timedelta(seconds=middle - _server[1])
        if abs((server - expected).total_seconds()) <= uncertainty + INACCURACY_SECONDS:
            return
    _server = (server.astimezone(UTC), middle)


def forget_server() -> None:
    """Follow the machine's clock again."""
    global _server, _measured_at
    _server, _measured_at = None, float("-inf")


def _unshifted() -> datetime:
    if _server is None:
        return datetime.now(UTC)
    return _server[0] + timedelta(seconds=ticks() - _server[1])
