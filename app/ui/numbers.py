"""Money, quantities, counts, durations and sizes, with Indian grouping. Never a float for money."""

from __future__ import annotations

from app.db.filters import COUNT_MAX
from app.network.text import exact_number, grouped, pluralize

NO_BREAK = "\N{NO-BREAK SPACE}"


def money(value: object) -> str:
    """Rupees with Indian grouping: ``₹4,18,900.00``. At least two decimals, never rounded.

    Other text is unchanged; None is empty.
    """
    number = exact_number(value)
    if number is None:
        return plain(value) if value is not None else ""
    sign = "-" if number < 0 else ""
    return f"{sign}₹{grouped(str(number.copy_abs()), 2)}"


def amount(value: object) -> str:
    """Money without the currency sign, for columns with the currency in their heading."""
    return money(value).replace("₹", "")


def number(value: object) -> str:
    """A number with Indian grouping and its original decimals: ``1,02,093.750``."""
    exact = exact_number(value)
    if exact is None:
        return plain(value) if value is not None else ""
    return grouped(str(exact), 0)


def plain(value: object) -> str:
    """A JSON value without grouping, since a number may be a code."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def count(total: int, most: int = 999) -> str:
    """A count for the sidebar, such as ``999+``: digits beyond that do not matter."""
    return f"{most}+" if total > most else str(total)


def pluralize_capped(count: int, singular: str, plural: str = "") -> str:
    """A count of ``db.filters.count_rows``: ``5 orders``, or ``1,000+ orders`` where counting stopped."""
    if count < COUNT_MAX:
        return pluralize(count, singular, plural)
    return f"{COUNT_MAX - 1:,}+ {plural or singular + 's'}"


def percent(part: int, whole: int) -> str:
    """A share such as ``99.9%``; ``–`` of nothing.

    It is rounded to one decimal, but 100% is only shown for all and 0.0% only for none.
    """
    if not whole:
        return "–"
    if part == whole:
        return "100%"
    tenths = (2000 * part + whole) // (2 * whole)
    return f"{min(max(tenths, 1), 999) / 10 if part else 0:.1f}%"


def duration(milliseconds: float | None) -> str:
    """``188 ms``, ``15.0 s``, ``2 min 5 s``; empty if unknown."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}{NO_BREAK}ms" if milliseconds >= 1 else f"under 1{NO_BREAK}ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}{NO_BREAK}s"
    if seconds >= 3600:
        return f"{seconds // 3600:.0f}{NO_BREAK}h {seconds % 3600 // 60:.0f}{NO_BREAK}min"
    return f"{seconds // 60:.0f}{NO_BREAK}min {seconds % 60:.0f}{NO_BREAK}s"


def size(byte_count: int | None) -> str:
    """Bytes: ``612 bytes``, ``1.4 KB``; empty if unknown."""
    if byte_count is None:
        return ""
    if byte_count < 1024:
        return pluralize(byte_count, "byte")
    if byte_count < 1000 * 1024:
        return f"{byte_count / 1024:.1f}{NO_BREAK}KB"
    return f"{byte_count / 1024**2:.1f}{NO_BREAK}MB"
