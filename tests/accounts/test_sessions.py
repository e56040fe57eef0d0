"""Sessions: their limits, and revoking them from another session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import clock
from app.accounts import sessions
from app.accounts.models import Person, UserSession
from app.db import Database
from tests.fixture_types import MoveClock
from tests.people import PASSWORD, Browser


@pytest.fixture
def sign_in(browser_of: Callable[[str], Browser]) -> Callable[..., Browser]:
    """Sign in through the form, in a new browser."""

    def sign_in(username: str = "asha") -> Browser:
        browser = browser_of("anonymous")
        assert browser.sign_in(username, PASSWORD).status_code == 303
        return browser

    return sign_in


def cookie_of(browser: Browser) -> str:
    cookie = browser.get_cookie("po_confirm")
    assert cookie
    return cookie.value


def is_signed_in(browser: Browser) -> bool:
    return bool(browser.get("/account/sessions").status_code == 200)


@pytest.mark.sqlite
def test_copied_cookie_is_worthless_after_sign_out(
    sign_in: Callable[..., Browser], anonymous: Browser, session: Session
) -> None:
    asha = sign_in()
    copied = cookie_of(asha)
    asha.send("/logout", {"csrf_token": asha.get("/").csrf_token})
    anonymous.set_cookie("po_confirm", copied)
    assert not is_signed_in(anonymous)
    assert session.scalar(select(func.count()).select_from(UserSession)) == 0


@pytest.mark.sqlite
def test_cookie_holds_no_stored_value(sign_in: Callable[..., Browser], session: Session) -> None:
    asha = sign_in()
    with asha.session_transaction() as cookie:
        values = {str(value) for value in cookie.values()}
    stored = session.scalars(select(UserSession)).one()
    assert stored.token_sha256 not in values


def test_idle_session_ends(sign_in: Callable[..., Browser], move_clock: MoveClock) -> None:
    asha = sign_in()
    move_clock(minutes=59)
    assert is_signed_in(asha)
    move_clock(minutes=59)
    assert is_signed_in(asha)
    move_clock(minutes=61)
    assert not is_signed_in(asha)


def test_active_session_ends_after_the_absolute_limit(
    sign_in: Callable[..., Browser], move_clock: MoveClock
) -> None:
    asha = sign_in()
    for _ in range(23):
        move_clock(minutes=31)
        assert is_signed_in(asha)
    move_clock(minutes=31)
    assert not is_signed_in(asha)


def test_polling_does_not_keep_a_session_alive(
    sign_in: Callable[..., Browser], move_clock: MoveClock
) -> None:
    asha = sign_in()
    poll = {"HX-Request": "true", "X-Poll": "1"}
    for _ in range(3):
        move_clock(minutes=21)
        response = asha.get("/orders", headers=poll)
    # A poll must not navigate away from a page with unsaved input.
    assert (response.status_code, response.headers.get("HX-Redirect")) == (401, None)
    assert not is_signed_in(asha)


def test_activity_is_written_at_most_once_a_minute(
    sign_in: Callable[..., Browser], move_clock: MoveClock, session: Session
) -> None:
    asha = sign_in()

    def last_seen() -> Any:
        session.rollback()
        return session.scalars(select(UserSession.last_seen_at)).one()

    began = last_seen()
    asha.get("/orders")
    assert last_seen() == began
    move_clock(minutes=1)
    asha.get("/orders")
    assert last_seen() > began


@pytest.mark.sqlite
def test_activity_that_cannot_be_written_fails_no_request(
    sign_in: Callable[..., Browser],
    move_clock: MoveClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def record_activity(*_: Any) -> None:
        raise OperationalError("UPDATE", {}, Exception("locked"))

    asha = sign_in()
    move_clock(minutes=2)
    monkeypatch.setattr(sessions, "record_activity", record_activity)
    with caplog.at_level("INFO", "app.ui.web"):
        assert is_signed_in(asha)
    assert "activity of session 1 was not recorded: locked" in caplog.messages


def test_own_sessions_are_listed_and_revoked(sign_in: Callable[..., Browser], session: Session) -> None:
    browser, second, other = sign_in(), sign_in(), sign_in("omar")
    page = browser.get("/account/sessions")
    assert "This session" in page.visible_text
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
    assert other.send(url, {"csrf_token": other.get("/account/sessions").csrf_token}).status_code == 404
    assert is_signed_in(second)
    assert browser.send(url, {"csrf_token": page.csrf_token}).status_code == 303
    assert not is_signed_in(second)
    assert is_signed_in(browser)


def test_administrator_ends_all_sessions_of_a_user(
    sign_in: Callable[..., Browser], browser_of: Callable[[str], Browser], session: Session
) -> None:
    first, second, other = sign_in(), sign_in(), sign_in("omar")
    admin = browser_of("admin")
    person_id = session.scalar(select(Person.id).where(Person.username == "asha"))
    url = f"/users/{person_id}"
    assert admin.submit(url, f"{url}/sessions").status_code == 303
    assert [is_signed_in(browser) for browser in (first, second, other)] == [False, False, True]


# --- Limits, without pages

HOUR = timedelta(hours=1)


def begin(database: Database, username: str = "asha", **options: Any) -> str:
    options = {"idle": HOUR, "lifetime": 12 * HOUR, **options}
    with database.writing() as writing:
        person = writing.scalars(select(Person).where(Person.username == username)).one()
        token = sessions.begin(writing, person, **options)
        writing.commit()
    return token


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Stop the clock of sessions; a call moves it."""
    now = clock.now()

    def move(by: timedelta) -> None:
        nonlocal now
        now += by

    monkeypatch.setattr("app.accounts.sessions.clock.now", lambda: now)
    return move


@pytest.mark.sqlite
def test_idle_limit_is_exact(database: Database, session: Session, frozen: Any) -> None:
    token = begin(database)
    frozen(HOUR - timedelta(microseconds=1))
    stored = sessions.find(session, token, idle=HOUR)
    assert stored and stored.person.username == "asha"
    assert sessions.find(session, token + "x", idle=HOUR) is None
    assert len(sessions.sessions_of(session, stored.person_id, idle=HOUR)) == 1
    frozen(timedelta(microseconds=1))
    assert sessions.find(session, token, idle=HOUR) is None
    assert not sessions.sessions_of(session, stored.person_id, idle=HOUR)


@pytest.mark.sqlite
def test_absolute_limit_is_exact(database: Database, session: Session, frozen: Any) -> None:
    token = begin(database)
    frozen(12 * HOUR - timedelta(microseconds=1))
    stored = sessions.find(session, token, idle=24 * HOUR)
    assert stored
    assert len(sessions.sessions_of(session, stored.person_id, idle=24 * HOUR)) == 1
    frozen(timedelta(microseconds=1))
    assert sessions.find(session, token, idle=24 * HOUR) is None
    assert not sessions.sessions_of(session, stored.person_id, idle=24 * HOUR)


@pytest.mark.sqlite
@pytest.mark.parametrize(("idle", "lifetime"), [(HOUR, 12 * HOUR), (12 * HOUR, HOUR)])
def test_sign_in_deletes_ended_sessions_of_everyone(
    database: Database, session: Session, frozen: Any, idle: timedelta, lifetime: timedelta
) -> None:
    begin(database, "omar", idle=idle, lifetime=lifetime)
    frozen(HOUR - timedelta(microseconds=1))
    begin(database, "asha", idle=idle, lifetime=lifetime)
    assert len(session.scalars(select(UserSession)).all()) == 2
    session.rollback()
    frozen(timedelta(microseconds=1))
    begin(database, "asha", idle=idle, lifetime=lifetime)
    assert {row.person.username for row in session.scalars(select(UserSession))} == {"asha"}


@pytest.mark.sqlite
def test_new_session_stores_its_address_browser_and_times(
    database: Database, session: Session, frozen: Any
) -> None:
    token = begin(database, address="a" * 61, user_agent="u" * 301)
    stored = session.scalars(select(UserSession)).one()
    now = clock.now()
    assert (stored.address, stored.user_agent) == ("a" * 60, "u" * 300)
    assert (stored.created_at, stored.last_seen_at, stored.confirmed_at) == (now, now, now)
    assert stored.expires_at == now + 12 * HOUR
    assert stored.token_sha256 == sessions.digest(token)
    session.rollback()
    frozen(HOUR / 2)
    begin(database)
    newest = session.scalars(select(UserSession).order_by(UserSession.id.desc())).first()
    assert newest and (newest.address, newest.user_agent) == ("", "")


@pytest.mark.sqlite
def test_own_sessions_are_listed_by_latest_activity(
    database: Database, session: Session, frozen: Any
) -> None:
    for username in ("asha", "asha", "asha", "omar"):
        begin(database, username)
    with database.writing() as writing:
        first, second, third, _ = writing.scalars(select(UserSession.id).order_by(UserSession.id))
        frozen(timedelta(minutes=1))
        sessions.record_activity(writing, second, clock.now())
        writing.commit()
    listed = sessions.sessions_of(session, 1, idle=HOUR)
    assert [row.id for row in listed] == [second, third, first]
    now = clock.now()
    assert [sessions.needs_activity(row, now, idle=HOUR) for row in listed] == [False, True, True]
    just_before = now - timedelta(microseconds=1)
    assert not sessions.needs_activity(listed[1], just_before, idle=HOUR)
    # With a short idle limit, activity is recorded well before it ends the session.
    assert sessions.needs_activity(listed[1], just_before, idle=timedelta(minutes=1))


@pytest.mark.sqlite
def test_activity_is_never_set_back(database: Database, session: Session, frozen: Any) -> None:
    begin(database)
    with database.writing() as writing:
        stored = writing.scalars(select(UserSession)).one()
        sessions.record_activity(writing, stored.id, clock.now() - timedelta(minutes=5))
        writing.commit()
    assert session.scalars(select(UserSession.last_seen_at)).one() == clock.now()


@pytest.mark.sqlite
def test_only_the_confirmed_session_counts_as_confirmed(
    database: Database, session: Session, frozen: Any
) -> None:
    for _ in range(2):
        begin(database)
    frozen(timedelta(minutes=20))
    with database.writing() as writing:
        first, _ = writing.scalars(select(UserSession.id).order_by(UserSession.id))
        sessions.confirm(writing, first)
        writing.commit()
    confirmed = session.scalars(select(UserSession.confirmed_at).order_by(UserSession.id)).all()
    assert confirmed == [clock.now(), clock.now() - timedelta(minutes=20)]


@pytest.mark.sqlite
def test_end_sessions_returns_their_count_and_keeps_others(database: Database) -> None:
    for username in ("asha", "asha", "asha", "omar"):
        begin(database, username)
    with database.writing() as writing:
        ids = writing.scalars(select(UserSession.id).order_by(UserSession.id)).all()
        omar = writing.scalars(select(Person.id).where(Person.username == "omar")).one()
        assert sessions.end(writing, omar, ids[0]) == 0
        assert sessions.end(writing, 1, ids[0]) == 1
        assert sessions.end_all(writing, 1, keep=ids[1]) == 1
        assert writing.scalars(select(UserSession.id).order_by(UserSession.id)).all() == [ids[1], ids[3]]
        assert sessions.end_all(writing, 1) == 1
        assert writing.scalars(select(UserSession.id)).all() == [ids[3]]
        writing.rollback()
