"""The pages of items: what needs attention, one item, and what was resolved."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.accounts.models import Person
from app.accounts.permissions import ROLE_PERMISSIONS
from app.attention import queries, service
from app.attention.forms import ASSIGNEES, AssignForm, AttentionForm, ReasonForm
from app.attention.items import Item, find_item
from app.attention.presenters import BLOCKERS, CONFIRMATIONS
from app.notifications.queries import people_of_supplier, people_with_roles
from app.ui import web
from app.ui.listing import read_filter

blueprint = Blueprint("attention", __name__, url_prefix="/attention")
ASSIGNABLE_ROLES = [role for role, verbs in ROLE_PERMISSIONS.items() if Permission.RESEND in verbs]


@blueprint.get("")
@access.requires(Permission.VIEW)
def index() -> Response:
    """The items that need attention, each with its cause and the next step."""
    form = AttentionForm(request.args)
    values, notices = read_filter(form, web.zone())
    page = queries.attention_page(web.db(), _reader(), **values)
    next_url = url_for(".index", **{**values, "after": page.next_after}) if page.next_after else None
    return web.page(
        "attention/index.html",
        form=form,
        notices=notices,
        page=page,
        next_url=next_url,
        assignees=ASSIGNEES,
    )


@blueprint.get("/closed")
@access.requires(Permission.VIEW)
def resolved() -> Response:
    """The resolved items, with who resolved them and why."""
    after = request.args.get("after", type=int)
    if after is not None and not 0 < after < 2**31:
        after = None
    page = queries.resolved_page(web.db(), _reader(), after)
    return web.page("attention/resolved.html", page=page, after=after)


@blueprint.get("/<key>")
@access.requires(Permission.VIEW)
def item(key: str) -> Response:
    """One item: its cause, the next step and its history."""
    return _item_page(_find_or_404(key), ReasonForm())


@blueprint.post("/<key>/assign")
@access.requires(Permission.RESEND)
def assign(key: str) -> AnyResponse:
    """Assign an item to a person, or unassign it."""
    item, form = _find_or_404(key, lock=True), AssignForm()
    people = {person.id: person for person in _assignable(item)}
    if not form.validate() or (form.person.data is not None and form.person.data not in people):
        return _item_page(item, ReasonForm(formdata=None), 422, "Choose a user from the list.")
    person = people[form.person.data] if form.person.data is not None else None
    done = "assigned" if person else "unassigned"
    return _run(item, lambda by: service.assign(web.db(), item, person, by=by), done)


@blueprint.post("/<key>/close")
@access.requires(Permission.RESEND)
@access.keeps_form
def resolve(key: str) -> AnyResponse:
    """Resolve an item for a reason."""
    item, form = _find_or_404(key, lock=True), ReasonForm()
    if not form.validate():
        return _item_page(item, form, 422)
    reason = form.reason.data or ""
    return _run(item, lambda by: service.resolve(web.db(), item, by=by, reason=reason), "resolved")


@blueprint.post("/<key>/reopen")
@access.requires(Permission.RESEND)
def reopen(key: str) -> AnyResponse:
    """Reopen a resolved item for a reason."""
    item, form = _find_or_404(key, lock=True), ReasonForm()
    if not form.validate():
        return _item_page(item, form, 422)
    reason = form.reason.data or ""
    return _run(item, lambda by: service.reopen(web.db(), item, by=by, reason=reason), "reopened")


def _run(item: Item, command: Callable[[Person], None], done: str) -> AnyResponse:
    try:
        command(access.current_person())
    except service.CannotHandle as error:
        return _item_page(item, ReasonForm(formdata=None), 409, BLOCKERS[error.blocker])
    web.db().commit()
    return web.redirect_after_post(url_for(".item", key=item.key, done=done))


def _reader() -> queries.Reader:
    me = access.current_person()
    return queries.Reader(access.visible_suppliers(), me.id, access.can(Permission.TRIAGE))


def _find_or_404(key: str, *, lock: bool = False) -> Item:
    item = find_item(web.db(), access.visible_suppliers(), key, lock=lock) or abort(404)
    if not item.message and not access.can(Permission.TRIAGE):
        abort(404)
    return item


def _item_page(item: Item, form: ReasonForm, status: int = 200, error: str = "") -> Response:
    return web.page(
        "attention/item.html",
        status=status,
        item=queries.with_history(web.db(), item),
        form=form,
        error=error,
        done=CONFIRMATIONS.get(request.args.get("done", "")),
        people=_assignable(item),
    )


def _assignable(item: Item) -> list[Person]:
    """The people who can handle an item, by name: support, and for a response the staff who can respond."""
    people = [*people_with_roles(web.db(), ASSIGNABLE_ROLES)]
    if item.message:
        people += people_of_supplier(web.db(), item.supplier_b2b_id)
    return sorted(people, key=lambda person: person.display_name.casefold())
