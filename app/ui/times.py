"""Times in the reader's time zone. The functions take the zone and the current time as arguments."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from app.network.text import iso_day


def short_day(day: date, *, year: bool = False) -> str:
    """A day as ``22 Nov``, or ``22 Nov 2026`` with the year."""
    return f"{day.day} {day:%b}{f' {day.year}' if year else ''}"


def moment(when: datetime, zone: ZoneInfo, now: datetime) -> str:
    """A time in the reader's zone: ``today 10:14``, ``22 Nov, 18:03``, with the year if it is another."""
    local, present = when.astimezone(zone), now.astimezone(zone)
    named = {0: "today", -1: "yesterday", 1: "tomorrow"}.get((local.date() - present.date()).days)
    if named:
        return f"{named} {local:%H:%M}"
    return f"{short_day(local, year=local.year != present.year)}, {local:%H:%M}"


def exact_time(when: datetime, zone: ZoneInfo) -> str:
    """A time in full: ``Monday, 23 November 2026, 10:31:07 IST``."""
    local = when.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B %Y, %H:%M:%S %Z}"


def printed_time(when: datetime, zone: ZoneInfo) -> str:
    """A time that is still true on paper: ``22 Nov 2026, 18:03``."""
    local = when.astimezone(zone)
    return f"{short_day(local, year=True)}, {local:%H:%M}"


def long_day(when: datetime, zone: ZoneInfo) -> str:
    """A day in full: ``Monday, 23 November 2026``."""
    local = when.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B %Y}"


def iso_time(when: datetime) -> str:
    """A time for ``datetime`` attributes, to the millisecond: HTML allows no more decimals."""
    return when.isoformat(timespec="milliseconds")


def clock_time(when: datetime, zone: ZoneInfo) -> str:
    """The time of day to the second: ``10:31:07``."""
    return f"{when.astimezone(zone):%H:%M:%S}"


def _span(seconds: float) -> str:
    """Rounded down, so that "in 3 h" leaves at least three. static/js/times.js has the same steps."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} days"


def until(when: datetime, now: datetime) -> str:
    """A deadline relative to now: ``in 3 h``, ``2 h overdue``."""
    seconds = (when - now).total_seconds()
    return f"in {_span(seconds)}" if seconds >= 0 else f"{_span(-seconds)} overdue"


def ago(when: datetime, now: datetime) -> str:
    """A past time relative to now: ``just now``, ``5 min ago``; a future one: ``in 4 min``."""
    seconds = (now - when).total_seconds()
    if seconds < 0:
        return "now" if seconds > -1 else f"in {_span(-seconds)}"
    return "just now" if seconds < 10 else f"{_span(seconds)} ago"


def elapsed(since: datetime, now: datetime) -> str:
    """How long something has lasted: ``32 min``."""
    return _span(max((now - since).total_seconds(), 0))


def day(text: str, now: datetime, *, year: bool = False) -> str:
    """A partner's date as ``24 Nov``, with the year if requested or not this year; other text unchanged."""
    when = iso_day(text)
    if when is None:
        return text
    return short_day(when, year=year or when.year != now.year)


def for_input(when: datetime | None, zone: ZoneInfo) -> str:
    """A time in the format of ``<input type="datetime-local">``."""
    if when is None:
        return ""
    local = when.astimezone(zone) if when.tzinfo else when
    return f"{local:%Y-%m-%dT%H:%M}"
