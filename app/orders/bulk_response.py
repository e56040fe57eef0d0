"""Responding to several orders with one remark: a preview, then a result for each order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy.orm import Session

from app.accounts.queries import device_tags
from app.network.messages import Invalid
from app.orders import decisions
from app.orders.decisions import Responder, ResponseBlocker
from app.orders.models import PurchaseOrder
from app.orders.req_confirm import DecisionInput, req_confirm

BULK_MAX = 200
"""Orders in one bulk response."""


class BulkStatus(StrEnum):
    """Whether one order takes the response."""

    READY = "ready"
    SAME_RESPONSE = "same_response"
    OTHER_RESPONSE = "other_response"
    CHANGED = "changed"
    BLOCKED = "blocked"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class BulkRow:
    """One order of a bulk response.

    ``detail`` is the name of the person who responded first, or the error of the partner contract;
    ``blocker`` is set where the status is BLOCKED.
    """

    order: PurchaseOrder
    status: BulkStatus
    detail: str = ""
    blocker: ResponseBlocker | None = None

    @property
    def has_response(self) -> bool:
        """Whether the order has this response afterwards."""
        return self.status in (BulkStatus.READY, BulkStatus.SAME_RESPONSE)


def preview_responses(
    session: Session, orders: Sequence[PurchaseOrder], data: DecisionInput
) -> list[BulkRow]:
    """What would happen to each order; nothing is recorded."""
    inputs = _with_device_tags(session, orders, data)
    return [_check(session, order, inputs[order.id]) for order in orders]


def respond_to_many(
    session: Session,
    orders: Sequence[PurchaseOrder],
    data: DecisionInput,
    *,
    versions: Mapping[int, int],
    by: Responder,
    undo_seconds: float,
) -> list[BulkRow]:
    """Record the response for each order that takes it; ``orders`` were loaded for update.

    ``versions`` are those that the person saw, by order id; for a missing one the current version counts.
    """
    rows = []
    inputs = _with_device_tags(session, orders, data)
    for order in orders:
        row = _check(session, order, inputs[order.id], version=versions.get(order.id))
        if row.has_response:
            decisions.respond(
                session,
                order,
                inputs[order.id],
                version=order.version,
                by=by,
                accepts_return=order.partner.accepts_return,
                undo_seconds=undo_seconds,
            )
        rows.append(row)
    return rows


def _with_device_tags(
    session: Session, orders: Sequence[PurchaseOrder], data: DecisionInput
) -> dict[int, DecisionInput]:
    """The response by order id, with the device tag that is set for the order's supplier."""
    tags = device_tags(session, [order.supplier_b2b_id for order in orders])
    default = (data.device_tag_name, data.device_tag_value)
    inputs = {}
    for order in orders:
        name, value = tags.get(order.supplier_b2b_id, default)
        inputs[order.id] = replace(data, device_tag_name=name, device_tag_value=value)
    return inputs


def _check(
    session: Session, order: PurchaseOrder, data: DecisionInput, version: int | None = None
) -> BulkRow:
    current = decisions.current_decision(session, order)
    if current:
        if decisions.input_of(current) == data:
            return BulkRow(order, BulkStatus.SAME_RESPONSE)
        return BulkRow(order, BulkStatus.OTHER_RESPONSE, detail=current.person_name)
    if version is not None and version != order.version:
        return BulkRow(order, BulkStatus.CHANGED)
    accepts_return = order.partner.accepts_return
    blocker = decisions.response_blocker(order, accepts_return=accepts_return, response=data.response)
    if blocker:
        return BulkRow(order, BulkStatus.BLOCKED, blocker=blocker)
    try:
        req_confirm(decisions.order_reference(order), data)
    except Invalid as error:
        return BulkRow(order, BulkStatus.INVALID, detail=error.detail)
    return BulkRow(order, BulkStatus.READY)
