"""Form fields and input filters for the forms of several packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from wtforms import DateField, Field, FieldList, FloatField, IntegerField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import DataRequired, Length
from wtforms.widgets import TextInput

from app.network.text import iso_day, one_line

SESSION_ENDED = (
    "Nothing was saved: your session ended, or you had to confirm your password. "
    "Check the form and send it again."
)
"""The error of a form whose CSRF token belongs to another session."""


def folded(text: str | None) -> str | None:
    """A form's text on one line; empty if nothing of it is visible."""
    return one_line(text) if text else text


def lowercase(text: str | None) -> str | None:
    """Lowercase and stripped: ``4XX`` is ``4xx``."""
    return text.strip().lower() if text else text


def choices(pairs: Iterable[tuple[str, str]]) -> list[SelectChoice]:
    """The choices of a select, from pairs of value and label."""
    return [SelectChoice(value, label) for value, label in pairs]


def reason_field(max_length: int) -> StringField:
    """A required reason, on one line."""
    return StringField("Reason", [DataRequired("Enter a reason."), Length(max=max_length)], filters=[folded])


class Whole(IntegerField):
    """A whole number of at most nine digits; the library's range check fails for very long ones."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        if valuelist and len(valuelist[0].strip().lstrip("+-")) > 9:
            raise ValueError("Enter a number of at most nine digits.")
        super().process_formdata(valuelist)


class Seconds(FloatField):
    """Seconds, perhaps with a decimal point."""

    def _value(self) -> str:
        """The input as typed, or the saved number without a trailing ``.0``."""
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else f"{self.data:g}"


class Moment(StringField):
    """A time in ISO 8601, such as ``2026-11-23T10:00``; ``moment`` is None if it is empty."""

    moment: datetime | None = None

    def process_formdata(self, valuelist: list[Any]) -> None:
        super().process_formdata(valuelist)
        text = (self.data or "").strip()
        # A plus sign in a query arrives as a space.
        text = re.sub(r" (\d\d:?\d\d)$", r"+\1", text)
        if text:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError("Enter a time such as 2026-11-23T10:00.") from error
            if not 1970 <= moment.year < 9999:  # a change of zone would overflow
                raise ValueError("Enter a valid time.")
            self.moment = moment


class Until(Moment):
    """The end of a period. A day alone includes that day."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        super().process_formdata(valuelist)
        if self.moment and iso_day((self.data or "").strip()):
            self.moment += timedelta(days=1)


class Amount(Field):
    """An amount in rupees, such as ``1,50,000.50``; ``data`` is a Decimal, None if it is empty."""

    widget = TextInput()

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Parse the text. Errors: ValueError with a sentence for the user."""
        self.data: Decimal | None = None
        text = (valuelist[0] if valuelist else "").strip()
        if not text:
            return
        digits = text.removeprefix("₹").replace(",", "").strip()
        if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,2})?", digits):
            raise ValueError("Enter an amount such as 1500 or 1,50,000.50.")
        self.data = Decimal(digits)

    def _value(self) -> str:
        return "" if self.data is None else format(self.data, "f")


class Choice(StringField):
    """One of the values that the page knows, or any other text.

    With ``any_label`` it is a select whose first choice has that label, else an input with suggestions.
    """

    def __init__(self, label: str, validators: Any = (), *, any_label: str = "", **more: Any) -> None:
        super().__init__(label, validators, **more)
        self.any_label = any_label


class Rows(FieldList):  # type: ignore[type-arg]  # generic in the stubs only
    """A list of subforms. The library fails for an index such as ``²`` or one of thousands of digits."""

    def _extract_indices(self, prefix: str, formdata: Iterable[str]) -> Iterator[int]:
        pattern = re.compile(rf"{re.escape(prefix)}-([0-9]{{1,4}})(?:-|$)")
        return (int(match[1]) for match in map(pattern.match, formdata) if match)


class Day(DateField):
    """A day such as ``2026-11-23``."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Parse the text. Errors: ValueError with a sentence for the user."""
        text = (valuelist[0] if valuelist else "").strip()
        if not text:
            return
        try:
            day = date.fromisoformat(text)
        except ValueError as error:
            raise ValueError("Enter a date such as 2026-11-23.") from error
        if not 1970 <= day.year < 9999:
            raise ValueError("Enter a valid date.")
        self.data = day
