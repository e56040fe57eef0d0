"""Values of a form or a JSON object that a person or a program sends to the simulator."""

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

TEXT_MAX = 500

Choice = TypeVar("Choice", bound=StrEnum)


class BadValue(ValueError):
    """An invalid value; the text says which and why."""


def text(values: Mapping[str, Any], name: str) -> str:
    """One line of text; empty if it is missing. Raises BadValue."""
    value = values.get(name)
    line = "" if value is None else str(value).strip()
    if len(line) > TEXT_MAX or not line.isprintable():
        raise BadValue(f"{name} must be one line of at most {TEXT_MAX} characters.")
    return line


def whole_number(values: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """A whole number; None if it is missing. Raises BadValue."""
    digits = text(values, name)
    if not digits:
        return None
    if not re.fullmatch("[0-9]{1,9}", digits) or not least <= int(digits) <= most:
        raise BadValue(f"{name} must be a whole number from {least} to {most}.")
    return int(digits)


def seconds(values: Mapping[str, Any], least: float, most: float, default: float) -> float:
    """The value named ``seconds``. Raises BadValue."""
    digits = text(values, "seconds")
    try:
        value = float(digits) if digits else default
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise BadValue(f"seconds must be a number from {least:g} to {most:g}.")
    return value


def choice(values: Mapping[str, Any], name: str, choices: type[Choice], default: Choice) -> Choice:
    """One of the choices, in upper or lower case. Raises BadValue."""
    value = text(values, name).upper()
    allowed = {member.upper(): member for member in choices}
    if value and value not in allowed:
        raise BadValue(f"{name} must be one of {', '.join(choices)}.")
    return allowed[value] if value else default


def is_on(values: Mapping[str, Any]) -> bool:
    """Whether the value named ``on`` is true. Raises BadValue."""
    word = text(values, "on").lower()
    if word not in {"1", "0", "true", "false", "on", "off"}:
        raise BadValue("on must be true or false.")
    return word in {"1", "true", "on"}
