"""The page of the audit trail: filters, stable paging, links, escaping."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import clock
from app.audit import seals, trail
from app.audit.models import AuditAction, AuditObject
from app.audit.retention import prune_entries
from app.db import Database
from app.db.text_search import TextIndex, matching_ids
from app.delivery.models import Message
from app.delivery.service import cancel_manually
from tests.fixture_types import Arrive, Deliver, MoveClock
from tests.people import Browser, one
from tests.serving import Network


@pytest.fixture
def many_entries(database: Database) -> None:
    """120 entries of two people."""
    with database.writing() as session:
        for number in range(120):
            actor = trail.Actor(("Ravi", "Admin")[number % 2], number % 2 + 1, "support", "10.0.0.7")
            trail.record(
                session,
                (AuditAction.PAUSED, AuditAction.RESENT, AuditAction.ANNOUNCED)[number % 3],
                (AuditObject.PARTNER, AuditObject.MESSAGE, AuditObject.PARTNER)[number % 3],
                number + 1,
                name=f"thing {number:03}",
                reason="moving" if number == 7 else "",
                actor=actor,
            )
        session.commit()


def rows(response: Any) -> list[str]:
    assert response.status_code == 200
    return [" ".join(row.get_text(" ").split()) for row in response.page.select("tbody tr")]


def test_paging_is_stable_while_entries_arrive(
    meera: Browser, database: Database, many_entries: None
) -> None:
    first = meera.get("/audit")
    with database.writing() as session:
        trail.record(session, AuditAction.ANNOUNCED, AuditObject.PARTNER, 1, name="meanwhile")
        session.commit()
    assert first.one("a[rel=next]").get_text() == "Next 50"
    second = meera.get(first.one("a[rel=next]")["href"])
    third = meera.get(second.one("a[rel=next]")["href"])
    shown = rows(first) + rows(second) + rows(third)
    assert [f"thing {number:03}" in row for number, row in zip(range(119, -1, -1), shown, strict=True)] == (
        [True] * 120
    )
    assert not third.page.select("a[rel=next]")


def test_filters_combine(subtests: pytest.Subtests, meera: Browser, many_entries: None) -> None:
    for query, count in (
        ("who=Ravi", 50),
        ("who=Ravi&action=held&object=partner", 20),
        ("who=nobody", 0),
        ("q=moving", 1),
        ("q=thing+01", 10),
        ("q=10.0.0.7", 50),
        ("since=2999-01-01T00:00", 0),
        ("until=2999-01-01T00:00&action=resent", 40),
    ):
        with subtests.test(query=query):
            assert len(rows(meera.get(f"/audit?{query}"))) == count


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "query", ["after=x", "after=99999999999999999999", "action=x", "object=x", "since=x"]
)
def test_invalid_filter_is_ignored_with_a_notice(meera: Browser, many_entries: None, query: str) -> None:
    response = meera.get(f"/audit?{query}")
    assert len(rows(response)) == 50
    assert "is ignored" in response.one(".notice.warn").get_text()


@pytest.mark.sqlite
def test_entry_links_to_its_object(meera: Browser, asha: Browser, order_id: int) -> None:
    asha.respond(order_id)
    response = meera.get("/audit?action=answered")
    link = response.one("tbody .col-action a")
    assert link["href"] == f"/orders/{order_id}"
    assert meera.get(link["href"]).status_code == 200
    assert "response now: Confirmed" in " ".join(response.one(".audit-values").get_text(" ").split())


@pytest.mark.sqlite
def test_response_that_repeats_the_one_before_is_shown_whole(
    meera: Browser, asha: Browser, database: Database, arrive: Arrive
) -> None:
    (order_id,) = arrive(1)
    asha.respond(order_id)
    with database.writing() as session:
        cancel_manually(session, session.scalars(select(Message)).one(), by="Ravi", reason="Wrong")
        session.commit()
    asha.respond(order_id)
    values = rows(meera.get("/audit?action=answered"))[0]
    assert "response now: Confirmed" in values and "remarks now: Confirmed" in values


@pytest.mark.sqlite
def test_hostile_text_is_inert(meera: Browser, database: Database) -> None:
    hostile = "<script>alert(1)</script>\u202e"
    with database.writing() as session:
        trail.record(
            session,
            AuditAction.ANNOUNCED,
            AuditObject.PARTNER,
            hostile,
            name=hostile,
            reason=hostile,
            before={hostile: hostile},
            after={"b": [hostile]},
        )
        session.commit()
    response = meera.get("/audit")
    assert "<script>alert" not in response.get_data(as_text=True)
    assert "alert(1)" in response.visible_text


@pytest.mark.sqlite
def test_page_shows_how_far_the_trail_is_sealed(
    meera: Browser, database: Database, many_entries: None
) -> None:
    assert "Not sealed yet" in meera.get("/audit").visible_text
    seals.seal(database)
    assert "Sealed through entry #120" in meera.get("/audit").visible_text


@pytest.mark.sqlite
def test_htmx_request_gets_only_the_list(meera: Browser, many_entries: None) -> None:
    response = meera.get("/audit?who=Ravi", headers={"HX-Request": "true"})
    assert "<html" not in response.get_data(as_text=True)
    assert len(rows(response)) == 50


@pytest.mark.sqlite
def test_empty_trail_shows_an_explanation(meera: Browser) -> None:
    assert "No entries yet" in meera.get("/audit").visible_text


@pytest.mark.sqlite
@pytest.mark.parametrize("remarks", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_time_out_of_range_is_shown_as_typed(
    asha: Browser, meera: Browser, arrive: Arrive, remarks: str
) -> None:
    asha.respond(arrive(1)[0], remarks=remarks)
    page = meera.get("/audit")
    assert page.status_code == 200
    assert remarks in page.visible_text


@pytest.mark.sqlite
def test_codes_are_shown_as_labels_and_typed_text_unchanged(meera: Browser, database: Database) -> None:
    with database.writing() as session:
        trail.record(
            session,
            AuditAction.RESENT,
            AuditObject.MESSAGE,
            "msg_1",
            name="A/1",
            before={"state": "cancelled", "result": "no_response", "note": "ask_omar"},
        )
        session.commit()
    (row,) = rows(meera.get("/audit"))
    assert "canceled" in row and "no response" in row and "ask_omar" in row


@pytest.mark.sqlite
def test_result_before_a_resend_has_the_label_of_other_pages(
    ravi: Browser, meera: Browser, message_id: str, deliver: Deliver, network: Network
) -> None:
    network.behave("status", times=1, status=503)
    deliver()
    url = f"/webhooks/{message_id}"
    ravi.submit(url, f"{url}/resend", reason="They are back")
    row = next(row for row in rows(meera.get("/audit")) if "Resent" in row)
    assert "retrying" in row and "unavailable" in row and "busy" not in row


@pytest.mark.sqlite
def test_empty_and_unchanged_values_are_left_out(meera: Browser, database: Database) -> None:
    with database.writing() as session:
        trail.record(
            session,
            AuditAction.PAUSED,
            AuditObject.PARTNER,
            1,
            before={"paused_reason": "moving", "note": None, "further": [], "contact": "Kiran"},
            after={"paused_reason": "", "note": "", "further": [], "contact": "Kiran", "deadline_seconds": 0},
        )
        session.commit()
    values = {
        one(pair, "dt").get_text(): " ".join(one(pair, "dd").get_text(" ").split())
        for pair in meera.get("/audit").page.select(".audit-values > div")
    }
    assert values == {"paused reason": "before: moving now: none", "deadline seconds": "now: 0"}


def test_search_finds_all_matches_with_and_without_index(
    meera: Browser, database: Database, many_entries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing() as session:
        for name, reason in (("A/77", "said “100 %”"), ("other", "over A/77"), ("a/77/b", "")):
            trail.record(session, AuditAction.ANNOUNCED, AuditObject.ORDER, 9001, name=name, reason=reason)
        session.commit()
    for few in (0, 5, 2000):
        monkeypatch.setattr("app.audit.queries.SORTED_MAX", few)
        for words, count in (("a/77", 3), ("A/77/", 1), ("100 %", 1), ("9001", 3), ("7", 25), ("MOVING", 1)):
            assert len(rows(meera.get("/audit", query_string={"q": words}))) == count, (few, words)
        assert "No matches" in meera.get("/audit?q=nowhere").visible_text


def test_pruned_entries_are_not_found(
    meera: Browser, database: Database, many_entries: None, move_clock: MoveClock
) -> None:
    assert len(rows(meera.get("/audit?q=moving"))) == 1
    move_clock(days=10)
    seals.seal(database)
    prune_entries(database, clock.now() - timedelta(days=1))
    with database.reading() as session:
        assert matching_ids(session, TextIndex.AUDIT, "moving", limit=9) == []
    assert "No matches" in meera.get("/audit?q=moving").visible_text
