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

INBOUND_KEY = "the-key-of-the-network"
API_PATH = "/api/v0/purchase-order/"
Change = Callable[[dict[str, Any]], None]


class Buyer:
    """A buyer's system with the `req-send` bodies of its orders."""

    def __init__(self, client: FlaskClient, bodies: list[dict[str, Any]]) -> None:
        self._client = client
        self.bodies = bodies

    def post(self, kind: str, body: Any) -> Any:
        """POST one message."""
        raw = body if isinstance(body, bytes) else dumps(body)
        headers = {"X-Partner-Key": INBOUND_KEY}
        return self._client.post(API_PATH + kind, data=raw, headers=headers, content_type="application/json")

    def send(self, number: int = 0) -> Any:
        """Send the order."""
        return self.post("req-send", self.bodies[number])

    def edit(self, number: int = 0, *, current: int = 1, new: int | None = None, **fields: Any) -> Any:
        """Send the order with changes, by default another delivery date."""
        return self.post("req-edit", self.edit_body(number, current=current, new=new, **fields))

    def edit_body(
        self, number: int = 0, *, current: int = 1, new: int | None = None, **fields: Any
    ) -> dict[str, Any]:
        """The body of ``edit``."""
        body = copy.deepcopy(self.bodies[number])
        order = body["purchaseOrder"]
        order["objectVersion"] = {
            "currentVersion": current,
            "newVersion": current + 1 if new is None else new,
        }
        order.update(fields or {"deliveryDate": "2027-01-15"})
        return body

    def change_status(self, number: int = 0, action: str = "CANCEL", **more: Any) -> Any:
        """Cancel or close the order."""
        return self.post("req-status-change", self.status_change_body(number, action, **more))

    def status_change_body(
        self,
        number: int = 0,
        action: str = "CANCEL",
        *,
        version: int = 1,
        new_version: int | None = None,
        new_status: str | None = None,
        remarks: str = "Requirement withdrawn",
    ) -> dict[str, Any]:
        """The body of ``change_status``."""
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

    def send_result(self, number: int = 0, result: str = "SUCCESS", **more: Any) -> Any:
        """Send the late result of the supplier's response."""
        return self.post("resp-confirm", self.result_body(number, result, **more))

    def result_body(
        self,
        number: int = 0,
        result: str = "SUCCESS",
        *,
        req_msg_id: str = "",
        response: str = "ACCEPT",
        version: int = 1,
        field: str = "poConfirmation.supplierRemarks",
    ) -> dict[str, Any]:
        """The body of ``send_result``."""
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


def resp(response: Any) -> dict[str, str]:
    """``payload.resp`` of a reply."""
    envelope = response.get_json()
    assert set(envelope) == {"response_code", "response_message", "payload"}
    assert {"b2bIds", "resp", "additionalInfos"} < set(envelope["payload"])
    payload: dict[str, str] = envelope["payload"]["resp"]
    return payload


def refusal(response: Any) -> tuple[int, str, str]:
    """HTTP status, errorCd and errorField of a reply."""
    fields = resp(response)
    assert fields["result"] == ("SUCCESS" if response.status_code == 200 else "FAILURE")
    return response.status_code, fields["errorCd"], fields["errorField"]


def _end_transaction(session: Session) -> None:
    """End the transaction; loaded objects keep their values."""
    session.expunge_all()
    session.rollback()


def order_of(session: Session, order_id: int) -> PurchaseOrder:
    """The current order with its revisions, decisions and status changes."""
    _end_transaction(session)
    order = session.scalar(
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
    assert order
    return order


def order_state(session: Session, order_id: int) -> tuple[str, int, str, str]:
    """The order's status, version, response and delivery."""
    order = order_of(session, order_id)
    return order.status, order.version, order.response.value, order.delivery.value


def message_of(session: Session, message_id: str) -> Message:
    """The current message."""
    _end_transaction(session)
    message = session.scalar(
        select(Message)
        .where(Message.id == message_id)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
        .execution_options(populate_existing=True)
    )
    assert message
    return message


def inbound_of(session: Session, response: Any) -> InboundMessage:
    """The stored message for this reply."""
    _end_transaction(session)
    message = session.scalar(
        select(InboundMessage)
        .where(InboundMessage.id == resp(response)["reqMsgId"])
        .options(undefer(InboundMessage.body), undefer(InboundMessage.response_body))
        .execution_options(populate_existing=True)
    )
    assert message
    return message
