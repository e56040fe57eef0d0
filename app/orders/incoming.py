"""Applies partners' messages to orders: new orders, changes, cancellations, closures and late results.

Each command gets a parsed message and an order that was loaded for update. Errors: Invalid, and nothing
changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.delivery.late_results import Contradicted, LateResult, apply_late_result
from app.delivery.models import CancelReason, Message
from app.network.messages import (
    B2BIds,
    Invalid,
    ObjectVersion,
    Party,
    ReqEdit,
    ReqSend,
    ReqStatusChange,
    Resp,
    RespConfirm,
    StatusChangeBody,
)
from app.network.text import read_date, search_key
from app.network.vocabulary import (
    BuyerAction,
    ErrorCode,
    Result,
    Status,
    is_known_status,
    may_edit,
    may_move,
    status_after_action,
)
from app.orders.decisions import cancel_response
from app.orders.models import NO_DAY, Decision, PurchaseOrder, ResponseState, Revision, StatusChange
from app.orders.order_items import index_items, remove_items
from app.orders.totals import order_totals

TOTAL_DIGITS_MAX = 60
TEXT_MAX = 1_000
"""Characters of a subject or name in lists; the document shows all of it."""
DONE = {Status.CANCELLED: "canceled", Status.CLOSED: "closed"}
CANCEL_REASONS = {
    Status.CANCELLED: CancelReason.ORDER_CANCELED,
    Status.CLOSED: CancelReason.ORDER_CLOSED,
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The incoming message that is applied: its id and bytes, and when.

    The supplier has ``respond_within`` from then to respond.
    """

    inbound_id: str
    raw: bytes
    at: datetime
    respond_within: timedelta


# --- A new order, and new versions of it


def create_order(session: Session, partner_id: int, message: ReqSend, receipt: Receipt) -> PurchaseOrder:
    """Record a new order and its first revision, byte for byte as received."""
    sent = message.purchase_order
    order = PurchaseOrder(
        partner_id=partner_id,
        object_id=sent.object_id,
        received_at=receipt.at,
        **_columns(message, receipt),
    )
    session.add(order)
    session.flush()
    _add_revision(session, order, receipt)
    index_items(session, order, sent)
    return order


def apply_edit(session: Session, order: PurchaseOrder, message: ReqEdit, receipt: Receipt) -> None:
    """Record the buyer's change as the order's next version.

    Only the version guards against concurrent changes: the status that the message names may lag behind a
    response that is being sent. The webhook of the earlier response is canceled unless it has ended (see
    ``cancel`` in ``delivery.service``), and the order needs a response again.
    """
    sent = message.purchase_order
    _check_parties(order, message.b2b_ids)
    _check_version(order, "purchaseOrder", sent.object_version, makes=order.version + 1)
    if not may_edit(order.status):
        raise Invalid(
            ErrorCode.TRANSITION,
            "purchaseOrder.poStatusTransition.currentStatus",
            f"The order is {order.status}: it can no longer be changed.",
        )
    cancel_response(session, order, CancelReason.ORDER_CHANGED, version=order.version + 1)
    for name, value in _columns(message, receipt).items():
        setattr(order, name, value)
    if is_known_status(order.status):
        order.status = Status.CREATED
    if order.response is not ResponseState.NONE:
        order.response = ResponseState.CHANGED
        # The search also finds the remarks of the last response.
        last = order.last_decision
        order.search_text += f"\n{search_key(last.remarks)}" if last else ""
    _add_revision(session, order, receipt)
    remove_items(session, order)
    index_items(session, order, sent)


def _add_revision(session: Session, order: PurchaseOrder, receipt: Receipt) -> None:
    session.add(
        Revision(
            order_id=order.id,
            version=order.version,
            inbound_id=receipt.inbound_id,
            body=receipt.raw,
            received_at=receipt.at,
        )
    )
    session.flush()


def _columns(message: ReqSend, receipt: Receipt) -> dict[str, Any]:
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
        "revised_at": receipt.at,
        "respond_by": receipt.at + receipt.respond_within,
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


# --- Canceled or closed by the buyer


def apply_status_change(
    session: Session, order: PurchaseOrder, message: ReqStatusChange, receipt: Receipt
) -> None:
    """Cancel or close the order as the transition table allows.

    Our own status decides, not the one that the message names: either side may lag behind. A response
    that was not sent yet is canceled.
    """
    sent = message.po_status
    _check_parties(order, message.b2b_ids)
    _check_version(order, "poStatus", sent.object_version, makes=order.version)
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
            inbound_id=receipt.inbound_id,
            received_at=receipt.at,
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


# --- The late result of a response


def apply_result(session: Session, order: PurchaseOrder, message: RespConfirm, receipt: Receipt) -> None:
    """Apply the partner's late result to the webhook it is about."""
    _check_parties(order, message.b2b_ids)
    late = _late(message.resp, receipt)
    webhook = _find_message(session, order, message)
    if webhook is None:
        raise Invalid(
            ErrorCode.UNKNOWN_OBJECT,
            "poConfirmation.objectId",
            "No response sent for this order matches this result.",
        )
    try:
        apply_late_result(session, webhook, late)
    except Contradicted:
        raise Invalid(
            ErrorCode.CONFLICT,
            "resp.result",
            f"This response already has a different result, from {webhook.result_inbound_id}.",
        ) from None
    session.refresh(order, ["status", "delivery"])


def _late(resp: Resp, receipt: Receipt) -> LateResult:
    result = resp.result.strip().upper()
    if result not in list(Result):
        raise Invalid(
            ErrorCode.FIELD_INVALID,
            "resp.result",
            f"resp.result is {resp.result[:40]!r}, but it must be {' or '.join(Result)}.",
        )
    failed = result == Result.FAILURE
    return LateResult(
        inbound_id=receipt.inbound_id,
        at=receipt.at,
        succeeded=not failed,
        result=resp.result,
        req_msg_id=resp.req_msg_id,
        error_cd=(failed and resp.error_cd) or "",
        error_dtl=(failed and resp.error_dtl) or "",
        error_field=(failed and resp.error_field) or "",
    )


def _find_message(session: Session, order: PurchaseOrder, message: RespConfirm) -> Message | None:
    """The webhook that a result is about; None if no attempted one matches.

    That is the webhook for which the partner returned this reqMsgId, else the newest with the echoed
    response to the echoed version.
    """
    echo, req_msg_id = message.po_confirmation, message.resp.req_msg_id
    if req_msg_id:
        attempted = session.scalar(_attempted(order).where(Message.req_msg_id == req_msg_id))
        if attempted:
            return attempted
    return session.scalar(
        _attempted(order).where(
            Decision.version == echo.object_version.new_version,
            Decision.response == echo.supplier_response,
        )
    )


def _attempted(order: PurchaseOrder) -> Select[Message]:
    return (
        select(Message)
        .join(Decision, Decision.message_id == Message.id)
        .where(Decision.order_id == order.id, Message.attempts_made > 0)
        .order_by(Message.decision_number.desc())
        .limit(1)
        .execution_options(populate_existing=True)
    )


# --- Checks of every message


def _check_parties(order: PurchaseOrder, ids: B2BIds) -> None:
    """Check that the parties did not change: they decide who may see the order."""
    for field, received, known in (
        ("b2bIds.buyerB2BId", ids.buyer_b2b_id, order.buyer_b2b_id),
        ("b2bIds.supplierB2BId", ids.supplier_b2b_id, order.supplier_b2b_id),
    ):
        if received != known:
            raise Invalid(ErrorCode.FIELD_INVALID, field, f"{field} does not match this order.")


def _check_version(order: PurchaseOrder, name: str, received: ObjectVersion, *, makes: int) -> None:
    """Check that the sender knows the current version and creates version ``makes``."""
    path = f"{name}.objectVersion"
    if received.current_version != order.version:
        raise Invalid(
            ErrorCode.STALE_VERSION,
            f"{path}.currentVersion",
            f"{path}.currentVersion is {received.current_version},"
            f" but the order is at version {order.version}.",
        )
    if received.new_version != makes:
        raise Invalid(
            ErrorCode.STALE_VERSION,
            f"{path}.newVersion",
            f"{path}.newVersion is {received.new_version}, but this message creates version {makes}.",
        )
