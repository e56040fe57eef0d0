"""One search over everything, as a page and as the list of the palette."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.accounts import access
from app.accounts.access import Permission
from app.saved_views.service import views_of
from app.search import presenters
from app.search.forms import SearchForm
from app.search.queries import search
from app.ui import web
from app.ui.listing import read_filter

blueprint = Blueprint("search", __name__)
blueprint.add_app_template_global(presenters.open_pages)


@blueprint.get("/search")
@access.requires(Permission.VIEW)
def index() -> Response:
    """Orders, webhooks, incoming messages, audit entries, pages and views that match ``q``."""
    form, person = SearchForm(request.args), access.current_person()
    values, notices = read_filter(form, web.zone())
    text = values.get("q", "")
    sees_audit = access.can(Permission.VIEW_AUDIT_TRAIL)
    results = search(web.db(), access.visible_suppliers(), text, sees_audit=sees_audit)
    return web.page(
        "search/search.html",
        "search/_results.html",
        form=form,
        text=text,
        notices=notices,
        groups=presenters.groups(results, text, views_of(web.db(), person)),
    )
