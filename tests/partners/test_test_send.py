"""The test send shows the exchange and records nothing."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.models import Attempt, Message
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.delivery.misbehaving import response
from tests.fixture_types import ChangePartner
from tests.people import Browser
from tests.serving import Network

pytestmark = pytest.mark.sqlite


def test_test_send_shows_the_exchange_and_records_nothing(
    ravi: Browser, network: Network, partner: Partner, session: Session
) -> None:
    url = f"/partners/{partner.id}/test"
    shown = ravi.submit(url, url)
    assert shown.status_code == 200
    assert "The partner accepted the test" in shown.one("main [role=status][autofocus]").get_text()
    assert "POST" in shown.one(":has(> #request-title)").get_text()
    assert "200 OK" in shown.one(":has(> #response-title)").get_text()
    assert "Connection test. This is not an order" in shown.one("#request-body").get_text()
    assert "response_code" in shown.one("#response-body").get_text()
    assert re.search(r"X-Api-Key\s*••••••••", shown.visible_text)
    (received,) = network.received()
    assert received["body"]["poConfirmation"]["buyerPONumber"] == "TEST"
    assert session.scalar(select(func.count(Message.id))) == 0
    assert session.scalar(select(func.count(Attempt.id))) == 0


RESPONSES = [
    (
        response(b'{"response_code":1,"response_message":"No such order"}', status="409 Conflict"),
        "understood the test",
    ),
    (response(b'{"response_code":1}', status="404 Not Found"), "understood the test"),
    (response(b'{"response_code":1}', status="410 Gone"), "did not accept it"),
    (response(b'{"response_code":0,"payload":{"objectId":"PO-OTHER"}}'), "did not accept it"),
    (response(b'{"response_code":1}', status="401 Unauthorized"), "rejected the API key"),
    (response(b"<html>", status="404 Not Found"), "did not accept it"),
    (response(b"<html>hello</html>"), "unreadable body"),
    (response(b"", status="503 Down"), "unavailable"),
    (response(b'{"response_code":9}', status="429 Slow down"), "but the partner is busy"),
    (response(b"", "Location: https://x.example", status="302 Found"), "Redirects are not followed"),
    (b"", "was not delivered"),
]


def test_test_send_describes_each_response(
    ravi: Browser, serve: Any, change_partner: ChangePartner, partner: Partner
) -> None:
    url = f"/partners/{partner.id}/test"
    fields = ravi.fill(url, url)
    for reply, words in RESPONSES:

        def script(connection: Any, reply: bytes = reply) -> None:
            connection.receive()
            connection.send(reply)

        change_partner(base_url=serve(script).url(""))
        shown = ravi.send(url, fields)
        assert shown.status_code == 200
        assert words in shown.visible_text


def test_test_send_does_not_block_other_writers(
    ravi: Browser, serve: Any, change_partner: ChangePartner, partner: Partner, database: Database
) -> None:
    received, may_respond = threading.Event(), threading.Event()

    def slow(connection: Any) -> None:
        connection.receive()
        received.set()
        may_respond.wait(10)
        connection.send(response())

    change_partner(base_url=serve(slow).url(""), deadline_seconds=8.0)
    url = f"/partners/{partner.id}/test"
    fields = ravi.fill(url, url)
    shown: list[Any] = []
    sending = threading.Thread(target=lambda: shown.append(ravi.send(url, fields)))
    sending.start()
    assert received.wait(10)
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        partner_service.announce(session, row, "Written meanwhile", by="Ravi")
        session.commit()
    may_respond.set()
    sending.join()
    assert "accepted the test" in shown[0].visible_text
