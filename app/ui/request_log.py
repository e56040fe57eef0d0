"""One log line per request, and the request ID that every response carries."""

from __future__ import annotations

import logging
import re
import secrets
import time

from flask import Flask, Response, current_app, g, request

from app.request_context import set_request_id

log = logging.getLogger("app.request")

HEADER = "X-Request-ID"
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def init_app(app: Flask) -> None:
    """Give every request an ID before anything else runs, and log it at the end."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(lambda _error: set_request_id(None))


def request_id() -> str:
    """The ID of this request: it is on the response, on error pages and in the log."""
    if "request_id" not in g:
        g.request_id = _forwarded_id() or secrets.token_hex(8)
    return str(g.request_id)


def _forwarded_id() -> str | None:
    """The ID that a trusted proxy gave, so that its log and ours agree."""
    given_id = request.headers.get(HEADER, "")
    trusted = current_app.extensions["settings"].trusted_proxies
    return given_id if trusted and _PLAIN_ID.fullmatch(given_id) else None


def _begin() -> None:
    g.request_began = time.monotonic()
    set_request_id(request_id())


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    # Only what was loaded anyway: a log line must not query the database.
    person = getattr(g.get("_login_user"), "username", None)
    began = g.get("request_began", time.monotonic())
    log.info(
        "request",
        extra={
            "request_id": request_id(),
            "person": person,
            "address": request.remote_addr,
            "method": request.method,
            # The route and not the address: a query can hold names and search words.
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "duration_ms": round((time.monotonic() - began) * 1000, 1),
        },
    )
    return response
