"""A delivery worker process that kills itself at a given point of the unmodified code."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from app.db import Database, encryption
from app.delivery import connections, worker
from app.delivery.events import message_events
from app.delivery.worker import DeliveryWorker
from app.orders.projection import follow

POINTS = ("after the claim", "during connect", "after the POST", "before the record", "after the record")


def run(url: str, options: dict[str, Any], point: str | None, passes: int, keys: Any) -> None:
    """Deliver until killed or told to stop; at ``point``, passed for the ``passes``-th time, die."""
    logging.disable(logging.WARNING)
    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    encryption._Keys.fernet = keys
    message_events.connect(follow)
    deliverer = DeliveryWorker(Database(url), **options)
    if point is not None:
        ARM[point](deliverer, _fuse(passes))
    deliverer.run(stop)


def _fuse(passes: int) -> Callable[[], None]:
    """Each call is a pass; the last kills this process as a power failure would."""
    passed = itertools.count(1)

    def burn() -> None:
        if next(passed) == passes:
            os.kill(os.getpid(), signal.SIGKILL)

    return burn


def _after_the_claim(deliverer: DeliveryWorker, burn: Callable[[], None]) -> None:
    start_sending = deliverer._start_sending

    def armed(claimed: Any) -> None:
        if claimed:
            burn()
        start_sending(claimed)

    deliverer._start_sending = armed  # type: ignore[method-assign]


def _during_connect(_deliverer: DeliveryWorker, burn: Callable[[], None]) -> None:
    _before(connections, "connect_to", burn)


def _after_the_post(_deliverer: DeliveryWorker, burn: Callable[[], None]) -> None:
    _before(connections.CheckedConnection, "getresponse", burn)


def _before_the_record(_deliverer: DeliveryWorker, burn: Callable[[], None]) -> None:
    record = worker.record_results

    def armed(session: Any, finished: Any, *rest: Any, **options: Any) -> None:
        if finished:
            burn()
        record(session, finished, *rest, **options)

    worker.record_results = armed


def _after_the_record(deliverer: DeliveryWorker, burn: Callable[[], None]) -> None:
    tick = deliverer._tick

    def armed(*args: Any, **options: Any) -> float:
        recorded = bool(deliverer._unrecorded)
        due = tick(*args, **options)
        if recorded:
            burn()
        return due

    deliverer._tick = armed  # type: ignore[method-assign]


def _before(place: Any, name: str, burn: Callable[[], None]) -> None:
    real = getattr(place, name)

    @functools.wraps(real)
    def armed(*args: Any, **options: Any) -> Any:
        burn()
        return real(*args, **options)

    setattr(place, name, armed)


ARM: dict[str, Callable[[DeliveryWorker, Callable[[], None]], None]] = dict(
    zip(
        POINTS,
        (_after_the_claim, _during_connect, _after_the_post, _before_the_record, _after_the_record),
        strict=True,
    )
)
