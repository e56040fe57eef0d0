"""Who may do what: one table from role to verbs, and one place that asks it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar, cast

from flask import Flask, abort, current_app, g, request
from flask_login import LoginManager, current_user

from app.accounts import queries
from app.accounts.models import Person, Role
from app.audit import trail
from app.ui import web

View = TypeVar("View", bound=Callable[..., Any])


class Permission(StrEnum):
    """What a route lets a person do."""

    SEE = "see"  # orders and messages in one's own scope
    SEE_ALL = "see all"
    ANSWER = "answer"
    EXPORT = "export"
    READ_AUDIT = "read the audit trail"
    RESEND = "resend"
    RESEND_DELIVERED = "resend what was delivered"
    WITHDRAW = "withdraw what waits"
    PAUSE = "pause and resume partners"
    IMPORT = "import"
    TEST_SEND = "send a test"
    EDIT_PARTNERS = "edit partners"
    EDIT_PEOPLE = "edit people"


_SUPPORT = frozenset(
    {
        Permission.SEE,
        Permission.SEE_ALL,
        Permission.RESEND,
        Permission.WITHDRAW,
        Permission.PAUSE,
        Permission.IMPORT,
        Permission.TEST_SEND,
    }
)

MAY: dict[Role, frozenset[Permission]] = {
    Role.SUPPLIER: frozenset({Permission.SEE, Permission.ANSWER}),
    Role.MANAGER: frozenset({Permission.SEE, Permission.SEE_ALL, Permission.EXPORT, Permission.READ_AUDIT}),
    Role.SUPPORT: _SUPPORT,
    Role.ADMIN: _SUPPORT | {Permission.RESEND_DELIVERED, Permission.EDIT_PARTNERS, Permission.EDIT_PEOPLE},
}

PUBLIC = "public"
OPEN_ENDPOINTS = frozenset({"static", "bootstrap.static", "htmx_js"})
"""Files that everybody may load: they come with the app and its packages."""


def may(person: Person, verb: Permission) -> bool:
    """Whether the person's role includes the verb."""
    return verb in MAY[person.role]


def needs(verb: Permission) -> Callable[[View], View]:
    """Declare what a view needs. A view that declares nothing is open to nobody."""

    def declare(view: View) -> View:
        view.access = verb  # type: ignore[attr-defined]
        return view

    return declare


def public(view: View) -> View:
    """Declare that a view is for everybody, signed in or not."""
    view.access = PUBLIC  # type: ignore[attr-defined]
    return view


def me() -> Person:
    """The signed-in person; only for views that need a verb."""
    return cast(Person, current_user._get_current_object())


def scope() -> frozenset[str] | None:
    """The supplier ids whose orders and messages the reader may see; None means all."""
    person = me()
    return None if may(person, Permission.SEE_ALL) else person.supplier_ids


def declared_access(endpoint: str) -> str | None:
    """What the view of an endpoint declared: a verb, ``public``, or None."""
    if endpoint in OPEN_ENDPOINTS:
        return PUBLIC
    return getattr(current_app.view_functions.get(endpoint), "access", None)


def init_app(app: Flask) -> None:
    """Join the sign-in and the guard of every route to the app."""
    login = LoginManager(app)
    login.session_protection = None  # telephones change networks; the cookie's key can be revoked instead
    login.user_loader(lambda key: queries.person_by_session_key(web.db(), key))
    app.before_request(_nobody_acts_yet)
    app.before_request(_guard)
    app.teardown_request(_nobody_acts)
    app.context_processor(lambda: {"may": lambda verb: may(me(), Permission(verb)), "Permission": Permission})


def _guard() -> Any:
    if request.endpoint is None:  # no such address, or not with this method: the error says so
        return None
    access = declared_access(request.endpoint)
    if access == PUBLIC:
        return None
    if not current_user.is_authenticated:
        return web.sign_in_first()
    if access is None or not may(me(), Permission(access)):
        abort(403)
    trail.begin(actor(me()))
    return None


def actor(person: Person | None) -> trail.Actor:
    """Who acts in this request, and from where; behind proxies that are trusted, as they say."""
    return trail.Actor(
        name=person.called if person else "",
        person_id=person.id if person else None,
        role=person.role.value if person else "",
        address=request.remote_addr or "",
        user_agent=request.user_agent.string,
    )


def _nobody_acts_yet() -> None:
    g.acting = trail.begin(actor(None))


def _nobody_acts(_error: BaseException | None) -> None:
    token = g.pop("acting", None)
    if token is not None:
        trail.end(token)
