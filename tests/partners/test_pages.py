"""Partner pages: permissions, test before saving, secrets, pause and resume, keys."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import trustme
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditEntry
from app.db import Database
from app.delivery.models import Attempt, CircuitBreaker, Message, MessageState
from app.orders.line_responses import LineAction, LineResponse, Split, encode
from app.partners import keys
from app.partners import service as partner_service
from app.partners.draft import decrypt, encrypt
from app.partners.models import InboundKey, Partner
from app.partners.queries import partner_by_name
from tests.buyer import INBOUND_KEY
from tests.delivery.misbehaving import behaves, responds, response
from tests.partners.credentials import gives_tokens, pem_of, token
from tests.people import Browser, fields_of
from tests.serving import served

pytestmark = pytest.mark.sqlite

NEW = "/partners/new"
WITH_TOKEN = {
    "name": "Second network",
    "allow_addresses": "127.0.0.0/8",
    "authorization": "bearer",
    "bearer_token": "a-new-bearer-token",
}
"""A new partner on this machine that authenticates with a token."""


def edit_url(partner: Partner) -> str:
    return f"/partners/{partner.id}/edit"


def filled(browser: Browser, url: str, **fields: Any) -> dict[str, Any]:
    return {**browser.fill(url, url), **fields}


def fields_on(page: Any, action: str) -> dict[str, Any]:
    """The fields of the form on this page that posts to ``action``."""
    return fields_of(page.one(f"form[action='{action}']"))


@pytest.fixture
def secrets(database: Database, partner: Partner, authority: trustme.CA) -> list[str]:
    """One secret of each kind in the partner's row; pages must never show them."""
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        row.oauth = {
            "token_url": "http://127.0.0.1:9/token",
            "client_id": "po",
            "client_secret": "client-secret-of-ours",
            "scope": "",
            "in_body": False,
        }
        row.client_certificate = pem_of(authority.issue_cert("po-confirm.example"))
        generated = [
            keys.add_key(session, row),
            keys.add_inbound_secret(session, row),
            keys.add_signing_secret(session, row),
        ]
        session.commit()
        return [
            "a-secret-of-ours",
            "client-secret-of-ours",
            row.client_certificate.splitlines()[-3],
            *generated,
            *(secret.removeprefix("whsec_") for secret in generated),
        ]


# --- Permissions


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
    confirm: Any, ravi: Browser, arrive: Any, deliver: Any, partner: Partner
) -> None:
    assert "Never" in ravi.get("/partners").visible_text
    first, second = arrive(2)
    confirm(first)
    deliver()
    confirm(second)
    (row,) = ravi.get("/partners").page.select("tbody tr")
    words = " ".join(row.get_text(" ").split())
    assert "Active" in words and "just now" in words and "1 in the queue" in words


# --- Test before saving


def test_new_partner_is_saved_after_a_successful_test(
    admin: Browser, accepting_partner: Any, session: Session
) -> None:
    fields = filled(
        admin,
        NEW,
        **{**WITH_TOKEN, "allow_addresses": "127.0.0.0/8\n10.1.2.3/16"},
        base_url=accepting_partner.url("/gate/"),
        retry_schedule="5 s, 5 min, 2 h",
        rate_per_minute="120",
        success_codes="7, 38",
        accepts_return="y",
        contact="Kiran, +91 80 5550 1020",
        **{"headers-0-name": "X-Tenant", "headers-0-value": "tenant-of-ours"},
    )
    done = admin.send(NEW, fields)
    assert done.status_code == 303
    saved = partner_by_name(session, "Second network")
    assert saved and done.location == f"/partners/{saved.id}/keys?done=saved"
    assert saved.base_url == accepting_partner.url("/gate")
    assert (saved.bearer_token, saved.headers) == ("a-new-bearer-token", [["X-Tenant", "tenant-of-ours"]])
    assert (saved.retry_schedule, saved.rate_per_minute) == ([5.0, 300.0, 7200.0], 120)
    assert (saved.success_codes, saved.accepts_return) == ([0, 7, 38], True)
    assert saved.allow_addresses == ["127.0.0.0/8", "10.1.0.0/16"]
    (sample,) = accepting_partner.received
    assert sample.line.startswith("POST /gate/api/v0/purchase-order/req-confirm")
    assert sample.header("Authorization") == "Bearer a-new-bearer-token"
    assert b"Connection test" in sample.body
    assert session.scalar(select(func.count(Message.id))) == 0


def test_failed_test_saves_nothing_and_keeps_input(admin: Browser, serve: Any, session: Session) -> None:
    endpoint = serve(responds(response(b'{"error":"no"}', status="401 Unauthorized")), behaves)
    fields = filled(admin, NEW, **WITH_TOKEN, base_url=endpoint.url(""), contact="Kiran")
    refused = admin.send(NEW, fields)
    assert refused.status_code == 422
    assert "Not saved" in refused.visible_text and "rejected the API key" in refused.visible_text
    assert partner_by_name(session, "Second network") is None
    text = refused.get_data(as_text=True)
    assert "a-new-bearer-token" not in text
    assert "401 Unauthorized" in refused.visible_text and "/api/v0/purchase-order/req-confirm" in text
    # The same form again: the token is kept, and the partner accepts it now.
    again = fields_on(refused, NEW)
    assert (again["contact"], again["bearer_token"]) == ("Kiran", "")
    assert admin.send(NEW, again).status_code == 303
    session.rollback()
    saved = partner_by_name(session, "Second network")
    assert saved and saved.bearer_token == "a-new-bearer-token"


def test_checkbox_saves_without_a_test(admin: Browser, session: Session) -> None:
    fields = filled(admin, NEW, name="Far away", base_url="https://nowhere.invalid")
    assert admin.send(NEW, fields).status_code == 422
    done = admin.send(NEW, {**fields, "untested": "y"})
    assert done.status_code == 303
    session.rollback()
    assert partner_by_name(session, "Far away")
    assert "without testing" in admin.get(done.location.replace("/keys", "")).visible_text


PLAIN = "http://b2b.example"


def test_secret_over_plain_http_requires_a_confirmation(admin: Browser, session: Session) -> None:
    header = {"headers-0-name": "X-Key", "headers-0-value": "a-value"}
    fields = filled(admin, NEW, name="Old network", base_url=PLAIN, untested="y", **header)
    refused = admin.send(NEW, fields)
    assert refused.status_code == 422
    assert f"unencrypted to {PLAIN}" in refused.visible_text
    assert refused.one("#allow_plain_http") and partner_by_name(session, "Old network") is None
    assert admin.send(NEW, {**fields, "allow_plain_http": "y"}).status_code == 303
    session.rollback()
    partner = partner_by_name(session, "Old network")
    assert partner
    url = edit_url(partner)
    assert admin.send(url, filled(admin, url, contact="Kiran")).status_code == 303, "confirmed once"
    moved = filled(admin, url, base_url="http://other.example", untested="y")
    assert "unencrypted to http://other.example" in admin.send(url, moved).visible_text


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": PLAIN},
        {"base_url": "http://localhost:8001", "authorization": "bearer", "bearer_token": "secret-token"},
        {"base_url": "http://[::1]:8001", "authorization": "bearer", "bearer_token": "secret-token"},
    ],
)
def test_plain_http_without_a_secret_or_on_loopback_is_saved(admin: Browser, fields: dict[str, str]) -> None:
    assert admin.send(NEW, filled(admin, NEW, name="Near", untested="y", **fields)).status_code == 303


@pytest.mark.parametrize("url", ["https://b2b.example", "http://b2b.example"])
def test_oauth_over_plain_http_names_the_unencrypted_url(admin: Browser, url: str) -> None:
    fields = {
        "authorization": "oauth",
        "oauth_token_url": "http://token.example/t",
        "oauth_client_id": "us",
        "oauth_client_secret": "secret",
    }
    refused = admin.send(NEW, filled(admin, NEW, name="OAuth", base_url=url, untested="y", **fields))
    assert refused.status_code == 422 and "http://token.example/t" in refused.visible_text
    assert (url in refused.one("#allow_plain_http-error").text) == url.startswith("http:")


def test_signature_required_is_saved_shown_and_audited(
    admin: Browser, partner: Partner, row: Any, session: Session
) -> None:
    url = edit_url(partner)
    assert admin.send(url, filled(admin, url, signature_required="y")).status_code == 303
    assert row().signature_required
    assert admin.get(url).one("#signature_required").has_attr("checked")
    assert "Signature required" in admin.get(f"/partners/{partner.id}").visible_text
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry and json.loads(entry.after or "") == {"signature required": True}


def test_test_only_shows_the_exchange_and_saves_nothing(
    admin: Browser, accepting_partner: Any, partner: Partner, row: Any
) -> None:
    before = row().base_url
    fields = filled(admin, edit_url(partner), base_url=accepting_partner.url("/elsewhere"), intent="try")
    tried = admin.send(edit_url(partner), fields)
    assert tried.status_code == 200
    assert "Test succeeded. Not saved yet" in tried.visible_text
    assert row().base_url == before


def test_other_settings_are_saved_without_a_test(
    admin: Browser, network: Any, partner: Partner, row: Any
) -> None:
    url = edit_url(partner)
    done = admin.send(url, filled(admin, url, deadline_seconds="9", contact="Meera"))
    assert (done.status_code, done.location) == (303, f"/partners/{partner.id}?done=kept")
    assert (row().deadline_seconds, row().contact) == (9.0, "Meera")
    assert row().headers == [["X-Api-Key", "a-secret-of-ours"]], "an empty value keeps the secret"
    assert not network.received()


def test_secrets_can_be_kept_replaced_and_removed(
    admin: Browser, partner: Partner, row: Any, secrets: list[str]
) -> None:
    url = edit_url(partner)
    unchanged = filled(admin, url, untested="y")
    assert admin.send(url, unchanged).status_code == 303
    assert row().oauth["client_secret"] == "client-secret-of-ours"
    assert row().client_certificate
    replaced = filled(admin, url, untested="y", **{"headers-0-value": "another-secret"})
    assert (
        admin.send(url, {**replaced, "authorization": "none", "no_client_certificate": "y"}).status_code
        == 303
    )
    assert (row().headers, row().oauth, row().client_certificate) == (
        [["X-Api-Key", "another-secret"]],
        None,
        "",
    )
    removed = filled(admin, url, untested="y", **{"headers-0-name": ""})
    assert admin.send(url, removed).status_code == 303
    assert row().headers == []


def test_concurrent_edit_saves_nothing_and_keeps_input(admin: Browser, partner: Partner, row: Any) -> None:
    url = edit_url(partner)
    first, second = filled(admin, url, contact="First"), filled(admin, url, contact="Second")
    assert admin.send(url, first).status_code == 303
    overtaken = admin.send(url, second)
    assert overtaken.status_code == 409
    assert (
        "Someone else changed this partner" in overtaken.visible_text and "Second" in overtaken.visible_text
    )
    assert row().contact == "First"


def test_change_during_the_test_send_is_not_overwritten(
    admin: Browser,
    serve: Any,
    change_partner: Callable[..., None],
    partner: Partner,
    row: Callable[[], Partner],
) -> None:
    def saves_a_change(connection: Any) -> None:
        connection.receive()
        change_partner(contact="Saved meanwhile", changed_at=clock.now())
        connection.send(response())

    url = edit_url(partner)
    fields = filled(admin, url, base_url=serve(saves_a_change, behaves).url("/moved"), contact="Mine")
    overtaken = admin.send(url, fields)
    assert overtaken.status_code == 409
    assert "Someone else changed this partner" in overtaken.visible_text and "Mine" in overtaken.visible_text
    assert row().contact == "Saved meanwhile"
    assert admin.send(url, fields_on(overtaken, url)).status_code == 303
    assert row().contact == "Mine"


def test_header_with_an_invalid_index_is_ignored(admin: Browser, session: Session) -> None:
    fields = filled(admin, NEW, name="X", base_url="https://x.example", untested="y")
    invalid = {f"headers-{index}-name": "X-Odd" for index in ("²", "x", "", "9" * 5000)}
    assert admin.send(NEW, {**fields, **invalid}).status_code == 303
    saved = partner_by_name(session, "X")
    assert saved and saved.headers == []


INVALID = [
    ("name", "", "Enter a name"),
    ("name", "Bharat Connect", "already exists"),
    ("base_url", "ftp://x.example", "http:// or https://"),
    ("base_url", "https://user@x.example", "http:// or https://"),
    ("base_url", "https://x.example/?a=b", "http:// or https://"),
    ("base_url", "https://x.example\\@y", "http:// or https://"),
    ("allow_addresses", "10.1.2.3.4", "address ranges"),
    ("allow_addresses", "0.0.0.0/0", "wider than any private network"),
    ("allow_addresses", "::/0", "wider than any private network"),
    ("retry_schedule", "soon", "durations such as"),
    ("retry_schedule", "40 d", "30 days"),
    ("success_codes", "ok", "whole numbers"),
    ("deadline_seconds", "0", "0.1 to 300"),
    ("deadline_seconds", "nan", "0.1 to 300"),
    ("deadline_seconds", "1,5", "a number of seconds, such as"),
    ("concurrency", "1000", "1 to 64"),
    ("concurrency", "-1", "1 to 64"),
    ("concurrency", "two", "a whole number, such as"),
    ("rate_per_minute", "0", "webhooks per minute"),
    ("headers-0-name", "X Key", "a valid header name"),
    ("headers-0-name", "X" * 101, "100 characters"),
    ("headers-0-name", "Idempotency-Key", "set by PO Confirm"),
    ("headers-0-name", "webhook-signature", "set by PO Confirm"),
    ("headers-0-value", "a\tb\x01", "cannot be sent"),
    ("authorization", "bearer", "Enter the token"),
    ("authorization", "oauth", "token URL"),
    ("client_certificate", "-----BEGIN NONSENSE-----", "certificate"),
    ("ca_bundle", "nonsense", "certificate"),
]


def test_invalid_value_shows_an_error_at_its_field(
    admin: Browser, session: Session, partner: Partner
) -> None:
    fields = filled(
        admin,
        NEW,
        name="Second network",
        base_url="https://x.example",
        untested="y",
        **{"headers-0-name": "X-Key", "headers-0-value": "a-value"},
    )
    for field, value, words in INVALID:
        refused = admin.send(NEW, {**fields, field: value})
        assert refused.status_code == 422, field
        assert words in refused.visible_text, (field, words)
        # In a long form the error must be easy to find.
        assert "Not saved" in refused.visible_text and refused.page.select("main [autofocus]"), field
        for link in refused.page.select("main .notice.bad a"):
            assert refused.one(link["href"]), field
    assert session.scalar(select(func.count(Partner.id))) == 1


def test_several_invalid_fields_are_all_reported(admin: Browser) -> None:
    fields = filled(
        admin,
        NEW,
        name="Second network",
        base_url="nonsense",
        deadline_seconds="0",
        bearer_token="two words",
        authorization="bearer",
        **{"headers-0-name": "X-Key", "headers-0-value": "a\r\nX-Evil: 1"},
    )
    refused = admin.send(NEW, fields)
    assert refused.status_code == 422
    for words in (
        "a host, and optionally a port",
        "Enter a timeout",
        "X-Key has characters that cannot be sent",
    ):
        assert words in refused.visible_text
    resubmitted = admin.send(NEW, {**fields, "headers-0-value": "fine"})
    assert "at most 4000 printable" in resubmitted.visible_text


def test_invalid_secret_is_not_kept_in_the_draft(admin: Browser, session: Session) -> None:
    fields = filled(
        admin,
        NEW,
        name="Second network",
        base_url="https://x.example",
        untested="y",
        client_certificate="nonsense",
        **{"headers-0-name": "X-Key", "headers-0-value": "good", "headers-1-name": "X-B"},
    )
    fields["headers-1-value"] = "bad\nX-Evil: 1"
    refused = admin.send(NEW, fields)
    assert refused.status_code == 422 and refused.page.select(".info-row .field-error")
    refused = admin.send(NEW, {**fields, "headers-1-value": "fine"})
    assert refused.status_code == 422 and refused.page.select("#client_certificate-error")
    # The empty certificate stays empty. Valid values are kept.
    assert admin.send(NEW, fields_on(refused, NEW)).status_code == 303
    saved = partner_by_name(session, "Second network")
    assert saved and saved.client_certificate == ""
    assert saved.headers == [["X-Key", "good"], ["X-B", "fine"]]


def test_entered_certificate_can_be_removed_before_saving(
    admin: Browser, authority: trustme.CA, session: Session
) -> None:
    pem = pem_of(authority.issue_cert("a.example"))
    fields = filled(admin, NEW, name="X", base_url="nonsense", untested="y", client_certificate=pem)
    refused = admin.send(NEW, fields)
    assert "Just entered" in refused.visible_text
    again = {**fields_on(refused, NEW), "base_url": "https://x.example", "no_client_certificate": "y"}
    assert admin.send(NEW, again).status_code == 303
    saved = partner_by_name(session, "X")
    assert saved and saved.client_certificate == ""


def test_too_many_headers_are_reported(admin: Browser, session: Session) -> None:
    fields = filled(admin, NEW, name="X", base_url="https://x.example", untested="y")
    for number in range(21):
        fields |= {f"headers-{number}-name": f"X-{number}", f"headers-{number}-value": "some value"}
    refused = admin.send(NEW, fields)
    assert refused.status_code == 422 and "Enter at most 20 headers" in refused.visible_text
    fields["headers-7-name"] = ""
    fields["headers-7-value"] = ""
    assert admin.send(NEW, fields).status_code == 303
    saved = partner_by_name(session, "X")
    assert saved and len(saved.headers) == 20


def test_certificate_with_another_key_is_rejected(
    admin: Browser, authority: trustme.CA, session: Session
) -> None:
    certificate, other = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    mixed = certificate.cert_chain_pems[0].bytes().decode() + other.private_key_pem.bytes().decode()
    fields = filled(admin, NEW, name="X", base_url="https://x.example", untested="y")
    refused = admin.send(NEW, {**fields, "client_certificate": mixed})
    assert refused.status_code == 422 and "does not belong" in refused.visible_text
    assert other.private_key_pem.bytes().decode().splitlines()[1] not in refused.get_data(as_text=True)
    right = admin.send(NEW, {**fields, "client_certificate": pem_of(certificate).replace("\n", "\r\n")})
    assert right.status_code == 303
    saved = partner_by_name(session, "X")
    assert saved and saved.client_certificate == pem_of(certificate)


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
    subtests: pytest.Subtests, admin: Browser, serve: Any, change_partner: Any, partner: Partner
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


# --- The test send


def test_test_send_shows_the_exchange_and_records_nothing(
    ravi: Browser, network: Any, partner: Partner, session: Session
) -> None:
    url = f"/partners/{partner.id}/test"
    shown = ravi.submit(url, url)
    assert shown.status_code == 200
    assert "The partner accepted the test" in shown.one("main [role=status][autofocus]").get_text()
    assert "POST" in shown.one("#request-title").parent.get_text()
    assert "200 OK" in shown.one("#response-title").parent.get_text()
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
    ravi: Browser, serve: Any, change_partner: Any, partner: Partner
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
    ravi: Browser, serve: Any, change_partner: Any, partner: Partner, database: Database
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


# --- Pause and resume


def test_partner_page_charts_the_attempts_of_24_hours(
    confirm: Any, ravi: Browser, arrive: Any, deliver: Any, network: Any, partner: Partner, move_clock: Any
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
        (bar.title.get_text().split(": ")[1], [rect["height"] for rect in bar.find_all("rect")])
        for bar in chart.select("g")
    ]
    assert bars == [("1 delivered, 0 failed", ["22", "0"]), ("2 delivered, 1 failed", ["42", "22"])]
    move_clock(hours=22)
    chart = ravi.get(f"/partners/{partner.id}").one("figure.trend")
    assert "2 delivered, 1 failed" in chart.get_text(" ") and len(chart.select("g")) == 1
    move_clock(hours=24)
    assert "No attempts" in ravi.get(f"/partners/{partner.id}").one("figure.trend").get_text()


def test_pause_queues_webhooks_and_resume_sends_them(
    confirm_orders: Any, ravi: Browser, deliver: Any, partner: Partner, session: Session
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
    confirm: Any, ravi: Browser, arrive: Any, deliver: Any, network: Any, partner: Partner, session: Session
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
    ravi: Browser, confirm: Any, order_id: int, partner: Partner, database: Database
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


# --- Keys


def test_generated_key_is_shown_once_and_the_old_one_expires(
    admin: Browser, anonymous: Browser, partner: Partner, session: Session, move_clock: Any
) -> None:
    page = f"/partners/{partner.id}/keys"
    url = f"{page}/inbound-key"
    shown = admin.submit(page, url, grace="24")
    generated = shown.one("#new-key").get_text()
    assert "won't be shown again" in shown.visible_text
    assert generated not in admin.get(page).get_data(as_text=True)
    assert len(session.scalars(select(InboundKey)).all()) == 2

    def ping(key: str) -> int:
        return int(anonymous.get("/api/v0/ping", headers={"X-Partner-Key": key}).status_code)

    assert (ping(generated), ping(INBOUND_KEY)) == (200, 200)
    move_clock(hours=25)
    assert (ping(generated), ping(INBOUND_KEY)) == (200, 401)
    shown = admin.get(page)
    assert "It is the only one" in shown.one(".revoke").get_text()
    end = next(form["action"] for form in shown.page.select("main form") if "/revoke" in form["action"])
    assert admin.submit(page, end).status_code == 303
    assert ping(generated) == 401


@pytest.mark.parametrize("kind", ["inbound-key", "inbound-secret", "signing-secret"])
def test_entered_key_is_never_shown_and_invalid_keys_are_rejected(
    admin: Browser, partner: Partner, kind: str
) -> None:
    page = f"/partners/{partner.id}/keys"
    url = f"{page}/{kind}"
    fields = admin.fill(page, url)
    refused = admin.send(url, {**fields, "key": "short"})
    assert refused.status_code == 422 and refused.page.select(".field-error")
    assert refused.one("main [autofocus]")["id"] == kind, "the page scrolls to the third form"
    assert "Choose a value from the list" in admin.send(url, {**fields, "grace": "-5"}).visible_text
    entered = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    saved = admin.send(url, {**fields, "key": entered})
    assert saved.status_code == 200 and "Saved" in saved.visible_text
    assert entered not in saved.get_data(as_text=True)
    assert "LaSw" in saved.visible_text


# --- Integration guide


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    """The app on a real socket."""
    with served(app) as url:
        yield url


def test_integration_guide_call_works(site: str, ravi: Browser, partner: Partner) -> None:
    sheet = ravi.get(f"/partners/{partner.id}/sheet")
    printed = sheet.one("#try-key").get_text().replace("http://localhost", site)
    assert "PARTNER_KEY" in printed and INBOUND_KEY not in sheet.visible_text

    def run(key: str) -> Any:
        environ = {"PATH": os.environ["PATH"], "PARTNER_KEY": key}
        command = ["sh", "-c", printed]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)

    right, wrong = run(INBOUND_KEY), run("x")
    assert right.returncode == 0, right.stderr
    assert '"response_code":0' in right.stdout and "Bharat Connect" in right.stdout
    assert wrong.returncode == 22


def test_integration_guide_signed_call_works(
    site: str, ravi: Browser, partner: Partner, database: Database
) -> None:
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        secret = keys.add_inbound_secret(session, row)
        for key in session.scalars(select(InboundKey)):
            keys.revoke_key(session, row, key.id)
        session.commit()
    sheet = ravi.get(f"/partners/{partner.id}/sheet")
    assert not sheet.page.select("#try-key"), "the key was revoked"
    printed = sheet.one("#try-signature").get_text().replace("http://localhost", site)

    def run(secret: str) -> Any:
        environ = {"PATH": os.environ["PATH"], "PARTNER_SECRET": secret}
        command = ["sh", "-c", printed]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)

    right, wrong = run(secret), run("whsec_" + "A" * 32)
    assert right.returncode == 0, right.stderr + right.stdout
    assert "Bharat Connect" in right.stdout
    assert wrong.returncode == 22


def test_integration_guide_describes_requests_and_responses(
    ravi: Browser, partner: Partner, secrets: list[str], change_partner: Any
) -> None:
    change_partner(success_codes=[0, 7])
    words = ravi.get(f"/partners/{partner.id}/sheet").visible_text
    for expected in (
        '"response_code": 0 or 7',
        f"{partner.base_url}/api/v0/purchase-order/req-confirm",
        "X-Api-Key",
        "webhook-signature",
        "client certificate",
        "Idempotency-Key",
        "5 s, 5 min, 30 min",
        "/api/v0/purchase-order/req-send",
        "/api/v0/docs",
    ):
        assert expected in words


def test_integration_guide_names_line_responses_as_they_are_sent(
    ravi: Browser, partner: Partner, change_partner: Any
) -> None:
    split = Split(Decimal(1), date(2026, 12, 18))
    line = LineResponse(
        "REF", LineAction.CHANGED, Decimal(2), split.delivery_date, Decimal(3), "Why", splits=(split,)
    )
    names = [name for name, _ in encode([line])]
    url = f"/partners/{partner.id}/sheet"
    assert [dt.get_text() for dt in ravi.get(url).page.select("#lines ~ dl dt")] == names
    change_partner(line_responses=False)
    assert not ravi.get(url).page.select("#lines")


# --- Commands


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


def test_draft_expires_after_an_hour_and_needs_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted_at = int(time.time())
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: encrypted_at)
    encrypted = encrypt("key", {"bearer_token": "secret"})
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: encrypted_at + 3600)
    assert decrypt("key", encrypted) == {"bearer_token": "secret"}
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: encrypted_at + 3601)
    assert decrypt("key", encrypted) == {}
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: encrypted_at)
    assert "secret" not in encrypted
    assert decrypt("key", encrypted) == {"bearer_token": "secret"}
    assert decrypt("another key", encrypted) == {}
    for nonsense in ("", "nonsense", "é" * 20, encrypted[:-4] + "AAAA"):
        assert decrypt("key", nonsense) == {}
    assert encrypt("key", {}) == ""
