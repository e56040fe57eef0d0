"""Durations and lists as users write them: ``5 s, 5 min, 2 h``. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SECONDS = {
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "days": 86_400.0,
}
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_NO_BREAK = "\N{NO-BREAK SPACE}"


def read_waits(text: str) -> list[float]:
    """Read ``5 s, 5 min, 2 h`` as seconds; a number alone is seconds.

    Errors: ValueError with a message for the user.
    """
    return [_wait(part) for part in re.split(r"[,;\n]+", text) if part.strip()]


def _wait(text: str) -> float:
    match = re.fullmatch(r"(\d{1,8}(?:\.\d{1,3})?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise ValueError(f"Enter durations such as 5 s, 5 min, 2 h or 1 d, not “{text.strip()[:20]}”.")
    return float(match[1]) * _SECONDS[match[2]]


def waits_text(waits: Sequence[float]) -> str:
    """The durations as text: ``5 s, 5 min, 2 h``."""
    return ", ".join(wait_text(wait) for wait in waits)


def wait_text(seconds: float) -> str:
    """A duration in the largest unit that gives a whole number. Number and unit stay on one line."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{_NO_BREAK}{unit}"
    return f"{seconds:g}{_NO_BREAK}s"


def read_list(text: str) -> list[str]:
    """Read the entries of a text field, separated by line breaks or commas."""
    return [part.strip() for part in re.split(r"[,\n]+", text) if part.strip()]
