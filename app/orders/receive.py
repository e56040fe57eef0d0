"""Taking in what the buyer sent: a new order from a parsed `req-send`."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contract.messages import Party, PurchaseOrderBody, ReqSend
from app.orders.models import PurchaseOrder, Revision


def order_of(session: Session, partner_id: int, object_id: str) -> PurchaseOrder | None:
    """The partner's order with this objectId, for update."""
    return session.scalar(
        select(PurchaseOrder)
        .where(PurchaseOrder.partner_id == partner_id, PurchaseOrder.object_id == object_id)
        .with_for_update()
    )


def take(
    session: Session,
    partner_id: int,
    message: ReqSend,
    *,
    inbound_id: str,
    raw: bytes,
    received_at: datetime,
    respond_within: timedelta,
) -> PurchaseOrder:
    """Record a new order and its first revision, byte for byte as received."""
    sent = message.purchase_order
    order = PurchaseOrder(
        partner_id=partner_id,
        object_id=sent.object_id,
        received_at=received_at,
        **_columns(message, received_at, respond_within),
    )
    session.add(order)
    session.flush()
    session.add(
        Revision(
            order_id=order.id,
            version=order.version,
            inbound_id=inbound_id,
            body=raw,
            received_at=received_at,
        )
    )
    session.flush()
    return order


def _columns(message: ReqSend, received_at: datetime, respond_within: timedelta) -> dict[str, Any]:
    """What of a message stands in the order's own row; the rest is read from the revision."""
    sent = message.purchase_order
    total = total_of(sent)
    return {
        "buyer_po_number": sent.buyer_po_number,
        "buyer_b2b_id": message.b2b_ids.buyer_b2b_id,
        "supplier_b2b_id": message.b2b_ids.supplier_b2b_id,
        "buyer_name": _called(sent.buyer_details, message.b2b_ids.buyer_b2b_id),
        "supplier_name": _called(sent.supplier_details, message.b2b_ids.supplier_b2b_id),
        "subject": sent.subject,
        "order_date": sent.order_date,
        "delivery_date": sent.delivery_date,
        "line_count": len(sent.item_lists),
        "total": None if total is None else format(total, "f"),
        "search_text": _search_text(message),
        "status": sent.po_status_transition.new_status,
        "version": sent.object_version.new_version,
        "revised_at": received_at,
        "respond_by": received_at + respond_within,
    }


def total_of(sent: PurchaseOrderBody) -> Decimal | None:
    """The order's total in INR: the buyer's own, or else the sum of its lines where each names a value."""
    details = sent.po_value_details
    named = details.get("totalPOValue") if isinstance(details, dict) else None
    if isinstance(named, Decimal | int) and not isinstance(named, bool):
        return Decimal(named)
    values = [line.total_item_value for line in sent.item_lists]
    if not values or any(value is None for value in values):
        return None
    return sum((value for value in values if value is not None), Decimal(0))


def _called(party: Party | None, otherwise: str) -> str:
    return (party and (party.trade_name or party.legal_name)) or otherwise


def _search_text(message: ReqSend) -> str:
    sent = message.purchase_order
    parties = [party for party in (sent.buyer_details, sent.supplier_details) if party]
    words = [
        sent.buyer_po_number,
        sent.object_id,
        sent.subject,
        message.b2b_ids.buyer_b2b_id,
        *(name for party in parties for name in (party.legal_name, party.trade_name)),
        *(word for line in sent.item_lists for word in (line.product_description, line.hsn_code)),
    ]
    return "\n".join(word.casefold() for word in words if word)
