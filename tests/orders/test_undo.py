"""Undo: within the grace time a response can be undone before its webhook is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.delivery.models import CancelReason, Message, MessageState
from app.orders.models import Delivery, PurchaseOrder
from tests.fixture_types import Arrive, Deliver, MoveClock
from tests.people import HTMX, Browser
from tests.serving import Network


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings with an undo time of ten seconds."""
    return Settings.load(
        instance=tmp_path, database_url=database_url, secret_key="only for these tests", undo_seconds=10
    )


def undo(browser: Browser, order_id: int) -> Any:
    action = f"/orders/{order_id}/answer/undo"
    return browser.submit(f"/orders/{order_id}", action)


def test_response_is_sent_after_grace_time(
    asha: Browser, arrive: Arrive, deliver: Deliver, move_clock: MoveClock
) -> None:
    asha.respond(arrive(1)[0])
    assert deliver() == {}
    move_clock(seconds=11)
    assert deliver() == {"delivered": 1}


def test_undo_cancels_webhook_and_reopens_order(
    asha: Browser, order_id: int, deliver: Deliver, move_clock: MoveClock, session: Session, network: Network
) -> None:
    asha.respond(order_id)
    assert undo(asha, order_id).status_code == 303
    move_clock(seconds=60)
    assert deliver() == {}
    assert network.received() == []
    message = session.scalars(select(Message)).one()
    assert message.state is MessageState.CANCELED
    assert (message.cancel_requested, message.cancel_params) == (CancelReason.UNDO, {"name": "Asha"})
    assert session.scalars(select(PurchaseOrder.delivery)).one() is Delivery.CANCELED
    assert asha.respond(order_id, "REJECT", "No capacity").status_code == 303
    move_clock(seconds=60)
    assert deliver() == {"delivered": 1}


def test_undo_after_sending_is_refused(
    asha: Browser, order_id: int, deliver: Deliver, move_clock: MoveClock
) -> None:
    asha.respond(order_id)
    action = f"/orders/{order_id}/answer/undo"
    fields = asha.fill(f"/orders/{order_id}", action)
    move_clock(seconds=11)
    late = asha.send(action, fields)
    assert late.status_code == 409
    assert "Too late to undo" in late.visible_text
    deliver()
    assert asha.send(action, fields).status_code == 409
    assert not asha.get(f"/orders/{order_id}").page.select(f"form[action='{action}']")


@pytest.mark.sqlite
def test_webhook_without_grace_time_is_sent_at_once_without_undo(
    app: Flask, asha: Browser, arrive: Arrive, deliver: Deliver, settings: Settings
) -> None:
    assert Settings.load(instance=settings.instance).undo_seconds == 0, "the default"
    app.extensions["settings"] = settings.model_copy(update={"undo_seconds": 0})
    (order_id,) = arrive(1)
    asha.respond(order_id)
    action = f"/orders/{order_id}/answer/undo"
    assert not asha.get(f"/orders/{order_id}").page.select(f"form[action='{action}']")
    assert deliver() == {"delivered": 1}


@pytest.mark.sqlite
def test_undo_shows_needs_response_and_previous_response(asha: Browser, order_id: int) -> None:
    asha.respond(order_id, "REJECT", "No capacity")
    undo(asha, order_id)
    for status in (
        asha.get(f"/orders/{order_id}").one("#order-states"),
        asha.get("/orders?answer=open").one("td.col-state"),
    ):
        assert " ".join(status.get_text(" ").split()) == "Needs response previous response: canceled"


@pytest.mark.sqlite
def test_deadline_is_shown_only_while_response_is_needed(asha: Browser, order_id: int) -> None:
    url = f"/orders/{order_id}/answer"
    fields = asha.fill(url, url)
    assert asha.get(f"/orders/{order_id}").one("#order-respond-by b")
    shown = asha.send(url, fields, headers=HTMX)
    due = shown.one("#order-respond-by")
    assert due["data-hx-swap-oob"] == "true" and not due.select("b")
    action = f"/orders/{order_id}/answer/undo"
    undone = asha.submit(f"/orders/{order_id}", action, headers=HTMX)
    assert undone.one("#order-respond-by").select("b")
    assert undone.one("#n-needs_response").get_text() == "1"


@pytest.mark.sqlite
def test_undo_of_a_rejection_restores_the_form(asha: Browser, order_id: int) -> None:
    asha.respond(order_id, "REJECT", "No capacity", supplier_order_number="SO-1")
    action = f"/orders/{order_id}/answer/undo"
    panel = asha.submit(f"/orders/{order_id}", action, headers=HTMX)
    assert panel.one("input[name=supplier_response][checked]")["value"] == "REJECT"
    assert panel.one("textarea[name=supplier_remarks]").get_text().strip() == "No capacity"
    assert panel.one("input[name=supplier_order_number]")["value"] == "SO-1"
