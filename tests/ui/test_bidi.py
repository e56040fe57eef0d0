"""Text of partners that changes the writing direction does not reverse the text around it."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import Tag
from bs4.element import NavigableString
from sqlalchemy import String, Text, func, select, update

from app.db import Database
from app.delivery.models import Attempt, Message
from app.inbound.models import InboundMessage
from app.orders.models import Decision, PurchaseOrder
from app.partners.models import Partner
from tests.buyer import Buyer
from tests.fixture_types import Arrive, Confirm, Deliver
from tests.people import Browser
from tests.serving import Network

OVERRIDE = "\u202e"
"""RIGHT-TO-LEFT OVERRIDE: everything after it on the same line is reversed, unless it is isolated."""
ISOLATING = {"bdi", "code", "del", "ins", "pre", "q", "blockquote", "textarea", "option", "title", "script"}
"""Elements that isolate their text, by HTML or by ``static/css/base.css``."""
BLOCKS = {"p", "li", "td", "th", "dd", "dt", "h1", "h2", "h3", "div", "section", "header", "summary"}
BLOCK_CLASSES = {"subline", "truncate", "text-line"}
TEXTS = {
    Message: ("buyer_po_number", "error_cd", "error_dtl", "error_field", "req_msg_id", "created_by"),
    Attempt: ("request_reason", "actor", "url"),
    InboundMessage: ("buyer_po_number", "error_cd", "error_field", "object_id", "reprocess_reason"),
    PurchaseOrder: ("buyer_po_number", "buyer_name", "subject", "status", "responded_by"),
    Decision: ("remarks", "person_name"),
    Partner: ("name", "paused_by", "paused_reason"),
}


def reversed_texts(page: Any) -> list[str]:
    """The texts with an override that share their line with other text and are not isolated."""
    found = []
    for text in page.find_all(string=lambda text: OVERRIDE in text):
        for parent in text.parents:
            if parent.name in ISOLATING:
                break
            if parent.name in BLOCKS or BLOCK_CLASSES & set(parent.get("class", [])):
                if is_alone(parent, text):
                    break
                found.append(
                    f"{parent.name}.{'.'.join(parent.get('class', []))}: {parent.get_text(' ', strip=True)}"
                )
                break
    return found


def is_alone(block: Tag, text: NavigableString) -> bool:
    """Whether a block has no other text, so that nothing follows the override."""
    return block.get_text(strip=True) == text.strip()


@pytest.fixture
def hostile(
    arrive: Arrive, buyer: Buyer, confirm: Confirm, deliver: Deliver, network: Network, database: Database
) -> Database:
    """A refused webhook, an order and incoming messages, with an override at the start of each text."""
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    confirm(arrive(1)[0], remarks=f"{OVERRIDE}Confirmed")
    deliver()
    buyer.edit(subject=f"{OVERRIDE}Other subject")
    buyer.change_status(4, remarks=f"{OVERRIDE}Withdrawn")
    buyer.post("req-send", b"{}")
    with database.writing() as session:
        for model, names in TEXTS.items():
            columns = [getattr(model, name) for name in names]
            assert all(isinstance(column.type, String | Text) for column in columns)
            values = {name: OVERRIDE + func.coalesce(getattr(model, name), name) for name in names}
            session.execute(update(model).values(values).execution_options(synchronize_session=False))
        session.commit()
    return database


@pytest.mark.sqlite
def test_partner_text_is_isolated(
    hostile: Database, ravi: Browser, asha: Browser, subtests: pytest.Subtests
) -> None:
    with hostile.reading() as session:
        message_id, order_id = session.execute(select(Message.id, Message.order_id)).one()
        inbound_ids = session.scalars(select(InboundMessage.id)).all()
    paths = [
        *("/", "/orders", "/webhooks", "/inbound", "/attention", "/orders/new-rows", "/audit"),
        *(f"/orders/{order_id}", f"/orders/{order_id}?since=1"),
        *(f"/webhooks/{message_id}", f"/webhooks/{message_id}?attempt=1&beside=good"),
        *(f"/inbound/{inbound_id}" for inbound_id in inbound_ids),
        *(f"/attention/inbound-{inbound_id}" for inbound_id in inbound_ids),
        f"/attention/message-{message_id}",
        *("/search?q=Other", "/search?q=PO"),
        f"/webhooks/resends?ids={message_id}",
    ]
    shown = 0
    for path in paths:
        for browser in (ravi, asha):
            with subtests.test(path=path, person=browser):
                response = browser.get(path)
                if response.status_code == 200:
                    shown += OVERRIDE in response.get_data(as_text=True)
                    assert reversed_texts(response.page) == []
    assert shown > 10
