"""Save, share and delete views, choose the one to start with, and the columns of lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, g, redirect, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access, preferences
from app.accounts import queries as people
from app.accounts.access import Permission
from app.accounts.models import Person
from app.accounts.presenters import DENSITIES
from app.accounts.service import update_preferences
from app.saved_views import service
from app.saved_views.forms import ColumnsForm, SaveForm, ViewForm
from app.saved_views.models import SavedView
from app.saved_views.presenters import LISTINGS, PROBLEMS, filter_chips, sharing_label, team_label
from app.ui import web
from app.ui.listing import ActiveFilter

blueprint = Blueprint("saved_views", __name__, url_prefix="/views")
VIEW = "/<int:view_id>"


@blueprint.app_context_processor
def _template_context() -> dict[str, object]:
    return {
        "saved_views": _views,
        "view_url": service.view_url,
        "home_url": _home_url,
        "density_labels": DENSITIES,
    }


def _views(page: str) -> Sequence[SavedView]:
    if not current_user.is_authenticated:
        return ()
    views: dict[str, Sequence[SavedView]] = g.setdefault("saved_views", {})
    if page not in views:
        views[page] = service.views_of(web.db(), access.current_person(), page)
    return views[page]


def _home_url() -> str:
    """The URL of Home: ``/`` opens the start view of those who have one."""
    has_start_view = access.current_person().preferences.get(service.START_VIEW)
    return url_for("reports.home_page" if has_start_view else "reports.home")


@blueprint.app_template_filter("filter_chips")
def _filter_chips(view: SavedView) -> list[ActiveFilter]:
    """The filters of a view."""
    return filter_chips(view.page, view.query, web.zone())


@blueprint.app_template_filter("sharing_label")
def _sharing_label(view: SavedView) -> str:
    return sharing_label(view, access.current_person())


@blueprint.app_template_filter("query_string")
def _query_string(query: Mapping[str, Any]) -> str:
    """A filter as a query string."""
    return urlencode(query)


@blueprint.get("")
@access.requires(Permission.VIEW)
def index() -> Response:
    """The views that the reader sees, to change or delete."""
    return _page()


@blueprint.post("")
@access.requires(Permission.VIEW)
def add() -> AnyResponse:
    """Save a filter as a view and return to the list."""
    form = SaveForm()
    if not form.validate():
        return _page([error for errors in form.errors.values() for error in errors], status=422)
    try:
        view = service.save(
            web.db(),
            access.current_person(),
            page=form.page.data or "",
            name=form.name.data or "",
            query=form.query.data or "",
            is_shared=form.is_shared.data,
        )
    except service.CannotSave as error:
        return _page([PROBLEMS[error.problem]], status=422)
    web.db().commit()
    return redirect(service.view_url(view), 303)


@blueprint.post(VIEW + "/rename")
@access.requires(Permission.VIEW)
def rename(view_id: int) -> AnyResponse:
    """Rename a view, and share it or stop sharing it."""
    view = _editable(view_id)
    form = ViewForm()
    if not form.validate():
        errors = [error for errors in form.errors.values() for error in errors]
        return _page(errors, status=422, typed_names={view.id: form.name.data})
    try:
        service.change(web.db(), view, name=form.name.data or "", is_shared=form.is_shared.data)
    except service.CannotSave as error:
        return _page([PROBLEMS[error.problem]], status=422, typed_names={view.id: form.name.data})
    web.db().commit()
    return redirect(url_for(".index"), 303)


@blueprint.post(VIEW + "/delete")
@access.requires(Permission.VIEW)
def delete(view_id: int) -> AnyResponse:
    """Delete a view."""
    view = _editable(view_id)
    service.delete(web.db(), view)
    web.db().commit()
    return redirect(url_for(".index"), 303)


@blueprint.post(VIEW + "/start")
@access.requires(Permission.VIEW)
def start_with(view_id: int) -> AnyResponse:
    """Open this view after sign-in and at ``/``."""
    view = service.find_view(web.db(), access.current_person(), view_id) or abort(404)
    return _set_start_view(view)


@blueprint.post("/start")
@access.requires(Permission.VIEW)
def start_with_home() -> AnyResponse:
    """Open Home after sign-in and at ``/``."""
    return _set_start_view(None)


def _set_start_view(view: SavedView | None) -> AnyResponse:
    service.set_start_view(web.db(), _locked_person(), view)
    web.db().commit()
    return redirect(url_for(".index"), 303)


def _editable(view_id: int) -> SavedView:
    """A view that the reader may change. Errors: 404 and 403."""
    person = access.current_person()
    view = service.find_view(web.db(), person, view_id, locked=True) or abort(404)
    if not service.may_edit(person, view):
        abort(403)
    return view


def _locked_person() -> Person:
    return people.person_by_id(web.db(), access.current_person().id, lock=True) or abort(404)


@blueprint.post("/columns/<name>")
@access.requires(Permission.VIEW)
def change_columns(name: str) -> AnyResponse:
    """Choose the columns and the density of a list, and return to it."""
    listing = LISTINGS.get(name) or abort(404)
    if not access.can(listing.permission):
        abort(403)
    names = [column.name for column in listing.columns if column.is_optional]
    form = ColumnsForm(names)
    if not form.validate():
        abort(400)
    person = _locked_person()
    chosen = None if form.reset.data else form.columns.data or []
    columns = preferences.with_columns(person.preferences, name, chosen)
    changes = {preferences.COLUMNS: columns, "density": form.density.data}
    update_preferences(web.db(), person, changes)
    web.db().commit()
    query = _query(form)
    return redirect(url_for(listing.endpoint) + (f"?{query}" if query else ""), 303)


def _query(form: ColumnsForm) -> str:
    """The filter of the list, empty if it is too long."""
    try:
        return service.normalize_query(form.query.data or "")
    except service.CannotSave:
        return ""


def _page(
    errors: Sequence[str] = (),
    status: int = 200,
    typed_names: Mapping[int, str | None] | None = None,
) -> Response:
    return web.page(
        "saved_views/index.html",
        status=status,
        views=service.views_of(web.db(), access.current_person()),
        team_of_reader=team_label(access.current_person()),
        start_view=service.start_view(web.db(), access.current_person()),
        may_edit=lambda view: service.may_edit(access.current_person(), view),
        listings=LISTINGS,
        errors=errors,
        typed_names=typed_names or {},
    )
