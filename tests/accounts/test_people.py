"""People: added, changed, locked out and given a new password by administrators, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Person, Role
from app.audit.models import AuditEntry
from tests.people import BEARINGS, TRIVENI, Browser


@pytest.fixture
def admin(browser_of: Callable[[str], Browser]) -> Browser:
    """The administrator."""
    return browser_of("admin")


def number_of(session: Session, name: str) -> int:
    session.rollback()
    return session.scalars(select(Person.id).where(Person.name == name)).one()


def change(admin: Browser, session: Session, name: str, **fields: Any) -> Any:
    """Open a person's page, change the fields and press."""
    url = f"/users/{number_of(session, name)}"
    filled = {**admin.fill(url, url), **fields}
    return admin.send(url, {one: value for one, value in filled.items() if value is not None})


def sign_in(browser: Browser, name: str, password: str) -> Any:
    fields = browser.fill("/login", "/login")
    return browser.send("/login", {**fields, "username": name, "password": password})


def test_somebody_is_added_and_signs_in_with_the_password_that_is_shown_once(
    admin: Browser, nobody: Browser, session: Session
) -> None:
    fields = admin.fill("/users/new", "/users/new")
    added = admin.send(
        "/users/new", {**fields, "name": "Kiran", "full_name": "Kiran Rao", "supplier_ids": f" {TRIVENI}\n\n"}
    )
    password = added.one("#made").get_text()
    assert password not in admin.get(f"/users/{number_of(session, 'kiran')}").text
    assert "Kiran Rao" in admin.get("/users").words
    assert sign_in(nobody, "kiran", password).status_code == 303
    assert nobody.get("/orders").status_code == 200


def test_supplier_ids_are_told_apart_however_they_were_parted(admin: Browser, session: Session) -> None:
    """Two on one line once made one id, for which no order ever came."""
    assert change(admin, session, "omar", supplier_ids=f"{TRIVENI} {BEARINGS},\n").status_code == 303
    session.rollback()
    omar = session.scalars(select(Person).where(Person.name == "omar")).one()
    assert omar.supplier_ids == {TRIVENI, BEARINGS}


@pytest.mark.parametrize("odd", ["Triveni Bearings@bbps", "a,b@bbps", "a; b", "x  y"])
def test_an_id_with_a_space_or_comma_stands_in_quotes_and_is_never_torn_apart_unasked(
    admin: Browser, session: Session, odd: str
) -> None:
    refused = change(admin, session, "omar", supplier_ids=f"{TRIVENI}\n{odd}")
    assert refused.status_code == 422
    assert "in quotes" in refused.words
    assert change(admin, session, "omar", supplier_ids=f'{TRIVENI}\n"{odd}"').status_code == 303
    # Saved again as the form shows it, it stays.
    assert change(admin, session, "omar", full_name="Omar").status_code == 303
    session.rollback()
    omar = session.scalars(select(Person).where(Person.name == "omar")).one()
    assert omar.supplier_ids == {TRIVENI, odd}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "Give a name to sign in with"),
        ({"name": "asha"}, "Asha exists already"),
        ({"name": "two words"}, "A user name is made of letters"),
        ({"supplier_ids": ""}, "Supplier staff need at least one supplier B2B id"),
        ({"role": "manager"}, "Supplier ids are for supplier staff"),
        ({"role": "king"}, "Not a valid choice"),
        ({"supplier_ids": "x" * 101}, "1 to 100 characters"),
        ({"supplier_ids": 'a"b@bbps'}, 'has no " and no \\ in it'),
        ({"full_name": "x" * 121}, "120"),
    ],
)
def test_what_makes_no_person_is_told_and_keeps_what_was_typed(
    admin: Browser, session: Session, fields: dict[str, str], why: str
) -> None:
    before = session.scalars(select(Person.name)).all()
    typed = {"name": "kiran", "role": "supplier", "supplier_ids": TRIVENI, "full_name": "Kiran", **fields}
    answer = admin.send("/users/new", {**admin.fill("/users/new", "/users/new"), **typed})
    assert answer.status_code == 422
    assert why.lower() in answer.words.lower()
    assert answer.one("#name")["value"] == typed["name"]
    session.rollback()
    assert session.scalars(select(Person.name)).all() == before


def test_a_change_holds_from_the_next_click(
    admin: Browser, omar: Browser, arrive: Any, session: Session
) -> None:
    first, _, third = arrive(3)  # the third is of Bearings, which is Omar's
    assert [omar.get(f"/orders/{one}").status_code for one in (first, third)] == [404, 200]
    assert change(admin, session, "omar", supplier_ids=TRIVENI).status_code == 303
    assert [omar.get(f"/orders/{one}").status_code for one in (first, third)] == [200, 404]
    assert change(admin, session, "omar", role="manager", supplier_ids="").status_code == 303
    assert [omar.get(f"/orders/{one}").status_code for one in (first, third)] == [200, 200]
    assert omar.get("/audit").status_code == 200


def test_who_is_locked_out_is_signed_out_and_stays_so(
    admin: Browser, omar: Browser, nobody: Browser, session: Session
) -> None:
    assert omar.get("/orders").status_code == 200
    assert change(admin, session, "omar", active=None).status_code == 303
    assert omar.get("/orders").status_code == 303
    assert sign_in(nobody, "omar", "correct-horse-42").status_code != 303
    assert "Locked out" in admin.get("/users").words


def test_a_new_password_ends_the_old_one_everywhere(
    admin: Browser, omar: Browser, nobody: Browser, session: Session
) -> None:
    url = f"/users/{number_of(session, 'omar')}"
    made = admin.send(f"{url}/password", admin.fill(url, f"{url}/password")).one("#made").get_text()
    assert omar.get("/orders").status_code == 303
    assert sign_in(nobody, "omar", "correct-horse-42").status_code != 303
    assert sign_in(nobody, "omar", made).status_code == 303


@pytest.mark.parametrize("fields", [{"role": "manager"}, {"active": None}])
def test_the_last_administrator_stays(admin: Browser, session: Session, fields: dict[str, Any]) -> None:
    answer = change(admin, session, "admin", **fields)
    assert answer.status_code == 422
    assert "Nobody would be left to administer" in answer.words
    session.rollback()
    person = session.scalars(select(Person).where(Person.name == "admin")).one()
    assert (person.role, person.active) == (Role.ADMIN, True)
    change(admin, session, "meera", role="admin")
    assert change(admin, session, "admin", **fields).status_code == 303


def test_changes_stand_in_the_trail_without_secrets(admin: Browser, session: Session) -> None:
    before = session.scalars(select(AuditEntry.id)).all()
    change(admin, session, "omar", full_name="Omar Shaikh", supplier_ids=f"{TRIVENI}\n{BEARINGS}")
    change(admin, session, "omar")  # which changes nothing
    url = f"/users/{number_of(session, 'omar')}"
    made = admin.send(f"{url}/password", admin.fill(url, f"{url}/password")).one("#made").get_text()
    session.rollback()
    changed, given = session.scalars(
        select(AuditEntry).where(AuditEntry.id.not_in(before)).order_by(AuditEntry.id)
    ).all()
    assert (changed.deed, changed.actor, changed.object_name) == ("changed a person", "Admin", "omar")
    assert changed.was == {"full name": "Omar", "supplier ids": [BEARINGS]}
    assert changed.became == {"full name": "Omar Shaikh", "supplier ids": [TRIVENI, BEARINGS]}
    assert given.became == {"password": "changed"}
    assert made not in given.after + changed.after


def test_somebody_who_does_not_exist_is_told_so(admin: Browser) -> None:
    assert admin.get("/users/999999").status_code == 404
    assert not admin.get("/users").page.select("a[href='/users/999999']")
