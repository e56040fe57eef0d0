"""Home and the sidebar: the count of each work queue is the length of its list."""

from __future__ import annotations

from typing import Any

import pytest

from app.partners.models import Partner
from tests.buyer import Buyer
from tests.fixture_types import Arrive, Confirm, Deliver
from tests.people import Browser, one, po_numbers
from tests.serving import Network


@pytest.fixture
def refused_responses(arrive: Arrive, confirm: Confirm, network: Network, deliver: Deliver) -> list[int]:
    """Four orders: one response delivered, two refused, one order open."""
    ids: list[int] = arrive(4)
    confirm(ids[0])
    deliver()
    for order_id in ids[1:3]:
        network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
        confirm(order_id)
        deliver()
    return ids


def test_count_of_needs_attention_matches_its_list(
    asha: Browser, ravi: Browser, meera: Browser, refused_responses: list[int]
) -> None:
    for browser in (asha, ravi, meera):
        link = browser.get("/").one("a[data-queue=attention]")
        assert link["href"] == "/attention"
        page = browser.get("/attention")
        assert page.one("#n-attention").get_text() == "2"
        assert len(page.page.select(".attention-item")) == 2
        assert page.one("a[data-queue=attention]")["aria-current"] == "page"
        listed = browser.get("/webhooks?state=attention")
        assert len(listed.page.select("#webhooks-list a.strong")) == 2
        assert "Needs attention" in listed.one("#webhooks-head h1").get_text()


@pytest.mark.sqlite
def test_each_role_sees_its_own_queues_first(
    asha: Browser, ravi: Browser, meera: Browser, browser_of: Any, refused_responses: list[int]
) -> None:
    def first(browser: Browser) -> str:
        return str(browser.get("/").page.select(".home h2")[0].get_text())

    assert first(asha) == "Respond next"
    for browser in (ravi, meera, browser_of("admin")):
        assert first(browser) == "Webhooks"


@pytest.mark.sqlite
def test_unmatched_messages_are_shown_to_support_only(
    buyer: Buyer, ravi: Browser, meera: Browser, arrive: Arrive
) -> None:
    arrive(1)
    assert buyer.change_status(5).status_code == 409
    link = ravi.get("/").one("a.queue-link[href='/inbound?effect=unmatched']")
    assert " ".join(link.get_text(" ").split()).startswith("1 Unmatched")
    assert not meera.get("/").page.select("a.queue-link[href='/inbound?effect=unmatched']")


def test_retrying_webhooks_are_shown_to_support_and_managers_only(
    asha: Browser,
    confirm: Confirm,
    ravi: Browser,
    meera: Browser,
    arrive: Arrive,
    network: Network,
    deliver: Deliver,
    partner: Partner,
) -> None:
    for order_id in arrive(3)[:2]:
        network.behave("503", times=1)
        confirm(order_id)
        deliver()
    for browser in (ravi, meera):
        link = browser.get("/").one("a.queue-link[href^='/webhooks']")
        assert " ".join(link.get_text(" ").split()).startswith("2 Retrying")
        assert len(browser.get(link["href"]).page.select("#webhooks-list a.strong")) == 2
    assert not asha.get("/").page.select("a.queue-link[href^='/webhooks']")
    # Messages of a paused partner are not retried.
    page = f"/partners/{partner.id}"
    ravi.submit(page, f"{page}/pause", reason="Their maintenance")
    link = ravi.get("/").one("a.queue-link[href^='/webhooks']")
    assert " ".join(link.get_text(" ").split()).startswith("0 Retrying")
    assert not ravi.get(link["href"]).page.select("#webhooks-list a.strong")


def test_home_lists_the_five_most_urgent_orders(
    asha: Browser, omar: Browser, ravi: Browser, arrive: Arrive
) -> None:
    arrive(6)
    page = asha.get("/")
    due = [time["datetime"] for time in page.page.select(".urgent-order .due time")]
    assert len(due) == 5 and due == sorted(due)
    assert (
        page.one(".page-header a.btn-main")["href"] == page.page.select(".urgent-order a.strong")[0]["href"]
    )
    assert "Respond" in page.page.select(".urgent-order .btn")[0].get_text()
    for browser in (omar, ravi):
        listed = po_numbers(browser.get("/orders?answer=open"))
        assert len(browser.get("/").page.select(".urgent-order")) == min(5, len(listed))
    assert "Respond" not in ravi.get("/").page.select(".urgent-order .btn")[0].get_text()


@pytest.mark.sqlite
def test_home_shows_progress_and_what_needs_attention(
    asha: Browser, ravi: Browser, refused_responses: list[int]
) -> None:
    page = asha.get("/")
    assert page.one(".big-number").get_text() == "3"
    assert page.one(".trend-today").get_text().split() == ["3", "Today"]
    assert len(page.page.select(".problem")) == 2
    assert (
        "BPR012" in page.page.select(".problem")[0].get_text()
        or "Not so" in page.page.select(".problem")[0].get_text()
    )
    assert "Asha responded to 3 orders" in ravi.get("/").visible_text
    assert "Asha responded" not in page.visible_text


def test_home_counts_what_happened_since_yesterday(buyer: Buyer, asha: Browser, arrive: Arrive) -> None:
    arrive(4)
    buyer.edit(0)
    buyer.change_status(1)
    page = asha.get("/")
    items = page.page.select(".changes li")
    changes = [(one(item, ":scope > bdi").get_text(), one(item, "a")["href"]) for item in items]
    assert [text.split(" from ")[0] for text, _ in changes] == [
        "4 new orders",
        "1 order changed",
        "1 order canceled or closed",
    ]
    for text, url in changes:
        assert len(asha.get(url).page.select("tbody a.strong")) == int(text[0]), text


@pytest.mark.sqlite
def test_home_without_orders_says_all_done(asha: Browser) -> None:
    words = asha.get("/").visible_text
    assert "All done" in words and "Nothing needs attention" in words
