"""Partner pages: permissions, pause and resume, and no secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery.models import CircuitBreaker, Message, MessageState
from app.partners.models import Partner
from tests.delivery.misbehaving import response
from tests.fixture_types import Arrive, ChangePartner, Confirm, ConfirmOrders, Deliver, MoveClock
from tests.partners.credentials import gives_tokens, token
from tests.partners.filling import NEW, WITH_TOKEN, edit_url, filled
from tests.people import Browser, one
from tests.serving import Network

pytestmark = pytest.mark.sqlite


def test_partner_pages_require_the_permission_of_the_role(
    meera: Browser, ravi: Browser, admin: Browser, asha: Browser, partner: Partner
) -> None:
    page = f"/partners/{partner.id}"
    assert asha.get("/partners").status_code == 403
    for browser, forms, edits in ((meera, 0, 0), (ravi, 2, 0), (admin, 2, 1)):
        assert "Bharat Connect" in browser.get("/partners").visible_text
        shown = browser.get(page)
        actions = [form["action"] for form in shown.page.select("main form")]
        assert len(actions) == forms, actions
        assert len(shown.page.select(f"a[href='{edit_url(partner)}']")) == edits
    assert ravi.get(edit_url(partner)).status_code == 403
    assert ravi.get(f"{page}/keys").status_code == 403
    token = meera.fill("/webhooks?state=refused", "/views")
    assert meera.send(f"{page}/pause", {**token, "reason": "Mine"}).status_code == 403
    assert admin.get("/partners/999999").status_code == 404


def test_sidebar_links_to_partners_with_permission_only(asha: Browser, meera: Browser) -> None:
    assert meera.get("/").page.select("a[href='/partners']")
    assert not asha.get("/").page.select("a[href='/partners']")


def test_partner_list_shows_backlog_and_last_delivery(
    confirm: Confirm, ravi: Browser, arrive: Arrive, deliver: Deliver, partner: Partner
) -> None:
    assert "Never" in ravi.get("/partners").visible_text
    first, second = arrive(2)
    confirm(first)
    deliver()
    confirm(second)
    (row,) = ravi.get("/partners").page.select("tbody tr")
    words = " ".join(row.get_text(" ").split())
    assert "Active" in words and "just now" in words and "1 in the queue" in words


# --- Secrets are shown nowhere


def test_partner_pages_show_no_secret(
    browser_of: Callable[[str], Browser], secrets: list[str], partner: Partner
) -> None:
    base = f"/partners/{partner.id}"
    for name in ("meera", "ravi", "admin"):
        for path in (
            "/partners",
            base,
            *(f"{base}/{page_name}" for page_name in ("edit", "keys", "test", "check", "sheet")),
        ):
            text = browser_of(name).get(path).get_data(as_text=True)
            assert not [secret for secret in secrets if secret in text], (name, path)
    words = browser_of("admin").get(base).visible_text
    assert "set, ends in …ours" in words


def test_echoed_secrets_are_masked(
    subtests: pytest.Subtests, admin: Browser, serve: Any, change_partner: ChangePartner, partner: Partner
) -> None:
    def echoes(connection: Any) -> None:
        received = connection.receive()
        sent = f"{received.header('X-Api-Key')} {received.header('Authorization')}"
        escaped = sent.replace("-", "\\u002d")
        resp = f'{{"result":"FAILURE","errorDtl":"Invalid token {escaped}"}}'
        reply = f'{{"response_code":1,"response_message":"{sent}","payload":{{"resp":{resp}}}}}'
        connection.send(response(reply.encode(), f"X-Echo: {sent}"))

    endpoint = serve(gives_tokens(token("a-token-of-theirs")))
    oauth = {"token_url": endpoint.url(), "client_id": "po", "client_secret": "s" * 20}
    change_partner(base_url=serve(echoes).url(""), oauth={**oauth, "scope": "", "in_body": False})
    for page_name in ("test", "check"):
        with subtests.test(page=page_name):
            url = f"/partners/{partner.id}/{page_name}"
            text = admin.submit(url, url).get_data(as_text=True)
            assert "Invalid token ••••••••" in text
            assert "a-secret-of-ours" not in text and "a-token-of-theirs" not in text


def test_application_log_has_no_secret(
    admin: Browser, accepting_partner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        fields = filled(admin, NEW, **WITH_TOKEN, base_url=accepting_partner.url(""))
        assert admin.send(NEW, fields).status_code == 303
    assert "changed by admin: saved" in caplog.text
    assert "a-new-bearer-token" not in caplog.text


# --- Pause and resume


def test_partner_page_charts_the_attempts_of_24_hours(
    confirm: Confirm,
    ravi: Browser,
    arrive: Arrive,
    deliver: Deliver,
    network: Network,
    partner: Partner,
    move_clock: MoveClock,
) -> None:
    orders = arrive(4)
    confirm(orders[0])
    deliver()
    move_clock(hours=3)
    network.behave("503", times=1)
    for order_id in orders[1:]:
        confirm(order_id)
    deliver()
    chart = ravi.get(f"/partners/{partner.id}").one("figure.trend")
    assert "3 delivered, 1 failed" in chart.get_text(" ")
    bars = [
        (one(bar, "title").get_text().split(": ")[1], [rect["height"] for rect in bar.find_all("rect")])
        for bar in chart.select("g")
    ]
    assert bars == [("1 delivered, 0 failed", ["22", "0"]), ("2 delivered, 1 failed", ["42", "22"])]
    move_clock(hours=22)
    chart = ravi.get(f"/partners/{partner.id}").one("figure.trend")
    assert "2 delivered, 1 failed" in chart.get_text(" ") and len(chart.select("g")) == 1
    move_clock(hours=24)
    assert "No attempts" in ravi.get(f"/partners/{partner.id}").one("figure.trend").get_text()


def test_pause_queues_webhooks_and_resume_sends_them(
    confirm_orders: ConfirmOrders, ravi: Browser, deliver: Deliver, partner: Partner, session: Session
) -> None:
    page = f"/partners/{partner.id}"
    empty = ravi.submit(page, f"{page}/pause")
    assert empty.status_code == 422 and "Enter a reason" in empty.visible_text
    fields = {**ravi.fill(page, f"{page}/pause"), "reason": "Their maintenance"}
    assert ravi.send(f"{page}/pause", fields).location == f"{page}?done=paused"
    confirm_orders(3)
    deliver()
    shown = ravi.get(page)
    assert (
        "Paused since" in shown.visible_text
        and "by Ravi" in shown.visible_text
        and "Their maintenance" in shown.visible_text
    )
    assert "3 webhooks in the queue" in shown.visible_text
    assert {message.state for message in session.scalars(select(Message))} == {MessageState.PENDING}
    assert len(shown.page.select(".newest-list a")) == 3
    fields = ravi.fill(page, f"{page}/resume")
    without_reason = ravi.send(f"{page}/resume", {**fields, "reason": " "})
    assert (
        without_reason.status_code == 422
        and "Enter a reason" in without_reason.visible_text
        and "Paused since" in without_reason.visible_text
    )
    assert ravi.send(f"{page}/resume", {**fields, "reason": "They are back"}).status_code == 303
    deliver()
    session.rollback()
    assert {message.state for message in session.scalars(select(Message))} == {MessageState.DELIVERED}
    assert "Active" in ravi.get(page).visible_text


def test_last_delivery_is_the_latest_in_time(
    confirm: Confirm,
    ravi: Browser,
    arrive: Arrive,
    deliver: Deliver,
    network: Network,
    partner: Partner,
    session: Session,
) -> None:
    old, new = arrive(2)
    network.behave("503", times=1)
    confirm(old)
    deliver()
    confirm(new)
    deliver()
    late, _ = ids = session.scalars(select(Message.id).order_by(Message.id)).all()
    assert ravi.get(f"/partners/{partner.id}").one(f".facts a[href='/webhooks/{ids[1]}']")
    action = f"/webhooks/{late}/resend"
    ravi.submit(f"/webhooks/{late}", action, reason="They are back")
    deliver()
    assert ravi.get(f"/partners/{partner.id}").one(f".facts a[href='/webhooks/{late}']")


def test_unresponsive_partner_is_not_active(
    ravi: Browser, confirm: Confirm, order_id: int, partner: Partner, database: Database
) -> None:
    confirm(order_id)
    with database.writing() as session:
        session.merge(CircuitBreaker(partner_id=partner.id, failures=5, opened_at=clock.now(), probes=1))
        session.commit()
    shown = ravi.get(f"/partners/{partner.id}").visible_text
    assert "Active" not in shown and "Failing since" in shown and "1 webhook in the queue" in shown
    assert "Failing" in ravi.get("/partners").visible_text


def test_managers_see_partner_changes_in_the_audit_trail(
    meera: Browser, admin: Browser, partner: Partner
) -> None:
    url = edit_url(partner)
    assert admin.send(url, filled(admin, url, contact="Kiran", untested="y")).status_code == 303
    (link,) = meera.get(f"/partners/{partner.id}").page.select("main a[href^='/audit']")
    assert "Kiran" in meera.get(str(link["href"])).visible_text
    assert not admin.get(f"/partners/{partner.id}").page.select("main a[href^='/audit']")


def test_announcement_is_on_every_page_until_removed(
    asha: Browser, ravi: Browser, meera: Browser, partner: Partner, anonymous: Browser
) -> None:
    page = f"/partners/{partner.id}"
    fields = {**ravi.fill(page, f"{page}/note"), "text": "Slow until 14:00 <b>"}
    assert ravi.send(f"{page}/note", fields).status_code == 303
    for browser, path in ((asha, "/"), (asha, "/orders"), (meera, "/webhooks"), (ravi, "/partners")):
        words = browser.get(path).visible_text.replace(" :", ":").replace(" .", ".")
        assert "Bharat Connect: Slow until 14:00 <b> Posted by Ravi" in words
    assert "Slow until" not in anonymous.get("/login").visible_text
    assert ravi.send(f"{page}/note", {**fields, "text": ""}).status_code == 303
    assert "Slow until" not in asha.get("/").visible_text


def test_partner_paused_by_command_is_resumed_on_its_page(
    app: Flask, ravi: Browser, partner: Partner, row: Any
) -> None:
    runner = app.test_cli_runner()
    runner.invoke(args=["partners", "pause", partner.name, "--reason", "by command"])
    assert "by command" in ravi.get(f"/partners/{partner.id}").visible_text
    page = f"/partners/{partner.id}"
    ravi.submit(page, f"{page}/resume", reason="by page")
    assert not row().paused
    assert row().paused_by == ""
