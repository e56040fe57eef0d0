"""Labels and sentences for saved views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from app.inbound.forms import InboundFilterForm
from app.orders.forms import SORT_NAMES, OrderFilterForm
from app.saved_views.service import MAX_VIEWS, Problem
from app.ui.listing import ActiveFilter, active_filters, read_filter
from app.webhooks.forms import MessageFilterForm

LIST_NAMES = {"orders": "Orders", "webhooks": "Outgoing", "inbound": "Incoming"}
PROBLEMS = {
    Problem.UNKNOWN_LIST: "This list has no views.",
    Problem.NO_FILTER: "Add a filter before saving a view.",
    Problem.TOO_MANY: f"You've reached the limit of {MAX_VIEWS} views.",
    Problem.NAME_TAKEN: "Another view of this list has this name.",
    Problem.TOO_LONG: "This filter is too long to save.",
}
_FORMS: dict[str, Callable[..., Any]] = {
    "orders": OrderFilterForm,
    "webhooks": MessageFilterForm,
    "inbound": InboundFilterForm,
}


def filter_chips(page: str, query: str, zone: ZoneInfo) -> list[ActiveFilter]:
    """The filters of a view, labeled as above its list, and its sort order unless it is the default."""
    values = MultiDict(parse_qsl(query))
    form = _FORMS[page](values)
    filters, _ = read_filter(form, zone)
    chips = active_filters(form, filters)
    sort = values.get("sort", "")
    if sort in SORT_NAMES:
        chips.append(ActiveFilter("sort", "Sorted", SORT_NAMES[sort]))
    return chips
