"""Two changes of the same account or supplier at the same time, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Role, Supplier
from app.accounts.service import InvalidPerson, PersonError, add_person, set_device_tag
from app.db import Database
from tests.people import TRIVENI


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


def test_username_is_taken_by_the_first(database: Database) -> None:
    def add(session: Session) -> None:
        add_person(session, "kiran", role=Role.MANAGER, password_hash="")

    (error,) = run_both(database, add, add)
    assert isinstance(error, InvalidPerson) and error.code is PersonError.USERNAME_TAKEN


def test_device_tag_is_the_last_one(database: Database, session: Session) -> None:
    errors = run_both(
        database,
        lambda writing: set_device_tag(writing, TRIVENI, "IP", "203.0.113.7", by="Admin"),
        lambda writing: set_device_tag(writing, TRIVENI, "IP", "203.0.113.8", by="Admin"),
    )
    assert errors == []
    assert session.scalars(select(Supplier.device_tag_value)).all() == ["203.0.113.8"]
