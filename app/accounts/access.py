"""The check of permissions that guards every route.

A view without a declared permission is closed to everyone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, Request, abort, current_app, g, request, session, url_for
from flask_login import LoginManager, current_user
from sqlalchemy.exc import DBAPIError

from app import clock
from app.accounts import sessions
from app.accounts.models import Person, UserSession
from app.accounts.permissions import Permission, can
from app.audit import trail
from app.ui import web

__all__ = [
    "Permission",
    "allows_temporary_password",
    "begin_session",
    "can",
    "current_person",
    "current_session",
    "init_app",
    "public",
    "requires",
    "visible_suppliers",
]

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


PUBLIC = "public"
TOKEN = "token"  # noqa: S105
"""The name of the session token in the cookie."""
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


def current_person() -> Person:
    """The signed-in person; only for views that require a permission."""
    return cast(Person, current_user._get_current_object())


def visible_suppliers() -> frozenset[str] | None:
    """The supplier ids whose orders and messages the signed-in person may see; None means all."""
    person = current_person()
    return None if can(person, Permission.VIEW_ALL) else person.supplier_ids


def declared_access(endpoint: str) -> str | None:
    """What the view of an endpoint declared: a permission, ``public``, or None."""
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
        lambda: {"can": lambda name: can(current_person(), Permission(name)), "Permission": Permission}
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

    It is read in a transaction of its own, which ends before the one of the request begins.
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
    if not sessions.needs_activity(user_session, now):
        return
    try:
        with web.database().writing_soon() as writing:
            sessions.record_activity(writing, user_session.id, now)
            writing.commit()
    except DBAPIError as error:  # the next request tries again
        log.info("activity of session %s was not recorded: %s", user_session.id, error.orig)


def _guard() -> Any:
    if request.endpoint is None:  # unknown address or method: the error page explains it
        return None
    access = declared_access(request.endpoint)
    if access == PUBLIC:
        return None
    if not current_user.is_authenticated:
        return web.redirect_to_login()
    view = current_app.view_functions[request.endpoint]
    if current_person().must_change_password and not hasattr(view, "allows_temporary_password"):
        return web.redirect_after_post(url_for("accounts.password_page"))
    if access is None or not can(current_person(), Permission(access)):
        abort(403)
    trail.begin(actor(current_person()))
    return None


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
