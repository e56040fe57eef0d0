"""Hostile URLs, queries and forms get a clear response and never a 500."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from flask import Flask
from wtforms import Form

from app.audit.forms import AuditFilterForm
from app.inbound.forms import InboundFilterForm
from app.orders.forms import OrderFilterForm
from app.webhooks.forms import MessageFilterForm
from tests.fixture_types import Arrive
from tests.people import Browser

VALUES = [
    "",
    " ",
    "\x00",
    "%",
    "_",
    "'",
    '"',
    "\\",
    "<b>",
    "../../etc/passwd",
    "💥" * 50,
    "\u202e",
    "\ufffe",
    "1e999",
    "-1",
    "0",
    "9" * 400,
    "NaN",
    "True",
    "0001-01-01",
    "9999-12-31T23:59:59-12:00",
    "2026-11-23T10:00:00+99:00",
    "x" * 5000,
]
LISTS: list[tuple[str, str, type[Form]]] = [
    ("ravi", "/orders", OrderFilterForm),
    ("ravi", "/webhooks", MessageFilterForm),
    ("ravi", "/inbound", InboundFilterForm),
    ("meera", "/audit", AuditFilterForm),
    ("asha", "/orders/answers/upload", OrderFilterForm),
]
"""Pages with a filter, and a user who may see them."""
QUERIES = {"/orders/answers/plan": "order_ids", "/login": "next"}
CHOICES = {"supplier_response", "device_tag_name", "lines-0-response", "csrf_token"}
"""Fields of a form that accept listed values only: some hostile values are enough."""
TWIN = re.compile(r"lines-[1-9]|additional_infos-[1-9]|lines-0-split-[1-9]")
"""Fields of a form that are read by the same code as those with the number 0."""


@pytest.mark.postgresql
@pytest.mark.parametrize(("user", "path", "form"), LISTS)
def test_hostile_filter_causes_no_server_error(
    browser_of: Callable[[str], Browser], arrive: Arrive, user: str, path: str, form: type[Form]
) -> None:
    arrive(2)
    browser = browser_of(user)
    names = [*(field.short_name for field in form()), "unknown"]
    for name in names:
        assert browser.get(path, query_string={name: "\x00"}).status_code == 400, name
    # A filter that is invalid is ignored, so each request can have a hostile value in every filter.
    values = [value for value in VALUES if "\x00" not in value]
    for start in range(len(values)):
        query = {name: values[(start + index) % len(values)] for index, name in enumerate(names)}
        assert browser.get(path, query_string=query).status_code == 200, query


@pytest.mark.postgresql
@pytest.mark.parametrize("path", QUERIES)
def test_hostile_query_causes_no_server_error(asha: Browser, arrive: Arrive, path: str) -> None:
    arrive(2)
    for value in VALUES:
        response = asha.get(path, query_string={QUERIES[path]: value})
        assert response.status_code in (200, 303, 400), value[:40]


@pytest.mark.parametrize("query", ["ids=a&ids=%00", "ids%00=a"])
def test_nul_anywhere_in_a_query_is_400(ravi: Browser, query: str) -> None:
    assert ravi.get(f"/webhooks/resends?{query}").status_code == 400


@pytest.mark.parametrize("number", [2**31, 2**63])
def test_number_larger_than_an_id_causes_no_server_error(
    app: Flask, asha: Browser, meera: Browser, ravi: Browser, number: int
) -> None:
    for page in ("orders", "webhooks", "inbound", "partners"):
        assert ravi.get(f"/{page}/{number}").status_code == 404, page
    for page in ("answers/plan", "assignments", "assignments/done"):
        assert asha.get(f"/orders/{page}?order_ids={number}").status_code == 200, page
    assert meera.get(f"/audit?after={number}").status_code == 200
    assert meera.get(f"/orders/{number}/evidence.zip").status_code == 404
    app.config["WTF_CSRF_ENABLED"] = False
    assert asha.post(f"/views/{number}/start").status_code == 404


@pytest.mark.postgresql
def test_hostile_url_causes_no_server_error(ravi: Browser) -> None:
    for base, value in itertools.product(["/orders/", "/webhooks/", "/inbound/", "/partners/", "/"], VALUES):
        response = ravi.get(base + quote(value))
        assert response.status_code in (200, 303, 308, 400, 403, 404), (base, value[:40])


@pytest.mark.sqlite
@pytest.mark.parametrize("header", ["Origin", "Referer", "HX-Current-URL"])
@pytest.mark.parametrize("url", ["http://[", "//[", "http://host:port"])
def test_malformed_url_in_a_header_is_400(anonymous: Browser, asha: Browser, header: str, url: str) -> None:
    headers = {header: url, "HX-Request": "true"}
    for browser in (anonymous, asha):
        assert browser.get("/orders", headers=headers).status_code == 400
        assert browser.post("/orders/1/answer", headers=headers).status_code == 400
    assert anonymous.get("/api/v0/ping", headers=headers).status_code == 401


@pytest.mark.postgresql
def test_hostile_form_causes_no_server_error(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    # An invalid field hides what happens to the others, so each is hostile in turn.
    for name in [name for name in fields if not TWIN.match(name)]:
        for value in VALUES[::4] if name in CHOICES else VALUES:
            response = asha.send(f"{url}/preview", {**fields, name: value}, headers={"HX-Request": "true"})
            assert response.status_code in (200, 400, 409, 413, 422), (name, value[:40])


@pytest.mark.sqlite
@pytest.mark.parametrize("index", ["²", "٣", "-1", "9" * 5000])
def test_invalid_index_of_a_repeated_field_is_ignored(asha: Browser, order_id: int, index: str) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "supplier_response": "ACCEPT", "supplier_remarks": "Confirmed"}
    for name in (f"additional_infos-{index}-name", f"lines-{index}-quantity"):
        assert asha.send(f"{url}/preview", {**fields, name: "1"}).status_code == 200, name


@pytest.mark.sqlite
def test_body_that_is_not_a_form_is_rejected(asha: Browser, order_id: int) -> None:
    for body, kind in (
        (b"{", "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"a=" + b"x" * 2_000_000, "application/x-www-form-urlencoded"),
    ):
        response = asha.post(f"/orders/{order_id}/answer", data=body, content_type=kind)
        assert response.status_code in (400, 413, 422), kind
