"""Filters of lists: dataclasses whose fields carry their SQL condition. Limits of pages and counts.

A list's filter is a frozen dataclass. ``where`` declares a field together with the condition that it adds to
the query, so that adding a filter is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

Scope = frozenset[str] | None
"""The supplier ids that a reader may see; None is all."""
SCOPE_PARAMETER: BindParameter[Any] = bindparam("scope", expanding=True)
"""The scope in a statement that is built once; its execution gets the reader's as ``scope``."""
PAGE = 50
"""Rows per page."""
COUNT_MAX = 1001
"""A count reads at most this many rows; pages then show ``1,000+``."""
SEARCH_WINDOW = 2_000
"""A search reads the bodies of at most this many messages, the newest ones."""


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What conditions may need besides their value.

    ``scope`` is the reader's supplier ids, None for all; ``filters`` is the whole filter.
    """

    session: Session
    filters: Any
    scope: Scope = None


Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
Condition = Callable[[Any, FilterContext], Any]
"""Makes the SQL condition, or a list of conditions, for a value of the filter."""


def where(condition: Condition, default: Any = "") -> Any:
    """A field of a filter. Its default matches everything."""
    return field(default=default, metadata={"condition": condition})


def conditions_of(context: FilterContext) -> list[ColumnElement[bool]]:
    """The conditions of all fields that are set."""
    conditions: list[ColumnElement[bool]] = []
    for column in fields(context.filters):
        value, condition = getattr(context.filters, column.name), column.metadata.get("condition")
        if condition is not None and value not in (None, ""):
            made = condition(value, context)
            conditions += made if isinstance(made, list) else [made]
    return conditions


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list, and the key after which the next page begins; None if this is the last.

    ``searched_back_to`` is set if a search did not read all rows.
    """

    rows: Sequence[Row]
    next_after: Any = None
    searched_back_to: datetime | None = None


def page_of(
    rows: Sequence[Row],
    limit: int,
    *,
    oldest: WindowEnd | None = None,
    key: Callable[[Any], object] = attrgetter("id"),
) -> Page[Row]:
    """The page with the first ``limit`` of these rows; one row more means that there is a next page.

    ``oldest`` is where a search ends, ``key`` the key after which the next page begins.
    """
    if len(rows) > limit:
        return Page(rows[:limit], key(rows[limit - 1]))
    return Page(rows, oldest.id, oldest.at) if oldest else Page(rows)


def in_scope(query: Query, column: Any, scope: Scope | BindParameter[Any]) -> Query:
    """The query without rows that the reader may not see; ``column`` has the supplier id.

    Rows without a supplier are left to readers who see all.
    """
    return query if scope is None else query.where(column.in_(scope))


def count_rows(session: Session, query: Select[Any], *, most: int = COUNT_MAX) -> int:
    """How many rows a query has; counting stops at ``most``."""
    return session.scalar(row_count(query, most=most)) or 0


def row_count(query: Select[Any], *, most: int = COUNT_MAX) -> Select[int]:
    """The query for how many rows a query has; counting stops at ``most``."""
    return select(func.count()).select_from(query.limit(most).subquery())


def without_index(column: Any) -> ColumnElement[str]:
    """The column for a condition in which the planner must not use its index."""
    return func.coalesce(column, "")


def has_status(column: InstrumentedAttribute[Any], code: str) -> ColumnElement[bool]:
    """Whether an HTTP status is a code such as ``404``, or of a class such as ``4xx``."""
    if code.endswith("xx"):
        first = int(code[0]) * 100
        return column.between(first, first + 99)
    return column == int(code)


class WindowEnd(NamedTuple):
    """The oldest row that a search reads."""

    id: str
    at: datetime


def window_end(session: Session, ids: Select[str], column: Any, time: Any) -> WindowEnd | None:
    """Where a search in the newest ``SEARCH_WINDOW`` of these rows ends; None if it reads all.

    ``column`` is the id that ``ids`` selects, and ``time`` the column of the same table with its time.
    """
    bounds = session.scalars(ids.order_by(column.desc()).offset(SEARCH_WINDOW - 1).limit(2)).all()
    if len(bounds) < 2:
        return None
    return WindowEnd(bounds[0], session.scalars(select(time).where(column == bounds[0])).one())


def search_bodies(
    session: Session,
    ids: Select[str],
    column: Any,
    time: Any,
    conditions: Sequence[ColumnElement[bool]],
    *,
    is_reference: ColumnElement[bool],
    mentions: ColumnElement[bool],
) -> tuple[list[ColumnElement[bool]], WindowEnd | None]:
    """The conditions with those of a search, and the oldest row that it reads, unless it reads all.

    If the text is exactly the reference of a visible row, the search is for that; else it reads the newest
    rows for a mention. ``ids``, ``column`` and ``time`` are those of ``window_end``.
    """
    if session.scalar(ids.where(is_reference).limit(1)) is not None:
        return [*conditions, is_reference], None
    oldest = window_end(session, ids.where(*conditions), column, time)
    if oldest is None:
        return [*conditions, mentions], None
    return [*conditions, mentions, column >= oldest.id], oldest


def distinct_values(session: Session, column: Any, *, most: int) -> Sequence[str]:
    """The distinct values of a column, sorted, at most ``most``."""
    return session.scalars(select_distinct(column, most=most)).all()


@cache
def select_distinct(column: Any, *, most: int) -> Select[Any]:
    """The query of ``distinct_values``, which reads one index entry for each value. Built once."""
    # A loose index scan, which neither database does on its own.
    first = select(func.min(column).label("value")).cte(recursive=True)
    following: Select[Any] = select(func.min(column)).where(column > first.c.value)
    every = first.union_all(
        select(following.correlate(first).scalar_subquery()).where(first.c.value.is_not(None))
    )
    return select(every.c.value).where(every.c.value.is_not(None)).limit(most)
