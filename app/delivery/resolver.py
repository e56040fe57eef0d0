"""From a host name to the addresses that a call may connect to.

A name lookup has no socket that the deadline could cut, so it runs in a thread that is left behind instead.
"""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from app.delivery.address_policy import plain_address
from app.delivery.call_result import LOCAL_SHORTAGES, DetailCode, Failure, SendAborted

LOOKUPS_MAX = 64
"""Names that are looked up at the same time in one process."""


@dataclass(frozen=True, slots=True)
class Address:
    """One IP address of a host, with the port."""

    family: socket.AddressFamily
    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.ip}:{self.port}"


class _Lookups:
    """Runs one thread per name, however many calls wait for that name."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over after a fork: threads do not survive it, and a lock may be held forever."""
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[Address]]] = {}

    def start(self, host: str, port: int) -> Future[list[Address]]:
        """Return the lookup of this host in progress, or start one. Errors: SendAborted if too many run."""
        key = (host, port)
        with self._lock:
            lookup = self._running.get(key)
            if lookup is None:
                if len(self._running) >= LOOKUPS_MAX:
                    raise SendAborted(Failure.NAME, DetailCode.LOOKUPS_BUSY)
                lookup = Future()
                threading.Thread(
                    target=self._run, args=(key, lookup), name="post-lookup", daemon=True
                ).start()
                self._running[key] = lookup
        return lookup

    def _run(self, key: tuple[str, int], lookup: Future[list[Address]]) -> None:
        host, port = key
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [Address(row[0], str(row[4][0]), int(row[4][1])) for row in rows]
        except Exception as error:
            self._finish(key)
            lookup.set_exception(error)
        else:
            self._finish(key)
            lookup.set_result(addresses)

    def _finish(self, key: tuple[str, int]) -> None:
        with self._lock:
            self._running.pop(key, None)


_lookups = _Lookups()
os.register_at_fork(after_in_child=_lookups.reset)


def resolve(host: str, port: int, seconds: float) -> list[Address]:
    """Every address of the host, allowed or not.

    Errors: SendAborted if there is none or the lookup takes longer than ``seconds``.
    """
    literal = plain_address(host)
    if literal is not None:
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
        return [Address(family, str(literal), port)]
    try:
        return _lookups.start(host, port).result(seconds)
    except TimeoutError:
        raise SendAborted(Failure.TIMEOUT) from None
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) in LOCAL_SHORTAGES:
            raise SendAborted(Failure.INTERNAL, DetailCode.OUT_OF_RESOURCE, cause=cause) from None
        raise SendAborted(Failure.NAME, DetailCode.LOOKUP_FAILED, host=host, cause=cause) from None
