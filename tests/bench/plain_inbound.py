"""The inbound API as one plain Flask view, the reference of ``inbound.send``.

It checks the same fields with pydantic and stores the same rows through the ORM. It has nothing of what the
inbound API adds: exact numbers, repeated messages, error codes, stored rejections, signatures and locks.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from ulid import ULID

from app.accounts.models import Person, PersonSupplier, Role
from app.inbound.models import Effect, InboundMessage
from app.notifications.models import Event, Notification
from app.orders.models import NO_DAY, OrderItem, PurchaseOrder, Revision
from app.partners.models import InboundKey, Partner

RESPOND_WITHIN = timedelta(hours=24)

B2BId = Annotated[str, Field(min_length=1, max_length=100, pattern=r'^[^"\\]*[^\s"\\][^"\\]*$')]
Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
PONumber = Annotated[str, Field(min_length=1, max_length=50, pattern=r"\S")]
Version = Annotated[int, Field(ge=0, le=2**31 - 1)]
Number = Annotated[Decimal, Field(strict=False, gt=-(10**15), lt=10**15, decimal_places=10)]


class Part(BaseModel):
    """A part of the message; unknown fields are kept."""

    model_config = ConfigDict(strict=True, extra="allow", alias_generator=to_camel)


class B2BIds(Part):
    """The buyer and the supplier."""

    buyer_b2b_id: B2BId = Field(alias="buyerB2BId")
    supplier_b2b_id: B2BId = Field(alias="supplierB2BId")


class ObjectVersion(Part):
    """The version before and after the message."""

    current_version: Version
    new_version: Version


class StatusTransition(Part):
    """The status before and after the message."""

    current_status: Id
    new_status: Id


class Info(Part):
    """A name and a value."""

    name: str | None = None
    value: str | None = None


class Device(Part):
    """The sending device."""

    tag: Info


class ContactNumber(Part):
    """A phone number."""

    type: str | None = None
    country_code: str | None = None
    phone_number: str | None = None


class Address(Part):
    """A postal address."""

    type: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    pincode: str | None = None


class AddressDetail(Part):
    """An address and its purpose."""

    address_type: str | None = None
    address: Address | None = None


class Party(Part):
    """The buyer or the supplier."""

    b2b_id: str | None = Field(None, alias="b2bId")
    gstin: str | None = None
    legal_name: str | None = None
    trade_name: str | None = None
    state_code: str | None = None
    address: Address | None = None
    contact_number: ContactNumber | None = None
    email: str | None = None
    place_of_supply: str | None = None


class TypedValue(Part):
    """An amount and its type."""

    type: str | None = None
    value: Number | None = None


class ItemLine(Part):
    """One line."""

    serialno: str | None = None
    product_description: str | None = None
    is_service: str | None = None
    hsn_code: str | None = None
    bar_code: str | None = None
    quantity: Number | None = None
    free_quantity: Number | None = None
    unit: str | None = None
    unit_price: Number | None = None
    total_amt: Number | None = None
    assessment_amount: Number | None = None
    gst_rate: Number | None = None
    total_item_value: Number | None = None
    order_line_reference: str | None = None
    origin_country: str | None = None
    product_serial_number: str | None = None
    item_value_details: list[TypedValue] | None = None
    rates: list[TypedValue] | None = None
    batch_details: Any = None


class Order(Part):
    """The purchase order."""

    object_id: Id
    buyer_po_number: PONumber = Field(alias="buyerPONumber")
    ts: str
    order_date: str
    delivery_date: str
    subject: str
    object_version: ObjectVersion
    po_status_transition: StatusTransition
    supplier_details: Party | None = None
    buyer_details: Party | None = None
    address_details: list[AddressDetail] | None = None
    item_lists: list[ItemLine]
    po_value_details: Any = None
    po_infos: Any = None
    contract_reference_details: Any = None
    additional_document_details: Any = None
    payment_milestones: Any = None
    shipping_terms_details: Any = None


class ReqSend(Part):
    """The message with a new order."""

    device: Device
    b2b_ids: B2BIds = Field(alias="b2bIds")
    purchase_order: Order
    additional_infos: list[Info]


def create_plain_app(engine: Engine) -> Flask:
    """An app with the view alone, on a database of PO Confirm."""
    app = Flask("plain")

    @app.post("/api/v0/purchase-order/req-send")
    def receive() -> tuple[Response, int] | Response:
        with Session(engine) as session:
            partner = _partner(session)
            if partner is None:
                return jsonify(error="Unknown key."), 401
            data = request.get_json()
            try:
                message = ReqSend.model_validate(data)
            except ValidationError as error:
                return jsonify(error=error.errors(include_url=False, include_context=False)), 422
            sent = message.purchase_order
            known = select(PurchaseOrder).filter_by(partner_id=partner.id, object_id=sent.object_id)
            if session.scalars(known).first():
                return jsonify(error="The order already exists."), 409
            body = _store(session, partner, message, data)
            session.commit()
        return Response(body, content_type="application/json")

    return app


def _partner(session: Session) -> Partner | None:
    key = request.headers.get("X-Partner-Key", "")
    return session.scalars(
        select(Partner)
        .join(InboundKey)
        .where(
            InboundKey.sha256 == hashlib.sha256(key.encode()).hexdigest(),
            InboundKey.revoked_at.is_(None),
            InboundKey.valid_until.is_(None) | (InboundKey.valid_until > datetime.now(UTC)),
        )
    ).first()


def _store(session: Session, partner: Partner, message: ReqSend, data: dict[str, Any]) -> bytes:
    """Add all rows of a new order; returns the body of the response, which is stored too."""
    now = datetime.now(UTC)
    sent = message.purchase_order
    version, status = sent.object_version.new_version, sent.po_status_transition.new_status
    inbound_id = f"in_{ULID()}"
    order = PurchaseOrder(
        partner_id=partner.id,
        object_id=sent.object_id,
        buyer_po_number=sent.buyer_po_number,
        buyer_b2b_id=message.b2b_ids.buyer_b2b_id,
        supplier_b2b_id=message.b2b_ids.supplier_b2b_id,
        buyer_name=_name(sent.buyer_details, message.b2b_ids.buyer_b2b_id),
        supplier_name=_name(sent.supplier_details, message.b2b_ids.supplier_b2b_id),
        subject=sent.subject,
        order_date=sent.order_date,
        delivery_date=sent.delivery_date,
        delivery_day=_day(sent.delivery_date) or NO_DAY,
        line_count=len(sent.item_lists),
        total=_total(sent),
        search_text=_search_text(message),
        status=status,
        version=version,
        received_at=now,
        revised_at=now,
        respond_by=now + RESPOND_WITHIN,
    )
    session.add(order)
    session.flush()
    session.add(
        Revision(
            order_id=order.id, version=version, inbound_id=inbound_id, body=request.data, received_at=now
        )
    )
    session.add_all(_items(order, sent))
    session.add_all(_notifications(session, order, now))
    body = json.dumps(_reply(data, inbound_id)).encode()
    session.add(
        InboundMessage(
            id=inbound_id,
            kind="req-send",
            partner_id=partner.id,
            order_id=order.id,
            received_at=now,
            remote_address=request.remote_addr or "",
            path=request.path,
            headers=[
                [name, "***" if name.lower() == "x-partner-key" else value] for name, value in request.headers
            ],
            size=len(request.data),
            body=request.data,
            object_id=sent.object_id,
            buyer_po_number=sent.buyer_po_number,
            supplier_b2b_id=message.b2b_ids.supplier_b2b_id,
            duplicate_key=f"req-send {sent.object_id} {version} {status}",
            content_sha256=hashlib.sha256(request.data).hexdigest(),
            effect=Effect.APPLIED,
            response_status=200,
            response_body=body,
        )
    )
    return body


def _items(order: PurchaseOrder, sent: Order) -> list[OrderItem]:
    ordered, due = _day(sent.order_date), _day(sent.delivery_date)
    return [
        OrderItem(
            order_id=order.id,
            supplier_b2b_id=order.supplier_b2b_id,
            buyer_b2b_id=order.buyer_b2b_id,
            item_key=hashlib.sha256(line.product_description.lower().encode()).hexdigest()[:32],
            line_index=index,
            quantity=_text(line.quantity),
            unit=(line.unit or "")[:40],
            unit_price=_text(line.unit_price),
            hsn_code=(line.hsn_code or "")[:40],
            gst_rate=_text(line.gst_rate),
            lead_days=(due - ordered).days if ordered and due else None,
        )
        for index, line in enumerate(sent.item_lists)
        if line.product_description
    ]


def _notifications(session: Session, order: PurchaseOrder, now: datetime) -> list[Notification]:
    people = session.scalars(
        select(Person)
        .join(PersonSupplier, PersonSupplier.person_id == Person.id)
        .where(PersonSupplier.b2b_id == order.supplier_b2b_id, Person.active, Person.role == Role.SUPPLIER)
    )
    return [
        Notification(
            person_id=person.id,
            event=Event.ORDER_RECEIVED,
            title=order.buyer_po_number,
            path=f"/orders/{order.id}",
            created_at=now,
        )
        for person in people
        if person.preferences.get("notifications", {}).get("orders") != "off"
    ]


def _reply(data: dict[str, Any], inbound_id: str) -> dict[str, Any]:
    """The response: a success that repeats the order."""
    return {
        "response_code": 0,
        "response_message": "Success",
        "payload": {
            "b2bIds": data["b2bIds"],
            "resp": {
                "reqMsgId": inbound_id,
                "result": "SUCCESS",
                "errorCd": "",
                "errorDtl": "",
                "errorField": "",
            },
            "purchaseOrder": data["purchaseOrder"],
            "additionalInfos": data["additionalInfos"],
        },
    }


def _name(party: Party | None, default: str) -> str:
    return (party and (party.trade_name or party.legal_name)) or default


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _total(sent: Order) -> str | None:
    values = sent.po_value_details
    stated = values.get("totalPOValue") if isinstance(values, dict) else None
    if stated is None:
        stated = sum(line.total_item_value or 0 for line in sent.item_lists)
    return str(stated)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _search_text(message: ReqSend) -> str:
    sent = message.purchase_order
    parties = [party for party in (sent.buyer_details, sent.supplier_details) if party]
    words = [
        sent.buyer_po_number,
        sent.object_id,
        sent.subject,
        message.b2b_ids.buyer_b2b_id,
        *(name for party in parties for name in (party.legal_name, party.trade_name)),
        *(word for line in sent.item_lists for word in (line.product_description, line.hsn_code)),
    ]
    return "\n".join(word.lower() for word in words if word)
