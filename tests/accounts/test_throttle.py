"""Growing delays after failed sign-ins and wrong partner keys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts import throttle
from app.accounts.throttle import ThrottleKind
from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.partners.models import Partner
from tests.fixture_types import MoveClock
from tests.people import PASSWORD, Browser
from tests.queries import run_together

pytestmark = pytest.mark.usefixtures("fast_hashing")

SEND = "/api/v0/purchase-order/req-send"


def guess(browser: Browser, username: str, times: int) -> list[int]:
    return [browser.sign_in(username, f"guess {number}").status_code for number in range(times)]


def throttled_entries(session: Session) -> int:
    session.rollback()
    query = select(func.count()).where(AuditEntry.action == AuditAction.THROTTLED.value)
    return session.scalar(query) or 0


@pytest.mark.sqlite
@pytest.mark.parametrize("username", ["asha", "no-such-person"])
def test_repeated_failures_are_delayed(anonymous: Browser, username: str) -> None:
    assert guess(anonymous, username, 8) == [422] * 6 + [429] * 2
    refused = anonymous.sign_in(username, PASSWORD)
    assert (refused.status_code, int(refused.headers["Retry-After"]) in range(1, 6)) == (429, True)
    assert "Too many failed attempts. Try again in" in refused.visible_text


def test_parallel_failures_are_delayed(
    browser_of: Callable[[str], Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr("app.accounts.throttle.clock.now", lambda: now)
    browsers = [browser_of("anonymous") for _ in range(12)]
    forms = [
        {**browser.fill("/login", "/login"), "username": "asha", "password": "x"} for browser in browsers
    ]
    responses = run_together(
        *(partial(browser.send, "/login", form) for browser, form in zip(browsers, forms, strict=True))
    )
    assert Counter(response.status_code for response in responses) == {422: 6, 429: 6}


def test_delay_grows_up_to_its_limit(database: Database, move_clock: MoveClock) -> None:
    keys, delays = [throttle.of_account("asha")], []
    with database.writing() as session:
        for _ in range(14):
            throttle.count_failure(session, keys)
            delays.append(throttle.seconds_left(session, keys))
            move_clock(seconds=delays[-1])
    assert delays == [0, 0, 0, 0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.sqlite
def test_delay_of_an_address_is_shorter_and_the_longest_counts(
    database: Database, move_clock: MoveClock
) -> None:
    account, address = throttle.of_account("asha"), throttle.of_address(ThrottleKind.ADDRESS, "192.0.2.1")
    with database.writing() as session:
        assert throttle.count_failure(session, [account]) == set()
        for _ in range(19):
            throttle.count_failure(session, [address])
        assert throttle.seconds_left(session, [account, address]) == 0
        assert throttle.count_failure(session, [account, address]) == set()
        assert throttle.count_failure(session, [account, address]) == {ThrottleKind.ADDRESS}
        assert throttle.seconds_left(session, [account]) == 0
        assert throttle.seconds_left(session, [account, address]) == 5
        for _ in range(2):
            throttle.count_failure(session, [account])
        assert throttle.count_failure(session, [account, address]) == {ThrottleKind.ACCOUNT}
        for _ in range(9):
            throttle.count_failure(session, [address])
        assert throttle.seconds_left(session, [address]) == 60
        assert throttle.blocked(session) == {
            ThrottleKind.ACCOUNT: 1,
            ThrottleKind.ADDRESS: 1,
            ThrottleKind.PARTNER_KEY: 0,
        }
        move_clock(seconds=61)
        assert throttle.blocked(session) == {
            ThrottleKind.ACCOUNT: 0,
            ThrottleKind.ADDRESS: 0,
            ThrottleKind.PARTNER_KEY: 0,
        }


@pytest.mark.sqlite
def test_cleared_failures_are_all_of_the_account_and_one_of_the_address(database: Database) -> None:
    account, other = throttle.of_account("asha"), throttle.of_account("omar")
    address = throttle.of_address(ThrottleKind.ADDRESS, "192.0.2.1")
    with database.writing() as session:
        for _ in range(22):
            throttle.count_failure(session, [account, address, other])
        throttle.clear_failures(session, account, address)
        session.flush()
        assert throttle.recent_failures(session) == {
            ThrottleKind.ACCOUNT: 22,
            ThrottleKind.ADDRESS: 21,
            ThrottleKind.PARTNER_KEY: 0,
        }
        assert throttle.seconds_left(session, [account, address]) == 0
        assert throttle.seconds_left(session, [other]) == 300
        throttle.clear_failures(session, other)
        session.flush()
        assert throttle.recent_failures(session)[ThrottleKind.ACCOUNT] == 0
        single = throttle.of_address(ThrottleKind.PARTNER_KEY, "192.0.2.1")
        throttle.count_failure(session, [single])
        throttle.clear_failures(session, account, single)
        session.flush()
        assert throttle.recent_failures(session)[ThrottleKind.PARTNER_KEY] == 0


@pytest.mark.sqlite
def test_failures_count_for_exactly_an_hour(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    began = clock.now()
    account = throttle.of_account("asha")
    with database.writing() as session:
        monkeypatch.setattr("app.accounts.throttle.clock.now", lambda: began)
        for _ in range(6):
            throttle.count_failure(session, [account])
        monkeypatch.setattr("app.accounts.throttle.clock.now", lambda: began + timedelta(minutes=59))
        assert throttle.recent_failures(session)[ThrottleKind.ACCOUNT] == 6
        monkeypatch.setattr("app.accounts.throttle.clock.now", lambda: began + timedelta(hours=1))
        assert throttle.recent_failures(session)[ThrottleKind.ACCOUNT] == 0
        throttle.count_failure(session, [account])
        assert throttle.recent_failures(session)[ThrottleKind.ACCOUNT] == 7
        monkeypatch.setattr("app.accounts.throttle.clock.now", lambda: began + timedelta(hours=2, seconds=1))
        throttle.count_failure(session, [account])
        assert throttle.recent_failures(session)[ThrottleKind.ACCOUNT] == 1


def test_account_key_ignores_case_and_hides_the_name() -> None:
    assert throttle.of_account(" Asha ") == throttle.of_account("asha")
    stored = throttle.of_account("asha").stored
    assert stored == f"account:{hashlib.sha256(b'asha').hexdigest()}"


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("proxy", "unknown"),
    ],
)
def test_address_key_is_the_address_or_its_network(address: str | None, value: str) -> None:
    assert throttle.of_address(ThrottleKind.PARTNER_KEY, address).stored == f"partner_key:{value}"


@pytest.mark.sqlite
def test_colleague_behind_the_same_address_signs_in(
    anonymous: Browser, browser_of: Callable[[str], Browser]
) -> None:
    guess(anonymous, "asha", 40)
    assert browser_of("anonymous").sign_in("omar", PASSWORD).status_code == 303


@pytest.mark.sqlite
def test_many_names_from_one_address_are_delayed(anonymous: Browser, move_clock: MoveClock) -> None:
    statuses = [anonymous.sign_in(f"name-{number}", "guess").status_code for number in range(25)]
    assert statuses.count(422) == 21
    move_clock(minutes=1)
    assert anonymous.sign_in("omar", PASSWORD).status_code == 303


@pytest.mark.sqlite
def test_successful_sign_in_resets_the_count(
    anonymous: Browser, browser_of: Callable[[str], Browser]
) -> None:
    guess(anonymous, "asha", 5)
    assert browser_of("anonymous").sign_in("asha", PASSWORD).status_code == 303
    assert guess(anonymous, "asha", 5) == [422] * 5


def test_failures_are_forgotten_after_an_hour(anonymous: Browser, move_clock: MoveClock) -> None:
    guess(anonymous, "asha", 6)
    move_clock(hours=1, seconds=1)
    assert guess(anonymous, "asha", 5) == [422] * 5


def test_delay_is_recorded_once(anonymous: Browser, session: Session, move_clock: MoveClock) -> None:
    for _ in range(12):
        guess(anonymous, "asha", 1)
        move_clock(minutes=5)
    assert throttled_entries(session) == 1


def test_ipv6_network_counts_as_one_address() -> None:
    first, second = (throttle.of_address(ThrottleKind.ADDRESS, f"2001:db8::{end}") for end in ("1", "ffff"))
    assert first == second != throttle.of_address(ThrottleKind.ADDRESS, "2001:db8:1::1")


def test_wrong_partner_keys_are_delayed(app: Flask, session: Session, partner: Partner) -> None:
    client = app.test_client()
    responses = [client.post(SEND, json={}, headers={"X-Partner-Key": f"wrong-{n}"}) for n in range(25)]
    assert [response.status_code for response in responses] == [401] * 21 + [429] * 4
    assert responses[-1].json and responses[-1].json["response_code"] == 1
    assert int(responses[-1].headers["Retry-After"]) >= 1
    assert client.get("/api/v0/ping", headers={"X-Partner-Key": "wrong"}).status_code == 429
    # The correct key still works from this address.
    correct = {"X-Partner-Key": "the-key-of-the-network"}
    assert client.get("/api/v0/ping", headers=correct).status_code == 200
    assert throttled_entries(session) == 1


@pytest.mark.sqlite
def test_metrics_count_failures(anonymous: Browser, app: Flask) -> None:
    guess(anonymous, "asha", 7)
    text = app.test_client().get("/metrics").text
    assert 'po_confirm_failed_attempts{kind="account"} 6.0' in text
    assert 'po_confirm_throttled{kind="account"} 1.0' in text
