"""Changing one's own password, and which passwords are accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.accounts import passwords
from app.accounts.passwords import (
    UNKNOWN_USER_HASH,
    PasswordProblem,
    hash_password,
    is_password,
    new_password,
    password_problem,
)
from tests.people import PASSWORD, Browser

pytestmark = pytest.mark.sqlite

NEW = "mango-lantern-river"


def change(browser: Browser, current: str, new: str) -> Any:
    fields = browser.fill("/account/password", "/account/password")
    return browser.send("/account/password", {**fields, "current_password": current, "new_password": new})


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
        ("confirmq4Jv9", PasswordProblem.GUESSABLE),
        ("purchaseq4Jv9", PasswordProblem.GUESSABLE),
        ("OrderOrderq4Jv9", PasswordProblem.GUESSABLE),
        ("mq7z-vt4k-wp", None),
        (("mango-lantern-river" * 11)[:200], None),
        ("SUPPB2B0001@bbps", PasswordProblem.PERSONAL),
        (NEW, None),
        ("नमस्ते दुनिया नदी", None),
        ("mango-lantern-river" * 10, None),
    ],
)
def test_new_password_weak_or_personal_is_refused(password: str, problem: PasswordProblem | None) -> None:
    assert password_problem(password, "asha", "Asha Kulkarni", "SUPPB2B0001@bbps") is problem


def test_short_name_makes_a_password_guessable_but_not_personal() -> None:
    assert password_problem("qzxq4Jv9qzxq4Jv9", "asha", "Asha Kulkarni") is None
    assert password_problem("qzxq4Jv9qzxq4Jv9", "asha", "Asha Qzx") is PasswordProblem.GUESSABLE


def test_generated_password_is_accepted() -> None:
    first, second = new_password(), new_password()
    assert re.fullmatch("[a-hjkmnp-z2-9]{4}(-[a-hjkmnp-z2-9]{4}){4}", first)
    assert first != second
    assert password_problem(first, "asha", "Asha") is None


def test_password_matches_only_its_own_hash() -> None:
    longest = "x" * 200
    hashed = hash_password(longest)
    assert hashed.startswith("$argon2id$")
    assert is_password(hashed, longest)
    for stored, password in ((hashed, "x" * 199), (hash_password(longest + "x"), longest + "x"), ("?", "x")):
        assert not is_password(stored, password)


def test_unknown_user_is_hashed_and_never_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []

    def verify(stored: str, _password: str) -> bool:
        verified.append(stored)
        return True

    monkeypatch.setattr(passwords, "_hasher", SimpleNamespace(verify=verify))
    assert not is_password(None, "x")
    assert verified == [UNKNOWN_USER_HASH]


def test_changed_password_ends_other_sessions(
    browser_of: Callable[[str], Browser], asha: Browser, anonymous: Browser
) -> None:
    elsewhere = browser_of("asha")
    assert change(asha, PASSWORD, NEW).status_code == 303
    assert asha.get("/orders").status_code == 200
    assert elsewhere.get("/orders").status_code == 303
    assert anonymous.sign_in("asha", PASSWORD).status_code == 422
    assert anonymous.sign_in("asha", NEW).status_code == 303


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
    assert (response.status_code, error in response.visible_text) == (422, True)
    assert PASSWORD not in response.text
    assert anonymous.sign_in("asha", PASSWORD).status_code == 303


def test_current_password_cannot_be_guessed(asha: Browser) -> None:
    responses = [change(asha, f"guess {number}", NEW) for number in range(8)]
    assert [response.status_code for response in responses] == [422] * 6 + [429] * 2
    assert int(responses[-1].headers["Retry-After"]) >= 1
