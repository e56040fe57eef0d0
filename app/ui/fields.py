"""Form fields and filters that more than one room's forms use, and the reading of filter forms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from wtforms import DateField, FloatField, Form, IntegerField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]

from app.network.text import one_line


def folded(text: str | None) -> str | None:
    """A form's text on one line; empty if nothing of it is visible."""
    return one_line(text) if text else text


def iso_day(text: str) -> date | None:
    """The date in ``2026-11-24``; None for every other text, which a partner may send as well."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def lowered(text: str | None) -> str | None:
    """In small letters and without spaces around: ``4XX`` is ``4xx``."""
    return text.strip().lower() if text else text


def choices(pairs: Iterable[tuple[str, str]]) -> list[SelectChoice]:
    """What a select offers, from values and labels."""
    return [SelectChoice(value, label) for value, label in pairs]


class Whole(IntegerField):
    """A whole number of at most nine digits; the library's own range check stumbles over endless ones."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        if valuelist and len(valuelist[0]) > 10:
            raise ValueError("Write a number of at most nine digits.")
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError("Write a whole number, such as 4.") from error


class Seconds(FloatField):
    """Seconds, perhaps with a decimal point."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read them. Errors: ValueError with a sentence for people."""
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError("Write a number of seconds, such as 15 or 2.5.") from error


class Moment(StringField):
    """A time in ISO 8601, such as ``2026-11-23T10:00``; ``moment`` is None where it is empty."""

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
                raise ValueError("Write a time such as 2026-11-23T10:00.") from error
            if not 1970 <= moment.year < 9999:  # at the calendar's ends a change of zone falls off it
                raise ValueError("Write a time of our days.")
            self.moment = moment


class Day(DateField):
    """A day such as ``2026-11-23``."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read it. Errors: ValueError with a sentence for people."""
        text = (valuelist[0] if valuelist else "").strip()
        if not text:
            return
        try:
            day = date.fromisoformat(text)
        except ValueError as error:
            raise ValueError("Write a day such as 2026-11-23.") from error
        if not 1970 <= day.year < 9999:
            raise ValueError("Write a day of our days.")
        self.data = day


def read_filter(form: Form, zone: ZoneInfo) -> tuple[dict[str, Any], list[str]]:
    """The values of a filter form that make sense, and a notice for each that does not and is ignored.

    A time that was written without a zone is one of ``zone``, the reader's.
    """
    form.validate()
    values: dict[str, Any] = {}
    notices = []
    for field in form:
        if field.errors:
            notices.append(f"{field.label.text}: “{_short(field)}” is ignored. {field.errors[0]}")
            field.data, field.raw_data = field.default, None
        value = field.moment if isinstance(field, Moment) else field.data
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=zone)
        if value not in (None, ""):
            values[field.short_name] = value.strip() if isinstance(value, str) else value
    return values, notices


def in_query(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a filter as they stand in a URL."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }


@dataclass(frozen=True, slots=True)
class InForce:
    """One filter that narrows a list: its parameter's name, and what a reader sees of it."""

    name: str
    label: str
    value: Any

    @property
    def is_time(self) -> bool:
        """Whether the value is a time, to be shown on the reader's clock."""
        return isinstance(self.value, datetime)


def in_force(form: Form, values: Mapping[str, Any]) -> list[InForce]:
    """What narrows a list, in the order of its form; neither the sort nor the page's place do."""
    found = []
    for field in form:
        if field.short_name in ("after", "sort") or field.short_name not in values:
            continue
        value = values[field.short_name]
        if isinstance(field, SelectField):
            value = next((label for one, label, *_ in field.iter_choices() if one == value), value)
        label = "Search" if field.short_name == "q" else field.label.text
        found.append(InForce(field.short_name, label, value))
    return found


def _short(field: Any) -> str:
    given = field.raw_data[0] if field.raw_data else ""
    return given if len(given) <= 40 else given[:39] + "…"
