"""Changing the own password, and which passwords are accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.accounts.passwords import PasswordProblem, new_password, password_problem
from tests.people import PASSWORD, Browser

pytestmark = pytest.mark.sqlite

NEW = "mango-lantern-river"


def change(browser: Browser, current: str, new: str) -> Any:
    fields = browser.fill("/account/password", "/account/password")
    return browser.send("/account/password", {**fields, "current_password": current, "new_password": new})


def sign_in(browser: Browser, username: str, password: str) -> Any:
    fields = browser.fill("/login", "/login")
    return browser.send("/login", {**fields, "username": username, "password": password})


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", PasswordProblem.LENGTH),
        ("mango-river", PasswordProblem.LENGTH),
        ("x" * 201, PasswordProblem.LENGTH),
        ("Password12345", PasswordProblem.GUESSABLE),
        ("qwertyuiop12", PasswordProblem.GUESSABLE),
        ("aaaaaaaaaaaaaaaa", PasswordProblem.GUESSABLE),
        ("Kulkarni-mango-1", PasswordProblem.PERSONAL),
        ("mango-ASHA-river", PasswordProblem.PERSONAL),
        (NEW, None),
        ("नमस्ते दुनिया नदी", None),
        ("mango-lantern-river" * 10, None),
    ],
)
def test_new_password_weak_or_personal_is_refused(password: str, problem: PasswordProblem | None) -> None:
    assert password_problem(password, "asha", "Asha Kulkarni") is problem


def test_generated_password_is_accepted() -> None:
    assert password_problem(new_password(), "asha", "Asha") is None


def test_changed_password_ends_other_sessions(
    browser_of: Callable[[str], Browser], asha: Browser, anonymous: Browser
) -> None:
    elsewhere = browser_of("asha")
    assert change(asha, PASSWORD, NEW).status_code == 303
    assert asha.get("/orders").status_code == 200
    assert elsewhere.get("/orders").status_code == 303
    assert sign_in(anonymous, "asha", PASSWORD).status_code == 422
    assert sign_in(anonymous, "asha", NEW).status_code == 303


@pytest.mark.parametrize(
    ("current", "new", "error"),
    [
        ("wrong", NEW, "Incorrect password."),
        (PASSWORD, PASSWORD, "differs from the current one"),
        (PASSWORD, "short", "12 to 200 characters"),
        (PASSWORD, "password12345", "easy to guess"),
        (PASSWORD, "", "Enter a new password."),
    ],
)
def test_invalid_change_is_refused(
    asha: Browser, anonymous: Browser, current: str, new: str, error: str
) -> None:
    response = change(asha, current, new)
    assert (response.status_code, error in response.words) == (422, True)
    assert PASSWORD not in response.text
    assert sign_in(anonymous, "asha", PASSWORD).status_code == 303


def test_current_password_cannot_be_guessed(asha: Browser) -> None:
    responses = [change(asha, f"guess {number}", NEW) for number in range(8)]
    assert [response.status_code for response in responses] == [422] * 6 + [429] * 2
    assert int(responses[-1].headers["Retry-After"]) >= 1
