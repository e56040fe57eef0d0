"""Pages and fragments, error pages, filters: what every room's routes share. The only door to htmx-flask."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import js_lib_htmx
from flask import (
    Flask,
    Response,
    abort,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from flask_login import AnonymousUserMixin
from flask_wtf.csrf import CSRFError, CSRFProtect
from htmx_flask import Htmx
from htmx_flask.requests import HtmxAwareRequest
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, Map
from werkzeug.wrappers import Response as AnyResponse

from app.config import Settings
from app.db import Database
from app.ui.request_log import request_id

log = logging.getLogger(__name__)
csrf = CSRFProtect()

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
PERMISSIONS_POLICY = "geolocation=(self), camera=(), microphone=(), payment=(), usb=()"
"""A device tag may be the place where an answer is made; nothing else of the device is ever asked for."""
HSTS = "max-age=31536000; includeSubDomains"
"""Sent when the public URL is https."""
HTMX = Path(js_lib_htmx.__file__).parent / "static" / "htmx"
View = TypeVar("View", bound=Callable[..., Any])
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


# Control characters and code points that are no characters: HTML has no way to say them.
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")


def strip_control_characters(value: Any) -> Any:
    """What a template writes: characters that HTML cannot hold show as the replacement character."""
    if isinstance(value, str) and _UNSAYABLE.search(value):
        return type(value)(_UNSAYABLE.sub("\N{REPLACEMENT CHARACTER}", value))
    return value


class RowId(IntegerConverter):
    """A whole number in an address, where a row's id may stand: what no column could hold fits no route."""

    def __init__(self, map: Map, max: int = 2**31 - 1, **more: Any) -> None:
        super().__init__(map, max=max, **more)


def init_app(app: Flask) -> None:
    """Join sessions, htmx, CSRF, headers and error pages to the app."""
    app.jinja_env.finalize = strip_control_characters
    app.url_map.converters["int"] = RowId
    app.before_request(_check_address)
    # Before the CSRF check and anything else that reads the form.
    app.before_request(_read_form)
    Htmx(app)
    csrf.init_app(app)
    app.add_url_rule("/assets/htmx.min.js", "htmx_js", _htmx_js)
    app.teardown_request(_close_session)
    app.after_request(_harden)
    app.register_error_handler(CSRFError, _csrf_page)
    app.register_error_handler(HTTPException, _http_page)
    app.register_error_handler(OperationalError, _busy_page)
    app.register_error_handler(InterfaceError, _busy_page)
    app.register_error_handler(Exception, _fault_page)


def settings() -> Settings:
    """The settings of the app that serves this request."""
    return cast(Settings, current_app.extensions["settings"])


def database() -> Database:
    """The database of the app that serves this request."""
    return cast(Database, current_app.extensions["database"])


def db() -> Session:
    """This request's session, opened at the first use.

    The first query decides how SQLite's transaction began, so the method decides it before anything is
    read: looking takes no lock, everything else begins as a writer.
    """
    if "session" not in g:
        looking = request.method in READING_METHODS
        g.session = database().reading() if looking else database().writing()
    return cast(Session, g.session)


def _htmx_js() -> Response:
    """htmx as its package brings it; the version in the URL lets browsers keep it."""
    return send_from_directory(HTMX, "htmx.min.js", max_age=365 * 86_400)


FORM_BYTES = 256 * 1024
"""The largest form. A route that takes more declares it with ``accepts``."""


def accepts(max_bytes: int) -> Callable[[View], View]:
    """Declare that a view takes a body of up to ``max_bytes``, such as an upload."""

    def declare(view: View) -> View:
        view.max_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return declare


def _read_form() -> None:
    """Read a form whole, within its limit, before any query: a slow sender must hold no transaction."""
    if request.method in READING_METHODS or below_api():
        return
    view = current_app.view_functions.get(request.endpoint or "")
    request.max_content_length = getattr(view, "max_bytes", FORM_BYTES)
    # Also parses the form, which raises 413 where it is too large.
    _refuse_nul([request.path, *request.args.values(), *request.form.values()])


def below_api() -> bool:
    """Whether this request is for the inbound API, which has its own limit and answers in JSON."""
    return re.sub("/+", "/", f"{request.path}/").lower().startswith("/api/")


def _refuse_nul(texts: list[str]) -> None:
    """PostgreSQL stores no NUL, and no text of ours has one."""
    if any("\0" in text for text in texts):
        abort(400)


def _check_address() -> None:
    _refuse_nul([request.path, *request.args.values()])


def _close_session(_error: BaseException | None) -> None:
    session = g.pop("session", None)
    if session is not None:
        session.close()


def public_url() -> str:
    """The URL of this site without a slash at the end: ``PO_PUBLIC_URL``, or that of this request."""
    return (settings().public_url or request.url_root).rstrip("/")


def zone() -> ZoneInfo:
    """The reader's time zone."""
    return settings().zone


def wants_fragment() -> bool:
    """Whether htmx asks for a part of the page: not a boosted link, not a step back in history."""
    htmx = cast(HtmxAwareRequest, request).htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page(template: str, fragment: str | None = None, *, status: int = 200, **context: Any) -> Response:
    """The whole page, or its fragment (a template of one root element) where htmx asks for it."""
    chosen = fragment if fragment and wants_fragment() else template
    return make_response(render_template(chosen, **context), status)


def go(url: str, *, fragment: Callable[[], Response] | None = None) -> AnyResponse:
    """After a POST: 303 to ``url``, or for htmx the fragment that takes the form's place."""
    if wants_fragment():
        if fragment:
            return fragment()
        response = make_response("", 204)
        response.headers["HX-Redirect"] = url
        return response
    return redirect(url, 303)


def sign_in_first() -> AnyResponse:
    """What nobody gets for a page: the way to the sign-in, and back to the page afterwards."""
    looked_at = request.full_path.rstrip("?") if request.method in READING_METHODS else None
    if wants_fragment():
        current = urlsplit(request.headers.get("HX-Current-URL", ""))
        looked_at = current.path + (f"?{current.query}" if current.query else "") or None
    url = url_for("accounts.login", next=looked_at if looked_at and looked_at != "/" else None)
    if wants_fragment():
        response = make_response("", 401)
        response.headers["HX-Redirect"] = url
        return response
    return redirect(url, 303)


def local_path(target: str | None) -> str | None:
    """``target`` if it is a path on this very site, else None: where a sign-in may lead."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or any(ord(letter) < 32 for letter in target):
        return None
    return target


def _harden(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if settings().is_https:
        headers.setdefault("Strict-Transport-Security", HSTS)
    if "Cache-Control" not in headers:  # files say their own
        headers["Cache-Control"] = "private, no-store"
        response.vary.add("HX-Request")
    return response


def _without_database() -> None:
    """From here on this request asks the database nothing: the page of an error must not fail as well.

    Its session goes, and nobody is signed in for what is left of the request: the page needs no name.
    """
    try:
        _close_session(None)
    except Exception as error:  # a broken connection may break at its end once more
        log.info("the session of a failed request did not close: %s", error)
    g._login_user = AnonymousUserMixin()


def error_page(status: int, title: str, words: str, *, reference: str = "") -> Response:
    """A page, or for htmx an alert, which says what happened and what to do; the log knows its reference."""
    if not reference:
        reference = new_reference()
        log.info("%s, reference %s: %s %r", status, reference, request.method, request.path[:200])
    reading = request.method in READING_METHODS
    return page(
        "ui/errors/page.html",
        "ui/errors/_alert.html",
        status=status,
        code=status,
        title=title,
        words=words,
        not_theirs=words == NOT_THEIRS,
        reference=reference,
        again=local_path(request.full_path.rstrip("?")) if reading and status in (429, 500, 503) else None,
    )


def new_reference() -> str:
    """The request ID, by which an error on a page is found in the log."""
    return request_id()


NOT_THEIRS = "It does not exist, or it belongs to another supplier."
"""Not said to those who see every supplier's."""
WORDS = {
    400: ("That did not arrive whole", "Go back, reload the page and try again."),
    403: ("This is not yours to do", "Your role does not include it. Ask an administrator if it should."),
    404: ("There is nothing here", NOT_THEIRS),
    405: (
        "This cannot be opened like that",
        "The address only takes what a form sends. Open its page instead.",
    ),
    409: ("Somebody was faster", "Go back, reload the page and look what changed."),
    413: ("That is too large", "Shorten what you sent and try again."),
    414: ("That address is too long", "Shorten the filter and try again."),
    429: ("Too many tries", "Wait a minute and try again."),
}
NO_WORDS = ("That could not be done", "Go back, reload the page and try again.")
"""For every other status: what the library says of it is said to programmers."""


def _http_page(error: HTTPException) -> AnyResponse:
    code = error.code or 500
    if error.response is not None:
        return cast(AnyResponse, error.response)
    if code < 400:
        return error.get_response()
    title, words = WORDS.get(code, NO_WORDS)
    response = error_page(code, title, words)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _csrf_page(_error: CSRFError) -> AnyResponse:
    return error_page(
        400,
        "This form is from an earlier visit",
        "Nothing was recorded. Go back, reload the page and send it again.",
    )


def _busy_page(error: DBAPIError) -> AnyResponse:
    _without_database()
    reference = new_reference()
    log.warning("database not available, reference %s: %s", reference, error.orig)
    response = error_page(
        503,
        "The database is busy",
        "Nothing was recorded. Wait a moment and try again.",
        reference=reference,
    )
    response.headers["Retry-After"] = "5"
    return response


def _fault_page(error: Exception) -> AnyResponse:
    _without_database()
    reference = new_reference()
    log.error("fault, reference %s", reference, exc_info=error)
    reading = request.method in READING_METHODS
    step = "Try again" if reading else "Look whether it was recorded before you repeat it"
    return error_page(
        500,
        "Something broke on our side",
        f"It was logged. {step}; if it happens twice, give support the reference.",
        reference=reference,
    )
