"""Waits for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for the condition. Errors: AssertionError if it is not true within the time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition was not met"
        time.sleep(0.01)
