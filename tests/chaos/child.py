"""A delivery worker process that kills itself at a given point of the unmodified code."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from types import FrameType
from typing import Any

from sqlalchemy.orm import Session

from app.db import Database, encryption
from app.delivery import connections, worker
from app.delivery.events import message_events
from app.delivery.recording import AttemptResult, record_results
from app.delivery.worker import DeliveryWorker
from app.orders.projection import update_orders

POINTS = ("after the claim", "during connect", "after the POST", "before the record", "after the record")


def run(url: str, options: dict[str, Any], point: str | None, passes: int, keys: Any) -> None:
    """Deliver until killed or stopped. Dies at the ``passes``-th pass of ``point``."""
    logging.disable(logging.WARNING)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    encryption._Keys.fernet = keys
    message_events.connect(update_orders)
    deliverer = DeliveryWorker(Database(url), **options)
    if point is not None:
        INSTALLERS[point](deliverer, _killer(passes))
    deliverer.run(stop)


def _killer(passes: int) -> Callable[[], None]:
    """Returns a function that kills this process with SIGKILL at its ``passes``-th call."""
    passed = itertools.count(1)

    def kill() -> None:
        if next(passed) == passes:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def _after_the_claim(deliverer: DeliveryWorker, kill: Callable[[], None]) -> None:
    start_sending = deliverer._start_sending

    def patched(claimed: Any) -> None:
        if claimed:
            kill()
        start_sending(claimed)

    deliverer._start_sending = patched  # type: ignore[method-assign]


def _during_connect(_deliverer: DeliveryWorker, kill: Callable[[], None]) -> None:
    _before(connections, "connect_to", kill)


def _after_the_post(_deliverer: DeliveryWorker, kill: Callable[[], None]) -> None:
    _before(connections.CheckedConnection, "getresponse", kill)


def _before_the_record(_deliverer: DeliveryWorker, kill: Callable[[], None]) -> None:
    def patched(session: Session, results: Sequence[AttemptResult], now: datetime) -> None:
        if results:
            kill()
        record_results(session, results, now)

    worker.record_results = patched  # type: ignore[attr-defined]


def _after_the_record(deliverer: DeliveryWorker, kill: Callable[[], None]) -> None:
    tick = deliverer._tick

    def patched(*args: Any, **options: Any) -> float:
        recorded = bool(deliverer._unrecorded)
        due = tick(*args, **options)
        if recorded:
            kill()
        return due

    deliverer._tick = patched  # type: ignore[method-assign]


def _before(owner: Any, name: str, kill: Callable[[], None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def patched(*args: Any, **options: Any) -> Any:
        kill()
        return real(*args, **options)

    setattr(owner, name, patched)


INSTALLERS: dict[str, Callable[[DeliveryWorker, Callable[[], None]], None]] = dict(
    zip(
        POINTS,
        (_after_the_claim, _during_connect, _after_the_post, _before_the_record, _after_the_record),
        strict=True,
    )
)
