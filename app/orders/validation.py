"""Checks a partner's message against the current order: its parties and its version."""

from __future__ import annotations

from app.network.messages import B2BIds, ObjectVersion
from app.network.vocabulary import ErrorCode
from app.orders.models import PurchaseOrder


class ValidationFailed(Exception):
    """A well-formed message that the current order does not allow.

    ``field`` is the path in wire names of what is wrong, ``detail`` a sentence for the sender.
    """

    def __init__(self, code: ErrorCode, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail


def check_parties(order: PurchaseOrder, ids: B2BIds) -> None:
    """Check that the parties did not change: they decide who may see the order. Errors: ValidationFailed."""
    for field, received, known in (
        ("b2bIds.buyerB2BId", ids.buyer_b2b_id, order.buyer_b2b_id),
        ("b2bIds.supplierB2BId", ids.supplier_b2b_id, order.supplier_b2b_id),
    ):
        if received != known:
            raise ValidationFailed(ErrorCode.FIELD_INVALID, field, f"{field} does not match this order.")


def check_version(order: PurchaseOrder, name: str, received: ObjectVersion, *, makes: int) -> None:
    """Check that the sender knows the current version and creates version ``makes``.

    Errors: ValidationFailed.
    """
    path = f"{name}.objectVersion"
    if received.current_version != order.version:
        raise ValidationFailed(
            ErrorCode.STALE_VERSION,
            f"{path}.currentVersion",
            f"{path}.currentVersion is {received.current_version},"
            f" but the order is at version {order.version}.",
        )
    if received.new_version != makes:
        raise ValidationFailed(
            ErrorCode.STALE_VERSION,
            f"{path}.newVersion",
            f"{path}.newVersion is {received.new_version}, but this message creates version {makes}.",
        )
