"""Static files are compressed and cached, and every route sends a strict policy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from tests.people import Browser
from tests.routes import routes_of

pytestmark = pytest.mark.sqlite

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
        response = asha.open(path, method=method)
        policy = dict(
            part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";")
        )
        assert policy == POLICY, path
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "geolocation=(self)" in response.headers["Permissions-Policy"]


def files_of(page: Any) -> list[str]:
    return re.findall(r'<(?:link|script)[^>]*(?:href|src)="([^"]+)"', page.text)


def test_page_assets_are_cached_and_compressed(asha: Browser) -> None:
    files = files_of(asha.get("/orders"))
    assert len(files) >= 4
    for url in files:
        assert url.startswith("/"), "a file from another host"
        response = asha.get(url.replace("&amp;", "&"), headers={"Accept-Encoding": "gzip, deflate, br"})
        assert response.status_code == 200
        assert "max-age=31536000" in response.headers["Cache-Control"], url
        assert "=" in url, f"{url} has no fingerprint"
        if len(response.data) > 2000:
            assert response.headers["Content-Encoding"] == "br", url


@pytest.mark.parametrize("path", ["/", "/orders", "/webhooks", "/login"])
def test_pages_are_private_and_never_stored(asha: Browser, path: str) -> None:
    response = asha.get(path)
    if response.status_code == 200:
        assert response.headers["Cache-Control"] == "private, no-store"
        assert "HX-Request" in response.headers["Vary"]
        assert "Content-Encoding" not in asha.get(path, headers={"Accept-Encoding": "gzip"}).headers


def test_pages_have_no_inline_script_or_style(asha: Browser, order_id: int) -> None:
    for path in ("/", "/orders", f"/orders/{order_id}", "/webhooks", f"/orders/{order_id}/answer"):
        page = asha.get(path).page
        assert not page.select("style, [style], script:not([src])"), path
        assert not [
            tag
            for tag in page.find_all(True)
            if any(name.startswith(("on", "data-hx-on")) for name in tag.attrs)
        ]
