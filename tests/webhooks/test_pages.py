"""The webhook log for managers and support, and manual resends."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from app.audit.models import AuditAction, AuditEntry
from app.delivery.models import Attempt, Message, MessageState
from app.partners.models import Partner
from app.webhooks import queries
from app.webhooks.presenters import message_sentence
from tests.fixture_types import (
    Arrive,
    ChangePartner,
    ClaimOne,
    Confirm,
    ConfirmOrders,
    Deliver,
    MoveClock,
    Resend,
)
from tests.people import Browser, one
from tests.serving import Network


def ids(page: Any) -> list[str]:
    """The message ids that the list links, in order."""
    seen: list[str] = []
    for link in page.page.select("#webhooks-list a[href^='/webhooks/msg_']"):
        message_id = link["href"].removeprefix("/webhooks/").split("?")[0]
        if message_id not in seen:
            seen.append(message_id)
    return seen


def test_webhook_list_is_newest_first_with_stable_pages(
    confirm: Confirm, meera: Browser, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "app.webhooks.queries.message_page.__kwdefaults__", {"limit": 2, "extra_conditions": ()}
    )
    orders = arrive(6)
    for order_id in orders[:5]:
        confirm(order_id)
    first = meera.get("/webhooks")
    assert len(ids(first)) == 2
    confirm(orders[5])
    more = first.page.select("#webhooks-list a[href*='after=']")[0]["href"]
    second = meera.get(more)
    seen = (
        ids(first)
        + ids(second)
        + ids(meera.get(second.page.select("#webhooks-list a[href*='after=']")[0]["href"]))
    )
    assert len(seen) == len(set(seen)) == 5


def test_supplier_staff_see_the_messages_of_their_own_ids_only(
    asha: Browser, confirm_orders: ConfirmOrders, omar: Browser
) -> None:
    confirm_orders(3)
    assert len(ids(asha.get("/webhooks"))) == 3
    own = ids(omar.get("/webhooks"))
    assert len(own) == 1
    for message_id in ids(asha.get("/webhooks")):
        expected = 200 if message_id in own else 404
        assert omar.get(f"/webhooks/{message_id}").status_code == expected
        assert omar.get(f"/webhooks/{message_id}.json").status_code == expected


@pytest.mark.sqlite
def test_webhook_without_scripts_has_a_refresh_link(
    asha: Browser, message_id: str, order_id: int, deliver: Deliver
) -> None:
    for url in (f"/webhooks/{message_id}", f"/orders/{order_id}"):
        assert asha.get(asha.get(url).one("noscript a")["href"]).one("noscript a")["href"] == url
    deliver()
    for url in (f"/webhooks/{message_id}", f"/orders/{order_id}"):
        assert not asha.get(url).page.select("noscript a")


@pytest.mark.sqlite
def test_webhook_page_shows_request_and_response(meera: Browser, refused: str) -> None:
    page = meera.get(f"/webhooks/{refused}")
    words = page.visible_text
    for text in (
        "BPR012",
        "Remarks are not acceptable",
        "Confirmed at once",
        "Idempotency-Key",
        refused,
        "200",
    ):
        assert text in words, text
    assert "a-secret-of-ours" not in page.text
    assert "X-Api-Key" in words


@pytest.mark.sqlite
def test_webhook_json_has_the_documented_fields(meera: Browser, refused: str) -> None:
    data = meera.get(f"/webhooks/{refused}.json").get_json()
    assert {"id", "state", "kind", "partner", "order_id", "next_at", "request", "attempts"} <= set(data)
    assert (data["state"], data["kind"], data["next_at"]) == ("refused", "req-confirm", None)
    assert {"url", "headers", "body"} <= set(data["request"])
    (attempt,) = data["attempts"]
    assert {
        "number",
        "trigger",
        "actor",
        "outcome",
        "status",
        "headers",
        "body",
        "duration_ms",
        "started_at",
        "ended_at",
    } <= set(attempt)
    assert json.loads(attempt["body"])["payload"]["resp"]["errorCd"] == "BPR012"
    assert "a-secret-of-ours" not in json.dumps(data)


def test_tabs_count_webhooks_of_the_reader_and_keep_other_filters(
    confirm: Confirm, arrive: Arrive, refused: str, meera: Browser, omar: Browser
) -> None:
    confirm(arrive(2)[1])
    page = meera.get("/webhooks?partner=Bharat+Connect&state=refused")
    tabs = {tab.get_text(" ").split()[0]: tab for tab in page.page.select("nav.tabs a")}
    assert {
        label: tab.get_text(" ").split()[-1] for label, tab in tabs.items() if tab.select(".tab-count")
    } == {"Queued": "1", "Refused": "1"}
    assert [label for label, tab in tabs.items() if tab.get("aria-current")] == ["Refused"]
    assert tabs["Failed"]["href"] == "/webhooks?state=failed&partner=Bharat+Connect"
    assert tabs["All"]["href"] == "/webhooks?partner=Bharat+Connect"
    assert ids(meera.get(tabs["Refused"]["href"])) == [refused]
    # Both orders are for the supplier that Omar does not work for.
    assert not omar.get("/webhooks").page.select(".tab-count")


def test_filters_combine(subtests: pytest.Subtests, meera: Browser, refused: str) -> None:
    for query, is_match in (
        ("state=refused", True),
        ("state=delivered", False),
        ("state=held", False),
        ("code=200", True),
        ("code=503", False),
        ("kind=req-confirm", True),
        ("partner=Bharat+Connect", True),
        ("partner=other", False),
        ("trigger=auto", True),
        ("trigger=manual", False),
        ("q=MAL/2611/45007", True),
        ("q=mal/2611", True),
        ("q=Confirmed+at+once", True),
        ("q=BPR012", True),
        ("q=nothing+like+that", False),
        ("since=2020-01-01", True),
        ("since=2020-01-01T10:00:00%2B05:30", True),
        ("until=2020-01-01", False),
        ("state=refused&code=200&trigger=auto&q=BPR012", True),
        ("state=refused&code=503", False),
    ):
        with subtests.test(query=query):
            assert ids(meera.get(f"/webhooks?{query}")) == ([refused] if is_match else [])


def test_trigger_filter_offers_what_attempts_have(meera: Browser) -> None:
    options = meera.get("/webhooks").page.select("select[name=trigger] option")
    assert [option.get_text() for option in options] == ["Any trigger", "Automatic", "Manual", "Bulk"]


def test_webhook_is_found_by_its_id(meera: Browser, refused: str) -> None:
    assert ids(meera.get(f"/webhooks?q={refused}")) == [refused]


@pytest.mark.sqlite
def test_unknown_filter_value_is_ignored_with_a_notice(
    subtests: pytest.Subtests, meera: Browser, refused: str
) -> None:
    for query in ("state=odd", "code=abc", "code=9999", "since=soon", "after=msg_x", "trigger=x", "kind=x"):
        with subtests.test(query=query):
            page = meera.get(f"/webhooks?{query}")
            assert page.status_code == 200
            assert ids(page) == [refused]
            assert "ignored" in page.visible_text


def test_support_resends_with_a_reason(
    ravi: Browser, refused: str, deliver: Deliver, session: Session
) -> None:
    action = f"/webhooks/{refused}/resend"
    fields = {**ravi.fill(f"/webhooks/{refused}", action), "reason": "Fixed by the partner"}
    response = ravi.send(action, fields)
    assert (response.status_code, response.location) == (303, f"/webhooks/{refused}")
    assert deliver() == {"delivered": 1}
    session.rollback()
    attempt = session.scalars(select(Attempt).where(Attempt.number == 2)).one()
    assert (attempt.actor, attempt.request_reason) == ("Ravi", "Fixed by the partner")
    page = ravi.get(f"/webhooks/{refused}")
    assert "Ravi" in page.visible_text and "Fixed by the partner" in page.visible_text


@pytest.mark.sqlite
def test_attempts_name_the_request_that_caused_them(
    ravi: Browser, refused: str, deliver: Deliver, session: Session
) -> None:
    action = f"/webhooks/{refused}/resend"
    resent = ravi.submit(f"/webhooks/{refused}", action, reason="Fixed")
    deliver()
    session.rollback()
    request_ids = session.scalars(select(Attempt.request_id).order_by(Attempt.number)).all()
    assert request_ids[1] == resent.headers["X-Request-ID"] != request_ids[0]
    page = ravi.get(f"/webhooks/{refused}?attempt=2")
    assert f"Request ID in the log: {request_ids[1]}" in page.visible_text
    assert page.headers["X-Request-ID"] != request_ids[1]


@pytest.mark.sqlite
def test_resend_without_a_reason_is_rejected(ravi: Browser, refused: str, session: Session) -> None:
    action = f"/webhooks/{refused}/resend"
    fields = {**ravi.fill(f"/webhooks/{refused}", action), "reason": "  "}
    assert ravi.send(action, fields).status_code == 422
    assert session.scalars(select(Message.state)).one() is MessageState.REFUSED


@pytest.mark.sqlite
def test_delivered_webhook_is_not_resent(ravi: Browser, deliver: Deliver, refused: str) -> None:
    action = f"/webhooks/{refused}/resend"
    fields = {**ravi.fill(f"/webhooks/{refused}", action), "reason": "Again"}
    ravi.send(action, fields)
    deliver()
    response = ravi.send(action, fields)
    assert response.status_code == 409
    assert "already received it" in response.visible_text


@pytest.mark.sqlite
def test_reader_without_the_permission_has_no_resend_button(
    meera: Browser, asha: Browser, refused: str
) -> None:
    for browser in (meera, asha):
        page = browser.get(f"/webhooks/{refused}")
        assert not page.page.select(f"form[action='/webhooks/{refused}/resend']")


@pytest.mark.sqlite
def test_support_cancels_a_queued_webhook_and_the_order_reopens(
    asha: Browser,
    message_id: str,
    ravi: Browser,
    order_id: int,
    deliver: Deliver,
    network: Network,
    session: Session,
) -> None:
    page, action = f"/webhooks/{message_id}", f"/webhooks/{message_id}/withdraw"
    fields = ravi.fill(page, action)
    invalid = ravi.send(action, {**fields, "why": " "})
    assert invalid.status_code == 422 and "Enter a reason" in invalid.one("details[open]").get_text()
    done = ravi.send(action, {**fields, "why": "The buyer asked for it by telephone."})
    assert (done.status_code, done.location) == (303, page)
    assert deliver() == {} and not network.received()
    seen = ravi.get(page)
    assert "Ravi canceled it: The buyer asked for it by telephone." in seen.visible_text
    assert "None: never sent." in seen.visible_text and "Not sent yet" not in seen.visible_text
    assert not seen.page.select(
        ".attention-link"
    )  # a webhook that was canceled before sending needs no attention
    assert "Ravi canceled it" in asha.get(f"/orders/{order_id}").visible_text
    assert asha.respond(order_id, "REJECT", remarks="Out of stock").status_code == 303
    session.rollback()
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.WEBHOOK_CANCELED)).one()
    assert (entry.actor, entry.reason) == ("Ravi", "The buyer asked for it by telephone.")
    too_late = ravi.send(action, {**fields, "why": "Second attempt"})
    assert too_late.status_code == 409 and "neither queued nor being sent" in too_late.visible_text


@pytest.mark.sqlite
def test_cancel_of_a_queued_resend_keeps_the_delivery(
    message_id: str, ravi: Browser, deliver: Deliver, resend: Resend, claim_one: ClaimOne, session: Session
) -> None:
    deliver()
    page, action = f"/webhooks/{message_id}", f"/webhooks/{message_id}/withdraw"

    def cancellations() -> int:
        session.rollback()
        entries = select(AuditEntry).where(
            AuditEntry.action == AuditAction.WEBHOOK_CANCELED, AuditEntry.object_id == message_id
        )
        return len(session.scalars(entries).all())

    resend(message_id, include_delivered=True)
    assert "stays delivered" in ravi.get(page).visible_text
    fields = {**ravi.fill(page, action), "why": "They found it"}
    assert ravi.send(action, fields).status_code == 303
    assert session.scalars(select(Message.state)).one() is MessageState.DELIVERED
    assert cancellations() == 1

    resend(message_id, include_delivered=True)
    claim_one()
    assert not ravi.get(page).page.select(f"form[action='{action}']")
    too_late = ravi.send(action, fields)
    assert too_late.status_code == 409 and "already received it" in too_late.visible_text
    assert cancellations() == 1


@pytest.mark.sqlite
def test_only_support_cancels_and_only_unfinished_webhooks(
    meera: Browser, asha: Browser, ravi: Browser, refused: str
) -> None:
    action = f"/webhooks/{refused}/withdraw"
    for browser in (meera, asha, ravi):
        assert not browser.get(f"/webhooks/{refused}").page.select(f"form[action='{action}']")
    token = meera.fill("/webhooks?state=refused", "/views")
    assert meera.send(action, {**token, "why": "Mine"}).status_code == 403


@pytest.mark.sqlite
def test_failed_webhook_links_to_diagnostics(
    asha: Browser,
    confirm: Confirm,
    ravi: Browser,
    arrive: Arrive,
    deliver: Deliver,
    network: Network,
    session: Session,
    partner: Partner,
) -> None:
    network.behave("503")
    confirm(arrive(1)[0])
    deliver()
    page = f"/webhooks/{session.scalars(select(Message.id)).one()}"
    check, of_partner = f"/partners/{partner.id}/check", f"/partners/{partner.id}"
    assert ravi.get(page).page.select(f"a[href='{check}']")
    assert ravi.get(page).page.select(f".facts a[href='{of_partner}']")
    assert not asha.get(page).page.select(f"a[href^='{of_partner}']")


@pytest.mark.sqlite
def test_state_refreshes_until_it_is_final(asha: Browser, message_id: str, deliver: Deliver) -> None:
    url = f"/webhooks/{message_id}/state"
    waiting = asha.get(f"/webhooks/{message_id}")
    assert waiting.page.select(f"[data-hx-get^='{url}']")
    deliver()
    fragment = asha.get(url, headers={"HX-Request": "true"})
    assert fragment.one("#message")
    assert not fragment.page.select(
        "[data-hx-get][data-hx-trigger*='every'], [data-hx-get][data-hx-trigger*='load']"
    )


@pytest.mark.sqlite
def test_partner_response_is_shown_escaped(
    message_id: str, meera: Browser, deliver: Deliver, network: Network
) -> None:
    network.behave("refuse", times=1, error_dtl="<script>alert(1)</script><b data-hx-get=/logout>")
    deliver()
    page = meera.get(f"/webhooks/{message_id}")
    assert "<script>alert(1)" not in page.text
    assert "alert(1)" in page.visible_text
    assert not page.page.select("b[data-hx-get]")


@pytest.mark.sqlite
def test_attempt_as_curl_command_runs_in_a_shell(
    confirm: Confirm,
    ravi: Browser,
    order_id: int,
    deliver: Deliver,
    network: Network,
    session: Session,
    tmp_path: Any,
) -> None:
    confirm(order_id, remarks="It is Asha's: $HOME, 50% & `date`; ok")
    deliver()
    message = session.scalars(select(Message)).one()
    page = ravi.get(f"/webhooks/{message.id}")
    command = page.one("#as-curl").get_text()
    assert "a-secret-of-ours" not in page.text
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor argument in "$@"; do printf "%s\\0" "$argument"; done\n')
    curl.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PARTNER_KEY": "set manually"}
    run = subprocess.run(["sh", "-c", command], env=env, capture_output=True, check=True, timeout=20)
    words = run.stdout.decode().rstrip("\0").split("\0")
    assert words[:3] == ["-sS", "-X", "POST"]
    assert words[3].startswith(network.url)
    assert "X-Api-Key: set manually" in words
    assert words[words.index("--data-raw") + 1].encode() == message.body
    json_url = page.one("[data-copy-url]")["data-copy-url"]
    assert ravi.get(json_url).get_json()["id"] == message.id


@pytest.mark.sqlite
def test_each_masked_header_has_its_own_variable(
    message_id: str, ravi: Browser, deliver: Deliver, change_partner: ChangePartner
) -> None:
    change_partner(headers=[["X-Api-Key", "a-secret-of-ours"], ["X-Client", "another-secret"]])
    deliver()
    page = ravi.get(f"/webhooks/{message_id}")
    command = page.one("#as-curl").get_text()
    assert """-H 'X-Api-Key: '"$PARTNER_KEY" """.strip() in command
    assert """-H 'X-Client: '"$PARTNER_KEY_2" """.strip() in command
    assert "PARTNER_KEY (X-Api-Key)" in page.visible_text and "PARTNER_KEY_2 (X-Client)" in page.visible_text


@pytest.mark.sqlite
def test_secret_echoed_by_the_partner_is_not_stored(
    confirm: Confirm, meera: Browser, arrive: Arrive, deliver: Deliver, network: Network, session: Session
) -> None:
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Key a-secret-of-ours is odd")
    confirm(arrive(1)[0])
    deliver()
    message = session.scalars(select(Message)).one()
    attempt = session.scalars(select(Attempt)).one()
    assert b"a-secret-of-ours" not in attempt.response_body
    assert "a-secret-of-ours" not in message.error_dtl + message_sentence(message)
    assert message.state is MessageState.REFUSED
    for url in (f"/webhooks/{message.id}", f"/webhooks/{message.id}.json", "/webhooks"):
        assert "a-secret-of-ours" not in meera.get(url).text
    assert ids(meera.get("/webhooks?q=a-secret-of-ours")) == []
    assert ids(meera.get("/webhooks?q=is+odd")) == [message.id]


@pytest.mark.sqlite
def test_two_attempts_are_compared_line_by_line(
    message_id: str,
    meera: Browser,
    deliver: Deliver,
    network: Network,
    session: Session,
    move_clock: MoveClock,
) -> None:
    network.behave("status", times=1, status=503)
    deliver()
    move_clock(seconds=60)
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    deliver()
    message = queries.message(session, None, message_id)
    assert message and all("response_body" in inspect(attempt).unloaded for attempt in message.attempts)
    data = meera.get(f"/webhooks/{message_id}.json").get_json()
    assert "BPR012" in data["attempts"][1]["body"] and "BPR012" not in data["attempts"][0]["body"]
    first = meera.get(f"/webhooks/{message_id}?attempt=1")
    assert not first.page.select("a[href*='show=difference']")
    newest = meera.get(f"/webhooks/{message_id}")
    page = meera.get(newest.one("a[href*='show=difference']")["href"])
    assert "All attempts send the same body" in page.visible_text
    assert "503" in page.visible_text and "200" in page.visible_text
    assert any("BPR012" in line.get_text() for line in page.page.select(".diff ins"))


def test_last_successful_delivery_is_shown_within_the_readers_scope(
    confirm: Confirm,
    omar: Browser,
    meera: Browser,
    arrive: Arrive,
    deliver: Deliver,
    network: Network,
    session: Session,
) -> None:
    orders = arrive(3)  # the third is of Bearings, Omar's supplier
    confirm(orders[0])
    deliver()
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    confirm(orders[2])
    deliver()
    good, bad = session.scalars(select(Message.id).order_by(Message.id)).all()
    page = meera.get(meera.get(f"/webhooks/{bad}").one("#beside a")["href"])
    assert page.one(f"#beside a[href='/webhooks/{good}']")
    assert "SUCCESS" in page.one("#good-response-body").get_text()
    assert "BPR012" in page.one("#bad-response-body").get_text()
    own = omar.get(f"/webhooks/{bad}?beside=good")
    assert "None yet" in own.visible_text and good not in own.text


def test_webhook_list_filters_by_attempts_codes_orders_and_suppliers(
    subtests: pytest.Subtests, meera: Browser, refused: str
) -> None:
    for query, is_match in (
        ("code=2xx", True),
        ("code=2XX", True),
        ("code=4xx", False),
        ("code=none", False),
        ("attempts=1", True),
        ("attempts=2", False),
        ("order=mal/2611/45007", True),
        ("order=MAL", False),
        ("supplier=SUPPB2B0001@bbps", True),
        ("supplier=SUPPB2B0002@bbps", False),
        ("trigger=bulk", False),
        ("state=attention", True),
    ):
        with subtests.test(query=query):
            assert ids(meera.get(f"/webhooks?{query}")) == ([refused] if is_match else [])


def test_webhook_is_found_by_object_id_and_partner_reference(
    meera: Browser, refused: str, session: Session
) -> None:
    message = session.scalars(select(Message)).one()
    assert message.req_msg_id
    for words in (message.object_id, message.req_msg_id):
        assert ids(meera.get("/webhooks", query_string={"q": words})) == [refused]


def test_body_search_runs_in_steps_and_shows_its_range(
    confirm: Confirm, meera: Browser, arrive: Arrive, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, order_id in enumerate(arrive(4)):
        confirm(order_id, remarks="the needle" if number == 0 else "hay")
    monkeypatch.setattr("app.db.filters.SEARCH_WINDOW", 2)
    first = meera.get("/webhooks?q=needle")
    assert ids(first) == []
    assert "No recent matches" in first.visible_text and "Search older" in first.visible_text
    assert "Body search covers the latest 2,000 webhooks" in first.visible_text
    second = meera.get(first.one("a[rel=next]")["href"])
    oldest = session.scalars(select(Message.id).order_by(Message.id)).first()
    assert ids(second) == [oldest]
    assert not second.page.select("a[rel=next]")


@pytest.mark.sqlite
def test_filter_chips_are_removed_one_by_one(meera: Browser, refused: str) -> None:
    page = meera.get("/webhooks?state=refused&code=200&since=2020-01-01")
    chips = page.page.select(".filter-chip")
    assert [" ".join(chip.get_text(" ").split()).split(" :")[0] for chip in chips][:2] == [
        "State Refused",
        "HTTP status 200",
    ]
    assert chips[0]["href"] == "/webhooks?code=200&since=2020-01-01T00:00:00%2B05:30"
    assert ids(meera.get(chips[0]["href"])) == [refused]


def test_webhook_list_shows_duration_and_requester_of_the_last_attempt(
    ravi: Browser, refused: str, deliver: Deliver
) -> None:
    row = ravi.get("/webhooks").one("tbody tr")
    assert "Automatic" in row.get_text(" ") and "ms" in row.get_text(" ")
    action = f"/webhooks/{refused}/resend"
    ravi.submit(f"/webhooks/{refused}", action, reason="Again")
    deliver()
    assert "Ravi" in ravi.get("/webhooks").one("tbody tr .col-attempts").get_text(" ")


@pytest.mark.sqlite
@pytest.mark.parametrize("simulator", ["", "http://127.0.0.1:1"])
def test_simulator_link_is_only_for_its_partner(
    app: Flask, asha: Browser, network: Network, refused: str, session: Session, simulator: str
) -> None:
    order_id = session.get_one(Message, refused).order_id
    simulator_page = f"{network.url}/received/{refused}"
    for url, links in ((simulator, 0), (network.url, 1)):
        app.extensions["settings"] = app.extensions["settings"].model_copy(update={"simulator_url": url})
        for path in (f"/webhooks/{refused}", f"/orders/{order_id}"):
            assert len(asha.get(path).page.select(f"a[href='{simulator_page}']")) == links, (url, path)
    assert requests.get(simulator_page, timeout=10).ok


HTMX = {"HX-Request": "true"}


def poll_url(page: Any) -> str:
    """The URL that the page polls for new webhooks."""
    return str(page.one("#new-rows")["data-hx-get"])


def test_open_list_polls_the_number_of_new_webhooks(
    confirm: Confirm, meera: Browser, arrive: Arrive, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "app.webhooks.queries.message_page.__kwdefaults__", {"limit": 2, "extra_conditions": ()}
    )
    orders = arrive(6)
    for order_id in orders[:3]:
        confirm(order_id)
    deliver()
    pages = (
        "/webhooks",
        "/webhooks?state=pending",
        "/webhooks?q=MAL%2F2611%2F45007",
        "/webhooks?state=refused",
    )
    first, waiting, other, refused = (poll_url(meera.get(path)) for path in pages)
    second = poll_url(meera.get(meera.get("/webhooks").page.select("a[rel=next]")[0]["href"]))
    for url in (first, second, waiting, other, refused):
        response = meera.get(url, headers=HTMX)
        assert poll_url(response) == url, "nothing new: polling continues"
    confirm(orders[3])
    confirm(orders[4])
    for url in (first, second, waiting):
        link = meera.get(url, headers=HTMX).one("#new-rows a")
        assert link.get_text() == "2 new webhooks: show"
        assert len(ids(meera.get(link["href"]))) == 2
        assert "after=" not in link["href"]
    assert "state=pending" in meera.get(waiting, headers=HTMX).one("#new-rows a")["href"]
    for url in (other, refused):
        assert poll_url(meera.get(url, headers=HTMX)) == url


def test_new_webhooks_are_counted_within_the_readers_scope(
    confirm_orders: ConfirmOrders, omar: Browser
) -> None:
    url = poll_url(omar.get("/webhooks"))
    confirm_orders(3)
    shown = len(ids(omar.get("/webhooks")))
    assert 0 < shown < 3
    assert omar.get(url, headers=HTMX).visible_text == f"{shown} new webhook{'s' if shown > 1 else ''}: show"


@pytest.mark.sqlite
def test_newer_without_htmx_returns_the_list(meera: Browser) -> None:
    assert meera.get("/webhooks/newer").one("#webhooks-list")
    assert meera.get("/webhooks/newer?than=%27--&state=odd", headers=HTMX).status_code == 200


@pytest.mark.sqlite
def test_list_shows_the_reason_of_a_refusal_in_the_words_of_the_partner(ravi: Browser, refused: str) -> None:
    reason = ravi.get("/webhooks").one("td.col-why").get_text(strip=True)
    assert reason == "Remarks are not acceptable (BPR012)"


def test_webhooks_with_one_shared_reason_are_a_group(
    asha: Browser, confirm: Confirm, ravi: Browser, arrive: Arrive, network: Network, deliver: Deliver
) -> None:
    ids = arrive(4)
    confirm(ids[0])
    deliver()
    network.behave("503", times=3)
    for order_id in ids[1:]:
        confirm(order_id)
        deliver()
    page = ravi.get("/webhooks")
    failing, others = page.page.select("#webhooks-list tbody")
    assert "Bharat Connect: 503 Service Unavailable" in one(failing, ".log-group").get_text(" ")
    assert len(failing.select("a.strong")) == 3 and len(others.select("a.strong")) == 1
    assert "503" not in " ".join(cell.get_text() for cell in failing.select(".col-why"))
    marks = [mark["class"][-1] for mark in failing.select(".marks")[0].select("i")]
    assert marks == ["mark-failed", "mark-next"]
    assert one(others, ".marks")["aria-label"] == "1 attempt: delivered"
    assert not one(others, ".col-why").get_text(strip=True)
    assert not asha.get("/webhooks").page.select(".log-group a")
