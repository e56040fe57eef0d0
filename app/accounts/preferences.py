"""Preferences of a person for appearance and keyboard, stored by name; a missing one has its default."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Theme(StrEnum):
    """The colors of pages."""

    SYSTEM = "auto"
    LIGHT = "light"
    DARK = "dark"


class Density(StrEnum):
    """The height of rows in lists."""

    COMFORTABLE = "comfortable"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of one person."""

    theme: Theme = Theme.SYSTEM
    density: Density = Density.COMFORTABLE
    has_shortcuts: bool = True

    def as_stored(self) -> dict[str, Any]:
        """The values for the column, which also holds the preferences of other packages."""
        return asdict(self)


def read(stored: dict[str, Any]) -> Preferences:
    """The preferences of a column; unknown values count as the default."""
    default = Preferences()
    theme, density = stored.get("theme"), stored.get("density")
    return Preferences(
        theme=Theme(theme) if theme in set(Theme) else default.theme,
        density=Density(density) if density in set(Density) else default.density,
        has_shortcuts=bool(stored.get("has_shortcuts", default.has_shortcuts)),
    )


COLUMNS = "columns"
"""The name under which the columns of lists are stored."""


def shown_columns(stored: dict[str, Any], name: str) -> frozenset[str] | None:
    """The optional columns that a person chose to see in a list; None without a choice."""
    columns = stored.get(COLUMNS)
    chosen = columns.get(name) if isinstance(columns, dict) else None
    if not isinstance(chosen, list):
        return None
    return frozenset(column for column in chosen if isinstance(column, str))


def with_columns(stored: dict[str, Any], name: str, chosen: list[str] | None) -> dict[str, list[str]]:
    """The columns of all lists, with those of one list changed; None is its default."""
    columns = stored.get(COLUMNS)
    lists = dict(columns) if isinstance(columns, dict) else {}
    lists.pop(name, None)
    return lists if chosen is None else {**lists, name: chosen}
