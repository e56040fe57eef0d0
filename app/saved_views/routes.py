"""Save, rename and delete views; lists show them above their filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, redirect, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.saved_views import service
from app.saved_views.forms import DeleteForm, NameForm, SaveForm
from app.saved_views.models import SavedView
from app.saved_views.presenters import LIST_NAMES, PROBLEMS, filter_chips
from app.ui import web
from app.ui.listing import ActiveFilter

blueprint = Blueprint("saved_views", __name__, url_prefix="/views")
VIEW = "/<int(max=9223372036854775807):view_id>"


@blueprint.app_context_processor
def _template_context() -> dict[str, object]:
    return {"saved_views": _own_views, "view_url": service.view_url}


def _own_views(page: str) -> Sequence[SavedView]:
    if not current_user.is_authenticated:
        return ()
    return service.views_of(web.db(), access.current_person().id, page)


@blueprint.app_template_filter("filter_chips")
def _filter_chips(view: SavedView) -> list[ActiveFilter]:
    """The filters of a view."""
    return filter_chips(view.page, view.query, web.zone())


@blueprint.app_template_filter("query_string")
def _query_string(query: Mapping[str, Any]) -> str:
    """A filter as a query string."""
    return urlencode(query)


@blueprint.get("")
@access.requires(Permission.VIEW)
def index() -> Response:
    """The reader's views, to rename or delete."""
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
            access.current_person().id,
            page=form.page.data or "",
            name=form.name.data or "",
            query=form.query.data or "",
        )
    except service.CannotSave as error:
        return _page([PROBLEMS[error.problem]], status=422)
    web.db().commit()
    return redirect(service.view_url(view), 303)


@blueprint.post(VIEW + "/rename")
@access.requires(Permission.VIEW)
def rename(view_id: int) -> AnyResponse:
    """Rename a view."""
    view = service.find_view(web.db(), access.current_person().id, view_id) or abort(404)
    form = NameForm()
    if not form.validate():
        return _page([error for errors in form.errors.values() for error in errors], status=422)
    try:
        service.rename(web.db(), view, form.name.data or "")
    except service.CannotSave as error:
        return _page([PROBLEMS[error.problem]], status=422)
    web.db().commit()
    return redirect(url_for(".index"), 303)


@blueprint.post(VIEW + "/delete")
@access.requires(Permission.VIEW)
def delete(view_id: int) -> AnyResponse:
    """Delete a view."""
    view = service.find_view(web.db(), access.current_person().id, view_id) or abort(404)
    if not DeleteForm().validate():
        abort(400)
    web.db().delete(view)
    web.db().commit()
    return redirect(url_for(".index"), 303)


def _page(errors: Sequence[str] = (), status: int = 200) -> Response:
    return web.page(
        "saved_views/index.html",
        status=status,
        views=service.views_of(web.db(), access.current_person().id),
        list_names=LIST_NAMES,
        errors=errors,
    )
