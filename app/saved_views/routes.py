"""Keeping, naming and forgetting views; the lists show them above their filters."""

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
from app.saved_views.forms import ForgetForm, KeepForm, NameForm
from app.saved_views.models import SavedView
from app.saved_views.summary import narrowing
from app.ui import web
from app.ui.fields import InForce

blueprint = Blueprint("saved_views", __name__, url_prefix="/views")
VIEW = "/<int(max=9223372036854775807):view_id>"


@blueprint.app_context_processor
def _give() -> dict[str, object]:
    return {"saved_views": _mine, "view_url": service.where}


def _mine(page: str) -> Sequence[SavedView]:
    if not current_user.is_authenticated:
        return ()
    return service.views_of(web.db(), access.current_person().id, page)


@blueprint.app_template_filter("narrowing")
def _narrowing(view: SavedView) -> list[InForce]:
    """What filters of its list a view sets."""
    return narrowing(view.page, view.query, web.zone())


@blueprint.app_template_filter("address")
def _address(query: Mapping[str, Any]) -> str:
    """A filter as it stands in an address."""
    return urlencode(query)


@blueprint.get("")
@access.requires(Permission.VIEW)
def index() -> Response:
    """One's own views, to name anew or to delete."""
    return _page()


@blueprint.post("")
@access.requires(Permission.VIEW)
def add() -> AnyResponse:
    """Keep a filter under a name, and go back to the list as it is narrowed."""
    form = KeepForm()
    if not form.validate():
        return _page([error for errors in form.errors.values() for error in errors], status=422)
    try:
        kept = service.keep(
            web.db(),
            access.current_person().id,
            page=form.page.data or "",
            name=form.name.data or "",
            query=form.query.data or "",
        )
    except service.CannotKeep as blocker:
        return _page([str(blocker)], status=422)
    web.db().commit()
    return redirect(service.where(kept), 303)


@blueprint.post(VIEW + "/rename")
@access.requires(Permission.VIEW)
def rename(view_id: int) -> AnyResponse:
    """Give a view another name."""
    kept = service.view(web.db(), access.current_person().id, view_id) or abort(404)
    form = NameForm()
    if not form.validate():
        return _page([error for errors in form.errors.values() for error in errors], status=422)
    try:
        service.rename(web.db(), kept, form.name.data or "")
    except service.CannotKeep as blocker:
        return _page([str(blocker)], status=422)
    web.db().commit()
    return redirect(url_for(".index"), 303)


@blueprint.post(VIEW + "/delete")
@access.requires(Permission.VIEW)
def delete(view_id: int) -> AnyResponse:
    """Forget a view; the list itself stays as it is."""
    kept = service.view(web.db(), access.current_person().id, view_id) or abort(404)
    if not ForgetForm().validate():
        abort(400)
    web.db().delete(kept)
    web.db().commit()
    return redirect(url_for(".index"), 303)


def _page(errors: Sequence[str] = (), status: int = 200) -> Response:
    return web.page(
        "saved_views/index.html",
        status=status,
        views=service.views_of(web.db(), access.current_person().id),
        names=service.NAMES,
        errors=errors,
    )
