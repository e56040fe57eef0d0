"""Saved views: private or shared, renamed and deleted, and one as the start page."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.accounts.models import PersonSupplier
from app.accounts.queries import person_by_username
from app.db import Database
from tests.fixture_types import Arrive
from tests.people import Browser, fields_of, one

pytestmark = pytest.mark.sqlite


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
    saved = meera.get(url)
    assert saved.one("#views a[aria-current]")["href"] == url
    assert not saved.page.select(".save-view"), "the view exists"
    assert not ravi.get(path).page.select("#views a")


def test_view_without_filter_or_with_unknown_list_is_not_saved(meera: Browser) -> None:
    assert not meera.get("/webhooks").page.select(".save-view")
    token = meera.fill("/webhooks?state=refused", "/views")
    queries = [{"query": query} for query in ("", "q=%00", "q=" + "x" * 3000)]
    for wrong in (*queries, {"page": "people"}, {"name": " "}):
        response = meera.send("/views", {**token, "name": "One", **wrong})
        assert response.status_code == 422, wrong
        assert response.page.select("[role=alert]")
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
    taken = meera.send(str(rename["action"]), {**fields_of(rename), "name": "two"})
    assert taken.status_code == 422 and "already has a view" in taken.visible_text
    assert taken.page.select(f"form[action='{rename['action']}'] input[name=name][value=two]")
    assert meera.send(str(rename["action"]), {**fields_of(rename), "name": "Three"}).status_code == 303
    delete = page.page.select("form[action$='/delete']")[0]
    keep(ravi, "/webhooks?state=refused", "His")
    own = fields_of(ravi.get("/views").page.select("form[action$='/delete']")[0])
    assert ravi.send(str(delete["action"]), own).status_code == 404
    assert ravi.send(str(rename["action"]), {**own, "name": "Stolen"}).status_code == 404
    assert meera.send(str(delete["action"]), fields_of(delete)).status_code == 303
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


def save(browser: Browser, url: str, name: str, **more: str) -> Any:
    (form,) = browser.get(url).page.select(".save-view form")
    return browser.send("/views", {**fields_of(form), "name": name, **more})


def shown(browser: Browser, path: str = "/orders") -> list[str]:
    return [link.get_text() for link in browser.get(path).page.select("#views a[href*='?']")]


def form_of(browser: Browser, title: str, action: str) -> Any:
    for item in browser.get("/views").page.select(".saved-views > li"):
        if one(item, ".strong").get_text() == title:
            return next((form for form in item.select("form") if str(form["action"]).endswith(action)), None)
    raise AssertionError(f"no view {title}")


def submit(browser: Browser, title: str, action: str, **more: str) -> Any:
    form = form_of(browser, title, action)
    return browser.send(form["action"], {**fields_of(form), **more})


def test_shared_view_is_seen_by_the_team_of_its_owner(
    asha: Browser, omar: Browser, meera: Browser, ravi: Browser, browser_of: Any, database: Database
) -> None:
    save(asha, "/orders?answer=open", "Mine")
    save(asha, "/orders?due=soon", "Ours", is_shared="y")
    save(meera, "/orders?due=overdue", "From the manager", is_shared="y")
    assert shown(asha) == ["Mine", "Ours"]
    assert shown(omar) == ["Ours"]
    assert shown(meera) == shown(ravi) == ["From the manager"]
    assert shown(browser_of("admin")) == ["From the manager", "Ours"]
    with database.writing() as session:
        omar_row = person_by_username(session, "omar")
        assert omar_row
        omar_row.suppliers = [PersonSupplier(b2b_id="SUPPB2B0009@bbps")]
        session.commit()
    assert shown(browser_of("omar")) == []


def test_shared_view_of_the_audit_trail_needs_its_permission(meera: Browser, asha: Browser) -> None:
    save(meera, "/audit?action=exported", "Exports", is_shared="y")
    assert "Exports" in meera.get("/views").visible_text
    assert "Exports" not in asha.get("/views").visible_text
    form = asha.fill("/orders?due=soon", "/views")
    assert asha.send("/views", {**form, "page": "audit", "name": "X"}).status_code == 422


def test_shared_view_is_edited_by_owner_and_administrators_only(
    asha: Browser, omar: Browser, meera: Browser, browser_of: Any
) -> None:
    admin = browser_of("admin")
    save(asha, "/orders?due=soon", "Ours", is_shared="y")
    assert form_of(omar, "Ours", "/rename") is None
    form = form_of(asha, "Ours", "/rename")
    own = fields_of(form_of(omar, "Ours", "/start"))
    assert omar.send(form["action"], {**own, "name": "Stolen"}).status_code == 403
    assert omar.send(form["action"].replace("rename", "delete"), own).status_code == 403
    assert submit(admin, "Ours", "/rename", name="Due soon").status_code == 303
    assert shown(omar) == ["Due soon"]
    fields = {name: value for name, value in fields_of(form).items() if name != "is_shared"}
    assert asha.send(form["action"], {**fields, "name": "Due soon"}).status_code == 303
    assert shown(omar) == shown(admin) == []
    assert admin.send(form["action"], fields_of(form)).status_code in (400, 404)
    words = meera.get("/audit?object=view").visible_text
    assert "Saved view" in words and "Changed view" in words


def test_start_view_opens_after_sign_in_and_home_stays_reachable(
    app: Flask, asha: Browser, arrive: Arrive
) -> None:
    arrive(1)
    save(asha, "/orders?answer=open", "To do")
    assert asha.get("/").status_code == 200
    assert submit(asha, "To do", "/start").status_code == 303
    assert asha.get("/").location == "/orders?answer=open"
    assert asha.get("/home").status_code == 200
    assert asha.get("/orders").one("a.brand")["href"] == "/home"
    assert "Start page" in asha.get("/views").visible_text
    fields = asha.fill("/views", "/views/start")
    assert asha.send("/views/start", fields).status_code == 303
    assert asha.get("/").status_code == 200
    assert asha.get("/orders").one("a.brand")["href"] == "/"


def test_start_view_that_is_gone_falls_back_to_home(asha: Browser, omar: Browser) -> None:
    save(asha, "/orders?answer=open", "Team", is_shared="y")
    assert submit(omar, "Team", "/start").status_code == 303
    assert omar.get("/").status_code == 303
    form = form_of(asha, "Team", "/rename")
    fields = {name: value for name, value in fields_of(form).items() if name != "is_shared"}
    assert asha.send(form["action"], fields).status_code == 303
    assert omar.get("/").status_code == 200
    submit(asha, "Team", "/delete")
    save(omar, "/orders?due=soon", "New view with an old id")
    assert omar.get("/").status_code == 200


@pytest.mark.parametrize(
    "stored", [7, "x", {}, {"id": "1"}, {"id": 2**40}, {"id": True, "created_at": 1}, None]
)
def test_broken_start_view_falls_back_to_home(asha: Browser, database: Database, stored: Any) -> None:
    with database.writing() as session:
        person = person_by_username(session, "asha")
        assert person
        person.preferences = {"start_view": stored}
        session.commit()
    assert asha.get("/").status_code == 200
    assert asha.get("/views").status_code == 200


def test_private_view_of_another_user_cannot_be_the_start_page(asha: Browser, omar: Browser) -> None:
    save(asha, "/orders?answer=open", "Mine")
    save(omar, "/orders?answer=open", "His")
    action = form_of(asha, "Mine", "/start")["action"]
    fields = fields_of(form_of(omar, "His", "/start"))
    assert omar.send(action, fields).status_code == 404
    assert omar.send(action, {}).status_code in (400, 404)
