"""Error pages work without the database and after an exception in the app."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, abort
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.accounts import access
from app.db import Database
from tests.fixture_types import Arrive
from tests.people import Browser

pytestmark = pytest.mark.sqlite


@pytest.fixture
def database_down(database: Database) -> Iterator[list[str]]:
    """Make every query fail; lists the attempted queries."""
    statements: list[str] = []

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)
        raise OperationalError(statement, {}, Exception("the server closed the connection"))

    event.listen(database.engine, "before_cursor_execute", fail)
    yield statements
    event.remove(database.engine, "before_cursor_execute", fail)


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/1", "/webhooks", "/inbound"])
def test_pages_without_the_database_are_503_with_retry_after(
    asha: Browser, database_down: list[str], path: str
) -> None:
    response = asha.get(path)
    assert response.status_code == 503
    assert "The database isn't available" in response.visible_text
    assert "Your change may not have been saved." in response.visible_text
    assert response.headers["Retry-After"] == "5"
    assert len(database_down) == 1


def test_htmx_without_the_database_gets_an_alert(asha: Browser, database_down: list[str]) -> None:
    response = asha.get("/orders", headers={"HX-Request": "true"})
    assert response.status_code == 503
    assert response.text.lstrip().startswith('<div class="toast-card bad"')


def test_exception_page_has_a_reference_from_the_log(
    asha: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.orders.inbox_queries.order_page", broken)
    response = asha.get("/orders")
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.visible_text
    reference = re.search(r"reference ([0-9a-f]{16})", response.visible_text)
    assert reference
    assert reference[1] in caplog.text


@pytest.mark.parametrize(
    ("path", "status"), [("/orders/999999", 404), ("/nowhere", 404), ("/partners", 403), ("/logout", 405)]
)
def test_every_reference_is_in_the_log(
    asha: Browser, caplog: pytest.LogCaptureFixture, path: str, status: int
) -> None:
    with caplog.at_level(logging.INFO):
        response = asha.get(path)
    assert response.status_code == status
    reference = re.search(r"reference ([0-9a-f]{16})", response.visible_text)
    assert reference and f"{status}, reference {reference[1]}: GET '{path}'" in caplog.text


def test_not_found_text_depends_on_the_readers_suppliers(asha: Browser, meera: Browser) -> None:
    assert "belongs to another supplier" in asha.get("/orders/999999").visible_text
    assert "another supplier" not in meera.get("/orders/999999").visible_text


def test_exception_in_a_form_says_to_check_before_retrying(
    asha: Browser, monkeypatch: pytest.MonkeyPatch, arrive: Arrive
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    (order_id,) = arrive(1)
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "supplier_response": "ACCEPT", "supplier_remarks": "Confirmed"}
    monkeypatch.setattr("app.orders.decisions.respond", broken)
    response = asha.send(url, fields)
    assert response.status_code == 500
    assert "Check whether your change was saved before you try again" in response.visible_text
    assert not [link for link in response.page.select("main a") if link.get_text() == "Try again"]
    monkeypatch.setattr("app.orders.inbox_queries.order_page", broken)
    again = next(
        link for link in asha.get("/orders?q=a").page.select("main a") if link.get_text() == "Try again"
    )
    assert again["href"] == "/orders?q=a"


def test_error_of_a_form_leads_back_to_its_page(asha: Browser) -> None:
    page = f"http://{asha.get('/').request.host}/account/password"
    response = asha.send("/account/password", {"csrf_token": "x"}, headers={"Referer": page})
    assert response.status_code == 400
    links = {link.get_text(): link["href"] for link in response.page.select(".error-actions a")}
    assert links == {"Go back": "/account/password", "Go to Home": "/"}
    elsewhere = asha.send(
        "/account/password", {"csrf_token": "x"}, headers={"Referer": "http://evil.example/a"}
    )
    assert [link["href"] for link in elsewhere.page.select(".error-actions a")] == ["/"]


def test_error_page_without_a_sidebar_names_the_app(anonymous: Browser) -> None:
    assert anonymous.get("/nowhere").one(".error-page .brand").get_text() == "PO Confirm"


@pytest.mark.parametrize("code", [409, 415, 422, 501])
def test_error_pages_have_no_library_texts(app: Flask, asha: Browser, code: int) -> None:
    app.view_functions["orders.inbox"] = access.public(lambda: abort(code))
    words = asha.get("/orders").visible_text
    assert "Go back, reload the page" in words and "Unprocessable" not in words and "resource" not in words


def test_exception_without_the_database_gets_the_same_page(
    asha: Browser, database_down: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.accounts.sessions.find", broken)
    response = asha.get("/orders")
    assert (response.status_code, database_down) == (500, [])
