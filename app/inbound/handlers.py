"""What each kind of message does: one verb each, from what was parsed to what the order's room does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.inbound.models import InboundMessage
from app.network.messages import ReqEdit, ReqSend, ReqStatusChange, RespConfirm
from app.network.replies import OBJECT_NAMES
from app.network.vocabulary import ErrorCode, Kind
from app.orders.models import PurchaseOrder
from app.orders.network_results import apply_result
from app.orders.queries import partners_order_for_update
from app.orders.revisions import apply_edit, create_order
from app.orders.status_changes import apply_status_change
from app.orders.validation import ValidationFailed


@dataclass(frozen=True, slots=True)
class Terms:
    """When a message is taken in, and how long the supplier has from then."""

    at: datetime
    respond_within: timedelta


def send(session: Session, row: InboundMessage, message: ReqSend, terms: Terms) -> None:
    """A new order."""
    known = _order(session, row)
    if known:
        raise ValidationFailed(
            ErrorCode.CONFLICT,
            "purchaseOrder.objectId",
            "purchaseOrder.objectId was sent before, in another version or status; send changes as req-edit.",
        )
    assert row.partner_id is not None
    order = create_order(
        session,
        row.partner_id,
        message,
        inbound_id=row.id,
        raw=row.body,
        received_at=terms.at,
        respond_within=terms.respond_within,
    )
    row.order_id = order.id


def edit(session: Session, row: InboundMessage, message: ReqEdit, terms: Terms) -> None:
    """The next version of an order."""
    apply_edit(
        session,
        _known_order(session, row),
        message,
        inbound_id=row.id,
        raw=row.body,
        received_at=terms.at,
        respond_within=terms.respond_within,
    )


def move(session: Session, row: InboundMessage, message: ReqStatusChange, terms: Terms) -> None:
    """An order cancelled or closed."""
    apply_status_change(session, _known_order(session, row), message, inbound_id=row.id, received_at=terms.at)


def result(session: Session, row: InboundMessage, message: RespConfirm, terms: Terms) -> None:
    """The late result of an answer."""
    apply_result(session, _known_order(session, row), message, inbound_id=row.id, received_at=terms.at)


VERBS: dict[Kind, Callable[..., None]] = {
    Kind.REQ_SEND: send,
    Kind.REQ_EDIT: edit,
    Kind.REQ_STATUS_CHANGE: move,
    Kind.RESP_CONFIRM: result,
}
"""Each may raise ValidationFailed, and then has changed nothing but the row's own link to the order."""


def _order(session: Session, row: InboundMessage) -> PurchaseOrder | None:
    """The order that the message is about, for update; the log links the two from now on."""
    assert row.partner_id is not None
    order = partners_order_for_update(session, row.partner_id, row.object_id)
    row.order_id = order.id if order else None
    return order


def _known_order(session: Session, row: InboundMessage) -> PurchaseOrder:
    order = _order(session, row)
    if order is None:
        field = f"{OBJECT_NAMES[Kind(row.kind)]}.objectId"
        raise ValidationFailed(ErrorCode.UNKNOWN_OBJECT, field, f"{field} is of no order that is known here.")
    return order
