"""A month of realistic data: orders, responses, webhooks in every state, attempts and received messages.

Rows are written directly, since the commands would take hours. They follow the rules of the commands: an
order has the state of its last webhook, a delivered response changed its status, every attempt is counted.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.orm import Session

from app import clock
from app.accounts import service as account_service
from app.accounts.models import Person, Role
from app.accounts.passwords import new_password
from app.audit.models import AuditAction, AuditEntry, AuditObject
from app.db import Database
from app.delivery import statistics
from app.delivery.models import Attempt, CancelReason, Message, MessageNote, MessageState, Trigger
from app.delivery.outcome import DetailCode
from app.delivery.retry_policy import DEFAULT_SCHEDULE, Reason
from app.delivery.service import new_id as timed_id
from app.delivery.statistics import CountedAttempt
from app.demo.orders import example_orders, new_id, with_quantity
from app.demo.start import PARTNER
from app.inbound.models import Effect, InboundMessage
from app.network.messages import parse
from app.network.reader import canonical_sha256, dumps
from app.network.replies import build_reply
from app.network.text import read_date
from app.network.vocabulary import ErrorCode, Kind, Status, status_after
from app.orders.models import (
    NO_DAY,
    Decision,
    Delivery,
    OrderItem,
    PurchaseOrder,
    ResponseState,
    Revision,
    to_paise,
)
from app.orders.order_items import item_rows
from app.orders.req_confirm import DecisionInput, OrderReference, req_confirm
from app.partners import queries as partner_queries
from app.partners import service as partner_service
from app.partners.models import Partner

PARTNERS = ("Deccan Trade Network (example)", "Konkan Exchange (example)", "Malwa Hub (example)")
"""The last one is paused."""
UNREACHABLE = "http://127.0.0.1:9"
PERIOD = timedelta(days=30)
WITHIN = timedelta(hours=24)
AT_ONCE = 2_000
"""Orders a transaction."""
MAX_ATTEMPTS = 7
QUANTITIES = 100
"""Different quantities of each example order, so that few orders look like duplicates."""
UNANSWERED = 0.05
"""Orders without a response, besides those with messages."""
STATES = (
    *((MessageState.DELIVERED, 0.945), (MessageState.REFUSED, 0.02), (MessageState.FAILED, 0.015)),
    *((MessageState.CANCELLED, 0.012), (MessageState.PENDING, 0.007), (MessageState.SENDING, 0.001)),
)
TROUBLE = (
    *((Reason.TIMEOUT, None, 6), (Reason.BUSY, 503, 8), (Reason.SERVER_ERROR, 500, 4)),
    *((Reason.SERVER_ERROR, 502, 3), (Reason.BUSY, 429, 2), (Reason.CONNECT, None, 4)),
    *((Reason.RESET, None, 2), (Reason.TLS, None, 1), (Reason.NAME, None, 1), (Reason.CREDENTIALS, 401, 1)),
    *((Reason.UNREADABLE_ANSWER, 200, 1), (Reason.INTERRUPTED, None, 1)),
)
RESPONSES = (("ACCEPT", 88), ("REJECT", 10), ("RETURN", 2))
REMARKS = {
    "ACCEPT": ("Confirmed", "Confirmed", "Confirmed, ships as ordered", "Confirmed. Thank you"),
    "REJECT": ("Price differs from contract", "Out of stock", "Delivery date is not possible", "Wrong item"),
    "RETURN": ("Please correct the HSN code", "Please correct the quantity"),
}
KEPT_FIELDS = (
    *("objectId", "buyerPONumber", "ts", "orderDate", "deliveryDate", "subject", "currency", "objectVersion"),
    *("poStatusTransition", "itemLists", "buyerDetails", "poValueDetails"),
)


class NotADemo(Exception):
    """The database has other data; the text is one line for the operator."""


@dataclass(slots=True)
class _Batch:
    """Rows of one transaction, by table."""

    orders: list[dict[str, Any]] = field(default_factory=list)
    revisions: list[dict[str, Any]] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    inbound: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    trail: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Template:
    """An example order: the body, the texts to replace in it, the columns of its row, and its items."""

    body: bytes
    object_id: bytes
    po_number: bytes
    columns: dict[str, Any]
    items: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _World:
    """The partners, the staff, the example orders, and the templates made of them."""

    partners: Sequence[int]
    paused: int
    staff: Sequence[tuple[int, str]]
    bodies: Sequence[dict[str, Any]]
    templates: dict[tuple[int, int], _Template] = field(default_factory=dict)

    def template(self, rng: random.Random) -> _Template:
        """A random example order with a random quantity."""
        place, size = rng.randrange(len(self.bodies)), rng.randrange(QUANTITIES)
        if (place, size) not in self.templates:
            self.templates[place, size] = _template(self.bodies[place], size)
        return self.templates[place, size]


def seed(
    database: Database,
    *,
    messages: int,
    attempts: int,
    on_progress: Callable[[int], None] = lambda _done: None,
    anyway: bool = False,
    rng: random.Random | None = None,
) -> dict[str, int]:
    """Fill the database with this many messages and attempts over the last 30 days; returns the counts.

    ``on_progress`` is called with the number of orders since the last call. Errors: NotADemo for a database
    that is neither empty nor a demo, unless ``anyway``; ValueError for too few or too many attempts.
    """
    rng = rng or random.Random()
    now = clock.now()
    with database.writing() as session:
        if not anyway:
            _check_is_demo(session)
        world = _world(session, now)
        order_id = (session.scalar(select(func.max(PurchaseOrder.id))) or 0) + 1
        session.commit()
    plan = _plan(rng, now, messages, attempts)
    run = f"{rng.randrange(36**4):05d}"
    made = {"orders": 0, "messages": 0, "attempts": 0, "received": 0}
    while plan:
        chunk, plan = plan[:AT_ONCE], plan[AT_ONCE:]
        batch = _Batch()
        for at, state, tries in chunk:
            _order(batch, rng, world, order_id, run, at, now, state, tries)
            order_id += 1
        with database.writing() as session:
            _write(session, batch)
            session.commit()
        made["orders"] += len(batch.orders)
        made["messages"] += len(batch.messages)
        made["attempts"] += len(batch.attempts)
        made["received"] += len(batch.inbound)
        on_progress(len(chunk))
    with database.writing() as session:
        _advance_sequence(session)
        session.commit()
    if database.is_postgresql:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return made


def _check_is_demo(session: Session) -> None:
    known = {partner.name for partner in partner_queries.all_partners(session)}
    others = known - {PARTNER, *PARTNERS}
    if others:
        raise NotADemo(f"this database has the partner {min(others)}: example data does not belong in it")


def _world(session: Session, now: datetime) -> _World:
    partners = [_partner(session, name) for name in PARTNERS]
    if not partners[-1].paused:
        partner_service.pause(
            session, partners[-1], "Their release is under way until tonight.", by="Ravi Deshpande"
        )
    staff = session.scalars(select(Person).where(Person.role == Role.SUPPLIER).order_by(Person.id)).all()
    if not staff:
        for name, full_name, supplier_ids in (
            ("asha", "Asha Kulkarni", ["SUPPB2B0001@bbps", "SUPPB2B0002@bbps"]),
            ("omar", "Omar Shaikh", ["SUPPB2B0002@bbps"]),
        ):
            account_service.add_person(
                session,
                name,
                role=Role.SUPPLIER,
                password=new_password(),
                supplier_ids=supplier_ids,
                full_name=full_name,
            )
        staff = session.scalars(select(Person).where(Person.role == Role.SUPPLIER)).all()
    ids = [partner.id for partner in partners]
    return _World(
        ids, ids[-1], [(person.id, person.display_name) for person in staff], list(example_orders(now))
    )


def _partner(session: Session, name: str) -> Partner:
    known = partner_queries.partner_by_name(session, name)
    if known:
        return known
    made, _ = partner_service.add(
        session, name, base_url=UNREACHABLE, allow_addresses=["127.0.0.0/8"], accepts_return=True
    )
    return made


def _template(body: dict[str, Any], size: int) -> _Template:
    """An example order with one line, only the fields of KEPT_FIELDS, and a multiple of a small quantity.

    Some sizes have a higher price, so that order checks have something to tell.
    """
    sent = body["purchaseOrder"]
    content = {name: sent[name] for name in KEPT_FIELDS if name in sent}
    content |= {name: value for name, value in sent.items() if isinstance(value, str)}
    line = sent["itemLists"][0]
    price = Decimal(line["unitPrice"])
    if size % 20 == 0:
        price = (price * Decimal("1.04")).quantize(Decimal("0.001"))
    line = with_quantity(line, max(1, round(line["quantity"] / 50)) * (size + 1), price)
    total = line["totalItemValue"]
    content |= {"itemLists": [line], "poValueDetails": {"totalPOValue": total}}
    content_body = {**body, "purchaseOrder": content}
    parties = (sent["buyerDetails"], sent["supplierDetails"])
    names = [party.get("tradeName") or party.get("legalName") for party in parties]
    buyer_b2b_id, supplier_b2b_id = body["b2bIds"]["buyerB2BId"], body["b2bIds"]["supplierB2BId"]
    words = [content["subject"], *names, line["productDescription"]]
    columns = {
        "buyer_b2b_id": buyer_b2b_id,
        "supplier_b2b_id": supplier_b2b_id,
        "buyer_name": names[0],
        "supplier_name": names[1],
        "subject": content["subject"],
        "order_date": content["orderDate"],
        "delivery_date": content["deliveryDate"],
        "delivery_day": read_date(content["deliveryDate"]) or NO_DAY,
        "line_count": 1,
        "total": format(total, "f"),
        "total_paise": to_paise(total),
        "search_text": "\n".join(word.casefold() for word in words if word),
    }
    parsed = parse(Kind.REQ_SEND, content_body).purchase_order
    return _Template(
        dumps(content_body),
        content["objectId"].encode(),
        content["buyerPONumber"].encode(),
        columns,
        item_rows(0, supplier_b2b_id, buyer_b2b_id, parsed),
    )


def _plan(
    rng: random.Random, now: datetime, messages: int, attempts: int
) -> list[tuple[datetime, MessageState | None, int]]:
    """The time of each order, the state of its message and the number of attempts, oldest first.

    Queued messages are new. Retried messages come in groups of several hours, as in an outage.
    """
    counts = [round(messages * part) for _, part in STATES[1:]]
    states: list[MessageState] = [MessageState.DELIVERED] * (messages - sum(counts))
    waiting: list[MessageState] = []
    for (state, _), count in zip(STATES[1:], counts, strict=True):
        (waiting if state in (MessageState.PENDING, MessageState.SENDING) else states).extend([state] * count)
    rng.shuffle(states)
    tried = [0 if state is MessageState.CANCELLED else 1 for state in states]
    left = attempts - sum(tried) - waiting.count(MessageState.SENDING)
    if left < 0 or left > sum(tried) * (MAX_ATTEMPTS - 1):
        raise ValueError(f"{messages} messages take {sum(tried)} to {sum(tried) * MAX_ATTEMPTS} attempts")
    retried = [place for place, tries in enumerate(tried) if tries]
    # Outages: parts of the month in which most messages needed several attempts.
    outages = [rng.random() for _ in range(9)]
    size = max(len(states), 1)
    near = [place for place in retried if any(abs(place / size - outage) < 0.012 for outage in outages)]
    for pool, most in ((near, MAX_ATTEMPTS), (retried, MAX_ATTEMPTS)):
        rng.shuffle(pool)
        for place in pool:
            more = min(left, most - tried[place], rng.choice((0, 1, 2, 3, 6)) if pool is retried else 4)
            tried[place] += more
            left -= more
    for place in retried:
        more = min(left, MAX_ATTEMPTS - tried[place])
        tried[place] += more
        left -= more
    planned = [*zip(states, tried, strict=True)]
    span = PERIOD - timedelta(hours=12)
    moments = sorted(now - PERIOD + span * _working_time(rng) for _ in planned)
    plan: list[tuple[datetime, MessageState | None, int]] = [
        (at, state, tries) for at, (state, tries) in zip(moments, planned, strict=True)
    ]
    plan += [
        (now - timedelta(minutes=rng.uniform(5, 600)), state, int(state is MessageState.SENDING))
        for state in waiting
    ]
    plan += [
        (now - timedelta(hours=rng.uniform(0, 30)), None, 0) for _ in range(round(messages * UNANSWERED))
    ]
    return sorted(plan, key=lambda row: row[0])


def _working_time(rng: random.Random) -> float:
    """A random share of the month, mostly during the day."""
    day, hour = rng.randrange(60), rng.gauss(0.35, 0.18) % 1
    return min((day // 2 + (hour if rng.random() < 0.9 else rng.random())) / 30, 1.0)


def _order(
    batch: _Batch,
    rng: random.Random,
    world: _World,
    order_id: int,
    run: str,
    received_at: datetime,
    now: datetime,
    state: MessageState | None,
    tries: int,
) -> None:
    template = world.template(rng)
    waits = state in (MessageState.PENDING, MessageState.SENDING)
    partner_id = world.paused if waits else rng.choice(world.partners)
    object_id = new_id(rng, "POR")
    po_number = f"{template.po_number.decode()[:3]}/{run}/{order_id}"
    raw = template.body.replace(template.object_id, object_id.encode()).replace(
        template.po_number, po_number.encode()
    )
    inbound_id = timed_id("in", received_at)
    batch.items += [{**item, "order_id": order_id} for item in template.items]
    order = {
        **template.columns,
        "id": order_id,
        "partner_id": partner_id,
        "object_id": object_id,
        "buyer_po_number": po_number,
        "search_text": f"{po_number.casefold()}\n{object_id.casefold()}\n{template.columns['search_text']}",
        "status": Status.CREATED.value,
        "version": 1,
        "received_at": received_at,
        "revised_at": received_at,
        "respond_by": received_at + WITHIN,
        "answer": ResponseState.NONE,
        "delivery": Delivery.NONE,
        "message_id": None,
        "answered_at": None,
        "answered_by": "",
    }
    batch.orders.append(order)
    batch.revisions.append(
        {
            "order_id": order_id,
            "version": 1,
            "inbound_id": inbound_id,
            "body": raw,
            "received_at": received_at,
        }
    )
    batch.inbound.append(_received(inbound_id, order, raw, Effect.APPLIED))
    if rng.random() < 0.01:
        again = timed_id("in", received_at + timedelta(seconds=40))
        batch.inbound.append(_received(again, order, raw, Effect.REPEATED, repeat_of=inbound_id))
    if rng.random() < 0.004:
        batch.inbound.append(_unmatched(timed_id("in", received_at), order, raw))
    if state is not None:
        _answer(batch, rng, world, order, now, state, tries)


def _received(
    inbound_id: str, order: dict[str, Any], raw: bytes, effect: Effect, repeat_of: str | None = None
) -> dict[str, Any]:
    return {
        "id": inbound_id,
        "kind": Kind.REQ_SEND.value,
        "partner_id": order["partner_id"],
        "order_id": order["id"],
        "received_at": order["received_at"],
        "remote_address": "127.0.0.1",
        "path": "/api/v0/purchase-order/req-send",
        "headers": [["Content-Type", "application/json"], ["X-Partner-Key", "••••••••"]],
        "size": len(raw),
        "body": raw,
        "object_id": order["object_id"],
        "buyer_po_number": order["buyer_po_number"],
        "supplier_b2b_id": order["supplier_b2b_id"],
        "same_as": f"req-send {order['object_id']} 1 CREATED",
        "content_sha256": canonical_sha256({"objectId": order["object_id"]}),
        "repeat_of": repeat_of,
        "effect": effect,
        "error_cd": "",
        "error_field": "",
        "detail": "",
        "answer_status": 200,
        "answer_body": b'{"response_code":0,"response_message":"Success"}',
    }


def _unmatched(inbound_id: str, order: dict[str, Any], raw: bytes) -> dict[str, Any]:
    field_name, detail = "poStatus.objectId", "poStatus.objectId does not match a known order."
    code = ErrorCode.UNKNOWN_OBJECT
    reply = build_reply(
        Kind.REQ_STATUS_CHANGE, None, req_msg_id=inbound_id, code=code, detail=detail, field=field_name
    )
    return {
        **_received(inbound_id, order, raw, Effect.UNMATCHED),
        "kind": Kind.REQ_STATUS_CHANGE.value,
        "path": "/api/v0/purchase-order/req-status-change",
        "order_id": None,
        "same_as": None,
        "error_cd": code.value,
        "error_field": field_name,
        "detail": detail,
        "answer_status": 409,
        "answer_body": dumps(reply),
    }


def _answer(
    batch: _Batch,
    rng: random.Random,
    world: _World,
    order: dict[str, Any],
    now: datetime,
    state: MessageState,
    tries: int,
) -> None:
    response = rng.choices([value for value, _ in RESPONSES], [weight for _, weight in RESPONSES])[0]
    data = DecisionInput(response, rng.choice(REMARKS[response]), "INITIATING_CHANNEL", "WEB")
    person_id, person_name = rng.choice(world.staff)
    waits = state in (MessageState.PENDING, MessageState.SENDING)
    response_time = timedelta(minutes=min(rng.lognormvariate(4.6, 1.1), 60 * 40))
    at = min(order["received_at"] + response_time, now - timedelta(minutes=4 if waits else 60 * 11))
    at = max(at, order["received_at"] + timedelta(seconds=20))
    body = req_confirm(
        OrderReference(
            order["object_id"],
            order["buyer_po_number"],
            order["buyer_b2b_id"],
            order["supplier_b2b_id"],
            1,
            Status.CREATED.value,
        ),
        data,
    )
    message_id = timed_id("msg", at)
    last = _tries(batch, rng, message_id, order["partner_id"], at, state, tries, now)
    delivered = state is MessageState.DELIVERED
    batch.messages.append(
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
            "claims": tries,
            "tries": tries,
            "attempts_made": tries,
            "lease_token": "made-up" if state is MessageState.SENDING else None,
            "lease_until": now + timedelta(seconds=30) if state is MessageState.SENDING else None,
            "finished_at": None if waits else (last["ended_at"] if last else at),
            "reason": (last["outcome"] or "") if last else "",
            "note_code": _NOTES.get(state, MessageNote.NONE),
            "note_params": {},
            "status_code": last["status"] if last else None,
            "response_code": 0 if delivered else 1 if state is MessageState.REFUSED else None,
            "response_message": "Success" if delivered else "",
            "result": "SUCCESS" if delivered else "FAILURE" if state is MessageState.REFUSED else "",
            "error_cd": "BPR012" if state is MessageState.REFUSED else "",
            "error_dtl": "Remarks are not acceptable" if state is MessageState.REFUSED else "",
            "error_field": "poConfirmation.supplierRemarks" if state is MessageState.REFUSED else "",
            "cancel_requested": CancelReason.ORDER_CHANGED if state is MessageState.CANCELLED else None,
            "cancel_params": {"version": 2} if state is MessageState.CANCELLED else {},
        }
    )
    status_to = status_after(response).value
    batch.decisions.append(
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
    batch.trail.append(
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


_NOTES = {
    MessageState.DELIVERED: MessageNote.ATTEMPT,
    MessageState.REFUSED: MessageNote.ATTEMPT,
    MessageState.FAILED: MessageNote.ATTEMPT,
    MessageState.CANCELLED: MessageNote.CANCELED,
}


def _tries(
    batch: _Batch,
    rng: random.Random,
    message_id: str,
    partner_id: int,
    at: datetime,
    state: MessageState,
    tries: int,
    now: datetime,
) -> dict[str, Any] | None:
    """Add the attempts of a message at the times of its schedule; returns the last one."""
    started_at, last = at + timedelta(seconds=rng.uniform(0.01, 6)), None
    trouble = rng.choices(TROUBLE, [weight for *_, weight in TROUBLE])[0]
    for number in range(1, tries + 1):
        outcome, status, milliseconds = trouble[0].value, trouble[1], rng.lognormvariate(4.4, 0.7)
        if number == tries and state is MessageState.DELIVERED:
            outcome, status = Reason.DELIVERED.value, 200
        elif number == tries and state is MessageState.REFUSED:
            outcome, status = Reason.REFUSED_BY_PARTNER.value, 200
        elif outcome == Reason.TIMEOUT:
            milliseconds = rng.uniform(15_000, 15_060)
        under_way = state is MessageState.SENDING
        ended_at = started_at + timedelta(milliseconds=milliseconds)
        body = b"" if status is None else _BODIES.get(outcome, b"Service unavailable")
        last = {
            "message_id": message_id,
            "number": number,
            "trigger": Trigger.AUTO,
            "url": f"{UNREACHABLE}/api/v0/purchase-order/req-confirm",
            "request_headers": [["Content-Type", "application/json"], ["Idempotency-Key", message_id]],
            "remote_address": None if status is None else "127.0.0.1:9",
            "started_at": now if under_way else started_at,
            "ended_at": None if under_way else ended_at,
            "outcome": None if under_way else outcome,
            "detail_code": DetailCode.NONE,
            "detail_params": {},
            "status": None if under_way else status,
            "response_headers": [] if status is None else [["Content-Type", "application/json"]],
            "response_body": b"" if under_way else body,
            "response_size": len(body),
            "duration_ms": None if under_way or outcome == Reason.INTERRUPTED else milliseconds,
        }
        batch.attempts.append({**last, "partner_id": partner_id})
        wait = DEFAULT_SCHEDULE[min(number, len(DEFAULT_SCHEDULE)) - 1]
        # All attempts are in the past, even if the schedule puts them later.
        longest = (now - timedelta(minutes=1) - ended_at).total_seconds() / (tries - number + 1)
        started_at = ended_at + timedelta(seconds=max(min(wait, longest), 0.0))
    return last


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
                    "errorCd": "BPR012",
                    "errorDtl": "Remarks are not acceptable",
                    "errorField": "poConfirmation.supplierRemarks",
                }
            },
        }
    ),
}


def _ended_attempts(batch: _Batch) -> Iterator[CountedAttempt]:
    created_at = {message["id"]: message["created_at"] for message in batch.messages}
    for attempt in batch.attempts:
        if attempt["ended_at"] is None:
            continue
        delivery_ms = None
        if attempt["outcome"] in statistics.DELIVERED:
            waited = attempt["ended_at"] - created_at[attempt["message_id"]]
            delivery_ms = waited.total_seconds() * 1000
        yield CountedAttempt(
            partner_id=attempt["partner_id"],
            ended_at=attempt["ended_at"],
            outcome=attempt["outcome"],
            status=attempt["status"],
            duration_ms=attempt["duration_ms"],
            delivery_ms=delivery_ms,
        )


def _write(session: Session, batch: _Batch) -> None:
    statistics.record(session, _ended_attempts(batch))
    for attempt in batch.attempts:
        del attempt["partner_id"]
    for model, rows in (
        (PurchaseOrder, batch.orders),
        (Revision, batch.revisions),
        (OrderItem, batch.items),
        (InboundMessage, batch.inbound),
        (Message, batch.messages),
        (Attempt, batch.attempts),
        (Decision, batch.decisions),
        (AuditEntry, batch.trail),
    ):
        if rows:
            session.execute(insert(cast(Table, model.__table__)), rows)


def _advance_sequence(session: Session) -> None:
    """Advance the sequence of order ids on PostgreSQL, since the seed assigned ids directly."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('purchase_order', 'id'),"
                " (SELECT max(id) FROM purchase_order) + 1)"
            )
        )
