"""Queries and transactions that tests of several packages need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.db import Database
from app.orders.models import PurchaseOrder


def count_rows(session: Session, model: Any) -> int:
    """The current number of rows."""
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0


def set_order(session: Session, order_id: int, **values: Any) -> None:
    """Set columns of an order, and commit."""
    session.execute(update(PurchaseOrder).where(PurchaseOrder.id == order_id).values(**values))
    session.commit()


def run_both(
    database: Database, first: Callable[[Session], object], second: Callable[[Session], object]
) -> list[Exception]:
    """Run ``second`` while the transaction of ``first`` is open; returns the errors of ``second``."""
    errors: list[Exception] = []

    def run_second() -> None:
        try:
            with database.writing() as session:
                second(session)
                session.commit()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run_second)
    with database.writing() as session:
        first(session)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it waits for the first transaction"
        session.commit()
    thread.join()
    return errors


def run_together(*calls: Callable[[], Any]) -> list[Any]:
    """Start the calls at the same time and return their results. Fails after half a minute."""
    gate, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index: int, call: Callable[[], Any]) -> None:
        gate.wait()
        results[index] = call()

    threads = [threading.Thread(target=run, args=arguments, daemon=True) for arguments in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    return results
