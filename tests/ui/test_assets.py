"""Static files are compressed and cached, and every route sends a strict policy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from tests.accounts.test_access import routes_of
from tests.people import Browser

POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}


def test_every_route_has_the_strict_policy(app: Flask, asha: Browser) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    for method, path, _ in routes_of(app):
        if path == "/logout":
            continue
        answer = asha.open(path, method=method)
        policy = dict(
            part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy == POLICY, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "geolocation=(self)" in answer.headers["Permissions-Policy"]


def files_of(page: Any) -> list[str]:
    return re.findall(r'<(?:link|script)[^>]*(?:href|src)="([^"]+)"', page.text)


def test_page_assets_are_cached_and_compressed(asha: Browser) -> None:
    files = files_of(asha.get("/orders"))
    assert len(files) >= 4
    for url in files:
        assert url.startswith("/"), "a file from another host"
        answer = asha.get(url.replace("&amp;", "&"), headers={"Accept-Encoding": "gzip, deflate, br"})
        assert answer.status_code == 200
        assert "max-age=31536000" in answer.headers["Cache-Control"], url
        assert "=" in url, f"{url} has no fingerprint"
        if len(answer.data) > 2000:
            assert answer.headers["Content-Encoding"] == "br", url


@pytest.mark.parametrize("path", ["/", "/orders", "/webhooks", "/login"])
def test_pages_are_private_and_never_stored(asha: Browser, path: str) -> None:
    answer = asha.get(path)
    if answer.status_code == 200:
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "HX-Request" in answer.headers["Vary"]
        assert "Content-Encoding" not in asha.get(path, headers={"Accept-Encoding": "gzip"}).headers


def test_pages_have_no_inline_script_or_style(asha: Browser, arrive: Any) -> None:
    (order_id,) = arrive(1)
    for path in ("/", "/orders", f"/orders/{order_id}", "/webhooks", f"/orders/{order_id}/answer"):
        page = asha.get(path).page
        assert not page.select("style, [style], script:not([src])"), path
        assert not [
            tag
            for tag in page.find_all(True)
            if any(name.startswith(("on", "data-hx-on")) for name in tag.attrs)
        ]
