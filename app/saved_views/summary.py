"""What a kept view narrows its list to, in the words of that list's filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from app.inbound.forms import InboundFilterForm
from app.orders.forms import SORT_NAMES, OrderFilterForm
from app.ui.fields import InForce, in_force, read_filter
from app.webhooks.forms import MessageFilterForm

_FORMS: dict[str, Callable[..., Any]] = {
    "orders": OrderFilterForm,
    "webhooks": MessageFilterForm,
    "inbound": InboundFilterForm,
}


def narrowing(page: str, query: str, zone: ZoneInfo) -> list[InForce]:
    """What narrows the list, as it stands above the list itself, and how that is sorted if not as usual."""
    given = MultiDict(parse_qsl(query))
    form = _FORMS[page](given)
    values, _ = read_filter(form, zone)
    found = in_force(form, values)
    order = given.get("sort", "")
    if order in SORT_NAMES:
        found.append(InForce("sort", "Sorted", SORT_NAMES[order]))
    return found
