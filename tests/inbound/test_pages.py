"""Pages of incoming messages: the list, a message, and reprocessing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.buyer import Buyer, order_state, resp
from tests.fixture_types import Arrive, MoveClock
from tests.people import Browser

HOSTILE = "<script>alert(1)</script><b data-hx-get='/logout' data-hx-trigger='load'>x</b>"


def page_of(response: Any) -> str:
    """The page of the message that got this response."""
    return f"/inbound/{resp(response)['reqMsgId']}"


def test_list_shows_messages_with_results(
    ravi: Browser, buyer: Buyer, arrive: Arrive, move_clock: MoveClock
) -> None:
    arrive(1)
    move_clock(seconds=1)
    edit = buyer.edit()
    move_clock(seconds=1)
    buyer.change_status(5)
    page = ravi.get("/inbound")
    links = [link["href"] for link in page.page.select("#inbound-list a.strong")]
    assert len(links) == 3
    assert links[1] == page_of(edit)
    for words in ("Changed order", "Applied", "Unmatched", "409"):
        assert words in page.visible_text
    assert page.one("nav a[data-queue=received]")["aria-current"] == "page"
    assert "1 unmatched message" in page.visible_text


def test_reader_sees_only_messages_in_scope(
    ravi: Browser, meera: Browser, asha: Browser, omar: Browser, anonymous: Browser, buyer: Buyer
) -> None:
    other, own = buyer.send(0), buyer.send(2)
    stranger = anonymous.post("/api/v0/purchase-order/req-send", data=b"{}", content_type="application/json")
    for browser, count in ((ravi, 3), (meera, 3), (asha, 2), (omar, 1)):
        assert len(browser.get("/inbound").page.select("#inbound-list a.strong")) == count
    assert omar.get(page_of(own)).status_code == 200
    assert omar.get(page_of(other)).status_code == 404
    assert asha.get(page_of(stranger)).status_code == 404
    assert "The body was not stored." in ravi.get(page_of(stranger)).visible_text


def test_filters_combine_and_invalid_ones_are_ignored(
    subtests: pytest.Subtests, ravi: Browser, buyer: Buyer, arrive: Arrive
) -> None:
    arrive(1)
    buyer.edit()
    buyer.change_status(5)
    for query, count in (
        ("", 3),
        ("effect=unmatched", 1),
        ("effect=applied", 2),
        ("kind=req-edit", 1),
        ("code=409", 1),
        ("q=withdrawn", 1),
        ("q=nothing+like+that", 0),
        ("partner=Nobody", 0),
        ("effect=nonsense", 3),
    ):
        with subtests.test(query=query):
            page = ravi.get(f"/inbound?{query}")
            assert len(page.page.select("#inbound-list a.strong")) == count
            assert ("is ignored" in page.visible_text) == ("nonsense" in query)
            fragment = ravi.get(f"/inbound?{query}", headers={"HX-Request": "true"})
            assert fragment.text.lstrip().startswith("<section")
            assert fragment.one("#inbound-list")
            assert fragment.one("#inbound-head")["data-hx-swap-oob"] == "true"


@pytest.mark.sqlite
def test_empty_log_shows_an_explanation(ravi: Browser) -> None:
    assert "No messages yet" in ravi.get("/inbound").visible_text


@pytest.mark.sqlite
def test_message_shows_request_response_and_order(meera: Browser, buyer: Buyer, order_id: int) -> None:
    edit = buyer.edit()
    for _ in range(2):
        buyer.edit()
    page = meera.get(page_of(edit))
    assert "2027-01-15" in page.one("#request-body").get_text()
    assert page.one("#request-body-raw").get_text().startswith("{")
    assert '"response_code": 0' in page.one("#response-body").get_text()
    assert page.page.select(f"a[href='/orders/{order_id}']")
    assert "2 more times with the same response" in page.visible_text
    assert "••••••••" in page.visible_text
    repeat = page.page.select("#repeats-title ~ *, .plain-list a")[-1]["href"]
    assert page.page.select(f".plain-list a[href='{repeat}']")
    assert "Received before. No change." in meera.get(str(repeat)).visible_text


@pytest.mark.sqlite
def test_error_shows_sentence_code_and_field(ravi: Browser, buyer: Buyer, order_id: int) -> None:
    page = ravi.get(page_of(buyer.edit(current=7)))
    notice = page.one("#message > .notice").get_text(" ")
    assert "Rejected" in notice
    assert "No change." in notice
    assert "objectVersion" in notice
    assert page.page.select(f"a[href='/orders/{order_id}']")


@pytest.mark.sqlite
def test_hostile_text_is_inert(ravi: Browser, buyer: Buyer) -> None:
    response = buyer.edit(0, subject=HOSTILE, buyerPONumber=HOSTILE[:50])
    page = ravi.get(page_of(response))
    assert HOSTILE in page.one("#request-body-raw").get_text()
    assert not page.page.select("main b[data-hx-get]")
    assert not [script for script in page.page.select("main script") if script]
    assert all(pane.find_parent(attrs={"data-hx-disable": True}) for pane in page.page.select("pre"))
    assert not ravi.get("/inbound").page.select("main b[data-hx-get], main script")
    broken = ravi.get(page_of(buyer.post("req-send", b'{"half": "<script>')))
    assert '{"half": "<script>' in broken.one("#request-body-raw").get_text()


@pytest.mark.sqlite
def test_support_reprocesses_a_message(ravi: Browser, buyer: Buyer, arrive: Arrive, session: Session) -> None:
    url = page_of(buyer.change_status(0))
    (order_id,) = arrive(1)
    fields = ravi.fill(url, f"{url}/apply")
    empty = ravi.send(f"{url}/apply", {**fields, "reason": " "})
    assert empty.status_code == 422
    assert "Enter a reason." in empty.visible_text
    done = ravi.send(f"{url}/apply", {**fields, "reason": "The order came late"}, follow_redirects=True)
    assert done.status_code == 200
    assert order_state(session, order_id)[0] == "CANCELLED"
    assert "Reprocessed by Ravi" in done.visible_text
    assert "The order came late" in done.visible_text
    button = done.one("form.resend button")
    assert button.has_attr("disabled")
    assert done.one(f"#{button['aria-describedby']}").get_text() == "This message was already applied."


@pytest.mark.sqlite
def test_reprocess_is_hidden_without_permission(
    meera: Browser, asha: Browser, buyer: Buyer, arrive: Arrive
) -> None:
    arrive(1)
    url = page_of(buyer.edit(current=7))
    for browser in (meera, asha):
        page = browser.get(url)
        assert page.status_code == 200
        assert "Reprocess" not in page.visible_text


def test_open_list_polls_the_number_of_new_messages(
    ravi: Browser, omar: Browser, buyer: Buyer, move_clock: MoveClock
) -> None:
    buyer.send(0)
    htmx = {"HX-Request": "true"}
    polled = [
        (browser, str(browser.get(path).one("#new-rows")["data-hx-get"]))
        for browser, path in ((ravi, "/inbound"), (ravi, "/inbound?effect=unmatched"), (omar, "/inbound"))
    ]
    for browser, url in polled:
        assert browser.get(url, headers=htmx).one("#new-rows")["data-hx-get"] == url
    move_clock(seconds=1)
    buyer.change_status(5)
    move_clock(seconds=1)
    own = page_of(buyer.send(2))
    for (browser, url), count in zip(polled, (2, 1, 1), strict=True):
        link = browser.get(url, headers=htmx).one("#new-rows a")
        assert link.get_text() == f"{count} new message{'s' if count > 1 else ''}: show"
        assert browser.get(link["href"]).status_code == 200
    assert omar.get(str(link["href"])).page.select(f"a[href='{own}']")
    assert ravi.get("/inbound/newer").one("#inbound-list")
