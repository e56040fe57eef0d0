"""The geometry of pictures: where bars, lines and labels stand. Pure; templates/reports/_charts.html draws.

Across, everything is in percent of the width, so that a picture fits every page while its words keep their
size; downwards in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

TOP = 32.0
"""Pixels above the plot: there the value stands that is pointed at, in two lines."""
HEIGHT = 150.0
"""Pixels of the plot itself."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label: ``at`` is in percent across, or in pixels downwards. Narrow pages drop ``minor`` ones."""

    at: float
    words: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar: its ``kind`` names colour and pattern."""

    kind: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One step across and the pieces of its bar. ``words`` are ``when: what``, or empty if nothing was."""

    left: float
    width: float
    words: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line: the path of an SVG that is 1000 wide and as high as the plot. ``points`` are those of its steps
    that have no neighbour: drawn like the line, nobody would see them.
    """

    kind: str
    words: str
    path: str
    points: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. ``lines`` lie over the bars; ``kinds`` are the legend: kind and words."""

    slots: tuple[Slot, ...]
    down: tuple[Tick, ...]
    across: tuple[Tick, ...]
    kinds: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        return not any(slot.words for slot in self.slots)


def bars(
    columns: Sequence[tuple[str, Sequence[tuple[str, int]]]],
    *,
    kinds: Sequence[tuple[str, str]],
    across: Iterable[Tick],
    words_of: Callable[[int], str],
) -> Picture:
    """Stacked bars, the first piece at the bottom: each column is its words and its pieces by kind.

    ``words_of`` says how a number on the axis is written.
    """
    most = nice(max((sum(count for _, count in parts) for _, parts in columns), default=0))
    slots = []
    for number, (words, parts) in enumerate(columns):
        left, width = _place(number, len(columns))
        slots.append(Slot(left, width, words, tuple(_stack(parts, most))))
    halves = [most // 2, most] if most > 1 else [most]
    down = tuple(Tick(TOP + HEIGHT * (1 - value / most), words_of(value)) for value in (0, *halves))
    return Picture(tuple(slots), down, tuple(across), tuple(kinds))


def time_lines(
    columns: Sequence[tuple[str, Sequence[float | None]]],
    *,
    kinds: Sequence[tuple[str, str]],
    across: Iterable[Tick],
) -> Picture:
    """Lines of milliseconds over a logarithmic axis: each column is its words and a value of each kind."""
    axis = _round_durations([value for _, values in columns for value in values if value])
    low, high = math.log(axis[0][0]), math.log(axis[-1][0])

    def height_of(value: float) -> float:
        part = (math.log(value) - low) / (high - low)
        return HEIGHT * (1 - min(1.0, max(0.0, part)))

    per_kind = [[values[place] for _, values in columns] for place in range(len(kinds))]
    return Picture(
        slots=tuple(Slot(*_place(place, len(columns)), words) for place, (words, _) in enumerate(columns)),
        down=tuple(Tick(TOP + height_of(value), words) for value, words in axis),
        across=tuple(across),
        kinds=tuple(kinds),
        lines=tuple(
            Line(kind, words, _path(values, height_of), _points(values, height_of))
            for (kind, words), values in zip(kinds, per_kind, strict=True)
        ),
    )


def nice(most: int) -> int:
    """The least of 1, 2, 4, 10, 20, 40, … that is not below ``most``: the top of an axis."""
    top = 1
    while True:
        for factor in (1, 2, 4):
            if top * factor >= most:
                return top * factor
        top *= 10


def time_ticks(since: datetime, until: datetime) -> Iterator[Tick]:
    """Labels for a time axis, on whole minutes, hours or days of the zone in which both times are."""
    long = (until - since).total_seconds()
    step, form = next((step, form) for most, step, form in _TICKS if long <= most)
    for place, at in enumerate(_round_times(since, until, step)):
        share = (at - since) / (until - since) * 100
        if 4 <= share <= 95:
            words = f"{at.day} {at:%b}" if form == "day" else f"{at:%H:%M}"
            yield Tick(share, words, minor=place % 2 == 1)


_TICKS = (
    (2 * 3600, timedelta(minutes=10), "time"),
    (2 * 86_400, timedelta(hours=3), "time"),
    (9 * 86_400, timedelta(days=1), "day"),
    (math.inf, timedelta(days=3), "day"),
)


def _round_times(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight
    while at < until:
        if at >= since:
            yield at
        at += step  # on the wall's clock, which is what the labels show


def _place(number: int, of: int) -> tuple[float, float]:
    return number * 100 / of, 100 / of


def _stack(parts: Sequence[tuple[str, int]], most: int) -> Iterator[Part]:
    floor = TOP + HEIGHT
    for kind, count in parts:
        if count:
            # However few they are, they can be seen.
            height = max(HEIGHT * count / most, 1.5)
            floor -= height
            yield Part(kind, max(floor, TOP), height)


_DURATIONS = (
    *((0.001, ""), (0.1, "0.1 ms"), (1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms"), (1e3, "1 s")),
    *((1e4, "10 s"), (6e4, "1 min"), (6e5, "10 min"), (3.6e6, "1 h"), (3.6e7, "10 h"), (3.6e8, "100 h")),
    (3.6e12, "a lifetime"),
)


def _round_durations(values: Sequence[float]) -> Sequence[tuple[float, str]]:
    """The axis: from the round duration below all values to the one above."""
    low, high = min(values, default=1.0), max(values, default=1e3)
    first = max((place for place, (value, _) in enumerate(_DURATIONS) if value <= low), default=0)
    last = min(
        (place for place, (value, _) in enumerate(_DURATIONS) if value >= high), default=len(_DURATIONS) - 1
    )
    return _DURATIONS[first : max(last, first + 1) + 1]


def _path(values: Sequence[float | None], height_of: Callable[[float], float]) -> str:
    """Steps without a value part the line; one that stands alone is a point."""
    parts: list[str] = []
    pen_down = False
    for number, value in enumerate(values):
        if not value:
            pen_down = False
            continue
        at = _at(number, values, height_of(value))
        parts.append(f"L{at}" if pen_down else f"M{at}h.01")
        pen_down = True
    return "".join(parts)


def _points(values: Sequence[float | None], height_of: Callable[[float], float]) -> str:
    """The steps with a value whose neighbours have none."""
    around = [None, *values, None]
    return "".join(
        f"M{_at(number, values, height_of(value))}h.01"
        for number, value in enumerate(values)
        if value and not around[number] and not around[number + 2]
    )


def _at(number: int, values: Sequence[float | None], height: float) -> str:
    return f"{(number + 0.5) * 1000 / len(values):.1f} {height:.1f}"
