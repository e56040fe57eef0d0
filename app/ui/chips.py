"""A chip: how pages show a state, with a tone and a label."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """A state: ``tone`` selects shape and color, ``label`` is the visible text."""

    tone: str
    label: str
