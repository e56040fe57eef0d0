"""Hostile URLs, queries and forms get a clear response and never a 500."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

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
QUERIES = {
    "/orders": ["q", "status", "answer", "delivery", "partner", "due", "sort", "after", "unknown"],
    "/webhooks": ["q", "state", "code", "kind", "partner", "trigger", "since", "until", "after"],
    "/inbound": ["q", "effect", "code", "kind", "partner", "since", "until", "after"],
    "/orders/answers/plan": ["order_ids"],
    "/orders/answers/upload": ["q", "status", "after", "assigned", "received_since"],
    "/login": ["next"],
}
CHOICES = {"status", "answer", "delivery", "due", "sort", "state", "kind", "trigger", "effect"}
"""Fields that accept listed values only: some hostile values are enough."""


@pytest.mark.postgresql
@pytest.mark.parametrize("path", QUERIES)
def test_hostile_query_is_no_500(ravi: Browser, asha: Browser, arrive: Any, path: str) -> None:
    arrive(2)
    browser = asha if "answers" in path else ravi
    for name in QUERIES[path]:
        for value in VALUES[::4] if name in CHOICES else VALUES:
            response = browser.get(path, query_string={name: value})
            assert response.status_code in (200, 303, 400), (name, value[:40])


@pytest.mark.parametrize("query", ["ids=a&ids=%00", "ids%00=a"])
def test_nul_anywhere_in_a_query_is_400(ravi: Browser, query: str) -> None:
    assert ravi.get(f"/webhooks/resends?{query}").status_code == 400


@pytest.mark.parametrize("number", [2**31, 2**63])
def test_number_larger_than_an_id_is_no_500(app: Flask, asha: Browser, meera: Browser, number: int) -> None:
    for page in ("answers/plan", "assignments", "assignments/done"):
        assert asha.get(f"/orders/{page}?order_ids={number}").status_code == 200, page
    assert meera.get(f"/audit?after={number}").status_code == 200
    assert meera.get(f"/orders/{number}/evidence.zip").status_code == 404
    app.config["WTF_CSRF_ENABLED"] = False
    assert asha.post(f"/views/{number}/start").status_code == 404


@pytest.mark.parametrize("base", ["/orders/", "/webhooks/", "/inbound/", "/partners/", "/"])
def test_hostile_url_is_no_500(ravi: Browser, base: str) -> None:
    for value in VALUES:
        response = ravi.get(base + quote(value))
        assert response.status_code in (200, 303, 308, 400, 403, 404), value[:40]


@pytest.mark.postgresql
@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"value-{VALUES.index(value)}")
def test_hostile_form_is_no_500(asha: Browser, arrive: Any, value: str) -> None:
    (order_id,) = arrive(1)
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    # The inputs of all lines are read by the same code.
    for name in [name for name in fields if not name.startswith("lines-") or name.startswith("lines-0-")]:
        response = asha.send(f"{url}/preview", {**fields, name: value}, headers={"HX-Request": "true"})
        assert response.status_code in (200, 400, 409, 413, 422), name


@pytest.mark.sqlite
def test_body_that_is_no_form_is_no_500(asha: Browser, arrive: Any) -> None:
    (order_id,) = arrive(1)
    for body, kind in (
        (b"{", "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"a=" + b"x" * 2_000_000, "application/x-www-form-urlencoded"),
    ):
        response = asha.post(f"/orders/{order_id}/answer", data=body, content_type=kind)
        assert response.status_code in (400, 413, 422), kind
