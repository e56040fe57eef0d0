"""The form of a partner: test before saving, secrets, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditEntry
from app.delivery.models import Message
from app.partners.durations import read_waits, waits_text
from app.partners.models import Partner
from app.partners.queries import partner_by_name
from tests.delivery.misbehaving import behaves, responds, response
from tests.partners.credentials import pem_of
from tests.partners.filling import NEW, WITH_TOKEN, edit_url, fields_on, filled
from tests.people import Browser
from tests.serving import Network

pytestmark = pytest.mark.sqlite


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
    moved = filled(admin, url, base_url="http://other.example", untested="y", **header)
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
    admin: Browser, network: Network, partner: Partner, row: Any
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


@pytest.mark.parametrize("intent", ["", "try"])
def test_saved_secrets_are_not_sent_to_a_new_host(
    admin: Browser, serve: Any, partner: Partner, row: Any, secrets: list[str], intent: str
) -> None:
    url, endpoint = edit_url(partner), serve(behaves)
    moved = endpoint.url("").replace("127.0.0.1", "localhost")
    fields = filled(admin, url, base_url=moved, oauth_token_url=moved, intent=intent)
    refused = admin.send(url, fields)
    assert refused.status_code == 422
    assert "Enter the value of X-Api-Key again: the URL has a new host." in refused.visible_text
    assert "Enter the client secret again: the URL has a new host." in refused.visible_text
    assert not endpoint.received
    assert row().base_url != moved
    entered = {**fields_on(refused, url), "headers-0-value": "new-key", "oauth_client_secret": "new-secret"}
    assert admin.send(url, {**entered, "untested": "y", "intent": ""}).status_code == 303
    assert (row().headers, row().oauth["client_secret"]) == ([["X-Api-Key", "new-key"]], "new-secret")


def test_saved_token_is_not_sent_to_a_new_host(
    admin: Browser, partner: Partner, row: Any, session: Session
) -> None:
    session.get_one(Partner, partner.id).bearer_token = "a-token-of-ours"
    session.commit()
    url = edit_url(partner)
    refused = admin.send(url, filled(admin, url, base_url="https://other.example", untested="y"))
    assert refused.one("#bearer_token-error").get_text().strip().startswith("Enter the token again")
    assert "Leave blank" not in refused.one(":has(> #bearer_token)").get_text()
    assert row().base_url != "https://other.example"


def test_client_secret_is_not_sent_to_the_new_host_of_a_token_url(
    admin: Browser, partner: Partner, row: Any, secrets: list[str]
) -> None:
    url = edit_url(partner)
    fields = filled(admin, url, oauth_token_url="https://other.example/token", untested="y")
    refused = admin.send(url, fields)
    assert "Enter the client secret again" in refused.visible_text
    assert "Enter the value of" not in refused.visible_text
    assert row().oauth["token_url"] == "http://127.0.0.1:9/token"


def test_secrets_are_kept_if_only_the_path_of_a_url_changes(
    admin: Browser, partner: Partner, row: Any, secrets: list[str]
) -> None:
    url, corrected = edit_url(partner), f"{row().base_url}/gate"
    fields = filled(admin, url, base_url=corrected, oauth_token_url="http://127.0.0.1:9/tokens", untested="y")
    assert admin.send(url, fields).status_code == 303
    assert (row().base_url, row().oauth["client_secret"]) == (corrected, "client-secret-of-ours")
    assert row().headers == [["X-Api-Key", "a-secret-of-ours"]]


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
            assert refused.one(str(link["href"])), field
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


def test_shown_retry_schedule_keeps_number_and_unit_together_and_can_be_entered() -> None:
    shown = waits_text([5.0, 7200.0])
    assert shown == "5\N{NO-BREAK SPACE}s, 2\N{NO-BREAK SPACE}h"
    assert read_waits(shown) == [5.0, 7200.0]
