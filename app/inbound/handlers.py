"""One handler for each kind of message: from the parsed message to the command on the order."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from app.inbound.models import InboundMessage
from app.network.messages import Invalid, ReqEdit, ReqSend, ReqStatusChange, RespConfirm
from app.network.replies import OBJECT_NAMES
from app.network.vocabulary import ErrorCode, Kind
from app.notifications.models import Event
from app.notifications.queries import people_of_supplier
from app.notifications.service import notify
from app.orders.incoming import Receipt, apply_edit, apply_result, apply_status_change, create_order
from app.orders.models import PurchaseOrder
from app.orders.queries import partners_order_for_update


def create(session: Session, row: InboundMessage, message: ReqSend, receipt: Receipt) -> None:
    """Create an order."""
    if _order(session, row):
        raise Invalid(
            ErrorCode.CONFLICT,
            "purchaseOrder.objectId",
            "purchaseOrder.objectId already exists with another version or status; send changes as req-edit.",
        )
    assert row.partner_id is not None
    order = create_order(session, row.partner_id, message, receipt)
    row.order_id = order.id
    _notify(session, order, Event.ORDER_RECEIVED)


def edit(session: Session, row: InboundMessage, message: ReqEdit, receipt: Receipt) -> None:
    """Add the next version of an order."""
    order = _known_order(session, row)
    apply_edit(session, order, message, receipt)
    _notify(session, order, Event.ORDER_CHANGED)


def change_status(session: Session, row: InboundMessage, message: ReqStatusChange, receipt: Receipt) -> None:
    """Cancel or close an order."""
    apply_status_change(session, _known_order(session, row), message, receipt)


def record_result(session: Session, row: InboundMessage, message: RespConfirm, receipt: Receipt) -> None:
    """Record the late result of a response."""
    apply_result(session, _known_order(session, row), message, receipt)


HANDLERS: dict[Kind, Callable[..., None]] = {
    Kind.REQ_SEND: create,
    Kind.REQ_EDIT: edit,
    Kind.REQ_STATUS_CHANGE: change_status,
    Kind.RESP_CONFIRM: record_result,
}
"""Each may raise Invalid; then only the row's link to the order has changed."""


def _notify(session: Session, order: PurchaseOrder, event: Event) -> None:
    people = people_of_supplier(session, order.supplier_b2b_id)
    notify(session, people, event, title=order.buyer_po_number, path=f"/orders/{order.id}")


def _order(session: Session, row: InboundMessage) -> PurchaseOrder | None:
    """The order that the message refers to, locked, and linked to the message."""
    assert row.partner_id is not None
    order = partners_order_for_update(session, row.partner_id, row.object_id)
    row.order_id = order.id if order else None
    return order


def _known_order(session: Session, row: InboundMessage) -> PurchaseOrder:
    order = _order(session, row)
    if order is None:
        field = f"{OBJECT_NAMES[Kind(row.kind)]}.objectId"
        raise Invalid(ErrorCode.UNKNOWN_OBJECT, field, f"{field} does not match a known order.")
    return order
