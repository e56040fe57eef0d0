"""Text helpers: visible characters, single lines, comparison, numbers and dates."""

from __future__ import annotations

import decimal
import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.numbers import format_decimal

JOINERS = "\u200c\u200d"
"""Invisible characters that say how the letters of Indian scripts join."""
INDIA = Locale.parse("en_IN")
_CONTROLS = re.compile(r"\s*[\x00-\x1f\x7f-\x9f\u2028\u2029][\s\x00-\x1f\x7f-\x9f]*")
# Characters without a glyph that Unicode does not class as control, format or separator.
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
_DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%d.%m.%Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%d-%B-%Y",
)


def is_invisible(character: str) -> bool:
    """Whether a character is invisible: a space, a control or format character, or a filler."""
    if character in _BLANK_LETTERS or "\ufe00" <= character <= "\ufe0f":
        return True
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES


def has_visible(text: str) -> bool:
    """Whether a text has a visible character."""
    return not all(map(is_invisible, text))


def one_line(text: str) -> str:
    """A text on one line: each run of control characters and line breaks becomes one space.

    A text without a visible character is empty.
    """
    return _CONTROLS.sub(" ", text).strip() if has_visible(text) else ""


def search_key(text: str) -> str:
    """The form in which texts are compared: NFKC, case-folded, single spaces, no invisible characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = (
        "".join(letter for letter in word if not is_invisible(letter))
        for word in re.split(r"[\s\x00-\x1f\x7f-\x9f]+", folded)
    )
    return " ".join(word for word in words if word)


def whole_number(text: str, largest: int = 2**31 - 1) -> int | None:
    """The whole number that a person or client sent, such as an id; None for other text or a larger one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(largest))):
        return None
    return int(text) if int(text) <= largest else None


def exact_number(value: object) -> Decimal | None:
    """The number in ``value``, or None if it is not a number. Errors: TypeError for a float."""
    if isinstance(value, float):
        raise TypeError("money and quantities are never floats")
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,64}(\.\d{1,64})?", value):
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return None


@lru_cache(maxsize=8192)
def grouped(digits: str, fewest_decimals: int) -> str:
    """A number with Indian grouping and all of its decimals.

    It is passed as text, since equal numbers may differ in decimals.
    """
    value = Decimal(digits)
    decimals = max(fewest_decimals, -int(value.as_tuple().exponent))
    pattern = "#,##,##0" + (f".{'0' * decimals}" if decimals else "")
    with decimal.localcontext(prec=300):
        return format_decimal(value, pattern, INDIA)


def pluralize(count: int, singular: str, plural: str = "") -> str:
    """``1 line``, ``5 lines``; longer phrases too, such as ``1 line is``, ``5 lines are``."""
    return f"{grouped(str(count), 0)} {singular if count == 1 else plural or singular + 's'}"


def iso_day(text: str) -> date | None:
    """The date in ``2026-11-24``; None for any other text, which partners may send."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read_date(text: str) -> date | None:
    """The date in a text, with the day before the month as in India; None if there is none."""
    text = " ".join(text.split())
    text = re.sub(r"^(\d{4}-\d\d-\d\d)[T ]\d\d.*$", r"\1", text)
    for form in _DATE_FORMATS:
        try:
            day = datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
        return day if 1970 <= day.year < 9999 else None
    return None
