"""Code that all routes share: sessions, pages and fragments, redirects, security headers and error pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
from flask_login import AnonymousUserMixin, current_user
from flask_wtf.csrf import CSRFError, CSRFProtect
from htmx_flask import Htmx
from htmx_flask.requests import HtmxAwareRequest
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, Map
from werkzeug.wrappers import Response as AnyResponse

from app.accounts.permissions import Permission, can
from app.config import Settings
from app.db import Database
from app.network.paths import is_api_path
from app.ui.request_log import request_id

log = logging.getLogger(__name__)
csrf = CSRFProtect()

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
PERMISSIONS_POLICY = "geolocation=(self), camera=(), microphone=(), payment=(), usb=()"
"""The response form can use the device's location as its tag. No other device feature is used."""
HSTS = "max-age=31536000; includeSubDomains"
"""Sent when the public URL is https."""
HTMX = Path(js_lib_htmx.__file__).parent / "static" / "htmx"
View = TypeVar("View", bound=Callable[..., Any])
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
URL_HEADERS = ("Origin", "Referer", "HX-Current-URL")


# Control characters and noncharacters, which HTML cannot represent.
_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")


def replace_control_characters(value: Any) -> Any:
    """Replace characters that HTML cannot represent with U+FFFD, in everything a template prints."""
    if isinstance(value, str) and _NOT_IN_HTML.search(value):
        return type(value)(_NOT_IN_HTML.sub("\N{REPLACEMENT CHARACTER}", value))
    return value


class RowId(IntegerConverter):
    """A row id in a URL. Numbers that no column can hold match no route and give 404."""

    def __init__(self, map: Map, max: int = 2**31 - 1, **more: Any) -> None:
        super().__init__(map, max=max, **more)


def init_app(app: Flask) -> None:
    """Set up sessions, htmx, CSRF protection, headers and error pages."""
    app.jinja_env.finalize = replace_control_characters
    app.url_map.converters["int"] = RowId
    app.before_request(_check_urls)
    # Before the CSRF check and anything else that reads the form.
    app.before_request(_read_form)
    Htmx(app)
    csrf.init_app(app)
    app.add_url_rule("/assets/htmx.min.js", "htmx_js", _htmx_js)
    app.teardown_request(_close_session)
    app.after_request(_add_security_headers)
    app.register_error_handler(CSRFError, _csrf_error_page)
    app.register_error_handler(HTTPException, _http_error_page)
    app.register_error_handler(OperationalError, _database_error_page)
    app.register_error_handler(InterfaceError, _database_error_page)
    app.register_error_handler(Exception, _server_error_page)


def settings() -> Settings:
    """The settings of the app that serves this request or runs this command."""
    return cast(Settings, current_app.extensions["settings"])


def database() -> Database:
    """The database of the app that serves this request or runs this command."""
    return cast(Database, current_app.extensions["database"])


def db() -> Session:
    """This request's database session, opened at first use.

    SQLite decides at the first query whether a transaction may write, so the HTTP method decides here:
    reading requests take no lock, all others begin as a writer.
    """
    if "session" not in g:
        is_read = request.method in READING_METHODS
        g.session = database().reading() if is_read else database().writing()
    return cast(Session, g.session)


def _htmx_js() -> Response:
    """htmx from its package. The version is in the URL, so browsers may cache it."""
    return send_from_directory(HTMX, "htmx.min.js", max_age=365 * 86_400)


FORM_BYTES = 256 * 1024
"""The largest form. A route that accepts more declares it with ``accepts``."""


def accepts(max_bytes: int) -> Callable[[View], View]:
    """Declare that a view accepts a body of up to ``max_bytes``, such as an upload."""

    def declare(view: View) -> View:
        view.max_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return declare


def _read_form() -> None:
    """Read the whole form, within its limit, before any query: a slow sender must hold no transaction."""
    if request.method in READING_METHODS or is_api_path(request.path):  # the API has its own limit
        return
    view = current_app.view_functions.get(request.endpoint or "")
    request.max_content_length = getattr(view, "max_bytes", FORM_BYTES)
    # Also parses the form, which raises 413 where it is too large.
    _reject_nul(_texts(request.form))


@contextmanager
def recording(transaction: AbstractContextManager[Session], what: str) -> Iterator[Session]:
    """A separate short transaction for a record that the page does not depend on."""
    try:
        with transaction as session:
            yield session
            session.commit()
    except IntegrityError:
        pass  # another request recorded it at the same time
    except DBAPIError as error:
        log.info("%s was not recorded: %s", what, error.orig)


def _reject_nul(texts: Iterable[str]) -> None:
    """Reject NUL characters: no valid input has them, and PostgreSQL cannot store them."""
    if any("\0" in text for text in texts):
        abort(400)


def _texts(fields: MultiDict[str, str]) -> list[str]:
    """The names and all values of a query or form: a name may be repeated."""
    return [text for name, values in fields.lists() for text in (name, *values)]


def _check_urls() -> None:
    """Reject NUL characters in the address, and headers with a malformed URL, which no browser sends."""
    if is_api_path(request.path):  # it reads none of them, and responds in JSON
        return
    _reject_nul([request.path, *_texts(request.args)])
    for name in URL_HEADERS:
        try:
            urlsplit(request.headers.get(name, "")).port  # noqa: B018 - raises ValueError if it is out of range
        except ValueError:
            abort(400)


def _close_session(_error: BaseException | None) -> None:
    session = g.pop("session", None)
    if session is not None:
        session.close()


def public_url() -> str:
    """The URL of this site without a trailing slash: ``PO_PUBLIC_URL``, or the URL of this request."""
    return (settings().public_url or request.url_root).rstrip("/")


def zone() -> ZoneInfo:
    """The reader's time zone."""
    # Only what was loaded anyway: an error page must not query the database.
    name = getattr(g.get("_login_user"), "time_zone", "")
    return ZoneInfo(name) if name else settings().time_zone


def wants_fragment() -> bool:
    """Whether htmx requests a fragment of the page, not for a boosted link or a step back in history."""
    htmx = cast(HtmxAwareRequest, request).htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def is_cross_site() -> bool:
    """Whether the request comes from a page of another site. A program sends neither header."""
    site = request.headers.get("Sec-Fetch-Site")
    if site:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return bool(origin) and urlsplit(origin).netloc != request.host


def referring_page() -> str:
    """The page of this site that sent the form, else the home page."""
    try:
        referrer = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # the error page of a malformed header looks here too
        return "/"
    if referrer.netloc != request.host:
        return "/"
    return local_path(referrer.path + (f"?{referrer.query}" if referrer.query else "")) or "/"


def is_background() -> bool:
    """Whether the page polls, without any action of the person."""
    return "X-Poll" in request.headers


def page(template: str, fragment: str | None = None, *, status: int = 200, **context: Any) -> Response:
    """Render the page, or its fragment (a template with one root element) if htmx requests it."""
    chosen = fragment if fragment and wants_fragment() else template
    return make_response(render_template(chosen, **context), status)


def redirect_after_post(url: str, *, fragment: Callable[[], Response] | None = None) -> AnyResponse:
    """Redirect with 303 to ``url``, or for htmx return the fragment that replaces the form."""
    if wants_fragment():
        if fragment:
            return fragment()
        response = make_response("", 204)
        response.headers["HX-Redirect"] = url
        return response
    return redirect(url, 303)


def redirect_to_login(page: str | None = None) -> AnyResponse:
    """Redirect to the sign-in page, which leads back to ``page`` or else to the requested page."""
    requested = page or (request.full_path.rstrip("?") if request.method in READING_METHODS else None)
    if wants_fragment() and not page:
        current = urlsplit(request.headers.get("HX-Current-URL", ""))
        requested = current.path + (f"?{current.query}" if current.query else "") or None
    url = url_for("accounts.login", next=requested if requested and requested != "/" else None)
    if wants_fragment():
        response = make_response("", 401)
        if not is_background():  # a poll must not replace a page on which something was typed
            response.headers["HX-Redirect"] = url
        return response
    return redirect(url, 303)


def local_path(target: str | None) -> str | None:
    """``target`` if it is a path on this site, else None. Prevents open redirects after sign-in."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    # Browsers drop tabs and line breaks, so that "/\t/host" is "//host".
    return None if any(ord(letter) < 32 for letter in target) else target


def _add_security_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if settings().is_https:
        headers.setdefault("Strict-Transport-Security", HSTS)
    if "Cache-Control" not in headers:  # static files set their own
        headers["Cache-Control"] = "private, no-store"
        response.vary.add("HX-Request")
    return response


def _forget_session_and_user() -> None:
    """Make sure that rendering the error page runs no query, so that it cannot fail too."""
    try:
        _close_session(None)
    except Exception as error:  # closing a broken connection can fail too
        log.info("the session of a failed request did not close: %s", error)
    g._login_user = AnonymousUserMixin()


def error_page(status: int, title: str, text: str) -> Response:
    """An error page, or an alert for htmx. Its reference, the request ID, is also in the log."""
    log.info("%s, reference %s: %s %r", status, request_id(), request.method, request.path[:200])
    is_read = request.method in READING_METHODS
    form_page = "/" if is_read else referring_page()
    return page(
        "ui/errors/page.html",
        "ui/errors/_alert.html",
        status=status,
        code=status,
        title=title,
        text=text,
        reference=request_id(),
        again=local_path(request.full_path.rstrip("?")) if is_read and status in (429, 500, 503) else None,
        back=form_page if form_page != "/" else None,
    )


NOT_FOUND = "It doesn't exist, or it belongs to another supplier."
NOT_FOUND_AMONG_ALL = "It doesn't exist, or it was deleted."
"""For users who see all suppliers."""
ERRORS = {
    400: ("Request incomplete", "Go back, reload the page and try again."),
    403: ("You don't have access", "Ask your administrator for access."),
    404: ("Page not found", NOT_FOUND),
    405: (
        "Page can't be opened directly",
        "This URL only accepts submitted forms. Open the page with the form instead.",
    ),
    409: ("Someone else got there first", "Go back, reload the page and see what changed."),
    413: ("Request too large", "Go back and send less text or a smaller file."),
    414: ("URL too long", "Shorten the filter and try again."),
    429: ("Too many attempts", "Wait a minute and try again."),
}
OTHER_ERROR = ("Something went wrong", "Go back, reload the page and try again.")
"""For every other status: Werkzeug's own texts are meant for developers."""


def _http_error_page(error: HTTPException) -> AnyResponse:
    code = error.code or 500
    if error.response is not None:
        return cast(AnyResponse, error.response)
    if code < 400:
        return error.get_response()
    title, text = ERRORS.get(code, OTHER_ERROR)
    if text == NOT_FOUND and current_user.is_authenticated and can(current_user, Permission.VIEW_ALL):
        text = NOT_FOUND_AMONG_ALL
    response = error_page(code, title, text)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _csrf_error_page(_error: CSRFError) -> AnyResponse:
    return error_page(
        400,
        "Your session expired",
        "Nothing was saved. Go back, reload the page and send the form again.",
    )


def _database_error_page(error: DBAPIError) -> AnyResponse:
    _forget_session_and_user()
    log.warning("database not available, reference %s: %s", request_id(), error.orig)
    response = error_page(
        503,
        "The database isn't available",
        "Your change may not have been saved. Wait a moment, check it, and try again.",
    )
    response.headers["Retry-After"] = "5"
    return response


def _server_error_page(error: Exception) -> AnyResponse:
    _forget_session_and_user()
    log.error("unhandled error, reference %s", request_id(), exc_info=error)
    is_read = request.method in READING_METHODS
    advice = "Try again" if is_read else "Check whether your change was saved before you try again"
    return error_page(
        500,
        "Something went wrong on our side",
        f"The error was logged. {advice}. If it happens again, give support the reference.",
    )
