"""The pages of the received messages: what came, what we answered, what it changed, and applying again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.buyer import Buyer, resp, stands
from tests.people import Browser

HOSTILE = "<script>alert(1)</script><b data-hx-get='/logout' data-hx-trigger='load'>x</b>"


def of(answer: Any) -> str:
    """The page of the message that got this answer."""
    return f"/inbound/{resp(answer)['reqMsgId']}"


def test_the_list_shows_what_came_and_what_became_of_it(
    ravi: Browser, buyer: Buyer, arrive: Any, clock: Any
) -> None:
    arrive(1)
    clock.move(seconds=1)
    edit = buyer.edit()
    clock.move(seconds=1)
    buyer.move(5)
    page = ravi.get("/inbound")
    links = [link["href"] for link in page.page.select("#inbound-list a.strong")]
    assert len(links) == 3
    assert links[1] == of(edit)
    for words in ("Change of an order", "It made a new version of the order.", "Fits nothing", "409"):
        assert words in page.words
    assert page.one("nav a[data-queue=received]")["aria-current"] == "page"
    assert "1 message fits nothing we know" in page.words


def test_everybody_sees_what_is_theirs_and_nothing_else(
    ravi: Browser, meera: Browser, asha: Browser, omar: Browser, nobody: Browser, buyer: Buyer
) -> None:
    other, own = buyer.send(0), buyer.send(2)
    stranger = nobody.post("/api/v0/purchase-order/req-send", data=b"{}", content_type="application/json")
    for browser, many in ((ravi, 3), (meera, 3), (asha, 2), (omar, 1)):
        assert len(browser.get("/inbound").page.select("#inbound-list a.strong")) == many
    assert omar.get(of(own)).status_code == 200
    assert omar.get(of(other)).status_code == 404
    assert asha.get(of(stranger)).status_code == 404
    assert "only these facts are kept" in ravi.get(of(stranger)).words


@pytest.mark.parametrize(
    ("query", "many"),
    [
        ("", 3),
        ("effect=unmatched", 1),
        ("effect=applied", 2),
        ("kind=req-edit", 1),
        ("code=409", 1),
        ("q=withdrawn", 1),
        ("q=nothing+like+that", 0),
        ("partner=Nobody", 0),
        ("effect=nonsense", 3),
    ],
)
def test_filters_narrow_the_list_and_nonsense_is_ignored_with_a_notice(
    ravi: Browser, buyer: Buyer, arrive: Any, query: str, many: int
) -> None:
    arrive(1)
    buyer.edit()
    buyer.move(5)
    page = ravi.get(f"/inbound?{query}")
    assert len(page.page.select("#inbound-list a.strong")) == many
    assert ("is ignored" in page.words) == ("nonsense" in query)
    fragment = ravi.get(f"/inbound?{query}", headers={"HX-Request": "true"})
    assert fragment.text.lstrip().startswith('<section class="panel list" id="inbound-list"')
    assert fragment.one("#inbound-head")["data-hx-swap-oob"] == "true"


def test_an_empty_log_says_what_it_is_for(ravi: Browser) -> None:
    assert "Nothing was received yet" in ravi.get("/inbound").words


def test_a_message_shows_what_came_what_was_answered_and_the_order(
    meera: Browser, buyer: Buyer, arrive: Any
) -> None:
    (order_id,) = arrive(1)
    edit = buyer.edit()
    for _ in range(2):
        buyer.edit()
    page = meera.get(of(edit))
    assert "2027-01-15" in page.one("#request-body").get_text()
    assert page.one("#request-body-raw").get_text().startswith("{")
    assert '"response_code": 0' in page.one("#response-body").get_text()
    assert page.page.select(f"a[href='/orders/{order_id}']")
    assert "2 times; each got the same answer" in page.words
    assert "••••••••" in page.words
    repeat = page.page.select("#repeats-title ~ *, .plain-list a")[-1]["href"]
    assert page.page.select(f".plain-list a[href='{repeat}']")
    assert "It came before; this time it changed nothing." in meera.get(str(repeat)).words


def test_an_error_is_told_in_a_sentence_with_its_code_and_field(
    ravi: Browser, buyer: Buyer, arrive: Any
) -> None:
    (order_id,) = arrive(1)
    page = ravi.get(of(buyer.edit(current=7)))
    notice = page.one("#message > .notice").get_text(" ")
    assert "Refused by us" in notice
    assert "It changed nothing." in notice
    assert "objectVersion" in notice
    assert page.page.select(f"a[href='/orders/{order_id}']")


def test_hostile_text_is_shown_and_never_obeyed(ravi: Browser, buyer: Buyer) -> None:
    answer = buyer.edit(0, subject=HOSTILE, buyerPONumber=HOSTILE[:50])
    page = ravi.get(of(answer))
    assert HOSTILE in page.one("#request-body-raw").get_text()
    assert not page.page.select("main b[data-hx-get]")
    assert not [script for script in page.page.select("main script") if script]
    assert all(pane.find_parent(attrs={"data-hx-disable": True}) for pane in page.page.select("pre"))
    assert not ravi.get("/inbound").page.select("main b[data-hx-get], main script")
    broken = ravi.get(of(buyer.say("req-send", b'{"half": "<script>')))
    assert '{"half": "<script>' in broken.one("#request-body-raw").get_text()


def test_support_applies_a_message_again_from_its_page(
    ravi: Browser, buyer: Buyer, arrive: Any, session: Session
) -> None:
    url = of(buyer.move(0))
    (order_id,) = arrive(1)
    fields = ravi.fill(url, f"{url}/apply")
    empty = ravi.send(f"{url}/apply", {**fields, "reason": " "})
    assert empty.status_code == 422
    assert "Say why" in empty.words
    done = ravi.send(f"{url}/apply", {**fields, "reason": "The order came late"}, follow_redirects=True)
    assert done.status_code == 200
    assert stands(session, order_id)[0] == "CANCELLED"
    assert "Applied again by Ravi" in done.words
    assert "The order came late" in done.words
    button = done.one("form.resend button")
    assert button.has_attr("disabled")
    assert done.one(f"#{button['aria-describedby']}").get_text() == "It was applied already."


def test_applying_again_is_not_offered_to_who_may_not(
    meera: Browser, asha: Browser, buyer: Buyer, arrive: Any
) -> None:
    arrive(1)
    url = of(buyer.edit(current=7))
    for browser in (meera, asha):
        page = browser.get(url)
        assert page.status_code == 200
        assert "Apply again" not in page.words


def test_a_page_that_stays_open_is_told_how_many_more_have_come(
    ravi: Browser, omar: Browser, buyer: Buyer, clock: Any
) -> None:
    buyer.send(0)
    htmx = {"HX-Request": "true"}
    asked = [
        (browser, str(browser.get(path).one("#newer-asks")["data-hx-get"]))
        for browser, path in ((ravi, "/inbound"), (ravi, "/inbound?effect=unmatched"), (omar, "/inbound"))
    ]
    for browser, url in asked:
        assert browser.get(url, headers=htmx).one("#newer-asks")["data-hx-get"] == url
    clock.move(seconds=1)
    buyer.move(5)
    clock.move(seconds=1)
    own = of(buyer.send(2))
    for (browser, url), many in zip(asked, (2, 1, 1), strict=True):
        link = browser.get(url, headers=htmx).one("#newer-said a")
        assert link.get_text() == f"{many} new — show"
        assert browser.get(link["href"]).status_code == 200
    assert omar.get(str(link["href"])).page.select(f"a[href='{own}']")
    assert ravi.get("/inbound/newer").one("#inbound-list")
