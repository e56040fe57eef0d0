"""The evidence pack: exact bytes, correct checksums, and a summary page to read offline."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer
from werkzeug.http import parse_options_header

from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.delivery.call_result import DetailCode
from app.delivery.models import Attempt, Message, MessageNote
from app.inbound.models import InboundMessage
from app.orders.models import PurchaseOrder, Revision
from tests.buyer import Buyer
from tests.fixture_types import Confirm, Deliver, MoveClock
from tests.people import Browser, parse_strictly
from tests.serving import Network

pytestmark = pytest.mark.sqlite


def pack_of(response: Any) -> dict[str, bytes]:
    assert response.status_code == 200 and response.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.data)) as pack:
        assert pack.testzip() is None
        return {name: pack.read(name) for name in pack.namelist()}


def test_pack_has_every_message_byte_for_byte(
    meera: Browser,
    asha: Browser,
    order_id: int,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    session: Session,
) -> None:
    network.behave("fail", times=1)
    asha.respond(order_id, remarks="On the 5th")
    deliver()
    move_clock(minutes=2)
    deliver()
    pack = pack_of(meera.get(f"/orders/{order_id}/evidence.zip"))
    message = session.scalars(select(Message)).one()
    assert pack[f"sent/{message.id}/request-body.json"] == message.body
    attempts = session.scalars(select(Attempt).options(undefer(Attempt.response_body))).all()
    assert len(attempts) == 2
    for attempt in attempts:
        folder = f"sent/{message.id}/attempt-{attempt.number:02}"
        assert pack[f"{folder}/response-body.txt"] == attempt.response_body
        stored = json.loads(pack[f"{folder}/attempt.json"])
        assert (stored["status"], stored["outcome"]) == (attempt.status, attempt.outcome)
        assert b"Idempotency-Key: " + message.id.encode() in pack[f"{folder}/request-headers.txt"]
        assert b"X-Api-Key: \xe2\x80\xa2" in pack[f"{folder}/request-headers.txt"]
    inbound = session.scalars(
        select(InboundMessage).options(undefer(InboundMessage.body), undefer(InboundMessage.response_body))
    ).one()
    assert pack[f"received/{inbound.id}/request-body.json"] == inbound.body
    assert pack[f"received/{inbound.id}/response-body.json"] == inbound.response_body
    assert pack["order/version-1.json"] == session.scalars(select(Revision)).one().body
    assert not any(b"a-secret-of-ours" in content for content in pack.values())
    actions = [json.loads(line)["action"] for line in pack["audit.jsonl"].decode().splitlines()]
    assert actions == [AuditAction.RESPONDED]
    assert [event["what"] for event in json.loads(pack["timeline.json"])][:1] == ["received"]


def test_checksums_are_correct_and_cover_every_file(meera: Browser, asha: Browser, order_id: int) -> None:
    asha.respond(order_id)
    pack = pack_of(meera.get(f"/orders/{order_id}/evidence.zip"))
    lines = [line.split("  ", 1) for line in pack.pop("SHA256SUMS").decode().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in pack.items()}
    page = pack["index.html"].decode()
    assert all(digest in page for name, digest in sums.items() if name != "index.html")


def test_summary_has_no_active_content_or_secrets(
    meera: Browser, database: Database, order_id: int, confirm: Confirm
) -> None:
    message_id = confirm(order_id, remarks="</pre><script>alert(1)</script>")
    hostile = "<img src=x onerror=alert(1)>../../x\u202e"
    with database.writing() as session:
        order, message = session.get(PurchaseOrder, order_id), session.get(Message, message_id)
        assert order and message
        order.buyer_name = order.subject = order.buyer_po_number = hostile
        message.note_code, message.note_params = MessageNote.TEXT, {"text": hostile}
        message.attempts_made = 1
        session.add(
            Attempt(
                message_id=message_id,
                number=1,
                trigger="manual",
                actor=hostile,
                request_reason=hostile,
                url="http://x/<script>",
                request_headers=[["X-Api-Key", "••••"]],
                response_headers=[["Set-Cookie", hostile], ["X-Echo", "a-secret-of-ours"]],
                response_body=b"<script>alert(2)</script>\xff\x00 a-secret-of-ours",
                started_at=message.created_at,
                detail_code=DetailCode.OTHER,
                detail_params={"text": "the response contains a-secret-of-ours"},
            )
        )
        session.commit()
    response = meera.get(f"/orders/{order_id}/evidence.zip")
    disposition, options = parse_options_header(response.headers["Content-Disposition"])
    assert (disposition, options["filename"]) == (
        "attachment",
        f"evidence-img-src-x-onerror-alert-1-x-{order_id}.zip",
    )
    pack = pack_of(response)
    parse_strictly(pack["index.html"])
    page = pack["index.html"].decode()
    for active in ("<script", "<img", "<link", "<iframe", "javascript:", "src=", "href=", "url("):
        assert active not in page.replace("&lt;img src=x", ""), active
    folder = f"sent/{message_id}/attempt-01"
    assert pack[f"{folder}/response-body.txt"] == b"<script>alert(2)</script>" + (
        b"\xff\x00 " + "••••••••".encode()
    )
    assert json.loads(pack[f"{folder}/attempt.json"])["secrets_were_masked"] is True
    assert not any(b"a-secret-of-ours" in content for content in pack.values())
    assert all(not name.startswith(("/", "..")) and "\\" not in name for name in pack)


def test_pruned_body_is_reported(meera: Browser, database: Database, order_id: int, message_id: str) -> None:
    with database.writing() as session:
        message = session.get_one(Message, message_id)
        message.body = b""
        session.commit()
    pack = pack_of(meera.get(f"/orders/{order_id}/evidence.zip"))
    assert json.loads(pack[f"sent/{message_id}/message.json"])["body_is_unchanged"] is False
    assert "no longer stored" in pack["index.html"].decode()


def test_order_without_a_response_has_a_pack(meera: Browser, order_id: int) -> None:
    pack = pack_of(meera.get(f"/orders/{order_id}/evidence.zip"))
    assert not any(name.startswith("sent/") for name in pack)


def test_response_before_an_edit_is_attributed_to_its_version(
    buyer: Buyer, meera: Browser, asha: Browser, order_id: int
) -> None:
    url = f"/orders/{order_id}/evidence.zip"
    assert "<dd>Open</dd>" in pack_of(meera.get(url))["index.html"].decode()
    asha.respond(order_id)
    assert buyer.edit().status_code == 200
    page = BeautifulSoup(pack_of(meera.get(url))["index.html"], "html.parser")
    values = [" ".join(value.get_text().split()) for value in page.find_all("dd")]
    terms = dict(zip([term.get_text() for term in page.find_all("dt")], values, strict=True))
    assert terms["Response to v1"].startswith("Confirmed by Asha (order changed since), ")
    assert terms["Status"] == "Open"


def test_pack_is_audited_and_requires_the_export_permission(
    meera: Browser, asha: Browser, ravi: Browser, order_id: int, session: Session
) -> None:
    url = f"/orders/{order_id}/evidence.zip"
    assert url in meera.get(f"/orders/{order_id}").get_data(as_text=True)
    assert url not in ravi.get(f"/orders/{order_id}").get_data(as_text=True)
    assert [browser.get(url).status_code for browser in (meera, asha, ravi)] == [200, 403, 403]
    assert meera.get("/orders/99999/evidence.zip").status_code == 404
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.EXPORTED.value)).one()
    assert (entry.object_kind, entry.object_id, entry.new_values["what"]) == (
        "order",
        str(order_id),
        "evidence pack",
    )
