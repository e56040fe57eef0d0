"""Items that need attention: cause, next step, assign, resolve, reopen."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.attention import queries
from app.db import Database
from app.delivery.models import CircuitBreaker, Message, MessageState
from app.orders.models import PurchaseOrder
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.buyer import Buyer
from tests.fixture_types import Arrive, Confirm, Deliver, PausePartner
from tests.people import Browser
from tests.serving import Network


def submit(browser: Browser, key: str, action: str, **fields: Any) -> Any:
    """Submit a form on an item's page."""
    url = f"/attention/{key}/{action}"
    return browser.submit(f"/attention/{key}", url, **fields)


def badge(browser: Browser) -> str:
    """The number in the navigation."""
    return str(browser.get("/").one("#n-attention").get_text())


def resend(browser: Browser, message_id: str, deliver: Callable[[], Any]) -> None:
    action = f"/webhooks/{message_id}/resend"
    browser.submit(f"/webhooks/{message_id}", action, reason="Again")
    deliver()


@pytest.mark.sqlite
def test_item_shows_cause_and_next_step_of_reader(asha: Browser, ravi: Browser, refused: str) -> None:
    row = ravi.get("/attention").one(".attention-item")
    words = row.get_text(" ")
    assert "Remarks are not acceptable" in words and "Refused" in words
    assert row.select(f"a.btn[href='/webhooks/{refused}']")
    own = asha.get("/attention").one(".attention-item")
    assert [link.get_text() for link in own.select("a.btn")] == ["Respond again"]
    assert "Respond again" in asha.get(f"/webhooks/{refused}").visible_text
    item = ravi.get(f"/attention/message-{refused}")
    assert "The supplier must respond to the order again." in item.one(".next-step").get_text()
    assert len(item.page.select(f"a.btn[href='/webhooks/{refused}']")) == 1


@pytest.mark.sqlite
def test_item_of_a_canceled_order_does_not_ask_for_a_response(
    buyer: Buyer, asha: Browser, refused: str
) -> None:
    assert buyer.change_status().status_code == 200
    item = asha.get("/attention").one(".attention-item")
    assert [link.get_text() for link in item.select("a.btn")] == ["View webhook"]
    assert "Respond again" not in asha.get(f"/webhooks/{refused}").visible_text


@pytest.mark.sqlite
def test_resolved_item_is_listed_with_name_and_reason(
    ravi: Browser, meera: Browser, asha: Browser, refused: str
) -> None:
    key = f"message-{refused}"
    assert badge(ravi) == badge(meera) == "1"
    response = submit(ravi, key, "close", reason="Resolved by phone")
    assert (response.status_code, response.location) == (303, f"/attention/{key}?done=resolved")
    assert ravi.get(response.location).one(".notice[autofocus]").get_text(strip=True) == "Resolved."
    for browser in (ravi, meera, asha):
        assert badge(browser) == ""
        assert "All clear" in browser.get("/attention").visible_text
        resolved = browser.get("/attention/closed").one(".attention-item").get_text(" ")
        assert "Resolved by phone" in resolved and "Ravi" in resolved
    assert not meera.get("/webhooks?state=attention").page.select("tbody tr")
    assert len(meera.get("/webhooks?state=refused").page.select("tbody tr")) == 1
    history = meera.get(f"/attention/{key}").one(".timeline").get_text(" ")
    assert "Resolved" in history and "Ravi" in history and "Resolved by phone" in history


@pytest.mark.sqlite
def test_item_reopens_when_it_fails_again(
    ravi: Browser, refused: str, network: Network, deliver: Deliver
) -> None:
    key = f"message-{refused}"
    assert "reopens automatically" in ravi.get(f"/attention/{key}").visible_text
    submit(ravi, key, "close", reason="Partner will fix it")
    network.behave("refuse", times=1, error_cd="BPR013", error_dtl="Still not acceptable")
    resend(ravi, refused, deliver)
    assert badge(ravi) == "1"
    row = ravi.get("/attention").one(".attention-item").get_text(" ")
    assert "Failed again" in row and "Still not acceptable" in row
    assert "Partner will fix it" in ravi.get(f"/attention/{key}").visible_text
    submit(ravi, key, "assign", person="4")
    history = [title.get_text() for title in ravi.get(f"/attention/{key}").page.select(".timeline b")]
    assert history == ["Assigned to Ravi", "Failed again", "Resolved"]


@pytest.mark.sqlite
def test_delivered_item_needs_no_attention(ravi: Browser, refused: str, deliver: Deliver) -> None:
    resend(ravi, refused, deliver)
    assert badge(ravi) == ""
    token = ravi.fill("/webhooks?state=refused", "/views")["csrf_token"]
    response = ravi.send(f"/attention/message-{refused}/close", {"reason": "Too late", "csrf_token": token})
    assert response.status_code == 409 and "no longer needs attention" in response.visible_text


@pytest.mark.sqlite
def test_item_is_assigned_and_unassigned(ravi: Browser, browser_of: Any, refused: str) -> None:
    key, admin = f"message-{refused}", browser_of("admin")
    assert submit(ravi, key, "assign", person="5").status_code == 303
    assert "Assigned to Admin" in ravi.get("/attention").one(".attention-item").get_text()
    assert len(admin.get("/attention?whose=mine").page.select(".attention-item")) == 1
    assert not ravi.get("/attention?whose=nobody").page.select(".attention-item")
    assert "Nothing assigned to you" in ravi.get("/attention?whose=mine").visible_text
    assert submit(admin, key, "assign", person="").status_code == 303
    assert len(ravi.get("/attention?whose=nobody").page.select(".attention-item")) == 1
    for invalid in ("3", "999", "x", "-1"):
        assert submit(ravi, key, "assign", person=invalid).status_code == 422, invalid


@pytest.mark.sqlite
def test_resolve_without_reason_is_rejected_and_reopen_works(ravi: Browser, refused: str) -> None:
    key = f"message-{refused}"
    assert submit(ravi, key, "close", reason=" ").status_code == 422
    assert submit(ravi, key, "close", reason="x" * 201).status_code == 422
    assert badge(ravi) == "1"
    submit(ravi, key, "close", reason="By mistake")
    assert submit(ravi, key, "reopen", reason="Wrong item").status_code == 303
    assert badge(ravi) == "1"
    assert not ravi.get("/attention/closed").page.select(".attention-item")


@pytest.mark.sqlite
def test_new_response_resolves_refused_webhook(
    ravi: Browser, confirm: Confirm, refused: str, session: Session, deliver: Deliver
) -> None:
    order_id = session.scalars(select(Message.order_id)).one()
    confirm(order_id, remarks="Corrected remarks")
    deliver()
    assert badge(ravi) == ""
    resolved = ravi.get("/attention/closed").one(".attention-item").get_text(" ")
    assert "A new response was sent" in resolved and "Asha" in resolved
    history = ravi.get(f"/attention/message-{refused}").one(".timeline").get_text(" ")
    assert "Resolved: a new response was sent" in history and "Asha" in history


@pytest.mark.sqlite
def test_paused_partners_and_unmatched_messages_are_for_support_only(
    buyer: Buyer,
    ravi: Browser,
    meera: Browser,
    database: Database,
    partner: Partner,
    order_id: int,
    confirm: Confirm,
    pause_partner: PausePartner,
) -> None:
    assert buyer.change_status(5).status_code == 409
    pause_partner("They asked us to wait")
    assert badge(ravi) == "2"
    rows = [row.get_text(" ") for row in ravi.get("/attention").page.select(".attention-item")]
    assert "They asked us to wait" in rows[0] and "Resume partner" in rows[0]
    assert "Reprocess" in rows[1]
    assert badge(meera) == ""
    link = ravi.get("/attention").page.select(".attention-item-actions a.subline")[1]
    key = str(link["href"]).removeprefix("/attention/")
    assert meera.get(f"/attention/{key}").status_code == 404
    assert "reopens automatically" not in ravi.get(f"/attention/{key}").visible_text
    assert submit(ravi, key, "close", reason="Sent by mistake").status_code == 303
    assert badge(ravi) == "1"
    assert submit(ravi, key, "reopen", reason="It was not").status_code == 303
    assert badge(ravi) == "2"
    assert submit(ravi, f"partner-{partner.id}", "assign", person="4").status_code == 303
    assert "Assigned to Ravi" in ravi.get("/attention").page.get_text()
    with database.writing() as writing:
        partner_service.resume(writing, writing.get_one(Partner, partner.id))
        writing.add(CircuitBreaker(partner_id=partner.id, opened_at=partner.created_at, probe_at=None))
        writing.commit()
    # Without a backlog the partner is not failing: the next response is the probe.
    assert "Failing" not in ravi.get("/attention").visible_text
    confirm(order_id)
    assert "Failing" in ravi.get("/attention").visible_text


def test_assignee_filter_finds_older_items(
    buyer: Buyer, ravi: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "UNMATCHED_SHOWN", 1)
    monkeypatch.setattr(queries, "ORDERS_SHOWN", 1)
    buyer.bodies = copy.deepcopy(buyer.bodies)
    for body in buyer.bodies[:2]:
        body["b2bIds"]["supplierB2BId"] = "NOBODY@bbps"

    def keys(query: str = "") -> list[str]:
        links = ravi.get(f"/attention{query}").page.select(".attention-item-actions a.subline")
        return [str(link["href"]).removeprefix("/attention/") for link in links]

    assert (buyer.send(0).status_code, buyer.change_status(5).status_code) == (200, 409)
    older = keys()
    assert [key.partition("-")[0] for key in older] == ["order", "inbound"]
    for key in older:
        submit(ravi, key, "assign", person="4")
    assert (buyer.send(1).status_code, buyer.change_status(6).status_code) == (200, 409)
    assert keys("?whose=mine") == older
    assert keys("?whose=nobody") == keys() != older


def test_canceled_webhook_of_unknown_outcome_needs_attention(
    ravi: Browser, confirm: Confirm, arrive: Arrive, database: Database
) -> None:
    confirm(arrive(1)[0])
    with database.writing() as writing:
        message = writing.scalars(select(Message)).one()
        message.state, message.unknown_outcome, message.attempts_made = MessageState.CANCELED, True, 1
        writing.commit()
    assert "May have been received" in ravi.get("/attention").one(".attention-item").get_text(" ")


def test_items_out_of_scope_are_hidden(
    ravi: Browser, omar: Browser, asha: Browser, meera: Browser, refused: str
) -> None:
    key = f"message-{refused}"
    assert omar.get(f"/attention/{key}").status_code == 404
    assert badge(omar) == ""
    for browser in (asha, meera):
        token = browser.fill("/webhooks?state=refused", "/views")
        response = browser.send(f"/attention/{key}/close", {**token, "reason": "Mine"})
        assert response.status_code == 403
    submit(ravi, key, "close", reason="Resolved")
    assert not omar.get("/attention/closed").page.select(".attention-item")
    for invalid in ("message-", "partner-x", "partner-99999999", "inbound-in_x", "x", "partner-٣"):
        assert ravi.get(f"/attention/{invalid}").status_code == 404, invalid


@pytest.mark.sqlite
def test_invalid_query_parameters_are_ignored(ravi: Browser, refused: str) -> None:
    assert "is ignored" in ravi.get("/attention?whose=them").visible_text
    assert "is ignored" in ravi.get("/attention?after=x").visible_text
    for after in ("x", "-1", "99999999999999999999", "7"):
        assert ravi.get(f"/attention/closed?after={after}").status_code == 200


def test_resolved_item_that_was_delivered_cannot_be_reopened(
    ravi: Browser, refused: str, network: Network, deliver: Deliver
) -> None:
    key = f"message-{refused}"
    submit(ravi, key, "close", reason="Partner will fix it")
    network.behave("ok")
    resend(ravi, refused, deliver)
    assert not ravi.get(f"/attention/{key}").page.select(f"form[action='/attention/{key}/reopen']")
    assert "Partner will fix it" in ravi.get("/attention/closed").visible_text


def test_needs_attention_is_the_same_in_sql_and_python(refused: str, database: Database) -> None:
    with database.writing() as writing:
        message = writing.get_one(Message, refused)
        message.attempts_made = 2
        for state, is_unknown, resolved_at_attempt in itertools.product(
            MessageState, (False, True), (None, 1, 2)
        ):
            message.state, message.unknown_outcome = state, is_unknown
            message.closed_at_attempt = resolved_at_attempt
            writing.flush()
            by_sql = writing.scalar(select(Message.id).where(Message.needs_attention)) is not None
            assert by_sql == message.needs_attention, (state, is_unknown, resolved_at_attempt)


def test_order_without_a_user_is_an_item_until_a_user_gets_the_supplier(
    buyer: Buyer,
    example_bodies: list[Any],
    browser_of: Callable[[str], Browser],
    ravi: Browser,
    asha: Browser,
    session: Session,
) -> None:
    body = copy.deepcopy(example_bodies[0])
    body["b2bIds"]["supplierB2BId"] = "NOBODY@bbps"
    assert buyer.post("req-send", body).status_code == 200
    order_id = session.scalars(select(PurchaseOrder.id)).one()
    row = ravi.get("/attention").one(".attention-item").get_text(" ")
    assert "No active user can respond for NOBODY@bbps." in row
    assert badge(ravi) == "1"
    assert asha.get("/attention").page.select(".attention-item") == []
    url = f"/attention/order-{order_id}"
    item = ravi.get(url)
    assert item.status_code == 200
    assert not item.page.select(f"form[action='{url}/close']")
    assert submit(ravi, f"order-{order_id}", "assign").status_code == 303
    admin = browser_of("admin")
    fields = admin.fill("/users/new", "/users/new")
    admin.send("/users/new", {**fields, "name": "kiran", "supplier_ids": "NOBODY@bbps"})
    assert ravi.get("/attention").page.select(".attention-item") == []
    assert badge(ravi) == ""
