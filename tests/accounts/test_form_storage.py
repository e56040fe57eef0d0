"""A form that was submitted after its session ended is shown again with all its input."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import clock
from app.accounts import form_storage
from app.accounts.models import KeptForm, Person, UserSession
from app.db import Database
from app.orders.models import Decision
from app.partners.models import Partner
from tests.fixture_types import Arrive, MoveClock
from tests.people import PASSWORD, TRIVENI, Browser, sign_in
from tests.queries import count_rows

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("fast_hashing")]

REMARK = "Two days later, as agreed by phone"


def typed_response(browser: Browser, order_id: int) -> dict[str, Any]:
    url = f"/orders/{order_id}/answer"
    typed = {"supplier_response": "REJECT", "supplier_remarks": REMARK, "supplier_order_number": "SO-1"}
    return {**browser.fill(url, url), **typed}


def enter_password(browser: Browser, location: str, **fields: str) -> Any:
    """Fill in the page that asks for the password, and return the page it leads to."""
    page = browser.get(location)
    filled = {"csrf_token": page.csrf_token, "password": PASSWORD, **fields}
    response = browser.send(str(page.one("form")["action"]), filled)
    assert response.status_code == 303
    return browser.get(response.location)


@pytest.fixture
def order_id(order_id: int) -> int:
    return int(order_id)


@pytest.mark.parametrize("ending", ["signed out", "idle"])
def test_response_after_session_ended_is_shown_again(
    browser_of: Callable[[str], Browser], database: Database, session: Session, order_id: int, ending: str
) -> None:
    asha = browser_of("asha")
    fields = typed_response(asha, order_id)
    if ending == "signed out":
        asha.send("/logout", {"csrf_token": fields["csrf_token"]})
    else:
        with database.writing() as writing:
            writing.execute(update(UserSession).values(last_seen_at=clock.now().replace(year=2020)))
            writing.commit()
    refused = asha.send(f"/orders/{order_id}/answer", fields)
    assert (refused.status_code, refused.location.split("?")[0]) == (303, "/login")
    page = enter_password(asha, refused.location, username="asha")
    assert page.status_code == 422
    assert page.one("#supplier_remarks").get_text().strip() == REMARK
    assert page.one("#supplier_order_number")["value"] == "SO-1"
    assert page.one("input[name=supplier_response][value=REJECT]").has_attr("checked")
    assert "Nothing was saved: your session ended" in page.visible_text
    assert count_rows(session, Decision) == 0
    form = next(form for form in page.page.find_all("form") if form["action"].endswith("/answer"))
    assert asha.send(form["action"], {**fields, "csrf_token": page.csrf_token}).status_code == 303
    assert count_rows(session, Decision) == 1


def test_response_after_signing_in_again_elsewhere_is_shown_again(
    asha: Browser, database: Database, session: Session, order_id: int
) -> None:
    fields = typed_response(asha, order_id)
    asha.send("/logout", {"csrf_token": fields["csrf_token"]})
    sign_in(asha, database, "asha")
    page = asha.send(f"/orders/{order_id}/answer", fields)
    assert page.status_code == 422
    assert page.one("#supplier_remarks").get_text().strip() == REMARK
    assert count_rows(session, Decision) == 0


def test_htmx_request_is_redirected_to_the_kept_form(
    asha: Browser, anonymous: Browser, order_id: int
) -> None:
    fields = typed_response(asha, order_id)
    response = anonymous.send(f"/orders/{order_id}/answer", fields, headers={"HX-Request": "true"})
    assert response.status_code == 401
    assert response.headers["HX-Redirect"].startswith("/login?next=/account/form/")


def test_bulk_response_is_shown_again(anonymous: Browser, session: Session, arrive: Arrive) -> None:
    first, second = arrive(2)
    fields = {
        "order_ids": [first, second],
        "versions": [f"{first}:1", f"{second}:1"],
        "supplier_response": "ACCEPT",
        "supplier_remarks": REMARK,
    }
    refused = anonymous.send("/orders/answers", fields)
    page = enter_password(anonymous, refused.location, username="asha")
    assert (page.status_code, REMARK in page.text) == (422, True)
    assert [field["value"] for field in page.page.select("input[name=order_ids]")] == [
        str(first),
        str(second),
    ]
    assert count_rows(session, Decision) == 0


def test_kept_form_is_not_shown_to_people_who_may_not_send_it(anonymous: Browser, order_id: int) -> None:
    location = anonymous.send(f"/orders/{order_id}/answer", {"supplier_remarks": REMARK}).location
    assert enter_password(anonymous, location, username="meera").status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
def test_form_from_another_site_is_not_kept(
    anonymous: Browser, session: Session, order_id: int, headers: dict[str, str]
) -> None:
    response = anonymous.send(f"/orders/{order_id}/answer", {"supplier_remarks": REMARK}, headers=headers)
    assert response.location == "/login"
    assert session.scalar(select(func.count()).select_from(KeptForm)) == 0


def test_kept_form_has_all_fields_and_its_url_but_no_token(anonymous: Browser, session: Session) -> None:
    fields = {"csrf_token": "x", "supplier_remarks": ["one", "two"], "supplier_response": "REJECT"}
    anonymous.send("/orders/1/answer?tab=lines", fields)
    kept_form = session.scalars(select(KeptForm)).one()
    assert kept_form.path == "/orders/1/answer?tab=lines"
    assert sorted(kept_form.fields) == [
        ["supplier_remarks", "one"],
        ["supplier_remarks", "two"],
        ["supplier_response", "REJECT"],
    ]
    assert kept_form.address == "127.0.0.1"


def test_kept_form_of_a_view_that_keeps_none_is_not_found(asha: Browser, database: Database) -> None:
    with database.writing() as writing:
        token = form_storage.keep(writing, "/logout", [], address="")
        writing.commit()
    response = asha.get(f"/account/form/{token}")
    assert (response.status_code, "Form expired" in response.visible_text) == (404, False)


def test_kept_form_expires(anonymous: Browser, asha: Browser, order_id: int, move_clock: MoveClock) -> None:
    anonymous.send(f"/orders/{order_id}/answer", {"supplier_remarks": REMARK})
    location = anonymous.send(f"/orders/{order_id}/answer?a=b?c", {"supplier_remarks": REMARK}).location
    url = location.removeprefix("/login?next=")
    assert asha.get(url).status_code == 422
    move_clock(hours=1, seconds=1)
    assert asha.get(url).status_code == 404


def test_kept_forms_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_storage, "KEPT_TOTAL", 6)
    monkeypatch.setattr(form_storage, "KEPT_PER_ADDRESS", 4)
    with database.writing() as session:
        tokens = [form_storage.keep(session, "/x", [("a", "b")], address="10.0.0.1") for _ in range(6)]
        assert [bool(form_storage.find(session, token)) for token in tokens] == [False] * 2 + [True] * 4
        for number in range(4):
            form_storage.keep(session, "/x", [], address=f"10.0.1.{number}")
        assert session.scalar(select(func.count()).select_from(KeptForm)) == 6


def test_views_that_keep_forms_refuse_a_missing_token(
    app: Flask, browser_of: Callable[[str], Browser], session: Session, order_id: int, partner: Partner
) -> None:
    person_id = session.scalar(select(Person.id).where(Person.username == "omar"))
    ids = {"order_id": order_id, "partner_id": partner.id, "person_id": person_id}
    with app.test_request_context():
        rules = [rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
        keeping = [rule for rule in rules if hasattr(app.view_functions[rule.endpoint], "keeps_form")]
        urls = [
            (rule.build({name: ids.get(name, "x") for name in rule.arguments}) or ("", ""))[1]
            for rule in keeping
        ]
    assert len(urls) > 10
    people = [browser_of("asha"), browser_of("admin")]
    for url in urls:
        statuses = {browser.send(url, {"supplier_remarks": REMARK}).status_code for browser in people}
        assert statuses <= {403, 404, 409, 422}, url


# --- Confirming the password


@pytest.fixture
def admin(admin: Browser, database: Database) -> Browser:
    """The administrator, whose last password confirmation has expired."""
    with database.writing() as session:
        session.execute(update(UserSession).values(confirmed_at=clock.now().replace(year=2020)))
        session.commit()
    return admin


def test_new_user_needs_the_password_again(admin: Browser) -> None:
    location = admin.get("/users/new").location
    assert location == "/account/confirm?next=/users/new?"
    assert enter_password(admin, location).status_code == 200
    assert admin.get("/users/new").status_code == 200


def test_form_is_kept_while_the_password_is_confirmed(admin: Browser, session: Session) -> None:
    fields = {"name": "kiran", "full_name": "Kiran Rao", "role": "supplier", "supplier_ids": TRIVENI}
    page = enter_password(admin, admin.send("/users/new", fields).location)
    assert page.one("#full_name")["value"] == "Kiran Rao"
    assert session.scalar(select(Person).where(Person.username == "kiran")) is None
    assert admin.send("/users/new", {**fields, "csrf_token": page.csrf_token}).status_code == 200


@pytest.mark.parametrize("path", ["/users/1/password", "/partners/new", "/partners/1/keys/inbound-key"])
def test_sensitive_post_needs_the_password_again(
    app: Flask, admin: Browser, partner: Partner, path: str
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    assert admin.send(path, {}).location.startswith("/account/confirm?next=/")


@pytest.mark.parametrize(("age", "status"), [(timedelta(minutes=15), 303), (timedelta(minutes=14), 200)])
def test_confirmation_counts_for_less_than_15_minutes(
    admin: Browser, database: Database, monkeypatch: pytest.MonkeyPatch, age: timedelta, status: int
) -> None:
    now = clock.now()
    monkeypatch.setattr("app.accounts.access.clock.now", lambda: now)
    with database.writing() as session:
        session.execute(update(UserSession).values(confirmed_at=now - age))
        session.commit()
    assert admin.get("/users/new").status_code == status


def test_wrong_password_does_not_confirm(admin: Browser) -> None:
    url = "/account/confirm?next=/users/new"
    response = admin.submit(url, url, password="wrong")
    assert (response.status_code, "Incorrect password." in response.visible_text) == (422, True)
    assert admin.get("/users/new").status_code == 303
