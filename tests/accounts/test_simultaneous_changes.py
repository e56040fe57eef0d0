"""Two changes of the same account or supplier at the same time, on both databases."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Role, Supplier
from app.accounts.service import InvalidPerson, PersonError, add_person, set_device_tag
from app.db import Database
from tests.people import TRIVENI
from tests.queries import run_both


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
