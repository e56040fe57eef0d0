"""Exact numbers on the wire."""

from __future__ import annotations

import re
from decimal import Decimal


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
