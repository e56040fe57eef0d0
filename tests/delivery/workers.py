"""Delivery workers in threads of the tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.db import Database
from app.delivery.worker import DeliveryWorker


@contextmanager
def running_worker(database: Database, *, senders: int = 4, **options: Any) -> Iterator[threading.Thread]:
    """Run a delivery worker in a thread; fails if it has died at the end."""
    stop = threading.Event()
    worker = DeliveryWorker(database, senders=senders, **options)
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield thread
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(40)
    assert not thread.is_alive()
