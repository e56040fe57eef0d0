"""The account page: own data and preferences."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Person
from app.accounts.preferences import Density, Preferences, Theme, read
from app.audit.models import AuditAction, AuditEntry
from tests.people import Browser, fields_of

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("fast_hashing")]


def save(browser: Browser, **fields: Any) -> Any:
    filled = {**browser.fill("/account", "/account"), **fields}
    return browser.send("/account", {name: value for name, value in filled.items() if value is not None})


def test_account_is_saved_and_audited(asha: Browser, session: Session) -> None:
    changed = {
        "full_name": "Asha Kulkarni",
        "mail_address": "asha@supplier.example",
        "time_zone": "Europe/Paris",
        "theme": "dark",
        "density": "compact",
        "has_shortcuts": None,
    }
    assert save(asha, **changed).status_code == 303
    person = session.scalars(select(Person).where(Person.username == "asha")).one()
    assert (person.full_name, person.mail_address) == ("Asha Kulkarni", "asha@supplier.example")
    page = asha.get("/account")
    html = page.one("html")
    assert [html[f"data-{name}"] for name in ("theme", "density", "shortcuts")] == ["dark", "compact", "off"]
    assert page.one("#mail_address")["value"] == "asha@supplier.example"
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.PERSON_CHANGED)).one()
    assert entry.new_values["time_zone"] == "Europe/Paris"


def test_account_that_was_changed_in_another_tab_is_not_overwritten(asha: Browser, session: Session) -> None:
    opened = {**asha.fill("/account", "/account"), "full_name": "Asha K."}
    save(asha, mail_address="asha@supplier.example")
    conflict = asha.send("/account", opened)
    assert conflict.status_code == 409
    assert "Your account was changed while you were editing." in conflict.visible_text
    person = session.scalars(select(Person).where(Person.username == "asha")).one()
    assert (person.full_name, person.mail_address) == ("Asha", "asha@supplier.example")
    shown = fields_of(conflict.one('form[action="/account"]'))
    assert (shown["full_name"], shown["mail_address"]) == ("Asha K.", "")
    assert asha.send("/account", shown).status_code == 303


def test_other_preferences_are_kept(asha: Browser, session: Session) -> None:
    person = session.scalars(select(Person).where(Person.username == "asha")).one()
    person.preferences = {"notifications": {"mentioned": "off"}}
    session.commit()
    save(asha, theme="light")
    session.refresh(person)
    assert person.preferences["notifications"] == {"mentioned": "off"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"mail_address": "not an address"}, "Enter an email address"),
        ({"time_zone": "Mars/Olympus"}, "Choose a value from the list"),
        ({"theme": "pink"}, "Choose a value from the list"),
        ({"full_name": "x" * 121}, "120"),
    ],
)
def test_invalid_account_is_refused(asha: Browser, fields: dict[str, str], error: str) -> None:
    response = save(asha, **fields)
    assert (response.status_code, error in response.visible_text) == (422, True)


def test_times_are_shown_in_the_zone_of_the_reader(asha: Browser, order_id: int) -> None:
    assert ' IST"' in asha.get(f"/orders/{order_id}").text
    save(asha, time_zone="Asia/Tokyo")
    page = asha.get(f"/orders/{order_id}").text
    assert ' JST"' in page and ' IST"' not in page


def test_unknown_preferences_count_as_default() -> None:
    assert read({"theme": "pink", "density": 3}) == Preferences()
    chosen = Preferences(Theme.DARK, Density.COMPACT, has_shortcuts=False)
    assert read(chosen.as_stored()) == chosen
