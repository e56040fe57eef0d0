"""A buyer in tests: edits, cancels, closes and reports results over the inbound API."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from app.delivery.models import Message
from app.inbound.models import InboundMessage
from app.network.reader import dumps
from app.orders.models import PurchaseOrder
from tests.conftest import INBOUND_KEY

DOOR = "/api/v0/purchase-order/"
Change = Callable[[dict[str, Any]], None]


class Buyer:
    """A buyer's system with the `req-send` bodies of its orders."""

    def __init__(self, client: FlaskClient, bodies: list[dict[str, Any]]) -> None:
        self._client = client
        self.bodies = bodies

    def say(self, kind: str, body: Any) -> Any:
        """POST one message."""
        raw = body if isinstance(body, bytes) else dumps(body)
        headers = {"X-Partner-Key": INBOUND_KEY}
        return self._client.post(DOOR + kind, data=raw, headers=headers, content_type="application/json")

    def send(self, number: int = 0) -> Any:
        """Send the order."""
        return self.say("req-send", self.bodies[number])

    def edit(self, number: int = 0, *, current: int = 1, new: int | None = None, **words: Any) -> Any:
        """Send the order with changes, by default another delivery date."""
        return self.say("req-edit", self.edited(number, current=current, new=new, **words))

    def edited(
        self, number: int = 0, *, current: int = 1, new: int | None = None, **words: Any
    ) -> dict[str, Any]:
        """The body of ``edit``."""
        body = copy.deepcopy(self.bodies[number])
        order = body["purchaseOrder"]
        order["objectVersion"] = {
            "currentVersion": current,
            "newVersion": current + 1 if new is None else new,
        }
        order.update(words or {"deliveryDate": "2027-01-15"})
        return body

    def move(self, number: int = 0, action: str = "CANCEL", **more: Any) -> Any:
        """Cancel or close the order."""
        return self.say("req-status-change", self.moved(number, action, **more))

    def moved(
        self,
        number: int = 0,
        action: str = "CANCEL",
        *,
        version: int = 1,
        new_version: int | None = None,
        new_status: str | None = None,
        remarks: str = "Requirement withdrawn",
    ) -> dict[str, Any]:
        """The body of ``move``."""
        sent = self.bodies[number]
        ends = {"CANCEL": "CANCELLED", "CLOSE": "CLOSED"}
        return {
            "device": sent["device"],
            "b2bIds": dict(sent["b2bIds"]),
            "poStatus": {
                "objectId": sent["purchaseOrder"]["objectId"],
                "buyerPONumber": sent["purchaseOrder"]["buyerPONumber"],
                "objectVersion": {
                    "currentVersion": version,
                    "newVersion": version if new_version is None else new_version,
                },
                "buyerAction": action,
                "buyerRemarks": remarks,
                "poStatusTransition": {
                    "currentStatus": "CREATED",
                    "newStatus": new_status or ends.get(action, action),
                },
            },
            "additionalInfos": [],
        }

    def report(self, number: int = 0, result: str = "SUCCESS", **more: Any) -> Any:
        """Send the late result of the supplier's response."""
        return self.say("resp-confirm", self.reported(number, result, **more))

    def reported(
        self,
        number: int = 0,
        result: str = "SUCCESS",
        *,
        req_msg_id: str = "",
        response: str = "ACCEPT",
        version: int = 1,
        field: str = "poConfirmation.supplierRemarks",
    ) -> dict[str, Any]:
        """The body of ``report``."""
        sent = self.bodies[number]
        ends = {"ACCEPT": "ACCEPTED", "REJECT": "REJECTED", "RETURN": "RETURNED"}
        failed = result == "FAILURE"
        return {
            "b2bIds": dict(sent["b2bIds"]),
            "resp": {
                "reqMsgId": req_msg_id,
                "result": result,
                "errorCd": "BPR012" if failed else None,
                "errorDtl": "Remarks are not acceptable" if failed else "",
                "errorField": field if failed else "",
            },
            "poConfirmation": {
                "objectId": sent["purchaseOrder"]["objectId"],
                "buyerPONumber": sent["purchaseOrder"]["buyerPONumber"],
                "supplierResponse": response,
                "supplierRemarks": "Confirmed",
                "objectVersion": {"currentVersion": version, "newVersion": version},
                "poStatusTransition": {"currentStatus": "CREATED", "newStatus": ends.get(response, "X")},
            },
            "additionalInfos": [],
        }


def resp(answer: Any) -> dict[str, str]:
    """``payload.resp`` of a reply."""
    shape = answer.get_json()
    assert set(shape) == {"response_code", "response_message", "payload"}
    assert {"b2bIds", "resp", "additionalInfos"} < set(shape["payload"])
    found: dict[str, str] = shape["payload"]["resp"]
    return found


def refusal(answer: Any) -> tuple[int, str, str]:
    """HTTP status, errorCd and errorField of a reply."""
    said = resp(answer)
    assert said["result"] == ("SUCCESS" if answer.status_code == 200 else "FAILURE")
    return answer.status_code, said["errorCd"], said["errorField"]


def _end_transaction(session: Session) -> None:
    """End the transaction; loaded objects keep their values."""
    session.expunge_all()
    session.rollback()


def order_of(session: Session, order_id: int) -> PurchaseOrder:
    """The current order with its revisions, decisions and status changes."""
    _end_transaction(session)
    found = session.scalar(
        select(PurchaseOrder)
        .where(PurchaseOrder.id == order_id)
        .options(
            joinedload(PurchaseOrder.partner),
            selectinload(PurchaseOrder.revisions),
            selectinload(PurchaseOrder.decisions),
            selectinload(PurchaseOrder.status_changes),
        )
        .execution_options(populate_existing=True)
    )
    assert found
    return found


def stands(session: Session, order_id: int) -> tuple[str, int, str, str]:
    """The order's status, version, response and delivery."""
    order = order_of(session, order_id)
    return order.status, order.version, order.response.value, order.delivery.value


def message_of(session: Session, message_id: str) -> Message:
    """The current message."""
    _end_transaction(session)
    found = session.scalar(
        select(Message)
        .where(Message.id == message_id)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
        .execution_options(populate_existing=True)
    )
    assert found
    return found


def inbound_of(session: Session, answer: Any) -> InboundMessage:
    """The stored message for this reply."""
    _end_transaction(session)
    found = session.scalar(
        select(InboundMessage)
        .where(InboundMessage.id == resp(answer)["reqMsgId"])
        .options(undefer(InboundMessage.body), undefer(InboundMessage.answer_body))
        .execution_options(populate_existing=True)
    )
    assert found
    return found
