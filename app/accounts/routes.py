"""Signing in and out."""

from __future__ import annotations

from flask import Blueprint, redirect, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response

from app import web
from app.accounts import access, queries
from app.accounts.access import Verb
from app.accounts.forms import LoginForm
from app.accounts.models import Person
from app.accounts.passwords import is_password
from app.audit import trail
from app.audit.models import Deed, Thing

blueprint = Blueprint("accounts", __name__)


@blueprint.get("/login")
@access.public
def login() -> Response:
    """The sign-in page; whoever is signed in goes on to their work."""
    if current_user.is_authenticated:
        return redirect(_afterwards(), 303)
    return web.page("accounts/login.html", form=LoginForm())


@blueprint.post("/login")
@access.public
def sign_in() -> Response:
    """Sign in, and go where one wanted to go."""
    form = LoginForm()
    if form.validate():
        person = _person_with(form.username.data or "", form.password.data or "")
        if person:
            with trail.acting(access.actor(person)):
                trail.record(web.db(), Deed.SIGNED_IN, Thing.PERSON, person.id, name=person.name)
            web.db().commit()
            session.clear()
            login_user(person)
            return redirect(_afterwards(), 303)
        _note_failure(form.username.data or "")
        form.form_errors.append("That user name and password do not belong together.")
    return web.page("accounts/login.html", status=422, form=form)


@blueprint.post("/logout")
@access.needs(Verb.SEE)
def logout() -> Response:
    """Sign out of this browser."""
    me = access.me()
    trail.record(web.db(), Deed.SIGNED_OUT, Thing.PERSON, me.id, name=me.name)
    web.db().commit()
    logout_user()
    session.clear()
    return redirect(url_for("accounts.login"), 303)


def _person_with(name: str, password: str) -> Person | None:
    # A session of its own: the request's would hold SQLite's write lock while the password is hashed.
    with web.database().reading() as looking:
        person = queries.person_named(looking, name)
    if not is_password(person.password_hash if person else None, password):
        return None
    return person if person and person.active else None


def _note_failure(name: str) -> None:
    person = queries.person_named(web.db(), name)
    trail.record_failed_sign_in(web.db(), person.name if person else "", person.id if person else None)
    web.db().commit()


def _afterwards() -> str:
    return web.local_path(request.args.get("next")) or "/"
