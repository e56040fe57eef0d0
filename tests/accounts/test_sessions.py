"""Sessions: their limits, and revoking them from another session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Person, UserSession
from tests.people import PASSWORD, Browser


@pytest.fixture
def sign_in(browser_of: Callable[[str], Browser]) -> Callable[..., Browser]:
    """Sign in through the form, in a new browser."""

    def sign_in(username: str = "asha") -> Browser:
        browser = browser_of("anonymous")
        fields = browser.fill("/login", "/login")
        response = browser.send("/login", {**fields, "username": username, "password": PASSWORD})
        assert response.status_code == 303
        return browser

    return sign_in


def cookie_of(browser: Browser) -> str:
    cookie = browser.get_cookie("po_confirm")
    assert cookie
    return cookie.value


def is_signed_in(browser: Browser) -> bool:
    return bool(browser.get("/account/sessions").status_code == 200)


def token_of(page: Any) -> str:
    return str(page.page.find("input", attrs={"name": "csrf_token"})["value"])


def test_copied_cookie_is_worthless_after_sign_out(
    sign_in: Callable[..., Browser], anonymous: Browser, session: Session
) -> None:
    asha = sign_in()
    copied = cookie_of(asha)
    asha.send("/logout", {"csrf_token": token_of(asha.get("/"))})
    anonymous.set_cookie("po_confirm", copied)
    assert not is_signed_in(anonymous)
    assert session.scalar(select(func.count()).select_from(UserSession)) == 0


def test_cookie_holds_no_stored_value(sign_in: Callable[..., Browser], session: Session) -> None:
    asha = sign_in()
    with asha.session_transaction() as cookie:
        values = {str(value) for value in cookie.values()}
    stored = session.scalars(select(UserSession)).one()
    assert stored.token_sha256 not in values


def test_idle_session_ends(sign_in: Callable[..., Browser], clock: Any) -> None:
    asha = sign_in()
    clock.move(minutes=59)
    assert is_signed_in(asha)
    clock.move(minutes=59)
    assert is_signed_in(asha)
    clock.move(minutes=61)
    assert not is_signed_in(asha)


def test_active_session_ends_after_the_absolute_limit(sign_in: Callable[..., Browser], clock: Any) -> None:
    asha = sign_in()
    for _ in range(23):
        clock.move(minutes=31)
        assert is_signed_in(asha)
    clock.move(minutes=31)
    assert not is_signed_in(asha)


def test_polling_does_not_keep_a_session_alive(sign_in: Callable[..., Browser], clock: Any) -> None:
    asha = sign_in()
    poll = {"HX-Request": "true", "X-Poll": "1"}
    for _ in range(3):
        clock.move(minutes=21)
        response = asha.get("/orders", headers=poll)
    # A poll must not navigate away from a page with unsaved input.
    assert (response.status_code, response.headers.get("HX-Redirect")) == (401, None)
    assert not is_signed_in(asha)


def test_activity_is_written_at_most_once_a_minute(
    sign_in: Callable[..., Browser], clock: Any, session: Session
) -> None:
    asha = sign_in()

    def last_seen() -> Any:
        session.rollback()
        return session.scalars(select(UserSession.last_seen_at)).one()

    began = last_seen()
    asha.get("/orders")
    assert last_seen() == began
    clock.move(minutes=1)
    asha.get("/orders")
    assert last_seen() > began


def test_own_sessions_are_listed_and_revoked(sign_in: Callable[..., Browser], session: Session) -> None:
    browser, second, other = sign_in(), sign_in(), sign_in("omar")
    page = browser.get("/account/sessions")
    assert "This session" in page.words
    revocations = [form["action"] for form in page.page.find_all("form") if "revoke" in form["action"]]
    assert len(revocations) == 2
    (second_id,) = session.scalars(
        select(UserSession.id)
        .join(Person)
        .where(Person.username == "asha")
        .order_by(UserSession.id.desc())
        .limit(1)
    )
    url = f"/account/sessions/{second_id}/revoke"
    # Another person's session cannot be revoked.
    assert other.send(url, {"csrf_token": token_of(other.get("/account/sessions"))}).status_code == 404
    assert is_signed_in(second)
    assert browser.send(url, {"csrf_token": token_of(page)}).status_code == 303
    assert not is_signed_in(second)
    assert is_signed_in(browser)


def test_administrator_ends_all_sessions_of_a_user(
    sign_in: Callable[..., Browser], browser_of: Callable[[str], Browser], session: Session
) -> None:
    first, second, other = sign_in(), sign_in(), sign_in("omar")
    admin = browser_of("admin")
    person_id = session.scalar(select(Person.id).where(Person.username == "asha"))
    url = f"/users/{person_id}"
    assert admin.send(f"{url}/sessions", admin.fill(url, f"{url}/sessions")).status_code == 303
    assert [is_signed_in(browser) for browser in (first, second, other)] == [False, False, True]
