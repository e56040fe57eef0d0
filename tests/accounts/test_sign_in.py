"""Signing in and out."""

from __future__ import annotations

import pytest
from argon2 import extract_parameters
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.accounts import passwords
from app.accounts.models import Person
from tests.people import PASSWORD, Browser

pytestmark = pytest.mark.sqlite


def test_sign_in_opens_pages_and_sign_out_closes_them(anonymous: Browser) -> None:
    response = anonymous.sign_in("asha", PASSWORD)
    assert (response.status_code, response.location) == (303, "/")
    home = anonymous.get("/")
    assert home.status_code == 200
    assert anonymous.send("/logout", {"csrf_token": home.csrf_token}).status_code == 303
    assert anonymous.get("/").status_code == 303


def test_failed_sign_in_does_not_say_which_field_is_wrong(anonymous: Browser) -> None:
    wrong_password = anonymous.sign_in("asha", "a wrong password")
    unknown_user = anonymous.sign_in("nobody-here", PASSWORD)
    for response in (wrong_password, unknown_user):
        assert response.status_code == 422
        assert "Incorrect username or password." in response.visible_text
    assert wrong_password.visible_text == unknown_user.visible_text
    assert anonymous.get("/").status_code == 303


@pytest.mark.parametrize(("name", "password"), [("asha", "x" * 201), ("", ""), ("asha", ""), ("", PASSWORD)])
def test_incomplete_sign_in_is_refused(anonymous: Browser, name: str, password: str) -> None:
    assert anonymous.sign_in(name, password).status_code == 422
    assert anonymous.get("/").status_code == 303


def test_deactivated_user_is_signed_out(anonymous: Browser, session: Session) -> None:
    anonymous.sign_in("asha", PASSWORD)
    session.execute(update(Person).where(Person.username == "asha").values(active=False))
    session.commit()
    assert anonymous.get("/").status_code == 303
    assert anonymous.sign_in("asha", PASSWORD).status_code == 422


def test_sign_in_returns_to_the_requested_page(anonymous: Browser) -> None:
    first = anonymous.get("/orders?q=bolt&sort=-received_at")
    assert first.location == "/login?next=/orders?q%3Dbolt%26sort%3D-received_at"
    response = anonymous.sign_in("asha", PASSWORD, first.location)
    assert response.location == "/orders?q=bolt&sort=-received_at"


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil", "/\t/["],
)
def test_sign_in_never_redirects_to_another_site(anonymous: Browser, target: str) -> None:
    page = anonymous.get("/login", query_string={"next": target})
    fields = {"csrf_token": page.csrf_token, "username": "asha", "password": PASSWORD}
    response = anonymous.send(str(page.one("form")["action"]), fields)
    assert response.location == "/"


def test_password_check_of_unknown_user_takes_as_long() -> None:
    """The placeholder hash has the current parameters of the library."""
    current = extract_parameters(passwords.hash_password("a password"))
    assert extract_parameters(passwords.UNKNOWN_USER_HASH) == current
    assert not passwords.is_password(None, "a password")
