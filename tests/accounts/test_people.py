"""User accounts: administrators add, change and deactivate them and reset passwords."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import passwords
from app.accounts.models import Person, Role
from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from tests import people
from tests.fixture_types import Arrive
from tests.people import BEARINGS, PASSWORD, TRIVENI, Browser

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("fast_hashing")]


def load(session: Session, username: str) -> Person:
    """The current row of the person."""
    session.rollback()
    return session.scalars(select(Person).where(Person.username == username)).one()


def change(admin: Browser, session: Session, username: str, **fields: Any) -> Any:
    """Submit the page of a person with these fields changed; None leaves a field out."""
    url = f"/users/{load(session, username).id}"
    chosen = {"known_supplier_ids": None, "is_new_supplier": "y"} if "supplier_ids" in fields else {}
    filled = {**admin.fill(url, url), **chosen, **fields}
    return admin.send(url, {name: value for name, value in filled.items() if value is not None})


def reset_password(admin: Browser, session: Session, username: str) -> str:
    """Submit "Reset password" and return the password that is shown."""
    url = f"/users/{load(session, username).id}"
    return admin.submit(url, f"{url}/password").one("#made").get_text()


def test_new_user_signs_in_with_the_password_shown_once(
    admin: Browser, anonymous: Browser, session: Session
) -> None:
    fields = admin.fill("/users/new", "/users/new")
    typed = {"name": "Kiran", "full_name": "Kiran Rao", "supplier_ids": f" {TRIVENI}\n\n"}
    password = admin.send("/users/new", {**fields, **typed}).one("#made").get_text()
    assert password not in admin.get(f"/users/{load(session, 'kiran').id}").text
    assert "Kiran Rao" in admin.get("/users").visible_text
    assert anonymous.sign_in("kiran", password).status_code == 303
    # A temporary password opens nothing but the page to change it.
    assert anonymous.get("/orders").location == "/account/password"
    fields = anonymous.fill("/account/password", "/account/password")
    chosen = {"current_password": password, "new_password": "mango-lantern-river"}
    assert anonymous.send("/account/password", {**fields, **chosen}).status_code == 303
    assert anonymous.get("/orders").status_code == 200


def test_user_that_someone_else_changed_meanwhile_is_not_overwritten(
    admin: Browser, session: Session
) -> None:
    url = f"/users/{load(session, 'asha').id}"
    opened = {**admin.fill(url, url), "full_name": "Asha K."}
    change(admin, session, "asha", active=None)
    conflict = admin.send(url, opened)
    assert conflict.status_code == 409
    assert "Someone else changed this user" in conflict.visible_text
    assert not load(session, "asha").active
    shown = people.fields_of(conflict.one(f'form[action="{url}"]'))
    assert (shown["full_name"], "active" in shown) == ("Asha K.", True)
    assert admin.send(url, shown).status_code == 303
    assert load(session, "asha").active


def test_email_address_is_set_by_an_administrator(admin: Browser, session: Session) -> None:
    assert change(admin, session, "omar", mail_address="no address").status_code == 422
    assert change(admin, session, "omar", mail_address="omar@supplier.example").status_code == 303
    assert load(session, "omar").mail_address == "omar@supplier.example"
    assert "omar@supplier.example" in admin.get("/users").visible_text


def test_supplier_ids_on_one_line_are_split(admin: Browser, session: Session) -> None:
    assert change(admin, session, "omar", supplier_ids=f"{TRIVENI} {BEARINGS},\n").status_code == 303
    assert load(session, "omar").supplier_ids == {TRIVENI, BEARINGS}


@pytest.mark.parametrize("supplier_id", ["Triveni Bearings@bbps", "a,b@bbps", "a; b", "x  y"])
def test_supplier_id_with_separator_must_be_quoted(
    admin: Browser, session: Session, supplier_id: str
) -> None:
    refused = change(admin, session, "omar", supplier_ids=f"{TRIVENI}\n{supplier_id}")
    assert refused.status_code == 422
    assert "in quotes" in refused.one(".field-error").get_text()
    assert change(admin, session, "omar", supplier_ids=f'{TRIVENI}\n"{supplier_id}"').status_code == 303
    # Saving what the form shows keeps the id.
    assert change(admin, session, "omar", full_name="Omar").status_code == 303
    assert load(session, "omar").supplier_ids == {TRIVENI, supplier_id}


def test_invalid_user_shows_error_and_keeps_input(
    subtests: pytest.Subtests, admin: Browser, session: Session
) -> None:
    for fields, error in (
        ({"name": ""}, "Enter a username"),
        ({"name": "asha"}, "already taken"),
        ({"name": "two words"}, "Use lowercase letters"),
        ({"supplier_ids": ""}, "Enter at least one supplier B2B ID"),
        ({"role": "manager"}, "Remove the supplier B2B IDs"),
        ({"role": "king"}, "Choose a value from the list"),
        ({"supplier_ids": "x" * 101, "is_new_supplier": "y"}, "1 to 100 characters"),
        ({"supplier_ids": 'a"b@bbps', "is_new_supplier": "y"}, 'cannot contain " or \\'),
        ({"supplier_ids": "SUPPB2B0001"}, f"Did you mean “{TRIVENI}”?"),
        ({"supplier_ids": "NEW1@bbps"}, "“NEW1@bbps” is not a known supplier ID."),
        ({"known_supplier_ids": "none@bbps"}, "Choose values from the list"),
        ({"full_name": "x" * 121}, "120"),
    ):
        with subtests.test(fields=fields):
            before = session.scalars(select(Person.username)).all()
            typed = {
                "name": "kiran",
                "role": "supplier",
                "supplier_ids": TRIVENI,
                "full_name": "Kiran",
                **fields,
            }
            response = admin.submit("/users/new", "/users/new", **typed)
            assert response.status_code == 422
            assert error in response.one(".field-error").get_text()
            assert response.page.select("[aria-invalid=true]")
            assert response.one("#name")["value"] == typed["name"]
            session.rollback()
            assert session.scalars(select(Person.username)).all() == before


def test_known_suppliers_are_chosen_by_name(admin: Browser, session: Session, arrive: Arrive) -> None:
    arrive(3)
    page = admin.get("/users/new")
    labels = [label.get_text(" ", strip=True) for label in page.page.select(".checkbox-list label")]
    assert any(label.endswith(f"({TRIVENI})") for label in labels)
    fields = {
        **admin.fill("/users/new", "/users/new"),
        "name": "kiran",
        "known_supplier_ids": [TRIVENI, BEARINGS],
    }
    assert admin.send("/users/new", fields).status_code == 200
    assert load(session, "kiran").supplier_ids == {TRIVENI, BEARINGS}


def test_change_applies_at_the_next_request(
    admin: Browser, omar: Browser, browser_of: Callable[[str], Browser], arrive: Arrive, session: Session
) -> None:
    triveni, _, bearings = arrive(3)  # Omar's supplier is Bearings

    def statuses() -> list[int]:
        return [omar.get(f"/orders/{order_id}").status_code for order_id in (triveni, bearings)]

    assert statuses() == [404, 200]
    assert change(admin, session, "omar", supplier_ids=TRIVENI).status_code == 303
    assert statuses() == [200, 404]
    assert change(admin, session, "omar", role="manager", supplier_ids="").status_code == 303
    assert statuses() == [303, 303]  # a new role ends all sessions
    omar = browser_of("omar")
    assert statuses() == [200, 200]
    assert omar.get("/audit").status_code == 200


def test_deactivated_user_is_signed_out_and_cannot_sign_in(
    admin: Browser, omar: Browser, anonymous: Browser, session: Session
) -> None:
    assert omar.get("/orders").status_code == 200
    assert change(admin, session, "omar", active=None).status_code == 303
    assert omar.get("/orders").status_code == 303
    assert anonymous.sign_in("omar", PASSWORD).status_code != 303
    assert "Deactivated" in admin.get("/users").visible_text


def test_password_reset_signs_out_and_replaces_the_password(
    admin: Browser, omar: Browser, anonymous: Browser, session: Session
) -> None:
    password = reset_password(admin, session, "omar")
    assert omar.get("/orders").status_code == 303
    assert anonymous.sign_in("omar", PASSWORD).status_code != 303
    assert anonymous.sign_in("omar", password).status_code == 303


@pytest.mark.parametrize("fields", [{"role": "manager"}, {"active": None}])
def test_last_administrator_cannot_be_removed(
    admin: Browser, session: Session, fields: dict[str, Any]
) -> None:
    response = change(admin, session, "admin", **fields)
    assert response.status_code == 422
    assert "This is the last active administrator" in response.visible_text
    person = load(session, "admin")
    assert (person.role, person.active) == (Role.ADMIN, True)
    change(admin, session, "meera", role="admin")
    assert change(admin, session, "admin", **fields).status_code == 303


def test_changes_are_audited_without_secrets(admin: Browser, session: Session) -> None:
    before = session.scalars(select(AuditEntry.id)).all()
    change(admin, session, "omar", full_name="Omar Shaikh", supplier_ids=f"{TRIVENI}\n{BEARINGS}")
    change(admin, session, "omar")  # no change, no entry
    password = reset_password(admin, session, "omar")
    session.rollback()
    changed, reset = session.scalars(
        select(AuditEntry).where(AuditEntry.id.not_in(before)).order_by(AuditEntry.id)
    ).all()
    assert (changed.action, changed.actor, changed.object_name) == (
        AuditAction.PERSON_CHANGED,
        "Admin",
        "omar",
    )
    assert changed.old_values == {"full_name": "Omar", "supplier_ids": [BEARINGS]}
    assert changed.new_values == {"full_name": "Omar Shaikh", "supplier_ids": [TRIVENI, BEARINGS]}
    assert reset.new_values == {"password": "changed"}
    assert password not in reset.after + changed.after


def test_passwords_are_hashed_without_a_connection(
    admin: Browser, database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections_in_use = []

    def hash_password(password: str) -> str:
        connections_in_use.append(database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return people.fast_hasher.hash(password)

    hasher = SimpleNamespace(hash=hash_password, verify=people.fast_hasher.verify)
    new_user = {**admin.fill("/users/new", "/users/new"), "name": "kiran", "supplier_ids": TRIVENI}
    fields = admin.fill("/account/password", "/account/password")
    own_password = {"current_password": PASSWORD, "new_password": "mango-lantern-river"}
    monkeypatch.setattr(passwords, "_hasher", hasher)
    assert admin.send("/users/new", new_user).status_code == 200
    url = f"/users/{load(session, 'kiran').id}"
    session.rollback()
    assert admin.submit(url, f"{url}/password").status_code == 200
    assert admin.send("/account/password", {**fields, **own_password}).status_code == 303
    assert connections_in_use == [0, 0, 0]


def test_unknown_user_is_not_found(admin: Browser) -> None:
    assert admin.get("/users/999999").status_code == 404
    assert not admin.get("/users").page.select("a[href='/users/999999']")
