"""Answering several orders with one remark: a plan of what can be, then a result for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.accounts.queries import device_tags
from app.network.messages import Invalid
from app.orders import decisions
from app.orders.decisions import Responder
from app.orders.models import PurchaseOrder
from app.orders.req_confirm import DecisionInput, req_confirm

MOST = 200
"""Orders that are answered in one go."""


@dataclass(frozen=True, slots=True)
class BulkRow:
    """One order, and why it cannot be answered so (in a sentence), or None; ``already``: it was, just so."""

    order: PurchaseOrder
    blocker: str | None
    already: bool = False


def plan_responses(session: Session, orders: Sequence[PurchaseOrder], given: DecisionInput) -> list[BulkRow]:
    """What would become of each order; nothing is recorded."""
    given_for = _with_device_tags(session, orders, given)
    return [_plan(session, order, given_for[order.id]) for order in orders]


def respond_to_many(
    session: Session,
    orders: Sequence[PurchaseOrder],
    given: DecisionInput,
    *,
    versions: Mapping[int, int],
    by: Responder,
    undo_seconds: float,
) -> list[BulkRow]:
    """Record the answer for each order that takes it; ``orders`` were loaded for update.

    ``versions`` are those that the reader saw, by order id; one that is missing is the present one.
    """
    rows = []
    given_for = _with_device_tags(session, orders, given)
    for order in orders:
        given = given_for[order.id]
        planned = _plan(session, order, given, version=versions.get(order.id))
        if planned.blocker is None:
            decisions.respond(
                session,
                order,
                given,
                version=order.version,
                by=by,
                accepts_return=order.partner.accepts_return,
                undo_seconds=undo_seconds,
            )
        rows.append(planned)
    return rows


def _with_device_tags(
    session: Session, orders: Sequence[PurchaseOrder], given: DecisionInput
) -> dict[int, DecisionInput]:
    """The answer for each order's id: each supplier's answers start with its own device tag."""
    tags = device_tags(session, [order.supplier_b2b_id for order in orders])
    default = (given.device_tag_name, given.device_tag_value)
    found = {}
    for order in orders:
        name, value = tags.get(order.supplier_b2b_id, default)
        found[order.id] = replace(given, device_tag_name=name, device_tag_value=value)
    return found


def _plan(
    session: Session, order: PurchaseOrder, given: DecisionInput, version: int | None = None
) -> BulkRow:
    standing = decisions.current_decision(session, order)
    if standing:
        already = decisions.decision_input(standing) == given
        by = f"{standing.person_name} has answered it already."
        return BulkRow(order, None if already else by, already)
    if version is not None and version != order.version:
        return BulkRow(order, f"The buyer changed it since: it is now version {order.version}.")
    blocker = decisions.response_blocker(
        order, accepts_return=order.partner.accepts_return, response=given.response
    )
    if blocker is None:
        try:
            req_confirm(decisions.about(order), given)
        except Invalid as error:
            blocker = f"The network would not take this: {error.detail}"
    return BulkRow(order, blocker)
