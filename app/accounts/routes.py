"""Signing in and out, and what administrators set for a supplier."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response

from app.accounts import access, queries, service
from app.accounts.access import Permission
from app.accounts.forms import (
    ROLES,
    DeviceTagForm,
    LoginForm,
    NewPersonForm,
    PersonForm,
    lines_of,
)
from app.accounts.models import Person, Role, Supplier
from app.accounts.passwords import hash_password, is_password, new_password
from app.accounts.suppliers import set_device_tag
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.ui import web

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
                trail.record(web.db(), AuditAction.SIGNED_IN, AuditObject.PERSON, person.id, name=person.name)
            web.db().commit()
            session.clear()
            login_user(person)
            return redirect(_afterwards(), 303)
        _note_failure(form.username.data or "")
        form.form_errors.append("That user name and password do not belong together.")
    return web.page("accounts/login.html", status=422, form=form)


@blueprint.post("/logout")
@access.needs(Permission.SEE)
def logout() -> Response:
    """Sign out of this browser."""
    me = access.me()
    trail.record(web.db(), AuditAction.SIGNED_OUT, AuditObject.PERSON, me.id, name=me.name)
    web.db().commit()
    logout_user()
    session.clear()
    return redirect(url_for("accounts.login"), 303)


@blueprint.get("/suppliers")
@access.needs(Permission.EDIT_PEOPLE)
def suppliers() -> Response:
    """The suppliers that answer here, and what is set for each."""
    return _suppliers_page()


@blueprint.post("/suppliers")
@access.needs(Permission.EDIT_PEOPLE)
def set_up_supplier() -> Response:
    """Set the device tag with which one supplier's answers start."""
    form = DeviceTagForm()
    if not form.validate():
        return _suppliers_page(form, status=422)
    b2b_id = form.b2b_id.data or ""
    if b2b_id not in queries.suppliers(web.db()):
        abort(404)
    name, value = form.device_tag_name.data or "", form.device_tag_value.data or ""
    set_device_tag(web.db(), b2b_id, name, value, by=access.me().called)
    web.db().commit()
    return redirect(url_for(".suppliers", saved=b2b_id), 303)


def _suppliers_page(wrong: DeviceTagForm | None = None, *, status: int = 200) -> Response:
    set_up = queries.suppliers(web.db())
    forms = {
        b2b_id: wrong if wrong and wrong.b2b_id.data == b2b_id else _device_tag_form(b2b_id, supplier)
        for b2b_id, supplier in set_up.items()
    }
    saved = request.args.get("saved")
    return web.page("accounts/suppliers.html", forms=forms, set_up=set_up, saved=saved, status=status)


def _device_tag_form(b2b_id: str, supplier: Supplier | None) -> DeviceTagForm:
    name = supplier.device_tag_name if supplier else ""
    value = supplier.device_tag_value if supplier else ""
    return DeviceTagForm(formdata=None, b2b_id=b2b_id, device_tag_name=name, device_tag_value=value)


@blueprint.get("/users")
@access.needs(Permission.EDIT_PEOPLE)
def users() -> Response:
    """Everybody who can sign in, or could."""
    return web.page("accounts/users.html", people=queries.everybody(web.db()), roles=ROLES)


@blueprint.get("/users/new")
@access.needs(Permission.EDIT_PEOPLE)
def new_user() -> Response:
    """The form for one more."""
    return web.page("accounts/user.html", form=NewPersonForm(), person=None)


@blueprint.post("/users/new")
@access.needs(Permission.EDIT_PEOPLE)
def add_user() -> Response:
    """Add a person; the password is made here and shown this once."""
    form = NewPersonForm()
    if not form.validate():
        return web.page("accounts/user.html", form=form, person=None, status=422)
    made = new_password()
    try:
        person = service.add(
            web.db(),
            form.name.data or "",
            role=Role(form.role.data),
            password=made,
            supplier_ids=form.ids,
            full_name=form.full_name.data or "",
        )
    except service.BadPerson as blocker:
        form.form_errors.append(sentence(blocker))
        return web.page("accounts/user.html", form=form, person=None, status=422)
    web.db().commit()
    return _user_page(person, made=made)


@blueprint.get("/users/<int:person_id>")
@access.needs(Permission.EDIT_PEOPLE)
def user(person_id: int) -> Response:
    """One person."""
    return _user_page(queries.person(web.db(), person_id) or abort(404))


@blueprint.post("/users/<int:person_id>")
@access.needs(Permission.EDIT_PEOPLE)
def change_user(person_id: int) -> Response:
    """Change what a person may."""
    person = queries.person(web.db(), person_id, lock=True) or abort(404)
    form = PersonForm()
    if not form.validate():
        return _user_page(person, form, status=422)
    try:
        service.change(
            web.db(),
            person,
            role=Role(form.role.data),
            supplier_ids=form.ids,
            full_name=form.full_name.data or "",
            active=form.active.data,
        )
    except service.BadPerson as blocker:
        form.form_errors.append(sentence(blocker))
        return _user_page(person, form, status=422)
    web.db().commit()
    return redirect(url_for(".user", person_id=person_id, saved=1), 303)


@blueprint.post("/users/<int:person_id>/password")
@access.needs(Permission.EDIT_PEOPLE)
def give_password(person_id: int) -> Response:
    """Make a new password and show it this once."""
    made = new_password()
    hashed = hash_password(made)
    person = queries.person(web.db(), person_id, lock=True) or abort(404)
    service.give_password(web.db(), person, hashed)
    web.db().commit()
    return _user_page(person, made=made)


def sentence(blocker: Exception) -> str:
    """What the command line says of a mistake, as a page says it."""
    words = str(blocker)
    return f"{words[:1].upper()}{words[1:]}."


def _user_page(
    person: Person, form: PersonForm | None = None, *, made: str = "", status: int = 200
) -> Response:
    if form is None:
        form = PersonForm(
            formdata=None,
            full_name=person.full_name,
            role=person.role.value,
            supplier_ids=lines_of(person.supplier_ids),
            active=person.active,
        )
    saved = "saved" in request.args
    return web.page("accounts/user.html", form=form, person=person, made=made, saved=saved, status=status)


def _person_with(name: str, password: str) -> Person | None:
    # A session of its own: the request's would hold SQLite's write lock while the password is hashed.
    with web.database().reading() as looking:
        person = queries.person_by_username(looking, name)
    if not is_password(person.password_hash if person else None, password):
        return None
    return person if person and person.active else None


def _note_failure(name: str) -> None:
    person = queries.person_by_username(web.db(), name)
    trail.record_failed_sign_in(web.db(), person.name if person else "", person.id if person else None)
    web.db().commit()


def _afterwards() -> str:
    return web.local_path(request.args.get("next")) or "/"
