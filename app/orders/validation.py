"""Checks a partner's message against the current order: its parties and its version."""

from __future__ import annotations

from app.network.messages import B2BIds, Invalid, ObjectVersion
from app.network.vocabulary import ErrorCode
from app.orders.models import PurchaseOrder


def check_parties(order: PurchaseOrder, ids: B2BIds) -> None:
    """Check that the parties did not change: they decide who may see the order. Errors: Invalid."""
    for field, received, known in (
        ("b2bIds.buyerB2BId", ids.buyer_b2b_id, order.buyer_b2b_id),
        ("b2bIds.supplierB2BId", ids.supplier_b2b_id, order.supplier_b2b_id),
    ):
        if received != known:
            raise Invalid(ErrorCode.FIELD_INVALID, field, f"{field} does not match this order.")


def check_version(order: PurchaseOrder, name: str, received: ObjectVersion, *, makes: int) -> None:
    """Check that the sender knows the current version and creates version ``makes``.

    Errors: Invalid.
    """
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
