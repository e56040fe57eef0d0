"""Diagnostics: each step fails in its own way and is compared with the last successful delivery."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any

import pytest
import trustme

from app import clock
from app.partners.models import Partner
from app.webhooks import diagnostics
from tests.delivery.misbehaving import behaves, response, server_context
from tests.fixture_types import Arrive, ChangePartner, Deliver
from tests.partners.credentials import pem_of
from tests.people import Browser
from tests.serving import Network

pytestmark = pytest.mark.sqlite


@pytest.fixture
def check(ravi: Browser, partner: Partner) -> Callable[[], Any]:
    """Ravi runs the diagnostics; returns the page."""
    url = f"/partners/{partner.id}/check"
    return lambda: ravi.submit(url, url)


def steps(page: Any) -> dict[str, tuple[str, str]]:
    """Return the state and the text of each step."""
    return {
        item.select_one("b").get_text(): (
            item.select_one(".state").get_text(),
            " ".join(item.select_one(".finding").get_text(" ").split()),
        )
        for item in page.page.select(".steps li")
    }


def test_success_is_stored_as_the_baseline(check: Any, partner: Partner, row: Any) -> None:
    page = check()
    assert "It works" in page.visible_text
    results = steps(page)
    assert {state for state, _ in results.values()} == {"OK", "Warning"}, results
    assert row().baseline["status"] == 200
    assert row().baseline["addresses"] == ["127.0.0.1"]
    again = check()
    assert "Results are compared with the last successful delivery" in again.visible_text
    assert "Previously: 200" in again.visible_text


def test_last_delivery_is_a_baseline_too(
    check: Any, asha: Browser, arrive: Arrive, deliver: Deliver, network: Network
) -> None:
    asha.respond(arrive(1)[0])
    deliver()
    network.behave("401")
    page = check()
    assert "may be on either side" in page.visible_text
    state, words = steps(page)["Response"]
    assert state == "Failed" and "accepted before" in words and "Previously: 200" in words


def test_busy_partner_is_the_partners_problem_and_no_baseline(check: Any, network: Network, row: Any) -> None:
    check()
    network.behave("503")
    page = check()
    assert "The problem is on the partner's side." in page.visible_text
    state, words = steps(page)["Response"]
    assert state == "Failed" and "but the partner is busy" in words and "Previously: 200" in words
    assert row().baseline["status"] == 200


def test_unknown_name_fails_and_skips_the_rest(check: Any, change_partner: ChangePartner) -> None:
    change_partner(base_url="https://nowhere.invalid")
    results = steps(check())
    assert results["DNS lookup"][0] == "Failed" and "failed" in results["DNS lookup"][1]
    assert results["Response"] == ("Skipped", "Skipped because an earlier step failed.")


def test_name_that_resolved_before_is_a_network_problem(check: Any, change_partner: ChangePartner) -> None:
    check()
    change_partner(base_url="https://nowhere.invalid")
    page = check()
    assert "in the network between us and the partner" in page.visible_text
    assert "Previously: 127.0.0.1" in steps(page)["DNS lookup"][1]


def test_private_address_that_is_not_allowed_is_our_problem(
    check: Any, change_partner: ChangePartner
) -> None:
    change_partner(allow_addresses=["10.0.0.0/8"])
    page = check()
    assert "The problem is on our side." in page.visible_text
    assert "Allowed private addresses: 10.0.0.0/8" in steps(page)["Allowed address"][1]


def test_refused_connection_is_the_partners_problem(
    check: Any, change_partner: ChangePartner, serve: Any
) -> None:
    stopped = serve(behaves)
    url = stopped.url("")
    stopped.__exit__()
    change_partner(base_url=url)
    page = check()
    assert "The problem is on the partner's side." in page.visible_text
    assert "Nothing is listening there" in steps(page)["Connection"][1]


def test_certificate_of_an_unknown_ca_may_be_either_side(
    check: Any, change_partner: ChangePartner, serve: Any, authority: trustme.CA
) -> None:
    server = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change_partner(base_url=server.url(""))
    page = check()
    state, words = steps(page)["TLS"]
    assert state == "Failed" and "127.0.0.1" in words and "valid until" in words
    assert "may be on either side" in page.visible_text


def test_expired_or_wrong_certificate_is_the_partners_problem(
    check: Any, change_partner: ChangePartner, serve: Any, authority: trustme.CA
) -> None:
    ended = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    for certificate, words in (
        (authority.issue_cert("127.0.0.1", not_before=ended, not_after=ended), "expired"),
        (authority.issue_cert("other.example"), "other.example"),
    ):
        server = serve(behaves, tls=server_context(certificate))
        change_partner(base_url=server.url(""), ca_bundle=authority.cert_pem.bytes().decode())
        page = check()
        assert "The problem is on the partner's side." in page.visible_text
        assert words in steps(page)["TLS"][1]


def test_certificate_that_expires_soon_or_changed_is_reported(
    check: Any, change_partner: ChangePartner, serve: Any, authority: trustme.CA
) -> None:
    soon = clock.now() + datetime.timedelta(days=3)
    bundle = authority.cert_pem.bytes().decode()
    first = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change_partner(base_url=first.url(""), ca_bundle=bundle)
    assert "Everything works" in check().visible_text
    second = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change_partner(base_url=second.url(""))
    assert "changed since the last successful check" in steps(check())["TLS"][1]
    third = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1", not_after=soon)))
    change_partner(base_url=third.url(""))
    state, words = steps(check())["TLS"]
    assert (state, "renew it soon" in words) == ("Warning", True)


def test_expired_client_certificate_is_our_problem(
    check: Any, change_partner: ChangePartner, serve: Any, authority: trustme.CA
) -> None:
    ended = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    change_partner(
        client_certificate=pem_of(authority.issue_cert("po.example", not_before=ended, not_after=ended))
    )
    state, words = steps(check())["Client certificate"]
    assert state == "Failed" and "expired on 2020-01-01" in words


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "OK"), (60, "Warning"), (-60, "Warning"), (900, "Failed")]
)
def test_clocks_are_compared(
    check: Any, change_partner: ChangePartner, serve: Any, seconds: int, state: str
) -> None:
    def dated(connection: Any) -> None:
        connection.receive()
        theirs = clock.now() + datetime.timedelta(seconds=seconds)
        connection.send(response(b'{"response_code":0}', f"Date: {format_datetime(theirs, usegmt=True)}"))

    change_partner(base_url=serve(lambda connection: connection.stall(), dated).url(""))
    result, words = steps(check())["Clock"]
    assert result == state, words
    assert ("rejected" in words) is (state == "Failed")


def test_handshake_that_never_ends_times_out(
    check: Any, change_partner: ChangePartner, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "CONNECT_SECONDS", 0.3)
    server = serve(lambda connection: connection.stall())
    change_partner(base_url=server.url("").replace("http:", "https:"))
    assert steps(check())["TLS"][0] == "Failed"
