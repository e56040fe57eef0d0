"""One call in progress, and the watchdog thread that cuts its connection at the deadline."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from app.delivery.call_result import Detail, DetailCode, Failure, SendAborted

if TYPE_CHECKING:
    from app.delivery.connections import PartnerResponse


class Phase(StrEnum):
    """How far a call got: what its timeout is recorded as."""

    NAME = DetailCode.NAME_TIMEOUT
    CONNECT = DetailCode.CONNECT_TIMEOUT
    TLS = DetailCode.TLS_TIMEOUT
    RESPONSE = DetailCode.RESPONSE_TIMEOUT
    BODY = DetailCode.BODY_TIMEOUT


class Call:
    """One request in progress: its deadline, what to cut then, and what is known of it so far."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.due = time.monotonic() + seconds
        self.expired = False
        self.socket: socket.socket | None = None
        self.phase = Phase.NAME
        self.host = ""
        self.remote_address: str | None = None
        self.sent = False
        self.response: PartnerResponse | None = None

    def time_left(self) -> float:
        """The seconds until the deadline. Errors: SendAborted after it."""
        left = self.due - time.monotonic()
        if left <= 0 or self.expired:
            raise SendAborted(Failure.TIMEOUT)
        return left

    def guard(self, duplicate: socket.socket, remote_address: str) -> None:
        """Let the deadline cut this connection. Errors: SendAborted if the deadline has passed."""
        self.remote_address = remote_address
        self.socket = duplicate
        if self.expired:  # the watchdog fired before it knew what to cut
            raise SendAborted(Failure.TIMEOUT)

    def expire(self) -> None:
        """Cut the connection."""
        # The flag is set first: `guard` sets the socket first and then reads the flag.
        self.expired = True
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def timeout_detail(self) -> Detail:
        """How far the call got until the deadline."""
        return Detail.of(DetailCode(self.phase.value), host=self.host, seconds=self.seconds)


class Watchdog:
    """Expires the calls that are due. One thread per process, started with the first call."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over after a fork: threads do not survive it, and a lock may be held forever."""
        self._changed = threading.Condition()
        self._calls: set[Call] = set()
        self._next_check = math.inf
        self._thread: threading.Thread | None = None

    def start(self, call: Call) -> None:
        """Watch the call until `stop`. The thread wakes only for a deadline before its next check.

        Errors: RuntimeError if the thread cannot be started.
        """
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="post-watchdog", daemon=True)
                thread.start()
                self._thread = thread
            self._calls.add(call)
            if call.due < self._next_check:
                self._next_check = call.due
                self._changed.notify()

    def stop(self, call: Call) -> None:
        """Stop watching. Afterwards the call does not expire."""
        with self._changed:
            self._calls.discard(call)

    def close(self, duplicate: socket.socket) -> None:
        """Close a guarded socket. The lock keeps the watchdog from using its descriptor meanwhile."""
        with self._changed:
            duplicate.close()

    def is_idle(self) -> bool:
        """Whether no call is watched."""
        return not self._calls

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for call in [call for call in self._calls if call.due <= now]:
                    self._calls.discard(call)
                    call.expire()
                self._next_check = min((call.due for call in self._calls), default=math.inf)
                self._changed.wait(None if self._next_check == math.inf else self._next_check - now)


watchdog = Watchdog()
os.register_at_fork(after_in_child=watchdog.reset)
