"""The check of permissions that guards every route.

A view without a declared permission is closed to everyone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

from flask import Flask, Request, abort, current_app, g, request, session, url_for
from flask_login import LoginManager, current_user
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import form_storage, permissions, sessions
from app.accounts.models import KeptForm, Person, UserSession
from app.accounts.permissions import Permission
from app.accounts.preferences import Preferences
from app.accounts.preferences import read as read_preferences
from app.audit import trail
from app.db.filters import Scope
from app.ui import web

__all__ = [
    "Permission",
    "allows_temporary_password",
    "begin_session",
    "can",
    "confirms_password",
    "current_person",
    "current_session",
    "init_app",
    "keeps_form",
    "public",
    "requires",
    "show_again",
    "visible_suppliers",
]


View = TypeVar("View", bound=Callable[..., Any])


PUBLIC = "public"
TOKEN = "token"  # noqa: S105
"""The name of the session token in the cookie."""
CONFIRMED_FOR = timedelta(minutes=15)
"""How long after sign-in or a confirmation a view does not ask for the password again."""
OPEN_ENDPOINTS = frozenset({"static", "bootstrap.static", "htmx_js"})
"""Static files of the app and its packages."""


def requires(permission: Permission) -> Callable[[View], View]:
    """Declare the permission that a view requires."""

    def declare(view: View) -> View:
        view.access = permission  # type: ignore[attr-defined]
        return view

    return declare


def public(view: View) -> View:
    """Declare that a view is open to everyone, signed in or not."""
    view.access = PUBLIC  # type: ignore[attr-defined]
    return view


def allows_temporary_password(view: View) -> View:
    """Declare that a view opens before a temporary password was changed."""
    view.allows_temporary_password = True  # type: ignore[attr-defined]
    return view


def keeps_form(view: View) -> View:
    """Declare that a form sent after its session ended is shown again, filled in, after sign-in.

    The view must validate a FlaskForm before it changes anything: without a valid CSRF token this fails, and
    the view shows the form with what was typed.
    """
    view.keeps_form = True  # type: ignore[attr-defined]
    exempt: View = web.csrf.exempt(view)
    return exempt


def confirms_password(view: View) -> View:
    """Declare that a view asks for the password again some minutes after it was last entered."""
    view.confirms_password = True  # type: ignore[attr-defined]
    return view


def current_person() -> Person:
    """The signed-in person; only for views that require a permission."""
    return cast(Person, current_user._get_current_object())


def can(permission: Permission) -> bool:
    """Whether the signed-in person has the permission."""
    return permissions.can(current_person(), permission)


def visible_suppliers() -> Scope:
    """The supplier ids whose orders and messages the signed-in person may see; None means all."""
    return None if can(Permission.VIEW_ALL) else current_person().supplier_ids


def declared_access(endpoint: str) -> str | None:
    """What the view of an endpoint declares: a permission, ``public``, or None."""
    if endpoint in OPEN_ENDPOINTS:
        return PUBLIC
    return getattr(current_app.view_functions.get(endpoint), "access", None)


def init_app(app: Flask) -> None:
    """Set up sign-in and the guard of every route."""
    login = LoginManager(app)
    login.request_loader(_load_person)
    app.before_request(_begin_anonymous)
    app.before_request(_guard)
    app.teardown_request(_end_actor)
    app.context_processor(
        lambda: {
            "display": _display_preferences(),
            "can": lambda name: can(Permission(name)),
        }
    )


def begin_session(person: Person) -> None:
    """Sign a person in on this browser. The caller commits."""
    settings = web.settings()
    token = sessions.begin(
        web.db(),
        person,
        idle=settings.session_idle,
        lifetime=settings.session_lifetime,
        address=request.remote_addr or "",
        user_agent=request.user_agent.string,
    )
    # A new cookie and CSRF token, so that nothing from before the sign-in stays valid.
    session.clear()
    session[TOKEN] = token


def current_session() -> UserSession:
    """The session of the signed-in person."""
    return cast(UserSession, g.user_session)


def _load_person(_request: Request) -> Person | None:
    """The person of the session cookie.

    It is read in a separate transaction, which ends before that of the request begins.
    """
    token = session.get(TOKEN)
    if not isinstance(token, str):
        return None
    with web.database().reading() as reading:
        user_session = sessions.find(reading, token, idle=web.settings().session_idle)
    if user_session is None:
        return None
    g.user_session = user_session
    if not web.is_background():
        _record_activity(user_session)
    return user_session.person


def _record_activity(user_session: UserSession) -> None:
    now = clock.now()
    if not sessions.needs_activity(user_session, now, idle=web.settings().session_idle):
        return
    what = f"activity of session {user_session.id}"
    with web.recording(web.database().writing_soon(), what) as writing:
        sessions.record_activity(writing, user_session.id, now)


def _display_preferences() -> Preferences:
    """The preferences of the person of this request, without a query."""
    return read_preferences(getattr(g.get("_login_user"), "preferences", {}))


def _guard() -> Any:
    if request.endpoint is None:  # unknown address or method: the error page explains it
        return None
    access = declared_access(request.endpoint)
    if access == PUBLIC:
        return None
    view = current_app.view_functions[request.endpoint]
    if not current_user.is_authenticated:
        return web.redirect_to_login(_page_of_kept_form(view))
    if current_person().must_change_password and not hasattr(view, "allows_temporary_password"):
        return web.redirect_after_post(url_for("accounts.password_page"))
    if access is None or not can(Permission(access)):
        abort(403)
    if hasattr(view, "confirms_password") and not _is_recently_confirmed():
        return _ask_for_password(view)
    trail.begin(actor(current_person()))
    return None


def _is_recently_confirmed() -> bool:
    return clock.now() - current_session().confirmed_at < CONFIRMED_FOR


def _ask_for_password(view: Any) -> AnyResponse:
    """Redirect to the page that asks for the password and then leads back."""
    is_read = request.method in web.READING_METHODS
    page = request.full_path if is_read else _page_of_kept_form(view) or web.referring_page()
    return web.redirect_after_post(url_for("accounts.confirm_page", next=page))


def _page_of_kept_form(view: Any) -> str | None:
    """Keep the form of this request, and return the page that shows it again; None if it is not kept."""
    if request.method != "POST" or not hasattr(view, "keeps_form") or web.is_cross_site():
        return None
    fields = [(name, value) for name, value in request.form.items(multi=True) if name != "csrf_token"]
    with web.database().writing() as writing:
        token = form_storage.keep(writing, request.full_path, fields, address=request.remote_addr or "")
        writing.commit()
    return url_for("accounts.show_kept_form", token=token)


def show_again(kept_form: KeptForm) -> Any:
    """The page of a kept form, with everything that was typed. It records nothing: there is no CSRF token.

    Errors: 403 and 404 as for the form itself.
    """
    path, _, query = kept_form.path.partition("?")
    adapter = current_app.create_url_adapter(request._get_current_object())  # type: ignore[attr-defined]
    assert adapter
    rule, values = adapter.match(path, method="POST", query_args=query, return_rule=True)
    view = current_app.view_functions[rule.endpoint]
    if not hasattr(view, "keeps_form"):
        abort(404)
    if not can(Permission(declared_access(rule.endpoint) or "")):
        abort(403)
    # From here on, the request is the one that was kept.
    request.url_rule, request.view_args, request.method = rule, dict(values), "POST"
    request.form = ImmutableMultiDict((name, value) for name, value in kept_form.fields)
    request.files = ImmutableMultiDict()
    return view(**values)


def actor(person: Person | None) -> trail.Actor:
    """The actor of this request for the audit trail; the address respects trusted proxies."""
    return trail.Actor(
        name=person.display_name if person else "",
        person_id=person.id if person else None,
        role=person.role.value if person else "",
        address=request.remote_addr or "",
        user_agent=request.user_agent.string,
    )


def _begin_anonymous() -> None:
    g.acting = trail.begin(actor(None))


def _end_actor(_error: BaseException | None) -> None:
    token = g.pop("acting", None)
    if token is not None:
        trail.end(token)
