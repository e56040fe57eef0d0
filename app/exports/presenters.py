"""Labels of exports and of the evidence pack."""

from __future__ import annotations

from app.network.text import pluralize
from app.orders.models import Decision, PurchaseOrder


def kept_for(hours: float) -> str:
    """How long a file is kept: in whole days if that is at least two, otherwise in hours."""
    return pluralize(int(hours // 24), "day") if hours >= 48 else pluralize(int(hours), "hour")


def response_note(decision: Decision, order: PurchaseOrder) -> str:
    """What happened to a response afterwards, in parentheses; empty if it is still valid."""
    if decision.undone:
        return " (undone before sending)"
    if decision.version < order.version:
        return " (order changed since)"
    return ""
