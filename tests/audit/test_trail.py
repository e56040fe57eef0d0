"""The audit trail records who did what, when, from where and on which object, and no secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock, create_app
from app.accounts import service as accounts
from app.accounts.models import Role
from app.audit import trail
from app.audit.models import AuditAction, AuditEntry
from app.config import Settings
from app.db import Database
from app.delivery.claiming import claim
from app.delivery.models import Message, MessageState
from app.delivery.recording import INTERRUPTIONS_MAX, reclaim_expired
from app.inbound.processing import Call, reject_call
from app.network.vocabulary import ErrorCode, Kind
from app.orders.models import PurchaseOrder
from app.partners import keys
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.buyer import Buyer
from tests.fixture_types import Arrive, ClaimOne, Confirm, Deliver, MoveClock, Resend
from tests.people import PASSWORD, Browser, ParsedResponse, fields_of
from tests.serving import Network

Trail = Callable[[], Sequence[AuditEntry]]


@pytest.mark.sqlite
def test_sign_in_and_out_are_recorded_with_the_address(anonymous: Browser, entries: Trail) -> None:
    anonymous.environ_base["HTTP_USER_AGENT"] = "Firefox on Asha's desk"
    assert anonymous.sign_in("asha").status_code == 303
    anonymous.send("/logout", {"csrf_token": anonymous.get("/orders").csrf_token})
    signed_in, signed_out = entries()
    assert (signed_in.action, signed_out.action) == (AuditAction.SIGNED_IN, AuditAction.SIGNED_OUT)
    for entry in (signed_in, signed_out):
        assert (entry.actor, entry.role, entry.address) == ("Asha", "supplier", "127.0.0.1")
        assert entry.user_agent == "Firefox on Asha's desk"
        assert (entry.object_kind, entry.object_name) == ("person", "asha")


@pytest.mark.sqlite
def test_failed_sign_in_never_records_what_was_typed(anonymous: Browser, entries: Trail) -> None:
    anonymous.sign_in("asha", "hunter2-hunter2")
    anonymous.sign_in(PASSWORD, "asha")
    known, unknown = entries()
    assert (known.action, known.object_name, known.actor) == (AuditAction.SIGN_IN_FAILED, "asha", "")
    assert unknown.object_name == "unknown_user"
    recorded = repr([vars(known), vars(unknown)])
    assert "hunter2" not in recorded and PASSWORD not in recorded


def test_failed_sign_ins_are_limited(database: Database, entries: Trail, move_clock: MoveClock) -> None:
    def fail(address: str) -> bool:
        with trail.acting(trail.Actor(address=address)), database.writing() as session:
            is_recorded = trail.record_failed_sign_in(session, "", None)
            session.commit()
        return is_recorded

    assert [fail("10.0.0.1") for _ in range(25)] == [True] * 20 + [False] * 5
    assert "sign_in_limit" in entries()[-1].reason
    assert fail("10.0.0.2"), "another address is not limited"
    move_clock(minutes=11)
    assert fail("10.0.0.1")
    for number in range(trail.FAILURES_OF_ALL):
        fail(f"10.1.{number // 200}.{number % 200}")
    assert not fail("10.2.0.1"), "the limit over all addresses"


@pytest.mark.sqlite
def test_address_comes_from_trusted_proxies(settings: Settings, entries: Trail) -> None:
    for trusted, address in ((0, "127.0.0.1"), (1, "203.0.113.9")):
        app = create_app(settings.model_copy(update={"trusted_proxies": trusted}))
        browser = Browser(app, ParsedResponse)
        browser.environ_base["HTTP_X_FORWARDED_FOR"] = "198.51.100.7, 203.0.113.9"
        browser.sign_in("asha")
        assert entries()[-1].address == address
        app.extensions["database"].engine.dispose()


def test_response_and_undo_are_recorded_with_values(
    app: Flask, settings: Settings, asha: Browser, arrive: Arrive, entries: Trail
) -> None:
    app.extensions["settings"] = settings.model_copy(update={"undo_seconds": 60})
    (order_id,) = arrive(1)
    assert asha.respond(order_id, remarks="On the 5th").status_code == 303
    url = f"/orders/{order_id}"
    assert asha.submit(url, f"{url}/answer/undo").status_code == 303
    responded, undone = entries()[-2:]
    assert (responded.action, undone.action) == (AuditAction.RESPONDED, AuditAction.RESPONSE_UNDONE)
    assert responded.old_values == {"answer": "none"}
    assert responded.new_values["answer"] == "ACCEPT" and responded.new_values["remarks"] == "On the 5th"
    assert (responded.actor, responded.object_id) == ("Asha", str(order_id))
    assert undone.old_values["message"] == responded.new_values["message"]


def test_refused_or_rolled_back_action_leaves_no_entry(
    database: Database, asha: Browser, order_id: int, entries: Trail
) -> None:
    before = len(entries())
    assert asha.respond(order_id, "REJECT", remarks='"').status_code == 422
    with database.writing() as session:
        partner = session.scalars(select(Partner)).one()
        partner_service.pause(session, partner, "never mind", by="Ravi")
        session.rollback()
    assert len(entries()) == before


@pytest.mark.sqlite
def test_repeated_response_is_recorded_once(asha: Browser, order_id: int, entries: Trail) -> None:
    url = f"/orders/{order_id}/answer"
    fields = {**asha.fill(url, url), "supplier_response": "ACCEPT", "supplier_remarks": "Confirmed"}
    assert [asha.send(url, fields).status_code for _ in range(2)] == [303, 303]
    assert [entry.action for entry in entries()].count(AuditAction.RESPONDED) == 1


@pytest.mark.sqlite
def test_resend_is_recorded_with_its_reason(
    database: Database, ravi: Browser, message_id: str, entries: Trail
) -> None:
    url = f"/webhooks/{message_id}"
    with database.writing() as session:
        message = session.get(Message, message_id)
        assert message
        message.state, message.reason = MessageState.FAILED, "timeout"
        session.commit()
    fields = {**ravi.fill(url, f"{url}/resend"), "reason": "they are back"}
    assert ravi.send(f"{url}/resend", fields).status_code == 303
    last = entries()[-1]
    assert (last.action, last.actor, last.object_id) == (AuditAction.RESENT, "Ravi", message_id)
    assert last.reason == "they are back"
    assert last.old_values == {"state": "failed", "result": "timeout"}


@pytest.mark.sqlite
def test_pause_and_resume_are_recorded(ravi: Browser, partner: Partner, entries: Trail) -> None:
    url = f"/partners/{partner.id}"
    ravi.submit(url, f"{url}/pause", reason="maintenance")
    ravi.submit(url, f"{url}/resume", reason="maintenance is over")
    held, resumed = entries()[-2:]
    assert (held.action, held.reason, held.object_name) == (
        AuditAction.PAUSED,
        "maintenance",
        "Bharat Connect",
    )
    assert (resumed.action, resumed.actor, resumed.reason) == (
        AuditAction.RESUMED,
        "Ravi",
        "maintenance is over",
    )
    assert (resumed.old_values["by"], resumed.old_values["reason"]) == ("Ravi", "maintenance")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("how", "why"),
    [("edit", {"reason": "order_changed", "version": 2}), ("change_status", {"reason": "order_canceled"})],
)
@pytest.mark.parametrize(("sending", "delivery"), [(False, "cancelled"), (True, "sending")])
def test_cancellation_by_the_buyer_is_recorded(
    claim_one: ClaimOne,
    buyer: Buyer,
    database: Database,
    order_id: int,
    message_id: str,
    session: Session,
    entries: Trail,
    how: str,
    why: dict[str, Any],
    sending: bool,
    delivery: str,
) -> None:
    if sending:
        claim_one()
    before = len(entries())
    assert getattr(buyer, how)().status_code == 200
    (entry,) = entries()[before:]
    assert (entry.action, entry.actor, entry.new_values) == (
        AuditAction.WEBHOOK_CANCELED,
        "Bharat Connect",
        why,
    )
    assert (entry.object_kind, entry.object_id, entry.address) == ("message", message_id, "127.0.0.1")
    assert entry.old_values == {"delivery": "sending" if sending else "pending"}
    assert_delivery(session, order_id, delivery)
    if sending:
        with database.writing() as writing:
            reclaim_expired(writing, clock.now() + timedelta(minutes=1))
            writing.commit()
        assert_delivery(session, order_id, "cancelled")
    assert len(entries()) == before + 1


@pytest.mark.sqlite
def test_resend_in_progress_is_not_recorded_as_canceled(
    resend: Resend, claim_one: ClaimOne, buyer: Buyer, message_id: str, deliver: Deliver, entries: Trail
) -> None:
    deliver()
    resend(message_id, include_delivered=True)
    claim_one()
    assert buyer.edit().status_code == 200
    assert AuditAction.WEBHOOK_CANCELED not in {entry.action for entry in entries()}


def assert_delivery(session: Session, order_id: int, delivery: str) -> None:
    """The order's projection says this, and so does the row of its message."""
    session.rollback()
    order = session.get_one(PurchaseOrder, order_id, populate_existing=True)
    message = session.get_one(Message, order.message_id, populate_existing=True)
    assert (order.delivery.value, message.state.value) == (delivery, delivery)


@pytest.mark.sqlite
def test_repeatedly_interrupted_webhook_is_recorded(
    database: Database, order_id: int, message_id: str, session: Session, entries: Trail
) -> None:
    before = len(entries())
    at = clock.now()
    for _ in range(INTERRUPTIONS_MAX):
        assert len(entries()) == before
        with database.writing() as writing:
            assert claim(writing, 1, at).messages
            at += timedelta(minutes=1)
            reclaim_expired(writing, at)
            writing.commit()
    (entry,) = entries()[before:]
    assert (entry.action, entry.actor, entry.object_id) == (AuditAction.WEBHOOK_FAILED, "", message_id)
    assert entry.new_values == {"reason": "repeatedly_interrupted", "count": INTERRUPTIONS_MAX}
    assert_delivery(session, order_id, "failed")


@pytest.mark.sqlite
@pytest.mark.parametrize(("mode", "why"), [("401", "credentials"), ("410", "gone")])
def test_automatic_pause_is_recorded_once(
    ravi: Browser,
    arrive: Arrive,
    confirm: Confirm,
    deliver: Deliver,
    network: Network,
    partner: Partner,
    session: Session,
    entries: Trail,
    mode: str,
    why: str,
) -> None:
    network.behave(mode)
    orders = arrive(4)
    for order_id in orders:
        confirm(order_id)
    deliver()
    (held,) = [entry for entry in entries() if entry.action == AuditAction.PAUSED]
    assert (held.actor, held.object_name) == ("", "Bharat Connect") and held.new_values["reason"] == why
    for order_id in orders:
        assert_delivery(session, order_id, "pending")
    page = f"/partners/{partner.id}"
    assert mode in ravi.get(page).visible_text
    ravi.submit(page, f"{page}/resume", reason="fixed by the partner")
    resumed = entries()[-1]
    assert (resumed.action, resumed.actor, resumed.old_values["by"]) == (
        AuditAction.RESUMED,
        "Ravi",
        "PO Confirm",
    )
    assert resumed.reason == "fixed by the partner"
    assert resumed.old_values["reason"] == why


@pytest.mark.sqlite
def test_reprocessing_is_recorded(
    database: Database, partner: Partner, ravi: Browser, arrive: Arrive, entries: Trail
) -> None:
    arrive(1)
    with database.writing() as writing:
        row = reject_call(
            writing, Call(Kind.REQ_SEND, "/"), ErrorCode.UNREADABLE, "no", partner_id=partner.id, size=1
        )
        row.body = b"{}"
        writing.commit()
    url = f"/inbound/{row.id}"
    ravi.submit(url, f"{url}/apply", reason="fixed")
    last = entries()[-1]
    assert (last.action, last.object_id, last.actor, last.reason) == (
        AuditAction.REPROCESSED,
        row.id,
        "Ravi",
        "fixed",
    )
    assert json.loads(last.before or "") == {"effect": "refused"}
    assert json.loads(last.after or "") == {"effect": "refused", "error": "device is missing."}


def test_partner_changes_are_recorded_without_secrets(
    database: Database, partner: Partner, entries: Trail
) -> None:
    details = partner_service.Details(
        name="Bharat Connect",
        base_url="https://new.example",
        headers=[("X-Api-Key", "the-new-secret-value")],
        oauth=partner_service.OAuth("https://token.example", "me", "the-oauth-secret"),
    )
    with database.writing() as session:
        row = session.get(Partner, partner.id)
        assert row
        partner_service.save(session, row, details)
        keys.add_key(session, row, "another-inbound-key-of-it")
        secret = keys.add_signing_secret(session, row)
        keys.add_inbound_secret(session, row)
        keys.revoke_signing_secret(session, row, row.signing_secrets[0]["id"])
        session.commit()
    changed, *of_keys = entries()[-5:]
    assert changed.action == AuditAction.PARTNER_CHANGED
    assert changed.old_values["base URL"].startswith("http://127.0.0.1")
    assert changed.new_values["base URL"] == "https://new.example"
    assert changed.new_values["header values"] == changed.new_values["OAuth secret"] == "changed"
    assert changed.new_values["OAuth"]["client_id"] == "me"
    assert [entry.action for entry in of_keys] == [AuditAction.KEY_ADDED] * 3 + [AuditAction.KEY_REVOKED]
    recorded = json.dumps([[entry.before, entry.after, entry.reason] for entry in entries()])
    for hidden in ("the-new-secret", "a-secret-of-ours", "the-oauth", "another-inbound", secret, "whsec"):
        assert hidden not in recorded


@pytest.mark.sqlite
def test_save_without_change_leaves_no_entry(database: Database, partner: Partner, entries: Trail) -> None:
    before = len(entries())
    details = partner_service.Details(
        name=partner.name,
        base_url=partner.base_url,
        headers=[("X-Api-Key", "a-secret-of-ours")],
        allow_addresses=["127.0.0.0/8"],
        deadline_seconds=1.0,
    )
    with database.writing() as session:
        partner_service.save(session, session.get(Partner, partner.id), details)
        session.commit()
    assert len(entries()) == before


@pytest.mark.sqlite
def test_user_added_by_command_is_recorded_without_password(app: Flask, entries: Trail) -> None:
    result = app.test_cli_runner().invoke(args=["users", "add", "kiran", "--role", "manager"])
    assert result.exit_code == 0, result.output
    last = entries()[-1]
    assert (last.action, last.actor, last.object_name) == (
        AuditAction.PERSON_ADDED,
        "the command line",
        "kiran",
    )
    assert last.new_values["role"] == "manager"
    password = result.output.split("password: ")[1].strip()
    assert password not in last.after and "argon2" not in last.after


@pytest.mark.sqlite
def test_responder_is_the_actor_outside_a_request(arrive: Arrive, confirm: Confirm, entries: Trail) -> None:
    confirm(arrive(1)[0])
    assert (entries()[-1].actor, entries()[-1].address) == ("Asha", "")


def test_hostile_text_is_stored_as_text(database: Database, entries: Trail) -> None:
    hostile = "a\0b\ud800" + "x" * 400
    with trail.acting(trail.Actor(hostile, user_agent=hostile)), database.writing() as session:
        person = accounts.add_person(session, "kim", role=Role.MANAGER, password_hash="", full_name="Kim")
        session.commit()
    last = entries()[-1]
    assert person.id and len(last.user_agent) == 300 and len(last.actor) == 120
    assert last.actor.startswith("a\N{REPLACEMENT CHARACTER}b?x")


@pytest.mark.sqlite
def test_attention_commands_are_recorded_and_automatic_events_are_not(
    ravi: Browser,
    asha: Browser,
    order_id: int,
    deliver: Deliver,
    network: Network,
    session: Session,
    entries: Trail,
) -> None:
    network.behave("refuse", times=1)
    asha.respond(order_id)
    deliver()
    (message_id,) = session.scalars(select(Message.id))
    page = f"/attention/message-{message_id}"
    before = len(entries())
    for command, reason in (("close", "Settled by phone"), ("reopen", "It was not")):
        action = f"{page}/{command}"
        ravi.submit(page, action, reason=reason)
    closed, opened = entries()[before:]
    assert (closed.action, closed.actor, closed.reason) == (AuditAction.RESOLVED, "Ravi", "Settled by phone")
    assert (closed.object_kind, closed.object_id) == ("message", message_id)
    assert (opened.action, opened.reason) == (AuditAction.REOPENED, "It was not")
    asha.respond(order_id, remarks="Corrected remarks")
    assert [entry.action for entry in entries()[before + 2 :]] == [AuditAction.RESPONDED]


@pytest.mark.sqlite
def test_supplier_settings_are_recorded(browser_of: Callable[[str], Browser], entries: Trail) -> None:
    admin = browser_of("admin")
    before = len(entries())
    form = admin.get("/suppliers").page.select("form[action='/suppliers']")[0]
    fields = {**fields_of(form), "device_tag_name": "IP", "device_tag_value": "203.0.113.8"}
    for _ in range(2):
        assert admin.send("/suppliers", fields).status_code == 303
    (entry,) = entries()[before:]
    assert (entry.action, entry.actor) == (AuditAction.SUPPLIER_CHANGED, "Admin")
    assert entry.new_values == {"device_tag": "IP 203.0.113.8"}
