"""Changes of the same account or supplier at the same time, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts import passwords
from app.accounts.models import Person, Role, Supplier
from app.accounts.queries import person_by_id
from app.accounts.service import InvalidPerson, PersonError, add_person, set_device_tag, update_preferences
from app.db import Database
from tests.people import PASSWORD, TRIVENI, Browser
from tests.queries import run_both


def test_username_is_taken_by_the_first(database: Database) -> None:
    def add(session: Session) -> None:
        add_person(session, "kiran", role=Role.MANAGER, password_hash="")

    (error,) = run_both(database, add, add)
    assert isinstance(error, InvalidPerson) and error.code is PersonError.USERNAME_TAKEN


def test_device_tag_set_twice_at_once_is_the_last_one(database: Database, session: Session) -> None:
    errors = run_both(
        database,
        lambda writing: set_device_tag(writing, TRIVENI, "IP", "203.0.113.7", by="Admin"),
        lambda writing: set_device_tag(writing, TRIVENI, "IP", "203.0.113.8", by="Admin"),
    )
    assert errors == []
    assert session.scalars(select(Supplier.device_tag_value)).all() == ["203.0.113.8"]


def test_preferences_that_are_saved_at_the_same_time_are_kept(
    asha: Browser, database: Database, session: Session
) -> None:
    url = "/account/notifications"
    fields = {**asha.fill(url, url), "assigned": "off"}
    saving = threading.Thread(target=asha.send, args=(url, fields))
    with database.writing() as first:
        person = person_by_id(first, 1, lock=True)
        assert person
        update_preferences(first, person, {"density": "compact"})
        saving.start()
        saving.join(0.5)
        first.commit()
    saving.join()
    preferences = session.scalars(select(Person.preferences).where(Person.id == 1)).one()
    assert (preferences["density"], preferences["notifications"]["assigned"]) == ("compact", "off")


@pytest.fixture
def while_hashing(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change columns of Asha's account as soon as a function of ``passwords`` was called."""

    def while_hashing(function: str, **values: Any) -> None:
        original = getattr(passwords, function)

        def changing(*args: Any) -> Any:
            result = original(*args)
            with database.writing() as session:
                session.execute(update(Person).where(Person.username == "asha").values(**values))
                session.commit()
            return result

        monkeypatch.setattr(f"app.accounts.routes.{function}", changing)

    return while_hashing


@pytest.mark.parametrize("change", [{"password_hash": "another"}, {"active": False}])
def test_sign_in_to_an_account_that_is_changed_meanwhile_fails(
    anonymous: Browser, while_hashing: Callable[..., None], change: dict[str, Any]
) -> None:
    while_hashing("is_password", **change)
    response = anonymous.sign_in("asha", PASSWORD)
    assert response.status_code == 422
    assert "Incorrect username or password" in response.visible_text


def test_password_that_is_changed_meanwhile_stays(
    asha: Browser, while_hashing: Callable[..., None], session: Session
) -> None:
    url = "/account/password"
    while_hashing("hash_password", password_hash="another")
    response = asha.submit(url, url, current_password=PASSWORD, new_password="mango-lantern-river")
    assert response.status_code == 422
    assert session.scalars(select(Person.password_hash).where(Person.username == "asha")).one() == "another"
