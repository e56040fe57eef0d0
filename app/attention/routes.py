"""What needs attention, one thing of it, and what was closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.attention import queries, service
from app.attention.forms import AssignForm, AttentionForm, ReasonForm
from app.attention.items import Subject, subject
from app.ui import web
from app.ui.fields import read_filter

blueprint = Blueprint("attention", __name__, url_prefix="/attention")
SUPPORTERS = [role for role, verbs in access.MAY.items() if Permission.RESEND in verbs]


@blueprint.get("")
@access.needs(Permission.SEE)
def index() -> Response:
    """What needs attention, each with its cause and the next step."""
    form = AttentionForm(request.args)
    values, notices = read_filter(form, web.zone())
    found = queries.needing(web.db(), _reader(), queries.Wanted(**values))
    next_url = None
    if found.next_after:
        next_url = url_for(".index", **{**values, "after": found.next_after})
    return web.page(
        "attention/index.html",
        form=form,
        notices=notices,
        found=found,
        next_url=next_url,
    )


@blueprint.get("/closed")
@access.needs(Permission.SEE)
def closed() -> Response:
    """What was closed, by whom and why."""
    after = request.args.get("after", type=int)
    if after is not None and not 0 < after < 2**31:
        after = None
    found = queries.closed(web.db(), _reader(), after)
    return web.page("attention/closed.html", found=found, after=after)


@blueprint.get("/<key>")
@access.needs(Permission.SEE)
def one(key: str) -> Response:
    """One thing: its cause, the next step, and all that was done about it."""
    return _page(_found(key), ReasonForm())


@blueprint.post("/<key>/assign")
@access.needs(Permission.RESEND)
def assign(key: str) -> AnyResponse:
    """Hand it over to somebody, or to nobody."""
    found, form = _found(key, lock=True), AssignForm()
    people = {person.id: person for person in queries.supporters(web.db(), SUPPORTERS)}
    if not form.validate() or (form.person.data is not None and form.person.data not in people):
        return _page(found, ReasonForm(formdata=None), 422, "There is no such person to hand it over to.")
    person = people[form.person.data] if form.person.data is not None else None
    return _do(found, lambda by: service.assign(web.db(), found, person, by=by))


@blueprint.post("/<key>/close")
@access.needs(Permission.RESEND)
def close(key: str) -> AnyResponse:
    """Say that nothing more is to be done, and why."""
    found, form = _found(key, lock=True), ReasonForm()
    if not form.validate():
        return _page(found, form, 422)
    reason = form.reason.data or ""
    return _do(found, lambda by: service.close(web.db(), found, by=by, reason=reason))


@blueprint.post("/<key>/reopen")
@access.needs(Permission.RESEND)
def reopen(key: str) -> AnyResponse:
    """Take a closing back, for a reason."""
    found, form = _found(key, lock=True), ReasonForm()
    if not form.validate():
        return _page(found, form, 422)
    reason = form.reason.data or ""
    return _do(found, lambda by: service.reopen(web.db(), found, by=by, reason=reason))


def _do(found: Subject, press: Callable[[str], None]) -> AnyResponse:
    try:
        press(access.me().called)
    except service.CannotHandle as blocker:
        return _page(found, ReasonForm(formdata=None), 409, str(blocker))
    web.db().commit()
    return web.go(url_for(".one", key=found.key))


def _reader() -> queries.Reader:
    me = access.me()
    return queries.Reader(access.scope(), me.id, access.may(me, Permission.IMPORT))


def _found(key: str, *, lock: bool = False) -> Subject:
    found = subject(web.db(), access.scope(), key, lock=lock) or abort(404)
    if not found.message and not access.may(access.me(), Permission.IMPORT):
        abort(404)
    return found


def _page(found: Subject, form: ReasonForm, status: int = 200, error: str = "") -> Response:
    shown: dict[str, Any] = {"item": queries.item(web.db(), found), "form": form, "error": error}
    return web.page(
        "attention/one.html",
        status=status,
        people=queries.supporters(web.db(), SUPPORTERS),
        **shown,
    )
