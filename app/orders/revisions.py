"""What the buyer sent: a new order from a parsed `req-send`, a new version from a `req-edit`."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.delivery.models import CancelReason
from app.network.messages import Invalid, Party, ReqEdit, ReqSend
from app.network.text import read_date, search_key
from app.network.vocabulary import ErrorCode, Status, is_known_status, may_edit
from app.orders.decisions import cancel_response, last_decision
from app.orders.models import NO_DAY, PurchaseOrder, ResponseState, Revision
from app.orders.order_items import index_items, remove_items
from app.orders.totals import order_totals
from app.orders.validation import check_parties, check_version

TOTAL_DIGITS_MAX = 60
TEXT_MAX = 1_000
"""Characters of a subject or name in lists; the document shows all of it."""


def create_order(
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
    _add_revision(session, order, inbound_id=inbound_id, raw=raw, received_at=received_at)
    index_items(session, order, sent)
    return order


def apply_edit(
    session: Session,
    order: PurchaseOrder,
    message: ReqEdit,
    *,
    inbound_id: str,
    raw: bytes,
    received_at: datetime,
    respond_within: timedelta,
) -> None:
    """Record the buyer's change as the order's next version; ``order`` was loaded for update.

    Only the version guards against concurrent changes: the status that the message names may lag behind a
    response that is being sent. The webhook of the earlier response is canceled unless it is delivered (see
    ``cancel`` in ``delivery.service``), and the order needs a response again.

    Errors: Invalid, and nothing changes.
    """
    sent = message.purchase_order
    check_parties(order, message.b2b_ids)
    check_version(order, "purchaseOrder", sent.object_version, makes=order.version + 1)
    if not may_edit(order.status):
        raise Invalid(
            ErrorCode.TRANSITION,
            "purchaseOrder.poStatusTransition.currentStatus",
            f"The order is {order.status}: it can no longer be changed.",
        )
    cancel_response(session, order, CancelReason.ORDER_CHANGED, version=order.version + 1)
    for name, value in _columns(message, received_at, respond_within).items():
        setattr(order, name, value)
    if is_known_status(order.status):
        order.status = Status.CREATED
    if order.response is not ResponseState.NONE:
        order.response = ResponseState.CHANGED
        # The search also finds the remarks of the last response.
        last = last_decision(session, order)
        order.search_text += f"\n{search_key(last.remarks)}" if last else ""
    _add_revision(session, order, inbound_id=inbound_id, raw=raw, received_at=received_at)
    remove_items(session, order)
    index_items(session, order, sent)


def _add_revision(
    session: Session, order: PurchaseOrder, *, inbound_id: str, raw: bytes, received_at: datetime
) -> None:
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


def _columns(message: ReqSend, received_at: datetime, respond_within: timedelta) -> dict[str, Any]:
    """The columns of an order; everything else is read from its revision."""
    sent = message.purchase_order
    return {
        "buyer_po_number": sent.buyer_po_number,
        "buyer_b2b_id": message.b2b_ids.buyer_b2b_id,
        "supplier_b2b_id": message.b2b_ids.supplier_b2b_id,
        "buyer_name": _party_name(sent.buyer_details, message.b2b_ids.buyer_b2b_id),
        "supplier_name": _party_name(sent.supplier_details, message.b2b_ids.supplier_b2b_id),
        "subject": sent.subject[:TEXT_MAX],
        "order_date": sent.order_date,
        "delivery_date": sent.delivery_date,
        "delivery_day": read_date(sent.delivery_date) or NO_DAY,
        "line_count": len(sent.item_lists),
        "total": _column_text(order_totals(sent).total.value),
        "search_text": _search_text(message),
        "status": sent.po_status_transition.new_status,
        "version": sent.object_version.new_version,
        "revised_at": received_at,
        "respond_by": received_at + respond_within,
    }


def _column_text(total: Decimal | None) -> str | None:
    """A total as its column stores it; None for one that is too long for any amount of money."""
    if total is None or abs(total.adjusted()) > TOTAL_DIGITS_MAX:
        return None
    text = format(total, "f")
    return text if len(text) <= TOTAL_DIGITS_MAX else None


def _party_name(party: Party | None, default: str) -> str:
    return ((party and (party.trade_name or party.legal_name)) or default)[:TEXT_MAX]


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
    return "\n".join(filter(None, (search_key(word) for word in words if word)))
