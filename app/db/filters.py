"""Filters of lists: dataclasses whose fields carry their SQL condition.

A list's filter is a frozen dataclass. ``where`` declares a field together with the condition that it adds to
the query, so that adding a filter is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What conditions may need besides their value.

    ``scope`` is the reader's supplier ids, None for all; ``filters`` is the whole filter.
    """

    session: Session
    filters: Any
    scope: frozenset[str] | None = None
    now: datetime | None = None


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


def distinct_values(session: Session, column: Any, *, most: int) -> Sequence[str]:
    """The distinct values of a column, sorted, at most ``most``. Reads one index entry for each."""
    # A loose index scan, which neither database does on its own.
    first = select(func.min(column).label("value")).cte(recursive=True)
    following: Select[Any] = select(func.min(column)).where(column > first.c.value)
    every = first.union_all(
        select(following.correlate(first).scalar_subquery()).where(first.c.value.is_not(None))
    )
    return session.scalars(select(every.c.value).where(every.c.value.is_not(None)).limit(most)).all()
