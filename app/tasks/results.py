"""The results of background jobs. Each kind of job registers a function for its page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from app.tasks.models import Job


@dataclass(frozen=True, slots=True)
class Result:
    """The link to the result: its label and URL; ``blocker`` is why there is none, or why it is elsewhere."""

    label: str = ""
    url: str = ""
    blocker: str = ""
    kept_until: datetime | None = None


RESULTS: dict[str, Callable[[Job], Result]] = {}
"""Per kind of job, a function that describes its result; other packages add theirs."""
