"""“Is it us or them”: each step of the way, wrong in its own way, and compared with when all was well."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any

import pytest
import trustme

from app import clock as the_clock
from app.partners.models import Partner
from app.webhooks import probe
from tests.delivery.misbehaving import behaves, response
from tests.partners.conftest import pem_of, server_context
from tests.people import Browser


@pytest.fixture
def check(ravi: Browser, partner: Partner) -> Callable[[], Any]:
    """Ravi presses the button; the answer."""
    url = f"/partners/{partner.id}/check"
    return lambda: ravi.send(url, ravi.fill(url, url))


def steps(shown: Any) -> dict[str, tuple[str, str]]:
    """The steps of the page: their state and their sentence."""
    return {
        item.select_one("b").get_text(): (
            item.select_one(".state").get_text(),
            " ".join(item.select_one(".finding").get_text(" ").split()),
        )
        for item in shown.page.select(".steps li")
    }


def test_where_all_is_well_it_says_so_and_keeps_it_to_compare(
    check: Any, ravi: Browser, partner: Partner, row: Any
) -> None:
    shown = check()
    assert "It works" in shown.words
    found = steps(shown)
    assert {state for state, _ in found.values()} == {"Well", "Look"}, found
    assert row().last_good["status"] == 200
    assert row().last_good["addresses"] == ["127.0.0.1"]
    again = check()
    assert "Compared with the last good exchange" in again.words
    assert "Then it answered 200" in again.words


def test_it_compares_with_the_last_delivery_too(
    check: Any, asha: Browser, arrive: Any, deliver: Any, network: Any
) -> None:
    asha.answer(arrive(1)[0])
    deliver()
    network.behave("401")
    shown = check()
    assert "It may be either side" in shown.words
    state, words = steps(shown)["Key and answer"]
    assert state == "Wrong" and "accepted before" in words and "Then it answered 200" in words


def test_a_name_that_leads_nowhere(check: Any, change: Any) -> None:
    change(base_url="https://nowhere.invalid")
    found = steps(check())
    assert found["Name"][0] == "Wrong" and "could not be looked up" in found["Name"][1]
    assert found["Key and answer"] == ("Unknown", "Not reached: a step before it failed.")


def test_a_name_that_could_be_looked_up_before(check: Any, change: Any) -> None:
    check()
    change(base_url="https://nowhere.invalid")
    shown = check()
    assert "between us and them" in shown.words
    assert "Then it was 127.0.0.1" in steps(shown)["Name"][1]


def test_a_private_address_that_is_not_allowed_is_ours(check: Any, change: Any) -> None:
    change(allow_addresses=["10.0.0.0/8"])
    shown = check()
    assert "It looks like us." in shown.words
    assert "the list of allowed addresses names 10.0.0.0/8" in steps(shown)["Address allowed"][1]


def test_where_nothing_listens_it_is_them(check: Any, change: Any, serve: Any) -> None:
    gone = serve(behaves)
    url = gone.url("")
    gone.__exit__()
    change(base_url=url)
    shown = check()
    assert "It looks like them." in shown.words
    assert "Nothing listens there" in steps(shown)["Connection"][1]


def test_a_certificate_by_an_unknown_authority(
    check: Any, change: Any, serve: Any, authority: trustme.CA
) -> None:
    server = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change(base_url=server.url(""))
    shown = check()
    state, words = steps(shown)["Secure connection"]
    assert state == "Wrong" and "127.0.0.1" in words and "until" in words
    assert "us or them" in shown.words


def test_a_certificate_that_ended_or_names_another_host_is_theirs(
    check: Any, change: Any, serve: Any, authority: trustme.CA
) -> None:
    ended = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    for certificate, words in (
        (authority.issue_cert("127.0.0.1", not_before=ended, not_after=ended), "expired"),
        (authority.issue_cert("other.example"), "other.example"),
    ):
        server = serve(behaves, tls=server_context(certificate))
        change(base_url=server.url(""), ca_bundle=authority.cert_pem.bytes().decode())
        shown = check()
        assert "It looks like them." in shown.words
        assert words in steps(shown)["Secure connection"][1]


def test_a_certificate_that_ends_soon_or_changed_is_told(
    check: Any, change: Any, serve: Any, authority: trustme.CA
) -> None:
    soon = the_clock.now() + datetime.timedelta(days=3)
    bundle = authority.cert_pem.bytes().decode()
    first = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change(base_url=first.url(""), ca_bundle=bundle)
    assert "All is well" in check().words
    second = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change(base_url=second.url(""))
    assert "another one than at the last good check" in steps(check())["Secure connection"][1]
    third = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1", not_after=soon)))
    change(base_url=third.url(""))
    state, words = steps(check())["Secure connection"]
    assert (state, "renew it soon" in words) == ("Look", True)


def test_our_own_certificate_that_ended_is_ours(
    check: Any, change: Any, serve: Any, authority: trustme.CA
) -> None:
    ended = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    change(client_certificate=pem_of(authority.issue_cert("po.example", not_before=ended, not_after=ended)))
    state, words = steps(check())["Our certificate"]
    assert state == "Wrong" and "ended on 2020-01-01" in words


@pytest.mark.parametrize(("seconds", "state"), [(0, "Well"), (60, "Look"), (-60, "Look"), (900, "Wrong")])
def test_clocks_are_compared(check: Any, change: Any, serve: Any, seconds: int, state: str) -> None:
    def dated(talk: Any) -> None:
        talk.receive()
        theirs = the_clock.now() + datetime.timedelta(seconds=seconds)
        talk.send(response(b'{"response_code":0}', f"Date: {format_datetime(theirs, usegmt=True)}"))

    change(base_url=serve(lambda talk: talk.stall(), dated).url(""))
    found, words = steps(check())["Clocks"]
    assert found == state, words
    assert ("refused" in words) is (state == "Wrong")


def test_a_handshake_that_never_ends_is_cut(
    check: Any, change: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TLS_SECONDS", 0.3)
    server = serve(lambda talk: talk.stall())
    change(base_url=server.url("").replace("http:", "https:"))
    assert steps(check())["Secure connection"][0] == "Wrong"
