"""Labels of the evidence pack."""

from __future__ import annotations

from app.orders.models import Decision, PurchaseOrder


def response_note(decision: Decision, order: PurchaseOrder) -> str:
    """What happened to a response afterwards, in parentheses; empty if it is still valid."""
    if decision.undone:
        return " (undone before sending)"
    if decision.version < order.version:
        return " (order changed since)"
    return ""
