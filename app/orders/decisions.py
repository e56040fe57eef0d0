"""Responding to an order: the rules, the decision and its webhook. Nothing here commits."""

from __future__ import annotations

from enum import StrEnum
from math import floor
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery.models import CancelReason, Message
from app.delivery.service import OrderSnapshot, cancel, enqueue
from app.network.text import search_key
from app.network.vocabulary import Kind, SupplierResponse, is_known_status, may_respond, status_after
from app.orders.line_responses import encode, from_json, to_json
from app.orders.models import (
    UNSUCCESSFUL_DELIVERIES,
    Decision,
    Delivery,
    PurchaseOrder,
    ResponseState,
)
from app.orders.req_confirm import DecisionInput, req_confirm

DELIVERIES_IN_EFFECT = set(Delivery) - {Delivery.NONE, *UNSUCCESSFUL_DELIVERIES}
"""A decision is in effect while its message has one of these states."""


class StaleVersion(Exception):
    """The response is for another version of the order than the current one."""


class AlreadyDecided(Exception):
    """Another decision is in effect for this version."""

    def __init__(self, decision: Decision) -> None:
        super().__init__("already decided")
        self.decision = decision


class ResponseBlocker(StrEnum):
    """Why an order accepts no response now, or not this one."""

    UNKNOWN_STATUS = "unknown_status"
    RETURN_NOT_SUPPORTED = "return_not_supported"
    LINES_NOT_SUPPORTED = "lines_not_supported"
    FINAL_STATUS = "final_status"
    EARLIER_RESPONSE_SENDING = "earlier_response_sending"


class CannotRespond(Exception):
    """The order accepts no response now, or not this one."""

    def __init__(self, blocker: ResponseBlocker) -> None:
        super().__init__(blocker)
        self.blocker = blocker


class TooLate(Exception):
    """The response has been sent or was already undone."""


def current_decision(order: PurchaseOrder) -> Decision | None:
    """The decision in effect for the order's current version, if any."""
    return order.last_decision if is_in_effect(order, order.last_decision) else None


def is_in_effect(order: PurchaseOrder, last: Decision | None) -> bool:
    """Whether the last decision is for the order's current version and its webhook may still count.

    A webhook that was refused, failed or canceled does not.
    """
    return last is not None and last.version == order.version and order.delivery in DELIVERIES_IN_EFFECT


def unsuccessful_response(order: PurchaseOrder) -> DecisionInput | None:
    """The last response to the current version if it is not in effect; the form starts with it."""
    last = order.last_decision
    if last is None or last.version != order.version or is_in_effect(order, last):
        return None
    return input_of(last)


def response_blocker(order: PurchaseOrder, response: str | None = None) -> ResponseBlocker | None:
    """Why the order does not accept ``response``, or any response; None if it does."""
    if not is_known_status(order.status):
        return ResponseBlocker.UNKNOWN_STATUS
    if response == SupplierResponse.RETURN and not order.partner.accepts_return:
        return ResponseBlocker.RETURN_NOT_SUPPORTED
    if not may_respond(order.status, response or SupplierResponse.ACCEPT):
        return ResponseBlocker.FINAL_STATUS
    if order.response is ResponseState.CHANGED and order.delivery is Delivery.SENDING:
        return ResponseBlocker.EARLIER_RESPONSE_SENDING
    return None


def respond(
    session: Session,
    order: PurchaseOrder,
    data: DecisionInput,
    *,
    version: int,
    by: Person,
    undo_seconds: float = 0,
) -> Decision:
    """Record a response and enqueue its webhook; ``order`` was loaded for update.

    The identical response again returns the decision in effect and records nothing. The webhook is sent
    no sooner than ``undo_seconds`` after the commit.

    Errors: StaleVersion, AlreadyDecided, CannotRespond; network.messages.Invalid for content that the
    partner contract does not allow.
    """
    return check(order, order.last_decision, data, version=version) or _record(
        session, order, data, by, undo_seconds
    )


def check(
    order: PurchaseOrder, last: Decision | None, data: DecisionInput, *, version: int
) -> Decision | None:
    """The decision in effect if it is the identical response; None if this one may be recorded.

    ``last`` is the order's last decision. Errors: StaleVersion, AlreadyDecided, CannotRespond.
    """
    if last and version == last.version and is_in_effect(order, last):
        if input_of(last) == data:
            return last
        raise AlreadyDecided(last)
    if version != order.version:
        raise StaleVersion
    blocker = response_blocker(order, data.response)
    if data.line_responses and not order.partner.accepts_line_responses:
        blocker = ResponseBlocker.LINES_NOT_SUPPORTED
    if blocker:
        raise CannotRespond(blocker)
    return None


def cancel_response(session: Session, order: PurchaseOrder, reason: CancelReason, **params: Any) -> None:
    """Cancel the webhook of the last response because the buyer changed or ended the order.

    ``order`` was loaded for update. The audit trail names the partner, unless a person is signed in.
    """
    if order.message_id:
        was = order.delivery
        if cancel(session, order.message_id, reason, **params):
            trail.record(
                session,
                AuditAction.WEBHOOK_CANCELED,
                AuditObject.MESSAGE,
                order.message_id,
                name=order.buyer_po_number,
                by=order.partner.name,
                before={"delivery": was.value},
                after={"reason": reason.value, **params},
            )
        # The statement above changed the row, not this object.
        session.refresh(order, ["status", "delivery"])


def undo(session: Session, order: PurchaseOrder, *, by: Person) -> None:
    """Cancel the last response before it is sent; the order then needs a response again.

    ``order`` was loaded for update. The decision stays in the activity. Errors: TooLate.
    """
    message = session.get(Message, order.message_id) if order.message_id else None
    if message is None or not message.is_undoable:
        raise TooLate
    cancel(session, message.id, CancelReason.UNDO, name=by.display_name)
    session.execute(update(Decision).where(Decision.message_id == message.id).values(undone=True))
    trail.record(
        session,
        AuditAction.RESPONSE_UNDONE,
        AuditObject.ORDER,
        order.id,
        name=order.buyer_po_number,
        by=by.display_name,
        before={"answer": order.response.value, "message": message.id},
    )


def input_of(decision: Decision) -> DecisionInput:
    """The response that a decision recorded."""
    return DecisionInput(
        response=decision.response,
        remarks=decision.remarks,
        device_tag_name=decision.device_tag_name,
        device_tag_value=decision.device_tag_value,
        infos=tuple((name, value) for name, value in decision.infos),
        line_responses=tuple(map(from_json, decision.line_responses)),
    )


def _audit_fields(decision: Decision | None) -> dict[str, object]:
    """What the audit trail records of a response."""
    if decision is None:
        return {"answer": "none"}
    fields: dict[str, object] = {
        "answer": decision.response,
        "remarks": decision.remarks,
        "version": decision.version,
        "message": decision.message_id,
        "further": [f"{name}: {value}" for name, value in decision.infos],
    }
    if decision.line_responses:
        fields["lines"] = [
            f"{name}: {value}" for name, value in encode(map(from_json, decision.line_responses))
        ]
    return fields


def _record(
    session: Session,
    order: PurchaseOrder,
    data: DecisionInput,
    by: Person,
    undo_seconds: float,
) -> Decision:
    last = order.last_decision
    number = last.number + 1 if last else 1
    message = enqueue(
        session,
        kind=Kind.REQ_CONFIRM,
        partner_id=order.partner_id,
        about=OrderSnapshot(
            order_id=order.id,
            decision_number=number,
            object_id=order.object_id,
            buyer_po_number=order.buyer_po_number,
            buyer_b2b_id=order.buyer_b2b_id,
            supplier_b2b_id=order.supplier_b2b_id,
            object_version=order.version,
        ),
        body=req_confirm(order, data),
        by=by.display_name,
        wait_seconds=undo_seconds,
    )
    decision = _new_decision(order, data, by, number=number, message_id=message.id)
    order.decisions.insert(0, decision)
    order.response = ResponseState(data.response)
    order.delivery = Delivery.PENDING
    order.message_id = message.id
    order.responded_at = decision.decided_at
    order.responded_by = by.display_name
    order.search_text = PurchaseOrder.search_text + "\n" + search_key(data.remarks)
    session.flush()
    trail.record(
        session,
        AuditAction.RESPONDED,
        AuditObject.ORDER,
        order.id,
        name=order.buyer_po_number,
        by=by.display_name,
        before=_audit_fields(last),
        after=_audit_fields(decision),
    )
    return decision


def _new_decision(
    order: PurchaseOrder, data: DecisionInput, by: Person, *, number: int, message_id: str
) -> Decision:
    now = clock.now()
    return Decision(
        number=number,
        version=order.version,
        response=data.response,
        remarks=data.remarks,
        device_tag_name=data.device_tag_name,
        device_tag_value=data.device_tag_value,
        infos=[list(info) for info in data.infos],
        line_responses=[to_json(response) for response in data.line_responses],
        status_from=order.status,
        status_to=status_after(data.response),
        person_id=by.id,
        person_name=by.display_name,
        decided_at=now,
        message_id=message_id,
        took_seconds=floor((now - order.revised_at).total_seconds()),
        left_seconds=floor((order.respond_by - now).total_seconds()),
        supplier_b2b_id=order.supplier_b2b_id,
    )
