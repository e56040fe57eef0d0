"""One listing for orders, webhooks, incoming messages and the audit trail.

To add a filter, add a field to the list's filter form, the same name to its filter dataclass and a condition
to its query, and print the field in the list's template. Reading the query string, notices about invalid
values, chips, paging and the check for new rows follow from the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, url_for
from wtforms import Form, SelectField

from app.ui import web
from app.ui.fields import Moment


class Listing:
    """A list as one request asks for it: its filter form, and the URLs that keep the filter.

    ``values`` are the valid filters, with the page; ``filters`` leave out the page and the default sort.
    """

    def __init__(self, form: Form, endpoint: str, *, newer_endpoint: str = "") -> None:
        self.form = form
        self.endpoint = endpoint
        self.newer_endpoint = newer_endpoint
        self.values, self.notices = read_filter(form, web.zone())

    @property
    def filters(self) -> dict[str, Any]:
        """The filters of all pages of the list."""
        sort = self.form["sort"].default if "sort" in self.form else None
        return {
            name: value
            for name, value in self.values.items()
            if name != "after" and not (name == "sort" and value == sort)
        }

    def url(self, **more: Any) -> str:
        """The URL of the list with its filters and ``more`` parameters."""
        return url_for(self.endpoint, **url_values({**self.filters, **more}))

    def newer_url(self, newest: str) -> str:
        """The URL that counts rows newer than the row ``newest``."""
        return url_for(self.newer_endpoint, **url_values({**self.filters, "than": newest}))

    def context(self, next_after: object = None) -> dict[str, Any]:
        """What the template of a list needs. ``next_after`` is the key of the next page, if any."""
        return {
            "form": self.form,
            "notices": self.notices,
            "query": url_values(self.filters),
            "filtered": bool(self.filters),
            "chips": active_filters(self.form, self.values),
            "next_url": self.url(after=next_after) if next_after else None,
            "first_url": self.url() if "after" in self.values else "",
        }

    def new_rows(self, template: str, count: int, newest: str) -> Response:
        """The fragment that says how many rows are new, and keeps asking while there are none."""
        return web.page(
            template,
            "ui/_new_rows.html",
            count=count,
            newer_url=self.newer_url(newest),
            first_url=self.url(),
        )


def read_filter(form: Form, zone: ZoneInfo) -> tuple[dict[str, Any], list[str]]:
    """The valid values of a filter form, and a notice for each invalid one, which is ignored.

    A time without a zone is in ``zone``, the reader's.
    """
    form.validate()
    values: dict[str, Any] = {}
    notices = []
    for field in form:
        if field.errors:
            notices.append(f"{field.label.text}: “{_short(field)}” is ignored. {field.errors[0]}")
            field.data, field.raw_data = field.default, None
        value = field.moment if isinstance(field, Moment) else field.data
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=zone)
        if value not in (None, ""):
            values[field.short_name] = value.strip() if isinstance(value, str) else value
    return values, notices


def url_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a filter as a URL has them."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """A filter that is set: its query parameter, its label and its value."""

    name: str
    label: str
    value: Any

    @property
    def is_time(self) -> bool:
        """Whether to show the value in the reader's time zone."""
        return isinstance(self.value, datetime)


def active_filters(form: Form, values: Mapping[str, Any]) -> list[ActiveFilter]:
    """The filters that are set, in the order of the form, without the sort and the page."""
    filters = []
    for field in form:
        if field.short_name in ("after", "sort") or field.short_name not in values:
            continue
        value = values[field.short_name]
        if isinstance(field, SelectField):
            value = next((label for choice, label, *_ in field.iter_choices() if choice == value), value)
        label = "Search" if field.short_name == "q" else field.label.text
        filters.append(ActiveFilter(field.short_name, label, value))
    return filters


def _short(field: Any) -> str:
    text = field.raw_data[0] if field.raw_data else ""
    return text if len(text) <= 40 else text[:39] + "…"
