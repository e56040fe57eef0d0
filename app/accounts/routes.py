"""Pages for sign-in, users and suppliers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, redirect, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from app.accounts import access, form_storage, preferences, presenters, queries, service, sessions, throttle
from app.accounts.access import Permission
from app.accounts.forms import (
    AccountForm,
    ConfirmForm,
    DeviceTagForm,
    LoginForm,
    NewPersonForm,
    PasswordForm,
    PersonForm,
    version_of,
)
from app.accounts.models import Person, Role, Supplier
from app.accounts.passwords import hash_password, is_password, new_password, password_problem
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.network.vocabulary import DeviceTag
from app.notifications.service import mail_account_change
from app.notifications.texts import AccountChange
from app.orders.queries import ordered_supplier_ids, supplier_names
from app.ui import web

blueprint = Blueprint("accounts", __name__)
blueprint.add_app_template_filter(presenters.role_label)
blueprint.add_app_template_filter(presenters.suppliers_of)
blueprint.add_app_template_filter(presenters.active_label)
blueprint.add_app_template_filter(presenters.device_tag_source)
blueprint.add_app_template_filter(presenters.browser_label)


@blueprint.get("/login")
@access.public
def login() -> Response:
    """The sign-in page; a person who is signed in already is redirected."""
    if current_user.is_authenticated:
        return redirect(_next_page(), 303)
    return web.page("accounts/login.html", form=LoginForm())


@blueprint.post("/login")
@access.public
def sign_in() -> Response:
    """Sign in and go to the requested page."""
    form = LoginForm()
    if not form.validate():
        return web.page("accounts/login.html", status=422, form=form)
    username = form.username.data or ""
    try:
        person = _person_with_password(username, form.password.data or "", request.remote_addr)
    except throttle.TooManyAttempts as error:
        form.form_errors.append(presenters.too_many_attempts(error.seconds))
        return _with_retry_after(web.page("accounts/login.html", status=429, form=form), error)
    if person is None:
        form.form_errors.append(presenters.INCORRECT_SIGN_IN)
        return web.page("accounts/login.html", status=422, form=form)
    with trail.acting(access.actor(person)):
        trail.record(web.db(), AuditAction.SIGNED_IN, AuditObject.PERSON, person.id, name=person.username)
    access.begin_session(person)
    web.db().commit()
    return redirect(_next_page(), 303)


@blueprint.post("/logout")
@access.requires(Permission.VIEW)
@access.allows_temporary_password
def logout() -> Response:
    """Sign out of this browser."""
    person = access.current_person()
    sessions.end(web.db(), person.id, access.current_session().id)
    trail.record(web.db(), AuditAction.SIGNED_OUT, AuditObject.PERSON, person.id, name=person.username)
    web.db().commit()
    session.clear()
    return redirect(url_for("accounts.login"), 303)


@blueprint.get("/suppliers")
@access.requires(Permission.MANAGE_USERS)
def suppliers() -> Response:
    """The suppliers and their settings."""
    return _suppliers_page()


@blueprint.post("/suppliers")
@access.requires(Permission.MANAGE_USERS)
@access.keeps_form
def set_up_supplier() -> Response:
    """Set the default device tag of a supplier."""
    form = DeviceTagForm()
    if not form.validate():
        return _suppliers_page(form, status=422)
    b2b_id = form.b2b_id.data or ""
    if b2b_id not in queries.supplier_settings(web.db()):
        abort(404)
    name, value = form.device_tag_name.data or "", form.device_tag_value.data or ""
    service.set_device_tag(web.db(), b2b_id, name, value, by=access.current_person().display_name)
    web.db().commit()
    return redirect(url_for(".suppliers", saved=b2b_id), 303)


@blueprint.get("/users")
@access.requires(Permission.MANAGE_USERS)
def users() -> Response:
    """All accounts."""
    return web.page("accounts/users.html", people=queries.all_people(web.db()))


@blueprint.get("/users/new")
@access.requires(Permission.MANAGE_USERS)
@access.confirms_password
def new_user() -> Response:
    """The form for a new account."""
    return web.page("accounts/user.html", form=NewPersonForm(suppliers=_suppliers()), person=None)


@blueprint.post("/users/new")
@access.requires(Permission.MANAGE_USERS)
@access.keeps_form
@access.confirms_password
def add_user() -> Response:
    """Add a person with a generated password, which the response shows once."""
    password = new_password()
    password_hash = hash_password(password)
    form = NewPersonForm(suppliers=_suppliers())
    if not form.validate():
        return web.page("accounts/user.html", form=form, person=None, status=422)
    try:
        person = service.add_person(
            web.db(),
            form.name.data or "",
            role=Role(form.role.data),
            password_hash=password_hash,
            supplier_ids=form.ids,
            full_name=form.full_name.data or "",
            mail_address=form.mail_address.data or "",
            must_change_password=True,
        )
    except service.InvalidPerson as error:
        form.add_error(error.code)
        return web.page("accounts/user.html", form=form, person=None, status=422)
    web.db().commit()
    return _user_page(person, password=password)


@blueprint.get("/users/<int:person_id>")
@access.requires(Permission.MANAGE_USERS)
def user(person_id: int) -> Response:
    """One account."""
    return _user_page(queries.person_by_id(web.db(), person_id) or abort(404))


@blueprint.post("/users/<int:person_id>")
@access.requires(Permission.MANAGE_USERS)
@access.keeps_form
@access.confirms_password
def change_user(person_id: int) -> Response:
    """Save an account."""
    person = queries.person_by_id(web.db(), person_id, lock=True) or abort(404)
    form = PersonForm(suppliers=_suppliers())
    if not form.validate():
        return _user_page(person, form, status=422)
    version = version_of(service.audit_fields(person))
    if form.version.data and form.version.data != version:
        form.form_errors.append(presenters.USER_CHANGED_MEANWHILE)
        form.version.data = version
        return _user_page(person, form, status=409)
    old_address = person.mail_address
    try:
        service.update_person(
            web.db(),
            person,
            role=Role(form.role.data),
            supplier_ids=form.ids,
            full_name=form.full_name.data or "",
            mail_address=form.mail_address.data or "",
            active=form.active.data,
        )
    except service.InvalidPerson as error:
        form.add_error(error.code)
        return _user_page(person, form, status=422)
    if person.mail_address != old_address:
        mail_account_change(web.db(), person, AccountChange.MAIL_ADDRESS, to=old_address)
    web.db().commit()
    return redirect(url_for(".user", person_id=person_id, saved=1), 303)


@blueprint.post("/users/<int:person_id>/password")
@access.requires(Permission.MANAGE_USERS)
@access.confirms_password
def reset_password(person_id: int) -> Response:
    """Generate a new password, which the response shows once."""
    password = new_password()
    password_hash = hash_password(password)
    person = queries.person_by_id(web.db(), person_id, lock=True) or abort(404)
    service.set_password(web.db(), person, password_hash, must_change=True)
    mail_account_change(web.db(), person, AccountChange.PASSWORD_RESET)
    web.db().commit()
    return _user_page(person, password=password)


@blueprint.post("/users/<int:person_id>/sessions")
@access.requires(Permission.MANAGE_USERS)
def end_sessions(person_id: int) -> Response:
    """Sign a person out everywhere."""
    person = queries.person_by_id(web.db(), person_id) or abort(404)
    service.revoke_sessions(web.db(), person)
    web.db().commit()
    return redirect(url_for(".user", person_id=person_id, ended=1), 303)


@blueprint.get("/account")
@access.requires(Permission.VIEW)
def account() -> Response:
    """The signed-in person's data, password, sessions and preferences."""
    me = access.current_person()
    chosen = preferences.read(me.preferences)
    form = AccountForm(
        default_zone=web.settings().time_zone.key,
        formdata=None,
        full_name=me.full_name,
        mail_address=me.mail_address,
        time_zone=me.time_zone,
        theme=chosen.theme.value,
        density=chosen.density.value,
        has_shortcuts=chosen.has_shortcuts,
        version=version_of(service.account_fields(me)),
    )
    return _account_page(form)


@blueprint.post("/account")
@access.requires(Permission.VIEW)
@access.keeps_form
def change_account() -> Response:
    """Save the signed-in person's data and preferences."""
    form = AccountForm(default_zone=web.settings().time_zone.key)
    if not form.validate():
        return _account_page(form, status=422)
    person = queries.person_by_id(web.db(), access.current_person().id, lock=True) or abort(404)
    version = version_of(service.account_fields(person))
    if form.version.data and form.version.data != version:
        form.form_errors.append(presenters.ACCOUNT_CHANGED_MEANWHILE)
        form.version.data = version
        return _account_page(form, status=409)
    old_address = person.mail_address
    service.update_account(
        web.db(),
        person,
        full_name=form.full_name.data or "",
        mail_address=form.mail_address.data or "",
        time_zone=form.time_zone.data or "",
        preferences=preferences.Preferences(
            preferences.Theme(form.theme.data),
            preferences.Density(form.density.data),
            form.has_shortcuts.data,
        ),
    )
    if person.mail_address != old_address:
        mail_account_change(web.db(), person, AccountChange.MAIL_ADDRESS, to=old_address)
    web.db().commit()
    return redirect(url_for(".account", saved=1), 303)


def _account_page(form: AccountForm, *, status: int = 200) -> Response:
    me = access.current_person()
    return web.page(
        "accounts/account.html",
        form=form,
        person=me,
        session_count=len(sessions.sessions_of(web.db(), me.id, idle=web.settings().session_idle)),
        saved="saved" in request.args,
        password_changed="password" in request.args,
        status=status,
    )


@blueprint.get("/account/password")
@access.requires(Permission.VIEW)
@access.allows_temporary_password
def password_page() -> Response:
    """The form for a new password."""
    return _password_page(PasswordForm())


@blueprint.post("/account/password")
@access.requires(Permission.VIEW)
@access.allows_temporary_password
def change_password() -> Response:
    """Change the password. All other sessions of the person end."""
    form = PasswordForm()
    if not form.validate():
        return _password_page(form, status=422)
    me = access.current_person()
    current, new = form.current_password.data or "", form.new_password.data or ""
    try:
        is_correct = _person_with_password(me.username, current) is not None
    except throttle.TooManyAttempts as error:
        form.form_errors.append(presenters.too_many_attempts(error.seconds))
        return _with_retry_after(_password_page(form, status=429), error)
    if not is_correct:
        form.current_password.errors = [presenters.INCORRECT_PASSWORD]
        return _password_page(form, status=422)
    web.db().commit()  # the failures that the correct password has cleared
    problem = password_problem(new, me.username, me.full_name, *me.supplier_ids)
    if problem or new == current:
        sentence = presenters.PASSWORD_PROBLEMS[problem] if problem else presenters.PASSWORD_UNCHANGED
        form.new_password.errors = [sentence]
        return _password_page(form, status=422)
    password_hash = hash_password(new)
    person = queries.person_by_id(web.db(), me.id, lock=True) or abort(404)
    if person.password_hash != me.password_hash:  # changed meanwhile
        form.current_password.errors = [presenters.INCORRECT_PASSWORD]
        return _password_page(form, status=422)
    service.set_password(web.db(), person, password_hash, keep=access.current_session().id)
    mail_account_change(web.db(), person, AccountChange.PASSWORD)
    web.db().commit()
    return redirect(
        url_for("reports.home") if me.must_change_password else url_for(".account", password=1), 303
    )


def _password_page(form: PasswordForm, *, status: int = 200) -> Response:
    is_temporary = access.current_person().must_change_password
    return web.page("accounts/password.html", form=form, is_temporary=is_temporary, status=status)


@blueprint.get("/account/confirm")
@access.requires(Permission.VIEW)
def confirm_page() -> Response:
    """Ask for the password again before a sensitive action."""
    return web.page("accounts/confirm.html", form=ConfirmForm())


@blueprint.post("/account/confirm")
@access.requires(Permission.VIEW)
def confirm() -> Response:
    """Continue if the password is correct."""
    form = ConfirmForm()
    if not form.validate():
        return web.page("accounts/confirm.html", form=form, status=422)
    username = access.current_person().username
    try:
        person = _person_with_password(username, form.password.data or "")
    except throttle.TooManyAttempts as error:
        form.form_errors.append(presenters.too_many_attempts(error.seconds))
        return _with_retry_after(web.page("accounts/confirm.html", form=form, status=429), error)
    if person is None:
        form.password.errors = [presenters.INCORRECT_PASSWORD]
        return web.page("accounts/confirm.html", form=form, status=422)
    sessions.confirm(web.db(), access.current_session().id)
    web.db().commit()
    return redirect(_next_page(), 303)


@blueprint.get("/account/form/<token>")
@access.requires(Permission.VIEW)
def show_kept_form(token: str) -> Any:
    """Show a form again that was sent after its session ended."""
    kept_form = form_storage.find(web.db(), token)
    if kept_form is None:
        return web.error_page(404, "Form expired", "Forms are kept for one hour. Fill it in again.")
    return access.show_again(kept_form)


@blueprint.get("/account/sessions")
@access.requires(Permission.VIEW)
def my_sessions() -> Response:
    """The signed-in person's own sessions."""
    me = access.current_person()
    return web.page(
        "accounts/sessions.html",
        sessions=sessions.sessions_of(web.db(), me.id, idle=web.settings().session_idle),
        current_id=access.current_session().id,
        revoked="revoked" in request.args,
    )


@blueprint.post("/account/sessions/<int:session_id>/revoke")
@access.requires(Permission.VIEW)
def revoke_session(session_id: int) -> Response:
    """End one of the signed-in person's own sessions."""
    if not service.revoke_sessions(web.db(), access.current_person(), session_id):
        abort(404)
    web.db().commit()
    if session_id == access.current_session().id:
        session.clear()
        return redirect(url_for(".login"), 303)
    return redirect(url_for(".my_sessions", revoked=1), 303)


def _suppliers_page(invalid: DeviceTagForm | None = None, *, status: int = 200) -> Response:
    settings = queries.supplier_settings(web.db())
    forms = {
        b2b_id: invalid if invalid and invalid.b2b_id.data == b2b_id else _device_tag_form(b2b_id, supplier)
        for b2b_id, supplier in settings.items()
    }
    saved = request.args.get("saved")
    return web.page(
        "accounts/suppliers.html",
        rows=presenters.supplier_rows(
            settings, forms, supplier_names(web.db(), settings), queries.staff_of_suppliers(web.db())
        ),
        device_tags=[tag.value for tag in DeviceTag],
        saved=saved,
        status=status,
    )


def _device_tag_form(b2b_id: str, supplier: Supplier | None) -> DeviceTagForm:
    name = supplier.device_tag_name if supplier else ""
    value = supplier.device_tag_value if supplier else ""
    return DeviceTagForm(formdata=None, b2b_id=b2b_id, device_tag_name=name, device_tag_value=value)


def _suppliers() -> dict[str, str]:
    """The known supplier ids, of people and of orders, with their names."""
    ids = sorted({*queries.supplier_settings(web.db()), *ordered_supplier_ids(web.db())} - {""})
    names = supplier_names(web.db(), ids)
    return {b2b_id: names.get(b2b_id, "") for b2b_id in ids}


def _user_page(
    person: Person, form: PersonForm | None = None, *, password: str = "", status: int = 200
) -> Response:
    if form is None:
        form = PersonForm(
            suppliers=_suppliers(),
            formdata=None,
            full_name=person.full_name,
            mail_address=person.mail_address,
            role=person.role.value,
            known_supplier_ids=sorted(person.supplier_ids),
            active=person.active,
            version=version_of(service.audit_fields(person)),
        )
    saved = "saved" in request.args
    return web.page(
        "accounts/user.html",
        form=form,
        person=person,
        password=password,
        saved=saved,
        ended="ended" in request.args,
        status=status,
    )


def _person_with_password(username: str, password: str, address: str | None = None) -> Person | None:
    """The active person with this username and password; failures are counted, also for the address if given.

    It must not follow a query of the request: hashing is slow, and would hold the lock of SQLite.
    Errors: throttle.TooManyAttempts.
    """
    account = throttle.of_account(username)
    of_address = throttle.of_address(throttle.ThrottleKind.ADDRESS, address) if address else None
    keys = [account, of_address] if of_address else [account]
    with web.database().reading() as reading:
        throttle.check(reading, keys)
        person = queries.person_by_username(reading, username)
    with web.database().writing() as writing:
        delayed = throttle.begin_attempt(writing, keys)
        writing.commit()
    is_correct = is_password(person.password_hash if person else None, password)
    if person and is_correct:
        # The password may have been changed, or the account deactivated, while the password was hashed.
        locked = queries.person_by_id(web.db(), person.id, lock=True)
        if locked and locked.active and locked.password_hash == person.password_hash:
            throttle.clear_failures(web.db(), account, of_address)
            return locked
    trail.record_failed_sign_in(web.db(), person.username if person else "", person.id if person else None)
    service.record_throttling(web.db(), person, delayed)
    web.db().commit()
    return None


def _with_retry_after(response: Response, error: throttle.TooManyAttempts) -> Response:
    response.headers["Retry-After"] = str(error.seconds)
    return response


def _next_page() -> str:
    return web.local_path(request.args.get("next")) or "/"
