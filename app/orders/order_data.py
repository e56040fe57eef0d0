"""Orders, responses and status changes as JSON, for the API of the pages and for the evidence pack."""

from __future__ import annotations

from typing import Any

from app.orders.models import Decision, PurchaseOrder, Revision, StatusChange


def order_data(order: PurchaseOrder) -> dict[str, Any]:
    """The body of ``GET /orders/<id>.json``."""
    return {
        "id": order.id,
        "object_id": order.object_id,
        "buyer_po_number": order.buyer_po_number,
        "buyer_b2b_id": order.buyer_b2b_id,
        "supplier_b2b_id": order.supplier_b2b_id,
        "partner": order.partner.name,
        "status": order.status,
        "version": order.version,
        "answer": order.response,
        "assignee": order.assignee.username if order.assignee else None,
        "delivery": order.delivery_shown,
        "subject": order.subject,
        "total": order.total,
        "currency": "INR",
        "received_at": order.received_at.isoformat(),
        "respond_by": order.respond_by.isoformat(),
        "revisions": [_revision_data(revision) for revision in order.revisions],
        "decisions": [decision_data(decision) for decision in order.decisions],
        "status_changes": [status_change_data(change) for change in order.status_changes],
    }


def _revision_data(revision: Revision) -> dict[str, Any]:
    """A version; its body is text, so that amounts stay exact."""
    return {
        "version": revision.version,
        "received_at": revision.received_at.isoformat(),
        "inbound_id": revision.inbound_id,
        "body": revision.body.decode("utf-8", "replace"),
    }


def decision_data(decision: Decision) -> dict[str, Any]:
    """A response."""
    return {
        "number": decision.number,
        "version": decision.version,
        "response": decision.response,
        "remarks": decision.remarks,
        "by": decision.person_name,
        "at": decision.decided_at.isoformat(),
        "message_id": decision.message_id,
        "lines": decision.line_responses,
    }


def status_change_data(change: StatusChange) -> dict[str, Any]:
    """A change of the status by the buyer."""
    return {
        "action": change.action,
        "remarks": change.remarks,
        "from": change.status_from,
        "to": change.status_to,
        "at": change.received_at.isoformat(),
        "inbound_id": change.inbound_id,
    }
