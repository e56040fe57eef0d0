"""What senders tell the database's thread: it is woken once for many, not once for each.

A wake-up costs both sides some ten microseconds and the interpreter's lock; at a thousand messages a second
that would be as much as all else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from app.delivery.recording import Finished


class News:
    """Ends of attempts, for one thread that waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.audit_fields: list[Finished] = []
        self._wanted = 1
        self._nudged = False

    def tell(self, finished: Finished) -> None:
        """What came of one message."""
        with self._changed:
            self.audit_fields.append(finished)
            if len(self.audit_fields) >= self._wanted:
                self._changed.notify()

    def nudge(self) -> None:
        """Something else happened: whoever waits shall look."""
        with self._changed:
            self._nudged = True
            self._changed.notify()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until anything happened; False if the seconds passed without it."""
        with self._changed:
            return self._await(1, seconds, lambda: self._nudged)

    def gather(self, enough: int, seconds: float) -> list[Finished]:
        """All that was told, after waiting for ``enough``, up to ``seconds``."""
        with self._changed:
            self._await(enough, seconds, lambda: False)
            told, self.audit_fields, self._nudged = self.audit_fields, [], False
            return told

    def _await(self, wanted: int, seconds: float | None, otherwise: Callable[[], bool]) -> bool:
        self._wanted = wanted
        try:
            return self._changed.wait_for(lambda: len(self.audit_fields) >= wanted or otherwise(), seconds)
        finally:
            self._wanted = 1
