"""Answering: the rules, the decision, the message. Nothing here commits: the edge does, once."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.delivery.models import Message, MessageState
from app.delivery.service import OrderSnapshot, enqueue, withdraw
from app.network.vocabulary import Kind, SupplierResponse, is_known_status, may_answer, status_after
from app.orders.models import Decision, Delivery, PurchaseOrder, ResponseState
from app.orders.req_confirm import DecisionInput, OrderReference, req_confirm

FINAL_DELIVERIES = (Delivery.PENDING, Delivery.SENDING, Delivery.DELIVERED)
"""While its message is one of these, a decision stands."""


class StaleVersion(Exception):
    """The form was made for another version of the order than the present one."""


class AlreadyDecided(Exception):
    """There is another decision for this version, and it stands."""

    def __init__(self, decision: Decision) -> None:
        super().__init__("already decided")
        self.decision = decision


class NotAnswerable(Exception):
    """The order takes no such answer; the text is the sentence that says why."""


class TooLate(Exception):
    """The answer has left, or somebody took it back already."""


@dataclass(frozen=True, slots=True)
class Responder:
    """Who answers: the person's id, and the name that the history shows."""

    id: int
    name: str


def about(order: PurchaseOrder) -> OrderReference:
    """What the message needs of the order as it stands."""
    return OrderReference(
        object_id=order.object_id,
        buyer_po_number=order.buyer_po_number,
        buyer_b2b_id=order.buyer_b2b_id,
        supplier_b2b_id=order.supplier_b2b_id,
        version=order.version,
        status=order.status,
    )


def current_decision(session: Session, order: PurchaseOrder) -> Decision | None:
    """The decision that stands for the order's present version, if one does."""
    newest = last_decision(session, order)
    if newest and newest.version == order.version and order.delivery in FINAL_DELIVERIES:
        return newest
    return None


def last_decision(session: Session, order: PurchaseOrder) -> Decision | None:
    """The last decision on the order, for whatever version."""
    return session.scalar(
        select(Decision).where(Decision.order_id == order.id).order_by(Decision.number.desc()).limit(1)
    )


def unsuccessful_response(session: Session, order: PurchaseOrder) -> DecisionInput | None:
    """What was answered to the present version and did not come to stand: what an answer anew starts from."""
    newest = last_decision(session, order)
    if newest and newest.version == order.version and order.delivery not in FINAL_DELIVERIES:
        return decision_input(newest)
    return None


def response_blocker(
    order: PurchaseOrder, *, accepts_return: bool, response: str | None = None
) -> str | None:
    """Why the order takes no answer (or not this one), in a sentence; None if it does."""
    if not is_known_status(order.status):
        return f"Its status “{order.status}” is not one this app knows, so it cannot tell what answer fits."
    if response == SupplierResponse.RETURN and not accepts_return:
        return "This network does not take orders back for changes. Confirm or reject it."
    if not may_answer(order.status, response or SupplierResponse.ACCEPT):
        return f"The order is {order.status.lower()}: it takes no more answers."
    if order.response is ResponseState.CHANGED and order.delivery is Delivery.SENDING:
        return "The answer to the earlier version is being sent at this moment. Wait until that has ended."
    return None


def respond(
    session: Session,
    order: PurchaseOrder,
    given: DecisionInput,
    *,
    version: int,
    by: Responder,
    accepts_return: bool = False,
    undo_seconds: float = 0,
) -> Decision:
    """Record an answer and the message that tells the network; ``order`` was loaded for update.

    The identical answer again gives the decision that stands, and nothing new. The message may leave
    ``undo_seconds`` after the commit.

    Errors: StaleVersion, AlreadyDecided, NotAnswerable; contract.messages.Invalid for words that the
    network does not take.
    """
    standing = current_decision(session, order)
    if standing and version == standing.version:
        if decision_input(standing) == given:
            return standing
        raise AlreadyDecided(standing)
    if version != order.version:
        raise StaleVersion
    blocker = response_blocker(order, accepts_return=accepts_return, response=given.response)
    if blocker:
        raise NotAnswerable(blocker)
    return _decide(session, order, given, by, undo_seconds)


def withdraw_response(session: Session, order: PurchaseOrder, why: str) -> None:
    """Keep the last answer from leaving (any more), because the buyer changed his mind; ``why`` says how.

    ``order`` was loaded for update. The trail tells that the buyer's network withdrew it, unless somebody
    acts at the edge.
    """
    if order.message_id:
        was = order.delivery
        if withdraw(session, order.message_id, why):
            trail.record(
                session,
                AuditAction.WEBHOOK_CANCELED,
                AuditObject.MESSAGE,
                order.message_id,
                name=order.buyer_po_number,
                by=order.partner.name,
                reason=why,
                before={"delivery": was.value},
            )
        # The projection moved below the object's feet.
        session.refresh(order, ["status", "delivery"])


def may_undo(message: Message | None) -> bool:
    """Whether an answer's message still waits out the seconds in which it can be taken back."""
    return (
        message is not None
        and message.state is MessageState.PENDING
        and message.attempts_made == 0
        and message.next_at is not None
        and message.next_at > clock.now()
    )


def undo(session: Session, order: PurchaseOrder, *, by: Responder) -> None:
    """Withdraw the last answer before it leaves; the order can then be answered anew.

    ``order`` was loaded for update. The decision stays in the history. Errors: TooLate.
    """
    message = session.get(Message, order.message_id) if order.message_id else None
    if message is None or not may_undo(message):
        raise TooLate
    withdraw(session, message.id, f"{by.name} took it back before it left.")
    session.execute(update(Decision).where(Decision.message_id == message.id).values(undone=True))
    trail.record(
        session,
        AuditAction.RESPONSE_UNDONE,
        AuditObject.ORDER,
        order.id,
        name=order.buyer_po_number,
        by=by.name,
        before={"answer": order.response.value, "message": message.id},
    )


def decision_input(decision: Decision) -> DecisionInput:
    """The answer that a decision recorded."""
    return DecisionInput(
        response=decision.response,
        remarks=decision.remarks,
        device_tag_name=decision.device_tag_name,
        device_tag_value=decision.device_tag_value,
        infos=tuple((name, value) for name, value in decision.infos),
    )


def _answer_told(decision: Decision | None) -> dict[str, object]:
    """What the audit trail tells of an answer."""
    if decision is None:
        return {"answer": "none"}
    return {
        "answer": decision.response,
        "remarks": decision.remarks,
        "version": decision.version,
        "message": decision.message_id,
        "further": [f"{name}: {value}" for name, value in decision.infos],
    }


def _decide(
    session: Session, order: PurchaseOrder, given: DecisionInput, by: Responder, undo_seconds: float
) -> Decision:
    body = req_confirm(about(order), given)
    last = last_decision(session, order)
    number = last.number + 1 if last else 1
    now = clock.now()
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
        body=body,
        by=by.name,
        wait_seconds=undo_seconds,
    )
    decision = Decision(
        order_id=order.id,
        number=number,
        version=order.version,
        response=given.response,
        remarks=given.remarks,
        device_tag_name=given.device_tag_name,
        device_tag_value=given.device_tag_value,
        infos=[list(info) for info in given.infos],
        status_from=order.status,
        status_to=status_after(given.response),
        person_id=by.id,
        person_name=by.name,
        decided_at=now,
        message_id=message.id,
        took_seconds=floor((now - order.revised_at).total_seconds()),
        left_seconds=floor((order.respond_by - now).total_seconds()),
        supplier_b2b_id=order.supplier_b2b_id,
    )
    session.add(decision)
    order.response = ResponseState(given.response)
    order.delivery = Delivery.PENDING
    order.message_id = message.id
    order.responded_at = decision.decided_at
    order.responded_by = by.name
    order.search_text = PurchaseOrder.search_text + "\n" + given.remarks.casefold()
    session.flush()
    trail.record(
        session,
        AuditAction.RESPONDED,
        AuditObject.ORDER,
        order.id,
        name=order.buyer_po_number,
        by=by.name,
        before=_answer_told(last),
        after=_answer_told(decision),
    )
    return decision
