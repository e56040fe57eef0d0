"""What is stored of an incoming message, and what it changes, without HTTP."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.inbound.deduplication import duplicate_key, object_of
from app.inbound.models import Effect, InboundMessage
from app.inbound.processing import (
    Call,
    CannotReprocess,
    ReprocessBlocker,
    Rules,
    receive_message,
    reject_call,
    reprocess,
    reprocess_blocker,
)
from app.network.messages import parse
from app.network.reader import canonical_sha256, dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import ErrorCode, Kind
from app.notifications.models import Event, Notification
from app.orders.models import PurchaseOrder, Revision
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.buyer import Buyer

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = Rules(max_body_bytes=100_000, respond_within=timedelta(hours=24))


@pytest.fixture
def session(database: Database, partner: Partner) -> Iterator[Session]:
    """A session that the test may write to."""
    with database.writing() as session:
        yield session
        session.rollback()


def receive(
    session: Session, partner: Partner, kind: Kind, body: Any, *, at: datetime = AT
) -> InboundMessage:
    raw = body if isinstance(body, bytes) else dumps(body)
    call = Call(kind, "/api/" + "p" * 300, "192.0.2.1", [("X-Partner-Key", "…")], at)
    return receive_message(session, partner.id, call, raw, RULES)


def stored(session: Session, message: InboundMessage) -> InboundMessage:
    """The message as the database has it."""
    session.expire(message)
    return message


def test_address_that_a_proxy_forwards_is_cut_to_its_column(session: Session) -> None:
    call = Call(Kind.REQ_SEND, "/", remote_address="x" * 500)
    row = reject_call(session, call, ErrorCode.CREDENTIALS, "", partner_id=None, size=0)
    assert stored(session, row).remote_address == "x" * 60


@pytest.mark.sqlite
def test_applied_message_is_stored_with_its_response(
    session: Session, partner: Partner, example_bodies: list[Any]
) -> None:
    body = example_bodies[0]
    row = stored(session, receive(session, partner, Kind.REQ_SEND, body))
    order = session.scalars(select(PurchaseOrder)).one()
    reply = dumps(build_reply(Kind.REQ_SEND, body, req_msg_id=row.id))
    assert row.id.startswith("in_")
    assert (row.kind, row.partner_id, row.order_id) == ("req-send", partner.id, order.id)
    assert (row.received_at, row.remote_address) == (AT, "192.0.2.1")
    assert row.path == "/api/" + "p" * 195
    assert row.headers == [["X-Partner-Key", "…"]]
    assert (row.body, row.size) == (dumps(body), len(dumps(body)))
    assert (row.object_id, row.buyer_po_number) == (order.object_id, order.buyer_po_number)
    assert row.supplier_b2b_id == order.supplier_b2b_id
    assert row.content_sha256 == canonical_sha256(body)
    assert row.duplicate_key == f"req-send {order.object_id} 1 CREATED"
    assert (row.effect, row.repeat_of, row.error_cd, row.error_field) == (Effect.APPLIED, None, "", "")
    assert (row.response_status, row.response_body) == (200, reply)

    assert (order.partner_id, order.received_at) == (partner.id, AT)
    assert order.respond_by == AT + timedelta(hours=24)
    revision = session.scalars(select(Revision)).one()
    assert (revision.inbound_id, revision.body, revision.received_at) == (row.id, dumps(body), AT)
    notifications = session.scalars(select(Notification)).all()
    assert {(one.event, one.title, one.path) for one in notifications} == {
        (Event.ORDER_RECEIVED, order.buyer_po_number, f"/orders/{order.id}")
    }


@pytest.mark.sqlite
def test_edit_counts_its_deadline_from_its_receipt(
    session: Session, partner: Partner, example_bodies: list[Any]
) -> None:
    receive(session, partner, Kind.REQ_SEND, example_bodies[0])
    body = edit_of(example_bodies[0])
    message = receive(session, partner, Kind.REQ_EDIT, body, at=AT + timedelta(hours=1))
    order = session.scalars(select(PurchaseOrder)).one()
    assert (message.effect, message.order_id, order.version) == (Effect.APPLIED, order.id, 2)
    assert order.respond_by == AT + timedelta(hours=25)
    revision = session.scalars(select(Revision).where(Revision.version == 2)).one()
    assert (revision.inbound_id, revision.body) == (message.id, dumps(body))
    titles = {
        (one.title, one.path)
        for one in session.scalars(select(Notification).where(Notification.event == Event.ORDER_CHANGED))
    }
    assert titles == {(order.buyer_po_number, f"/orders/{order.id}")}


def edit_of(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    body["purchaseOrder"]["objectVersion"] = {"currentVersion": 1, "newVersion": 2}
    body["purchaseOrder"].update(changes)
    return body


@pytest.mark.sqlite
def test_repeat_gets_the_first_response_and_content_decides(
    session: Session, partner: Partner, example_bodies: list[Any]
) -> None:
    body = example_bodies[0]
    first = receive(session, partner, Kind.REQ_SEND, body)
    second = receive(session, partner, Kind.REQ_SEND, body)
    assert second.id != first.id
    assert (second.effect, second.response_status, second.response_body) == (
        Effect.REPEATED,
        200,
        first.response_body,
    )
    assert (second.order_id, second.repeat_of) == (first.order_id, first.id)

    other = copy.deepcopy(body)
    other["purchaseOrder"]["subject"] = "Something else"
    conflict = receive(session, partner, Kind.REQ_SEND, other)
    detail = f"purchaseOrder.objectId: {first.id} has the same object, version and status, but "
    assert (conflict.effect, conflict.response_status) == (Effect.CONFLICT, 409)
    assert (conflict.error_field, conflict.detail) == (
        "purchaseOrder.objectId",
        detail + "different content.",
    )
    assert conflict.order_id == first.order_id
    assert conflict.error_cd == ErrorCode.CONFLICT
    response = json.loads(conflict.response_body)
    assert (response["response_code"], response["payload"]["resp"]["errorDtl"]) == (38, conflict.detail)

    # The same number of another version is not a repeat, and names what to send instead.
    other["purchaseOrder"]["objectVersion"]["newVersion"] = 2
    other["purchaseOrder"]["objectVersion"]["currentVersion"] = 1
    again = receive(session, partner, Kind.REQ_SEND, other)
    assert (again.response_status, again.error_field) == (409, "purchaseOrder.objectId")
    assert "send changes as req-edit" in again.detail
    assert session.scalars(select(PurchaseOrder.id)).all() == [first.order_id]


@pytest.mark.sqlite
def test_partners_do_not_share_objects(session: Session, partner: Partner, example_bodies: list[Any]) -> None:
    other, _ = partner_service.add(session, "Other network", base_url="https://other.example")
    messages = [receive(session, sender, Kind.REQ_SEND, example_bodies[0]) for sender in (partner, other)]
    assert [message.effect for message in messages] == [Effect.APPLIED] * 2
    assert len({message.order_id for message in messages}) == 2
    unknown = receive(session, other, Kind.REQ_EDIT, edit_of(example_bodies[1]))
    assert (unknown.effect, unknown.response_status, unknown.order_id) == (Effect.UNMATCHED, 409, None)
    assert unknown.error_field == "purchaseOrder.objectId"
    assert unknown.detail == "purchaseOrder.objectId does not match a known order."


@pytest.mark.sqlite
def test_rejected_message_is_stored_with_its_error(
    session: Session, partner: Partner, example_bodies: list[Any]
) -> None:
    unreadable = receive(session, partner, Kind.REQ_SEND, b'{"half": ')
    assert (unreadable.effect, unreadable.response_status, unreadable.error_field) == (
        Effect.REJECTED,
        400,
        "",
    )
    detail = unreadable.detail
    row = stored(session, unreadable)
    assert (row.body, row.error_cd, row.detail) == (b'{"half": ', "PO_UNREADABLE", detail)
    response = json.loads(row.response_body)
    assert response["payload"]["resp"]["reqMsgId"] == row.id
    assert response["payload"]["purchaseOrder"] == {}

    body = copy.deepcopy(example_bodies[0])
    del body["purchaseOrder"]["subject"]
    invalid = receive(session, partner, Kind.REQ_SEND, body)
    assert (invalid.response_status, invalid.error_field) == (422, "purchaseOrder.subject")
    assert invalid.error_cd == "PO_FIELD_MISSING"
    resp = json.loads(invalid.response_body)["payload"]["resp"]
    assert (resp["errorField"], resp["errorDtl"]) == (invalid.error_field, invalid.detail)
    assert json.loads(invalid.response_body)["payload"]["b2bIds"] == body["b2bIds"]

    assert receive(session, partner, Kind.REQ_SEND, b"1" + b" " * 99_999).response_status == 422
    assert receive(session, partner, Kind.REQ_SEND, b"1" + b" " * 100_000).response_status == 413


@pytest.mark.sqlite
def test_call_rejected_before_its_body_keeps_only_metadata(session: Session, partner: Partner) -> None:
    call = Call(Kind.REQ_EDIT, "/api", "192.0.2.1", (), AT)
    row = stored(
        session, reject_call(session, call, ErrorCode.CREDENTIALS, "No key.", partner_id=None, size=77)
    )
    assert (row.partner_id, row.size, row.body, row.effect) == (None, 77, b"", Effect.UNAUTHENTICATED)
    assert (row.response_status, row.detail, row.kind) == (401, "No key.", "req-edit")
    known = reject_call(session, call, ErrorCode.MEDIA_TYPE, "No JSON.", partner_id=partner.id, size=5)
    assert (known.response_status, known.effect) == (415, Effect.REJECTED)
    assert known.partner_id == partner.id


@pytest.mark.sqlite
def test_only_the_newest_unauthenticated_calls_are_kept(
    session: Session, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.inbound.processing.UNAUTHENTICATED_KEPT", 2)
    calls = [Call(Kind.REQ_EDIT, "/api", received_at=AT + timedelta(seconds=second)) for second in range(4)]
    known = reject_call(session, calls[0], ErrorCode.NOT_ALLOWED, "No.", partner_id=partner.id, size=1)
    unauthenticated = [
        reject_call(session, call, ErrorCode.CREDENTIALS, "No key.", partner_id=None, size=1).id
        for call in calls
    ]
    kept = session.scalars(select(InboundMessage.id).order_by(InboundMessage.id)).all()
    assert sorted(kept) == sorted([known.id, *unauthenticated[2:]])


@pytest.mark.sqlite
def test_reprocessing_applies_the_message_from_now_on(
    session: Session, partner: Partner, example_bodies: list[Any]
) -> None:
    row = receive(session, partner, Kind.REQ_EDIT, edit_of(example_bodies[0]))
    receive(session, partner, Kind.REQ_SEND, example_bodies[0])
    before = clock.now()
    reprocess(session, row, by="Ravi", reason="r" * 201, rules=RULES)
    assert (row.effect, row.first_effect, row.reprocessed_by) == (Effect.APPLIED, Effect.UNMATCHED, "Ravi")
    assert (row.reprocess_reason, row.reprocess_error) == ("r" * 200, "")
    assert row.reprocessed_at and row.reprocessed_at >= before
    order = session.scalars(select(PurchaseOrder)).one()
    assert (order.version, order.respond_by) == (2, row.reprocessed_at + timedelta(hours=24))
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.REPROCESSED)).one()
    assert (entry.object_kind, entry.object_id, entry.actor) == ("inbound", row.id, "Ravi")
    assert (entry.object_name, entry.reason) == (order.buyer_po_number, "r" * 201)
    assert (entry.old_values, entry.new_values) == (
        {"effect": "unmatched"},
        {"effect": "applied", "error": ""},
    )
    with pytest.raises(CannotReprocess) as refused:
        reprocess(session, row, by="Ravi", reason="again", rules=RULES)
    assert refused.value.blocker is ReprocessBlocker.ALREADY_APPLIED
    assert row.reprocess_reason == "r" * 200

    # The response was an error, so a repeat gets a success of its own.
    repeat = receive(session, partner, Kind.REQ_EDIT, edit_of(example_bodies[0]))
    assert (repeat.effect, repeat.response_status) == (Effect.REPEATED, 200)
    assert json.loads(repeat.response_body)["payload"]["resp"]["reqMsgId"] == row.id


@pytest.mark.sqlite
def test_unsuccessful_reprocessing_keeps_the_first_effect(
    session: Session, partner: Partner, example_bodies: list[Any]
) -> None:
    row = receive(session, partner, Kind.REQ_EDIT, edit_of(example_bodies[0]))
    for _ in range(2):
        reprocess(session, row, by="Ravi", reason="perhaps", rules=RULES)
        assert (row.effect, row.first_effect) == (Effect.UNMATCHED, Effect.UNMATCHED)
        assert row.reprocess_error == "purchaseOrder.objectId does not match a known order."
    large = receive(session, partner, Kind.REQ_SEND, b"1" + b" " * 200_000)
    reprocess(session, large, by="Ravi", reason="perhaps", rules=RULES)
    assert large.effect is Effect.REJECTED
    assert large.reprocess_error and "larger" not in large.reprocess_error


@pytest.mark.parametrize(
    ("values", "blocker"),
    [
        ({}, None),
        ({"effect": Effect.CONFLICT}, None),
        ({"effect": Effect.APPLIED}, ReprocessBlocker.ALREADY_APPLIED),
        ({"effect": Effect.REPEATED}, ReprocessBlocker.ALREADY_APPLIED),
        ({"partner_id": None}, ReprocessBlocker.NO_BODY),
        ({"body": b""}, ReprocessBlocker.NO_BODY),
    ],
)
def test_reprocess_blocker_names_the_reason(values: dict[str, Any], blocker: ReprocessBlocker | None) -> None:
    row = InboundMessage(**{"effect": Effect.REJECTED, "partner_id": 1, "body": b"{}", **values})
    assert reprocess_blocker(row) is blocker


# --- Duplicates


def test_duplicate_key_names_kind_object_version_and_status(example_bodies: list[Any]) -> None:
    buyer: Any = Buyer(None, example_bodies)  # type: ignore[arg-type]
    bodies = {
        Kind.REQ_SEND: (example_bodies[0], "1 CREATED"),
        Kind.REQ_EDIT: (buyer.edit_body(), "2 CREATED"),
        Kind.REQ_STATUS_CHANGE: (buyer.status_change_body(), "1 CANCELLED"),
        Kind.RESP_CONFIRM: (buyer.result_body(req_msg_id="REQ 1%"), "1 ACCEPTED REQ%201%25"),
    }
    sent = example_bodies[0]["purchaseOrder"]
    for kind, (body, rest) in bodies.items():
        message = parse(kind, read_json(dumps(body)))
        carried = object_of(message)
        assert (carried.object_id, carried.buyer_po_number) == (sent["objectId"], sent["buyerPONumber"])
        assert duplicate_key(kind, message) == f"{kind} {sent['objectId']} {rest}"
