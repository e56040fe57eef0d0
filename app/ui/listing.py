"""One listing for orders, webhooks, incoming messages and the audit trail.

Each list is declared once, as a ``Listing`` in the ``listing`` module of its package. Its filter form, chips,
pages, check for new rows, columns, saved views and export links follow from the declaration, in the shared
templates ``ui/listing.html`` and ``ui/_list.html``. A list's own template ``<name>/_cells.html`` has a macro
for each column.

To add a filter, add a field to the list's form, and one with its SQL condition to the filter of its query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, request, url_for
from sqlalchemy import Select
from werkzeug.datastructures import MultiDict
from wtforms import SelectField

from app.accounts import access
from app.accounts.permissions import Permission
from app.accounts.preferences import shown_columns
from app.db.filters import PAGE, SEARCH_WINDOW
from app.network.text import pluralize
from app.ui import web
from app.ui.fields import Moment
from app.ui.forms import Form
from app.ui.numbers import money, number
from app.ui.times import for_input, short_day

Choices = Sequence[tuple[str, str]]
"""Values and labels to choose from."""


class Options(Mapping[str, Choices]):
    """The choices of ``Choice`` fields by name. Each is queried only if the page needs it, and once."""

    def __init__(self, **sources: Callable[[], Choices]) -> None:
        self._sources = sources
        self._choices: dict[str, Choices] = {}

    def __getitem__(self, name: str) -> Choices:
        if name not in self._choices:
            self._choices[name] = self._sources[name]()
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the macro ``name`` in the list's template prints its cells.

    ``sort`` is the sort of its header. Readers may hide or show it if ``is_optional``; ``is_default`` says
    whether it is shown to readers who did not choose. An extra column is a line of its own on small screens.
    """

    name: str
    label: str
    sort: str = ""
    is_optional: bool = True
    is_default: bool = True
    is_extra: bool = False
    is_number: bool = False

    @property
    def classes(self) -> str:
        """The CSS classes of its header and cells."""
        number = " num" if self.is_number else ""
        return f"col-{self.name}{number}{' col-extra' if self.is_extra else ''}"


@dataclass(frozen=True, slots=True)
class EmptyList:
    """The content of an empty list: illustration, title, sentence, and the label of a link to all rows."""

    illustration: str
    title: str
    text: str
    link: str = ""


def no_matches(nouns: str, search: str, link: str) -> EmptyList:
    """What a list shows if no row matches the filters; ``search`` is the text searched for, if any."""
    search = f"“{search}” and " if search else ""
    return EmptyList("nothing", "No matches", f"No {nouns} match {search}these filters.", link)


def no_recent_matches(nouns: str, search: str) -> EmptyList:
    """What a list shows if a search of bodies found nothing in the rows that it covers."""
    latest = f"the latest {number(SEARCH_WINDOW)} {nouns}"
    text = f"No matches for “{search}” in {latest}. Older ones may match."
    return EmptyList("nothing", "No recent matches", text)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows below one heading; without a title there is none."""

    rows: Sequence[Any]
    title: str = ""
    partner: Any = None


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list.

    ``active_page`` names the link of the sidebar. ``newest`` is the id of the newest row, for the check for
    new ones. ``hidden`` columns are shown only to those who chose them. ``searched_back_to`` is set if a
    search did not read all rows. ``context`` is for the list's own templates.
    """

    groups: Sequence[Group]
    next_after: object
    title: str
    summary: str
    active_page: str
    newest: str
    empty: EmptyList
    can_select: bool = False
    hidden: frozenset[str] = frozenset()
    searched_back_to: datetime | None = None
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(len(group.rows) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Listing:
    """The declaration of a list.

    ``name`` names its templates, saved views and exports. ``bar`` names the filters beside the search;
    the others are below "More filters". ``load`` reads a page. ``newer_ids`` is the query for the rows after
    the mark of the newest one, which the view ``newer`` of the same blueprint counts. ``options`` are
    functions for the choices of ``Choice`` fields.
    """

    name: str
    title: str
    noun: tuple[str, str]
    endpoint: str
    form: type[Form]
    bar: tuple[str, ...]
    search_hint: str
    columns: tuple[Column, ...]
    load: Callable[[ListRequest], ListPage]
    newer_ids: Callable[[ListRequest, str], Select[Any]]
    options: Mapping[str, Callable[[], Choices]] = field(default_factory=dict)
    permission: Permission = Permission.VIEW
    counts_queues: bool = False

    @property
    def newer_endpoint(self) -> str:
        """The endpoint of the check for new rows."""
        return f"{self.endpoint.split('.', maxsplit=1)[0]}.newer"

    def page(self) -> Response:
        """The page of the list, or for htmx its rows and the parts that change with them."""
        list_request = ListRequest(self, request.args)
        page = self.load(list_request)
        return web.page(
            "ui/listing.html",
            "ui/_list.html",
            **page.context,
            list_request=list_request,
            listing=self,
            page=page,
            columns=list_request.columns(page.hidden),
            newer_url=list_request.newer_url(page.newest),
            next_url=list_request.url(after=page.next_after) if page.next_after else None,
            search_window=SEARCH_WINDOW,
        )

    def newer(self) -> Response:
        """The fragment that says how many rows are new; without htmx the list itself."""
        if not web.wants_fragment():
            return self.page()
        list_request = ListRequest(self, request.args)
        newest = request.args.get("than", "")[:40]
        newer = self.newer_ids(list_request, newest).limit(PAGE + 1)
        return web.page(
            "ui/_new_rows.html",
            listing=self,
            count=len(web.db().scalars(newer).all()),
            newer_url=list_request.newer_url(newest),
            first_url=list_request.url(),
            with_counts=self.counts_queues,
        )


class ListRequest:
    """A list as one request describes it.

    ``values`` are the valid filters, with the page. ``typed`` is the text of each field, valid or not.
    """

    def __init__(self, listing: Listing, query: MultiDict[str, str]) -> None:
        self.listing = listing
        self.form = listing.form(query)
        self.typed = {entry.short_name: entry.raw_data[0] for entry in self.form if entry.raw_data}
        self.values, self.notices = read_filter(self.form, web.zone())

    @cached_property
    def options(self) -> Options:
        """The values to choose from."""
        return Options(**self.listing.options)

    @property
    def default_sort(self) -> str:
        """The sort of the list without one in its URL; empty for a list that cannot be sorted."""
        return str(self.form["sort"].default) if "sort" in self.form else ""

    @property
    def sort(self) -> str:
        """The sort of the list."""
        return str(self.values.get("sort", self.default_sort))

    @property
    def filters(self) -> dict[str, Any]:
        """The filters of all pages of the list, without the page and the default sort."""
        return filters_of(self.form, self.values)

    @property
    def query(self) -> dict[str, Any]:
        """The filters as a URL has them."""
        return url_values(self.filters)

    @cached_property
    def chips(self) -> list[ActiveFilter]:
        """The filters that are set."""
        return active_filters(self.form, self.values, self.options)

    @property
    def is_first_page(self) -> bool:
        """Whether this is the first page."""
        return "after" not in self.values

    @property
    def bar_fields(self) -> list[Any]:
        """The filters beside the search."""
        return [self.form[name] for name in self.listing.bar]

    @property
    def more_fields(self) -> list[Any]:
        """The filters below "More filters"."""
        elsewhere = {"q", "after", *self.listing.bar}
        return [entry for entry in self.form if entry.short_name not in elsewhere]

    @property
    def has_errors(self) -> bool:
        """Whether a filter below "More filters" is invalid."""
        return any(entry.errors for entry in self.more_fields)

    def input_value(self, entry: Any) -> str:
        """The text of a field's input: as typed if it is invalid."""
        if entry.errors:
            return str(self.typed.get(entry.short_name, ""))
        if isinstance(entry, Moment):
            return for_input(entry.moment, web.zone())
        return "" if entry.data is None else str(url_values({"": entry.data})[""])

    def columns(self, hidden: frozenset[str] = frozenset()) -> list[Column]:
        """The columns that the reader sees; ``hidden`` ones only if chosen."""
        chosen = shown_columns(access.current_person().preferences, self.listing.name)
        return [
            column
            for column in self.listing.columns
            if not column.is_optional
            or (
                column.name in chosen
                if chosen is not None
                else column.is_default and column.name not in hidden
            )
        ]

    def drop_page(self, notice: str) -> None:
        """Show the first page, since the requested one is gone."""
        self.notices.append(notice)
        self.values.pop("after", None)

    def url(self, **more: Any) -> str:
        """The URL of the list with its filters and ``more`` parameters."""
        return url_for(self.listing.endpoint, **url_values({**self.filters, **more}))

    def sort_url(self, column: Column) -> str:
        """The URL that sorts by a column; by the same one again in reverse order."""
        sort = f"-{column.sort}" if self.sort == column.sort else column.sort
        return self.url(sort=None if sort == self.default_sort else sort)

    def direction(self, column: Column) -> str:
        """``ascending`` or ``descending`` if the list is sorted by the column; empty otherwise."""
        return {column.sort: "ascending", f"-{column.sort}": "descending"}.get(self.sort, "")

    def newer_url(self, newest: str) -> str:
        """The URL that counts rows newer than the row ``newest``."""
        return url_for(self.listing.newer_endpoint, **url_values({**self.filters, "than": newest}))

    def newest(self, rows: Sequence[Any], ids: Callable[[], Select[Any]]) -> str:
        """The id of the newest row: on the first page the first row, on other pages the newest of ``ids``.

        ``ids`` returns the query for the ids of all pages.
        """
        if self.is_first_page:
            return str(rows[0].id) if rows else ""
        query = ids()
        return str(web.db().scalar(query.order_by(query.selected_columns[0].desc()).limit(1)) or "")

    def shown(self, count: int, *, is_last: bool) -> str:
        """How many rows the page shows."""
        suffix = "" if is_last and self.is_first_page else " on this page"
        return pluralize(count, *self.listing.noun) + suffix


def new_rows_text(count: int, noun: tuple[str, str]) -> str:
    """How many rows are new: ``3 new orders``; counting stops after one page."""
    if count > PAGE:
        return f"{PAGE}+ new {noun[1]}"
    return f"{count} new {noun[count != 1]}"


def filters_of(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a filter without the page and the default sort."""
    default = form["sort"].default if "sort" in form else None
    return {
        name: value
        for name, value in values.items()
        if name != "after" and not (name == "sort" and value == default)
    }


def read_filter(form: Form, zone: ZoneInfo) -> tuple[dict[str, Any], list[str]]:
    """The valid values of a filter form, and a notice for each invalid one, which is ignored.

    A time without a zone is in ``zone``, the reader's.
    """
    form.validate()
    values: dict[str, Any] = {}
    notices = []
    for entry in form:
        if entry.errors:
            notices.append(f"{entry.label.text}: “{_short(entry)}” is ignored. {entry.errors[0]}")
            entry.data, entry.raw_data = entry.default, None
        value = entry.moment if isinstance(entry, Moment) else entry.data
        if isinstance(value, str):
            value = value.strip()  # a blank value is absent, as for Optional
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=zone)
        if value not in (None, ""):
            values[entry.short_name] = value
    return values, notices


def url_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a filter as a URL has them."""
    return {name: _url_value(value) for name, value in values.items()}


def _url_value(value: Any) -> Any:
    if isinstance(value, date):  # or a time, which is a date as well
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value


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


def active_filters(
    form: Form, values: Mapping[str, Any], options: Mapping[str, Choices] | None = None
) -> list[ActiveFilter]:
    """The filters that are set, in the order of the form, without the sort and the page."""
    filters = []
    for entry in form:
        if entry.short_name in ("after", "sort") or entry.short_name not in values:
            continue
        value = _label_of(entry, values[entry.short_name], options or {})
        label = "Search" if entry.short_name == "q" else entry.label.text
        filters.append(ActiveFilter(entry.short_name, label, value))
    return filters


def _label_of(entry: Any, value: Any, options: Mapping[str, Choices]) -> Any:
    if isinstance(entry, SelectField):
        return next((label for choice, label, *_ in entry.iter_choices() if choice == value), value)
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return short_day(value, year=True)
    return dict(options.get(entry.short_name, ())).get(value, value)


def _short(entry: Any) -> str:
    text = entry.raw_data[0] if entry.raw_data else ""
    return text if len(text) <= 40 else text[:39] + "…"
