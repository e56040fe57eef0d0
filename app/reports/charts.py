"""The geometry of charts: where bars, lines and labels are drawn. Pure; templates/reports/_charts.html draws.

Horizontal positions are in percent of the width, so that a chart fits every page while its text keeps its
size. Vertical positions are in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

TOP = 32.0
"""Pixels above the plot, where the two lines of the tooltip are shown."""
HEIGHT = 150.0
"""Pixels of the plot."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis. ``at`` is its position; narrow pages hide ``minor`` ones."""

    at: float
    label: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a bar. ``kind`` selects its color and pattern."""

    kind: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class StepData:
    """The data of one step: its name, a description of its values, and the values by kind.

    The description is empty if there is no data.
    """

    name: str
    description: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Slot:
    """One step on the horizontal axis, with the segments of its bar."""

    left: float
    width: float
    name: str
    description: str
    segments: tuple[Segment, ...] = ()

    @property
    def label(self) -> str:
        """Everything about this step in one line; empty if there is no data."""
        return f"{self.name}: {self.description}" if self.description else ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the path of an SVG that is 1000 wide and as high as the plot.

    ``points`` is the path of the steps without a neighbor, which a line would not show.
    """

    kind: str
    label: str
    path: str
    points: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """An entry of the legend."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart, or a line chart if it has lines."""

    slots: tuple[Slot, ...]
    vertical_ticks: tuple[Tick, ...]
    horizontal_ticks: tuple[Tick, ...]
    kinds: tuple[Series, ...]
    lines: tuple[Line, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no step has data."""
        return not any(slot.label for slot in self.slots)


def bar_chart(
    columns: Sequence[StepData],
    *,
    kinds: Sequence[Series],
    ticks: Iterable[Tick],
    format_value: Callable[[int], str],
) -> Chart:
    """Stacked bars of counts, the first kind at the bottom. ``format_value`` labels the vertical axis."""
    counts = [[int(value or 0) for value in column.values] for column in columns]
    maximum = axis_maximum(max(map(sum, counts), default=0))
    slots = []
    for number, (column, column_counts) in enumerate(zip(columns, counts, strict=True)):
        left, width = _position(number, len(columns))
        segments = tuple(_stack(kinds, column_counts, maximum))
        slots.append(Slot(left, width, column.name, column.description, segments))
    labeled = (0, maximum // 2, maximum) if maximum > 1 else (0, maximum)
    vertical_ticks = tuple(
        Tick(TOP + HEIGHT * (1 - value / maximum), format_value(value)) for value in labeled
    )
    return Chart(tuple(slots), vertical_ticks, tuple(ticks), tuple(kinds))


def duration_chart(columns: Sequence[StepData], *, kinds: Sequence[Series], ticks: Iterable[Tick]) -> Chart:
    """Lines of milliseconds over a logarithmic axis."""
    axis = _duration_axis([value for column in columns for value in column.values if value])
    low, high = math.log(axis[0][0]), math.log(axis[-1][0])

    def height_of(value: float) -> float:
        fraction = (math.log(value) - low) / (high - low)
        return HEIGHT * (1 - min(1.0, max(0.0, fraction)))

    lines = []
    for place, kind in enumerate(kinds):
        values = [column.values[place] for column in columns]
        path, points = _path(values, height_of), _points(values, height_of)
        lines.append(Line(kind.name, kind.label, path, points))
    return Chart(
        slots=tuple(
            Slot(*_position(number, len(columns)), column.name, column.description)
            for number, column in enumerate(columns)
        ),
        vertical_ticks=tuple(Tick(TOP + height_of(value), label) for value, label in axis),
        horizontal_ticks=tuple(ticks),
        kinds=tuple(kinds),
        lines=tuple(lines),
    )


def axis_maximum(value: int) -> int:
    """The smallest of 1, 2, 4, 10, 20, 40, … that is not below ``value``."""
    unit = 1
    while True:
        for factor in (1, 2, 4):
            if unit * factor >= value:
                return unit * factor
        unit *= 10


def time_ticks(since: datetime, until: datetime) -> Iterator[Tick]:
    """Labels for a time axis, at round times of the zone of both arguments."""
    length = (until - since).total_seconds()
    step, is_date = next((step, is_date) for maximum, step, is_date in _TICK_STEPS if length <= maximum)
    for number, at in enumerate(_round_times(since, until, step)):
        position = (at - since) / (until - since) * 100
        if 4 <= position <= 95:
            label = f"{at.day} {at:%b}" if is_date else f"{at:%H:%M}"
            yield Tick(position, label, minor=number % 2 == 1)


_TICK_STEPS = (
    (2 * 3600, timedelta(minutes=10), False),
    (2 * 86_400, timedelta(hours=3), False),
    (9 * 86_400, timedelta(days=1), True),
    (math.inf, timedelta(days=3), True),
)
"""For charts of up to this many seconds: the time between two labels, and whether they are dates."""


def _round_times(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    at = since.replace(hour=0, minute=0, second=0, microsecond=0)
    while at < until:
        if at >= since:
            yield at
        at += step  # In local time, like the labels.


def _position(number: int, count: int) -> tuple[float, float]:
    return number * 100 / count, 100 / count


def _stack(kinds: Sequence[Series], counts: Sequence[int], maximum: int) -> Iterator[Segment]:
    bottom = TOP + HEIGHT
    for kind, count in zip(kinds, counts, strict=True):
        if count:
            # A small count is still visible.
            height = max(HEIGHT * count / maximum, 1.5)
            bottom -= height
            yield Segment(kind.name, max(bottom, TOP), height)


_DURATION_LABELS = (
    (0.001, ""),
    (0.1, "0.1 ms"),
    (1.0, "1 ms"),
    (10.0, "10 ms"),
    (100.0, "100 ms"),
    (1e3, "1 s"),
    (1e4, "10 s"),
    (6e4, "1 min"),
    (6e5, "10 min"),
    (3.6e6, "1 h"),
    (3.6e7, "10 h"),
    (3.6e8, "100 h"),
    (3.6e12, ""),
)


def _duration_axis(values: Sequence[float]) -> Sequence[tuple[float, str]]:
    """From the round duration below all values to the one above them."""
    low, high = min(values, default=1.0), max(values, default=1e3)
    durations = [duration for duration, _ in _DURATION_LABELS]
    first = max((place for place, duration in enumerate(durations) if duration <= low), default=0)
    last = min(
        (place for place, duration in enumerate(durations) if duration >= high), default=len(durations) - 1
    )
    return _DURATION_LABELS[first : max(last, first + 1) + 1]


def _path(values: Sequence[float | None], height_of: Callable[[float], float]) -> str:
    """A line that is interrupted at steps without a value."""
    parts: list[str] = []
    is_drawing = False
    for number, value in enumerate(values):
        if not value:
            is_drawing = False
            continue
        point = _point(number, values, height_of(value))
        parts.append(f"L{point}" if is_drawing else f"M{point}h.01")
        is_drawing = True
    return "".join(parts)


def _points(values: Sequence[float | None], height_of: Callable[[float], float]) -> str:
    """The steps with a value whose neighbors have none."""
    padded = [None, *values, None]
    return "".join(
        f"M{_point(number, values, height_of(value))}h.01"
        for number, value in enumerate(values)
        if value and not padded[number] and not padded[number + 2]
    )


def _point(number: int, values: Sequence[float | None], height: float) -> str:
    return f"{(number + 0.5) * 1000 / len(values):.1f} {height:.1f}"
