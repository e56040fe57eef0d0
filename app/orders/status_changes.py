"""The buyer cancels or closes an order: a parsed `req-status-change`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.delivery.models import CancelReason
from app.network.messages import Invalid, ReqStatusChange, StatusChangeBody
from app.network.vocabulary import BuyerAction, ErrorCode, Status, may_move, status_after_action
from app.orders.decisions import cancel_response
from app.orders.models import PurchaseOrder, StatusChange
from app.orders.validation import check_parties, check_version

DONE = {Status.CANCELLED: "cancelled", Status.CLOSED: "closed"}
CANCEL_REASONS = {
    Status.CANCELLED: CancelReason.ORDER_CANCELED,
    Status.CLOSED: CancelReason.ORDER_CLOSED,
}


def apply_status_change(
    session: Session,
    order: PurchaseOrder,
    message: ReqStatusChange,
    *,
    inbound_id: str,
    received_at: datetime,
) -> None:
    """Cancel or close the order as the transition table allows; ``order`` was loaded for update.

    Our own status decides, not the one that the message names: either side may lag behind. A response
    that was not sent yet is canceled.

    Errors: Invalid, and nothing changes.
    """
    sent = message.po_status
    check_parties(order, message.b2b_ids)
    check_version(order, "poStatus", sent.object_version, makes=order.version)
    new = _requested_status(sent)
    if not may_move(order.status, sent.buyer_action):
        raise Invalid(
            ErrorCode.TRANSITION,
            "poStatus.poStatusTransition.currentStatus",
            f"The order is {order.status}: it cannot be {DONE[new]}.",
        )
    cancel_response(session, order, CANCEL_REASONS[new])
    session.add(
        StatusChange(
            order_id=order.id,
            version=order.version,
            action=sent.buyer_action,
            remarks=sent.buyer_remarks,
            status_from=order.status,
            status_to=new,
            inbound_id=inbound_id,
            received_at=received_at,
        )
    )
    order.status = new
    session.flush()


def _requested_status(sent: StatusChangeBody) -> Status:
    new = status_after_action(sent.buyer_action)
    if new is None:
        actions = " and ".join(BuyerAction)
        raise Invalid(
            ErrorCode.TRANSITION,
            "poStatus.buyerAction",
            f"poStatus.buyerAction is {sent.buyer_action[:40]!r}, but it must be {actions}.",
        )
    if sent.po_status_transition.new_status != new:
        raise Invalid(
            ErrorCode.FIELD_INVALID,
            "poStatus.poStatusTransition.newStatus",
            f"poStatus.poStatusTransition.newStatus must be {new} where buyerAction is {sent.buyer_action}.",
        )
    return new
