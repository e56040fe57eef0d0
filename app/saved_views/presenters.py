"""Labels and sentences for saved views."""

from __future__ import annotations

from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from app.accounts.models import Person
from app.accounts.permissions import Permission, can
from app.audit.listing import AUDIT
from app.inbound.listing import INBOUND
from app.orders.forms import SORT_NAMES
from app.orders.listing import ORDERS
from app.saved_views.models import SavedView
from app.saved_views.service import VIEWS_MAX, Problem
from app.ui.listing import ActiveFilter, Options, active_filters, read_filter
from app.webhooks.listing import WEBHOOKS

LISTINGS = {listing.name: listing for listing in (ORDERS, WEBHOOKS, INBOUND, AUDIT)}
"""The lists with views."""
PROBLEMS = {
    Problem.UNKNOWN_LIST: "This list has no views.",
    Problem.NO_FILTER: "Add a filter before saving a view.",
    Problem.TOO_MANY: f"You've reached the limit of {VIEWS_MAX} views.",
    Problem.NAME_TAKEN: "This list already has a view with this name.",
    Problem.TOO_LONG: "This filter is too long to save.",
}


def sharing_label(view: SavedView, reader: Person) -> str:
    """Who shared a view."""
    return "Shared" if view.person_id == reader.id else f"Shared by {view.owner.display_name}"


def team_label(reader: Person) -> str:
    """The people who see the views that the reader shares."""
    if can(reader, Permission.VIEW_ALL):
        return "managers, support and administrators"
    return "everyone who works for one of your suppliers"


def filter_chips(page: str, query: str, zone: ZoneInfo) -> list[ActiveFilter]:
    """The filters of a view, labeled as above its list, and its sort order unless it is the default."""
    values = MultiDict(parse_qsl(query))
    listing = LISTINGS[page]
    form = listing.form(values)
    filters, _ = read_filter(form, zone)
    chips = active_filters(form, filters, Options(**listing.options))
    sort = values.get("sort", "")
    if sort in SORT_NAMES:
        chips.append(ActiveFilter("sort", "Sorted", SORT_NAMES[sort]))
    return chips
