"""The rows of example orders: messages received, responses, webhooks, attempts and audit entries.

They follow the rules of the commands: an order has the state of its last webhook, a delivered response
changed its status, every attempt is counted.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from app.accounts.models import Role
from app.audit.models import AuditAction, AuditEntry, AuditObject
from app.db import new_id as timed_id
from app.delivery.call_result import DetailCode
from app.delivery.models import LIVE, Attempt, CancelReason, Message, MessageNote, MessageState, Trigger
from app.delivery.retry_policy import ACCEPTED_OUTCOMES, DEFAULT_SCHEDULE, Reason
from app.delivery.statistics import CountedAttempt
from app.demo.orders import new_id
from app.demo.payloads import REFUSAL
from app.demo.seed_plan import PlannedOrder
from app.demo.seed_templates import ExampleData
from app.inbound.models import Effect, InboundMessage
from app.network.paths import API_PATH, KEY_HEADER
from app.network.reader import canonical_sha256, dumps
from app.network.replies import build_reply
from app.network.vocabulary import ErrorCode, Kind, Status, status_after
from app.orders.models import Decision, Delivery, OrderItem, PurchaseOrder, ResponseState, Revision
from app.orders.req_confirm import DecisionInput, req_confirm
from app.partners.masking import MASK

Row = dict[str, Any]
MODELS = (
    PurchaseOrder,
    Revision,
    OrderItem,
    InboundMessage,
    Message,
    Attempt,
    Decision,
    AuditEntry,
)
"""The tables in the order of their foreign keys."""
UNREACHABLE = "http://127.0.0.1:9"
RESPOND_WITHIN = timedelta(hours=24)
FAILURE_OUTCOMES = (
    (Reason.TIMEOUT, None, 6),
    (Reason.BUSY, 503, 8),
    (Reason.SERVER_ERROR, 500, 4),
    (Reason.SERVER_ERROR, 502, 3),
    (Reason.RATE_LIMITED, 429, 2),
    (Reason.CONNECT, None, 4),
    (Reason.RESET, None, 2),
    (Reason.TLS, None, 1),
    (Reason.NAME, None, 1),
    (Reason.CREDENTIALS, 401, 1),
    (Reason.UNREADABLE_RESPONSE, 200, 1),
    (Reason.INTERRUPTED, None, 1),
)
RESPONSES = (("ACCEPT", 88), ("REJECT", 10), ("RETURN", 2))
REMARKS = {
    "ACCEPT": ("Confirmed", "Confirmed", "Confirmed, ships as ordered", "Confirmed. Thank you"),
    "REJECT": ("Price differs from contract", "Out of stock", "Delivery date is not possible", "Wrong item"),
    "RETURN": ("Please correct the HSN code", "Please correct the quantity"),
}
_NOTES = {
    MessageState.DELIVERED: MessageNote.ATTEMPT,
    MessageState.REFUSED: MessageNote.ATTEMPT,
    MessageState.FAILED: MessageNote.ATTEMPT,
    MessageState.CANCELED: MessageNote.CANCELED,
}
_BODIES = {
    Reason.DELIVERED.value: dumps(
        {"response_code": 0, "response_message": "Success", "payload": {"resp": {"result": "SUCCESS"}}}
    ),
    Reason.REFUSED_BY_PARTNER.value: dumps(
        {
            "response_code": 1,
            "response_message": "FAILURE",
            "payload": {
                "resp": {
                    "result": "FAILURE",
                    "errorCd": REFUSAL[0],
                    "errorDtl": REFUSAL[1],
                    "errorField": REFUSAL[2],
                }
            },
        }
    ),
}


class SeedRows:
    """The rows of one transaction, by model. ``run`` makes the PO numbers of this run unique."""

    def __init__(self, rng: random.Random, example_data: ExampleData, run: str, now: datetime) -> None:
        self.rng = rng
        self.example_data = example_data
        self.run = run
        self.now = now
        self.rows: dict[Any, list[Row]] = {model: [] for model in MODELS}

    def add(self, order_id: int, planned: PlannedOrder) -> None:
        """Add the rows of one order."""
        rng, received_at, state = self.rng, planned.received_at, planned.state
        template = self.example_data.template(rng)
        waits = state in LIVE
        partner_id = self.example_data.paused if waits else rng.choice(self.example_data.partners)
        object_id = new_id("POR", rng)
        po_number = f"{template.po_number.decode()[:3]}/{self.run}/{order_id}"
        raw = template.body.replace(template.object_id, object_id.encode()).replace(
            template.po_number, po_number.encode()
        )
        inbound_id = timed_id("in", received_at)
        self.rows[OrderItem] += [{**item, "order_id": order_id} for item in template.items]
        order = {
            **template.columns,
            "id": order_id,
            "partner_id": partner_id,
            "object_id": object_id,
            "buyer_po_number": po_number,
            "search_text": "\n".join(
                [po_number.casefold(), object_id.casefold(), template.columns["search_text"]]
            ),
            "status": Status.CREATED.value,
            "version": 1,
            "received_at": received_at,
            "revised_at": received_at,
            "respond_by": received_at + RESPOND_WITHIN,
            "answer": ResponseState.NONE,
            "delivery": Delivery.NONE,
            "message_id": None,
            "answered_at": None,
            "answered_by": "",
        }
        self.rows[PurchaseOrder].append(order)
        self.rows[Revision].append(
            {
                "order_id": order_id,
                "version": 1,
                "inbound_id": inbound_id,
                "body": raw,
                "received_at": received_at,
            }
        )
        self.rows[InboundMessage].append(_received(inbound_id, order, raw, Effect.APPLIED))
        if rng.random() < 0.01:
            again = timed_id("in", received_at + timedelta(seconds=40))
            self.rows[InboundMessage].append(
                _received(again, order, raw, Effect.REPEATED, repeat_of=inbound_id)
            )
        if rng.random() < 0.004:
            self.rows[InboundMessage].append(_unmatched(timed_id("in", received_at), order, raw))
        if state is not None:
            self._respond(order, state, planned.attempts)

    def _respond(self, order: Row, state: MessageState, attempts: int) -> None:
        """Add a response with its message and attempts."""
        rng, now = self.rng, self.now
        response = rng.choices([value for value, _ in RESPONSES], [weight for _, weight in RESPONSES])[0]
        data = DecisionInput(response, rng.choice(REMARKS[response]))
        person_id, person_name = rng.choice(self.example_data.staff)
        waits = state in LIVE
        response_time = timedelta(minutes=min(rng.lognormvariate(4.6, 1.1), 60 * 40))
        at = min(order["received_at"] + response_time, now - timedelta(minutes=4 if waits else 60 * 11))
        at = max(at, order["received_at"] + timedelta(seconds=20))
        body = req_confirm(
            PurchaseOrder(
                object_id=order["object_id"],
                buyer_po_number=order["buyer_po_number"],
                buyer_b2b_id=order["buyer_b2b_id"],
                supplier_b2b_id=order["supplier_b2b_id"],
                version=1,
                status=Status.CREATED.value,
            ),
            data,
        )
        message_id = timed_id("msg", at)
        last = self._attempts(message_id, at, state, attempts)
        delivered, refused = state is MessageState.DELIVERED, state is MessageState.REFUSED
        error_cd, error_dtl, error_field = REFUSAL if refused else ("", "", "")
        self.rows[Message].append(
            {
                "id": message_id,
                "kind": Kind.REQ_CONFIRM.value,
                "partner_id": order["partner_id"],
                "order_id": order["id"],
                "decision_number": 1,
                "object_id": order["object_id"],
                "buyer_po_number": order["buyer_po_number"],
                "buyer_b2b_id": order["buyer_b2b_id"],
                "supplier_b2b_id": order["supplier_b2b_id"],
                "object_version": 1,
                "body": body,
                "body_sha256": hashlib.sha256(body).hexdigest(),
                "created_at": at,
                "created_by": person_name,
                "state": state,
                "next_at": now if state is MessageState.PENDING else None,
                "claims": attempts,
                "automatic_attempts": attempts,
                "attempts_made": attempts,
                "lease_token": "made-up" if state is MessageState.SENDING else None,
                "lease_until": now + timedelta(seconds=30) if state is MessageState.SENDING else None,
                "finished_at": None if waits else (last["ended_at"] if last else at),
                "reason": (last["outcome"] or "") if last else "",
                "note_code": _NOTES.get(state, MessageNote.NONE),
                "note_params": {},
                "status_code": last["status"] if last else None,
                "response_code": 0 if delivered else 1 if refused else None,
                "response_message": "Success" if delivered else "",
                "result": "SUCCESS" if delivered else "FAILURE" if refused else "",
                "error_cd": error_cd,
                "error_dtl": error_dtl,
                "error_field": error_field,
                "cancel_requested": CancelReason.ORDER_CHANGED if state is MessageState.CANCELED else None,
                "cancel_params": {"version": 2} if state is MessageState.CANCELED else {},
            }
        )
        status_to = status_after(response).value
        self.rows[Decision].append(
            {
                "order_id": order["id"],
                "number": 1,
                "version": 1,
                "response": response,
                "remarks": data.remarks,
                "device_tag_name": data.device_tag_name,
                "device_tag_value": data.device_tag_value,
                "infos": [],
                "status_from": Status.CREATED.value,
                "status_to": status_to,
                "person_id": person_id,
                "person_name": person_name,
                "decided_at": at,
                "message_id": message_id,
                "took_seconds": int((at - order["received_at"]).total_seconds() // 1),
                "left_seconds": int((order["respond_by"] - at).total_seconds() // 1),
                "supplier_b2b_id": order["supplier_b2b_id"],
            }
        )
        self.rows[AuditEntry].append(
            {
                "at": at,
                "action": AuditAction.RESPONDED.value,
                "actor": person_name,
                "person_id": person_id,
                "role": Role.SUPPLIER.value,
                "address": "127.0.0.1",
                "user_agent": "",
                "object_kind": AuditObject.ORDER.value,
                "object_id": str(order["id"]),
                "object_name": order["buyer_po_number"],
                "reason": "",
                "before": dumps({"answer": "none"}).decode(),
                "after": dumps({"answer": response, "remarks": data.remarks, "message": message_id}).decode(),
            }
        )
        order |= {
            "answer": ResponseState(response),
            "delivery": Delivery(state.value),
            "message_id": message_id,
            "answered_at": at,
            "answered_by": person_name,
            "status": status_to if delivered else Status.CREATED.value,
            "search_text": f"{order['search_text']}\n{data.remarks.casefold()}",
        }

    def _attempts(self, message_id: str, at: datetime, state: MessageState, count: int) -> Row | None:
        """Add the attempts of a message at the times of its schedule; returns the last one."""
        rng, now = self.rng, self.now
        started_at, last = at + timedelta(seconds=rng.uniform(0.01, 6)), None
        trouble = rng.choices(FAILURE_OUTCOMES, [weight for *_, weight in FAILURE_OUTCOMES])[0]
        for number in range(1, count + 1):
            outcome, status, milliseconds = trouble[0].value, trouble[1], rng.lognormvariate(4.4, 0.7)
            if number == count and state is MessageState.DELIVERED:
                outcome, status = Reason.DELIVERED.value, 200
            elif number == count and state is MessageState.REFUSED:
                outcome, status = Reason.REFUSED_BY_PARTNER.value, 200
            elif outcome == Reason.TIMEOUT:
                milliseconds = rng.uniform(15_000, 15_060)
            is_sending = state is MessageState.SENDING
            ended_at = started_at + timedelta(milliseconds=milliseconds)
            body = b"" if status is None else _BODIES.get(outcome, b"Service unavailable")
            last = {
                "message_id": message_id,
                "number": number,
                "trigger": Trigger.AUTO,
                "url": UNREACHABLE + API_PATH + Kind.REQ_CONFIRM,
                "request_headers": [["Content-Type", "application/json"], ["Idempotency-Key", message_id]],
                "remote_address": None if status is None else "127.0.0.1:9",
                "started_at": now if is_sending else started_at,
                "ended_at": None if is_sending else ended_at,
                "outcome": None if is_sending else outcome,
                "detail_code": DetailCode.NONE,
                "detail_params": {},
                "status": None if is_sending else status,
                "response_headers": [] if status is None else [["Content-Type", "application/json"]],
                "response_body": b"" if is_sending else body,
                "response_size": len(body),
                "duration_ms": None if is_sending or outcome == Reason.INTERRUPTED else milliseconds,
            }
            self.rows[Attempt].append(last)
            wait = DEFAULT_SCHEDULE[min(number, len(DEFAULT_SCHEDULE)) - 1]
            # All attempts are in the past, even if the schedule puts them later.
            longest = (now - timedelta(minutes=1) - ended_at).total_seconds() / (count - number + 1)
            started_at = ended_at + timedelta(seconds=max(min(wait, longest), 0.0))
        return last

    def ended_attempts(self) -> Iterator[CountedAttempt]:
        """The attempts for the statistics."""
        messages = {message["id"]: message for message in self.rows[Message]}
        for attempt in self.rows[Attempt]:
            if attempt["ended_at"] is None:
                continue
            message, delivery_ms = messages[attempt["message_id"]], None
            if attempt["outcome"] in ACCEPTED_OUTCOMES:
                waited = attempt["ended_at"] - message["created_at"]
                delivery_ms = waited.total_seconds() * 1000
            yield CountedAttempt(
                partner_id=message["partner_id"],
                ended_at=attempt["ended_at"],
                outcome=attempt["outcome"],
                status=attempt["status"],
                duration_ms=attempt["duration_ms"],
                delivery_ms=delivery_ms,
            )


def _received(inbound_id: str, order: Row, raw: bytes, effect: Effect, repeat_of: str | None = None) -> Row:
    return {
        "id": inbound_id,
        "kind": Kind.REQ_SEND.value,
        "partner_id": order["partner_id"],
        "order_id": order["id"],
        "received_at": order["received_at"],
        "remote_address": "127.0.0.1",
        "path": API_PATH + Kind.REQ_SEND,
        "headers": [["Content-Type", "application/json"], [KEY_HEADER, MASK]],
        "size": len(raw),
        "body": raw,
        "object_id": order["object_id"],
        "buyer_po_number": order["buyer_po_number"],
        "supplier_b2b_id": order["supplier_b2b_id"],
        "duplicate_key": f"req-send {order['object_id']} 1 CREATED",
        "content_sha256": canonical_sha256({"objectId": order["object_id"]}),
        "repeat_of": repeat_of,
        "effect": effect,
        "error_cd": "",
        "error_field": "",
        "detail": "",
        "response_status": 200,
        "response_body": b'{"response_code":0,"response_message":"Success"}',
    }


def _unmatched(inbound_id: str, order: Row, raw: bytes) -> Row:
    field_name, detail = "poStatus.objectId", "poStatus.objectId does not match a known order."
    code = ErrorCode.UNKNOWN_OBJECT
    reply = build_reply(
        Kind.REQ_STATUS_CHANGE, None, req_msg_id=inbound_id, code=code, detail=detail, field=field_name
    )
    return {
        **_received(inbound_id, order, raw, Effect.UNMATCHED),
        "kind": Kind.REQ_STATUS_CHANGE.value,
        "path": API_PATH + Kind.REQ_STATUS_CHANGE,
        "order_id": None,
        "duplicate_key": None,
        "error_cd": code.value,
        "error_field": field_name,
        "detail": detail,
        "response_status": 409,
        "response_body": dumps(reply),
    }
