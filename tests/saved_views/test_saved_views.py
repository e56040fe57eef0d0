"""Saved views are shown above the list, can be renamed and deleted, and belong to one person."""

from __future__ import annotations

from typing import Any

import pytest

from tests.people import Browser, fields_of


def keep(browser: Browser, url: str, name: str) -> Any:
    (form,) = browser.get(url).page.select(".save-view form")
    return browser.send("/views", {**fields_of(form), "name": name})


@pytest.mark.parametrize(
    "url",
    [
        "/webhooks?q=50%25+%26+more&state=refused",
        "/inbound?effect=applied",
        "/orders?answer=open&sort=-received_at",
    ],
)
def test_saved_view_restores_its_filter(meera: Browser, ravi: Browser, url: str) -> None:
    done = keep(meera, url, "My <b>view</b>")
    assert (done.status_code, done.location) == (303, url)
    path = url.split("?", maxsplit=1)[0]
    link = meera.get(path).one("#views a[href*='?']")
    assert (link.get_text(), link["href"]) == ("My <b>view</b>", url)
    assert meera.get(url).one("#views a[aria-current]")["href"] == url
    assert not ravi.get(path).page.select("#views a")


def test_nothing_in_force_is_no_view_and_a_bad_list_is_none(meera: Browser) -> None:
    assert not meera.get("/webhooks").page.select(".save-view")
    token = meera.fill("/webhooks?state=refused", "/views")
    for wrong in ({"query": ""}, {"page": "people"}, {"name": " "}, {"query": "q=" + "x" * 3000}):
        answer = meera.send("/views", {**token, "name": "One", **wrong})
        assert answer.status_code == 422, wrong
        assert answer.page.select("[role=alert]")
    assert not meera.get("/views").page.select(".saved-views")


def test_view_with_the_same_name_replaces_the_filter(meera: Browser) -> None:
    keep(meera, "/webhooks?state=refused", "Mine")
    keep(meera, "/webhooks?state=failed", "mine")
    assert [link["href"] for link in meera.get("/webhooks").page.select("#views a[href*='?']")] == [
        "/webhooks?state=failed"
    ]


def test_view_is_renamed_and_deleted_only_by_its_owner(meera: Browser, ravi: Browser) -> None:
    keep(meera, "/webhooks?state=refused", "One")
    keep(meera, "/webhooks?state=failed", "Two")
    page = meera.get("/views")
    rename = page.page.select("form[action$='/rename']")[0]
    taken = meera.send(rename["action"], {**fields_of(rename), "name": "two"})
    assert taken.status_code == 422 and "Another view" in taken.words
    assert meera.send(rename["action"], {**fields_of(rename), "name": "Three"}).status_code == 303
    delete = page.page.select("form[action$='/delete']")[0]
    keep(ravi, "/webhooks?state=refused", "His")
    own = fields_of(ravi.get("/views").page.select("form[action$='/delete']")[0])
    assert ravi.send(delete["action"], own).status_code == 404
    assert ravi.send(rename["action"], {**own, "name": "Stolen"}).status_code == 404
    assert meera.send(delete["action"], fields_of(delete)).status_code == 303
    assert [link.get_text() for link in meera.get("/views").page.select(".saved-views .strong")] == ["Two"]


def test_view_describes_its_filter(meera: Browser) -> None:
    keep(meera, "/orders?answer=open&q=spares&sort=-received_at", "One")
    keep(meera, "/webhooks?state=refused&since=2026-11-20T10:00", "Two")
    keep(meera, "/inbound?effect=unmatched", "Three")
    filters = meera.get("/views").page.select(".saved-views .subline")
    assert sorted(" ".join(line.get_text().split()) for line in filters) == [
        "Incoming · Result: Unmatched",
        "Orders · Search: spares · Response: Needs response · Sorted: Received, newest first",
        "Outgoing · State: Refused · Since: 20 Nov, 10:00",
    ]
