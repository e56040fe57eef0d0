"""One POST under way, and the thread that cuts whatever outlasts its deadline."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from enum import StrEnum

from app.delivery.wire.answer import Answer
from app.delivery.wire.outcome import Failure, Stop


class Phase(StrEnum):
    """How far a call got, as it is told when time ran out."""

    NAME = "The name of {host} could not be looked up"
    CONNECT = "No connection to {host} could be made"
    TLS = "No secure connection to {host} could be made"
    ANSWER = "No answer came"
    BODY = "The answer was not complete"


class Watch:
    """The deadline of one call: when it is due, what to cut then, and whether it was."""

    __slots__ = ("due", "fired", "lifeline")

    def __init__(self, due: float) -> None:
        self.due = due
        self.lifeline: socket.socket | None = None
        self.fired = False

    def fire(self) -> None:
        """Cut the connection."""
        # Set before the look at the lifeline, as the call sets its lifeline before it looks here.
        self.fired = True
        if self.lifeline is not None:
            with contextlib.suppress(OSError):
                self.lifeline.shutdown(socket.SHUT_RDWR)


class Call:
    """One POST under way."""

    __slots__ = ("answer", "deadline", "host", "phase", "remote", "sent", "watch")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.watch = Watch(time.monotonic() + deadline)
        self.phase = Phase.NAME
        self.host = ""
        self.answer: Answer | None = None
        self.remote: str | None = None
        self.sent = False

    def left(self) -> float:
        """Seconds until the deadline. Stops the call if there are none."""
        left = self.watch.due - time.monotonic()
        if left <= 0 or self.watch.fired:
            raise Stop(Failure.TIMEOUT, "")
        return left

    def holds(self, lifeline: socket.socket, remote: str) -> None:
        """From now on the deadline cuts this connection."""
        self.remote = remote
        self.watch.lifeline = lifeline
        if self.watch.fired:  # before it knew what to cut
            raise Stop(Failure.TIMEOUT, "")

    def lets_go(self) -> None:
        """The deadline cuts that connection no more: it may be closed. Stops the call if its time is up."""
        watchdog.disarm(self.watch)
        self.watch.lifeline = self.remote = None
        self.left()
        watchdog.arm(self.watch)

    def late(self) -> str:
        """How far it got until the deadline, as a sentence."""
        return f"{self.phase.format(host=self.host)} within {self.deadline:g} s."


class _Watchdog:
    """Cuts the connections of calls that are due. Its thread starts with the first call."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew, after a fork: threads do not survive it, and their locks may be held for ever."""
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._watches: set[Watch] = set()
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def arm(self, watch: Watch) -> None:
        """Watch until `disarm`. The thread is woken only for what is due before it looks anyway."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="post-watchdog", daemon=True)
                thread.start()
                self._thread = thread
            self._watches.add(watch)
            if watch.due < self._looks_at:
                self._looks_at = watch.due
                self._news.notify()

    def disarm(self, watch: Watch) -> None:
        """After this, the watch does not fire, and its lifeline may be closed."""
        with self._lock:
            self._watches.discard(watch)

    def _run(self) -> None:
        with self._lock:
            while True:
                now = time.monotonic()
                for watch in [watch for watch in self._watches if watch.due <= now]:
                    self._watches.discard(watch)
                    watch.fire()
                self._looks_at = min((watch.due for watch in self._watches), default=math.inf)
                self._news.wait(None if self._looks_at == math.inf else self._looks_at - now)


watchdog = _Watchdog()
"""The one of this process."""
os.register_at_fork(after_in_child=watchdog.begin)
