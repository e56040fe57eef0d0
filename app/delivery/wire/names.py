"""From a host's name to the addresses that a call may connect to.

A look-up has no connection that could be cut at the deadline, so it is left behind instead.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from app.delivery.address_policy import Network, may_connect, plain_address
from app.delivery.wire.call import Call
from app.delivery.wire.outcome import OUR_SHORTAGES, Failure, Stop

LOOKUPS_MAX = 64
"""Names that are looked up at once, over all senders."""
PLACES_MAX = 8
"""Addresses of one name that are tried."""

Place = tuple[socket.AddressFamily, tuple[str, int]]


class _Lookups:
    """Looks names up in threads of their own, one for each name however many ask for it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew, after a fork: threads do not survive it, and their locks may be held for ever."""
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[Place]]] = {}

    def places(self, host: str, port: int, seconds: float) -> list[Place]:
        """Every address of the host.

        Errors: OSError or UnicodeError if there is none, TimeoutError if it takes more than `seconds`.
        """
        return self._running_one(host, port).result(seconds)

    def _running_one(self, host: str, port: int) -> Future[list[Place]]:
        key = (host, port)
        with self._lock:
            running = self._running.get(key)
            if running is None:
                if len(self._running) >= LOOKUPS_MAX:
                    raise Stop(Failure.NAME, "Too many names are being looked up at once.")
                running = Future()
                thread = threading.Thread(
                    target=self._look_up, args=(key, running), name="post-lookup", daemon=True
                )
                thread.start()
                self._running[key] = running
        return running

    def _look_up(self, key: tuple[str, int], future: Future[list[Place]]) -> None:
        host, port = key
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result: list[Place] = [
                (family, (str(where[0]), int(where[1]))) for family, _, _, _, where in found
            ]
        except Exception as error:
            self._end(key)
            future.set_exception(error)
        else:
            self._end(key)
            future.set_result(result)

    def _end(self, key: tuple[str, int]) -> None:
        with self._lock:
            self._running.pop(key, None)


_lookups = _Lookups()
os.register_at_fork(after_in_child=_lookups.begin)


def vetted_places(call: Call, host: str, port: int, allowed: Sequence[Network]) -> list[Place]:
    """The places to connect to: those addresses of the host, looked up once, that may be.

    Errors: Stop if there is none, or if the call's time is up.
    """
    literal = plain_address(host)
    if literal is not None:
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
        places = [(family, (str(literal), port))]
    else:
        try:
            places = _lookups.places(host, port, call.left())
        except TimeoutError:
            raise Stop(Failure.TIMEOUT, "") from None
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) in OUR_SHORTAGES:
                raise
            words = getattr(error, "strerror", None) or str(error)
            raise Stop(Failure.NAME, f"The name {host} could not be looked up: {words}.") from None
    vetted = [place for place in places if may_connect(place[1][0], allowed)]
    if not vetted:
        found = ", ".join(place[1][0] for place in places[:3]) or "no address"
        where = found if literal else f"{host} leads to {found}, which"
        raise Stop(Failure.ADDRESS, f"{where} may not be connected to.")
    return vetted[:PLACES_MAX]
