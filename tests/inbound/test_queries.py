"""The log of incoming messages: permissions, filters, JSON and reprocessing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app import clock
from app.inbound.models import Effect
from app.inbound.queries import InboundFilter, message_page, unmatched_count
from app.network.reader import dumps
from tests.buyer import API_PATH, Buyer, inbound_of, order_state, resp
from tests.fixture_types import Arrive, MoveClock
from tests.people import BEARINGS, TRIVENI, Browser


def ids(session: Session, scope: frozenset[str] | None = None, **words: Any) -> list[str]:
    session.rollback()
    return [message.id for message in message_page(session, scope, InboundFilter(**words)).rows]


@pytest.fixture
def received(app: Flask, buyer: Buyer, session: Session, move_clock: MoveClock) -> dict[str, str]:
    """The ids of one message of each effect, oldest first. Order 2 is of the other supplier."""
    conflict = buyer.edit_body(2)
    conflict["purchaseOrder"]["subject"] = "Größe 4"
    stranger = app.test_client()
    calls: dict[str, Callable[[], Any]] = {
        "sent": lambda: buyer.send(0),
        "sent_2": lambda: buyer.send(2),
        "edited": lambda: buyer.edit(2),
        "repeated": lambda: buyer.edit(2),
        "conflict": lambda: buyer.post("req-edit", conflict),
        "refused": lambda: buyer.post("req-send", b'{"half": "50%_ off'),
        "unmatched": lambda: buyer.change_status(5),
        "stranger": lambda: stranger.post(API_PATH + "req-send", data=b"{}", content_type="application/json"),
    }
    by_name = {}
    for name, call in calls.items():
        move_clock(seconds=1)
        call()
        by_name[name] = ids(session)[0]
    return by_name


def test_messages_are_listed_newest_first_and_by_result(session: Session, received: dict[str, str]) -> None:
    assert ids(session) == list(reversed(received.values()))
    of_effect = {effect: ids(session, effect=effect.value) for effect in Effect}
    assert of_effect == {
        Effect.APPLIED: [received["edited"], received["sent_2"], received["sent"]],
        Effect.REPEATED: [received["repeated"]],
        Effect.CONFLICT: [received["conflict"]],
        Effect.REJECTED: [received["refused"]],
        Effect.UNMATCHED: [received["unmatched"]],
        Effect.UNAUTHENTICATED: [received["stranger"]],
    }
    assert unmatched_count(session, None) == 1


def test_scope_hides_other_suppliers_and_unauthenticated(session: Session, received: dict[str, str]) -> None:
    bearings = {received[name] for name in ("sent_2", "edited", "repeated", "conflict")}
    assert set(ids(session, frozenset({BEARINGS}))) == bearings
    both = set(ids(session, frozenset({BEARINGS, TRIVENI})))
    assert both == set(received.values()) - {received["refused"], received["stranger"]}
    assert ids(session, frozenset()) == []


def test_filter_by_status_type_partner_and_time(
    session: Session, received: dict[str, str], buyer: Buyer, move_clock: MoveClock
) -> None:
    assert ids(session, code="409") == [received["unmatched"], received["conflict"]]
    assert ids(session, code="401") == [received["stranger"]]
    assert ids(session, kind="req-status-change") == [received["unmatched"]]
    assert received["stranger"] not in ids(session, partner="Bharat Connect")
    assert ids(session, partner="Nobody") == []
    move_clock(hours=2)
    later = resp(buyer.edit(2, current=2, subject="Later"))["reqMsgId"]
    an_hour_ago = clock.now() - timedelta(hours=1)
    assert ids(session, since=an_hour_ago) == [later]
    assert later not in ids(session, until=an_hour_ago)


def test_search_finds_text_in_bodies(
    subtests: pytest.Subtests, session: Session, received: dict[str, str]
) -> None:
    for words, names in (
        ("größe", {"conflict"}),
        ("GRöße 4", {"conflict"}),
        ("50%_ off", {"refused"}),
        ("50%xoff", set()),
        ("PO_CREDENTIALS", {"stranger"}),
        ("requirement WITHDRAWN", {"unmatched"}),
    ):
        with subtests.test(words=words):
            assert set(ids(session, q=words)) == {received[name] for name in names}


def test_search_finds_numbers_and_ids(session: Session, received: dict[str, str], buyer: Buyer) -> None:
    sent = buyer.bodies[0]["purchaseOrder"]
    assert ids(session, q=sent["buyerPONumber"].lower()) == [received["sent"]]
    assert ids(session, q=sent["objectId"]) == [received["sent"]]
    assert received["edited"] in ids(session, q=received["edited"])


def test_pages_are_stable_while_new_messages_arrive(
    session: Session, received: dict[str, str], buyer: Buyer
) -> None:
    first = message_page(session, None, InboundFilter(), limit=3)
    assert first.next_after == received["refused"] == first.rows[-1].id
    buyer.send(3)
    session.rollback()
    second = message_page(session, None, InboundFilter(after=first.next_after), limit=3)
    assert [message.id for message in second.rows] == [
        received["conflict"],
        received["repeated"],
        received["edited"],
    ]
    last = message_page(session, None, InboundFilter(after=received["edited"]), limit=3)
    assert (len(last.rows), last.next_after) == (2, None)


@pytest.mark.sqlite
def test_routes_pass_the_context_that_pages_need(
    received: dict[str, str], ravi: Browser, omar: Any, pages: list[dict[str, Any]]
) -> None:
    ravi.get("/inbound?effect=unmatched&kind=nonsense&since=2026-11-01T10:00")
    context = pages[-1]
    assert (context["template"], context["fragment"]) == ("ui/listing.html", "ui/_list.html")
    assert [row.id for row in context["page"].groups[0].rows] == [received["unmatched"]]
    assert (context["list_request"].filters["effect"], context["next_url"]) == ("unmatched", None)
    assert len(context["list_request"].notices) == 1 and "nonsense" in context["list_request"].notices[0]

    ravi.get(f"/inbound/{received['edited']}")
    context = pages[-1]
    assert context["message"].id == received["edited"]
    assert [message.id for message in context["repeats"]] == [received["repeated"]]
    assert context["reprocess_blocker"] == "This message was already applied."
    assert context["body"].startswith("{") and '"response_code":0' in context["response_body"]
    assert omar.get("/inbound").status_code == 200
    assert received["sent"] not in {row.id for row in pages[-1]["page"].groups[0].rows}


@pytest.mark.sqlite
def test_message_json_has_request_response_and_error(
    received: dict[str, str], ravi: Browser, buyer: Buyer
) -> None:
    data = ravi.get(f"/inbound/{received['unmatched']}.json").get_json()
    assert (data["kind"], data["effect"], data["order_id"]) == ("req-status-change", "unmatched", None)
    assert data["error"]["errorCd"] == "PO_UNKNOWN_OBJECT"
    assert data["request"]["body"].encode() == dumps(buyer.status_change_body(5))
    assert ["X-Partner-Key", "••••••••"] in data["request"]["headers"]
    assert data["answer"]["status"] == 409
    assert data["again"] is None
    stranger = ravi.get(f"/inbound/{received['stranger']}.json").get_json()
    assert (stranger["partner"], stranger["request"]["body"]) == (None, "")


def test_message_out_of_scope_is_not_found(
    received: dict[str, str], omar: Any, asha: Browser, anonymous: Any, pages: Any
) -> None:
    assert omar.get(f"/inbound/{received['edited']}.json").status_code == 200
    assert omar.get(f"/inbound/{received['sent']}.json").status_code == 404
    assert asha.get(f"/inbound/{received['stranger']}.json").status_code == 404
    assert anonymous.get(f"/inbound/{received['sent']}.json").status_code == 303
    assert anonymous.get("/inbound").status_code == 303
    assert asha.get("/inbound/in_nothing.json").status_code == 404


@pytest.mark.sqlite
def test_only_support_reprocesses_with_a_reason(
    received: dict[str, str],
    arrive: Arrive,
    ravi: Browser,
    asha: Browser,
    meera: Browser,
    session: Session,
    pages: list[dict[str, Any]],
) -> None:
    url = f"/inbound/{received['unmatched']}/apply"
    order_id = arrive(6)[5]
    assert ravi.send(url, {"reason": "no token"}).status_code == 400

    def send(browser: Any, reason: str, to: str = url) -> Any:
        browser.get(f"/inbound/{received['unmatched']}")
        token = pages[-1]["form"].csrf_token.current_token
        return browser.send(to, {"reason": reason, "csrf_token": token})

    for browser in (asha, meera):
        assert send(browser, "why not").status_code == 403
    assert send(ravi, " ").status_code == 422
    assert pages[-1]["form"].reason.errors
    assert send(ravi, "x" * 201).status_code == 422
    assert order_state(session, order_id)[0] == "CREATED"

    done = send(ravi, "The order came late")
    assert (done.status_code, done.location) == (303, f"/inbound/{received['unmatched']}")
    assert order_state(session, order_id)[0] == "CANCELLED"
    data = ravi.get(f"/inbound/{received['unmatched']}.json").get_json()
    assert data["effect"] == "applied"
    assert (data["again"]["by"], data["again"]["reason"]) == ("Ravi", "The order came late")
    assert (data["again"]["first_effect"], data["answer"]["status"]) == ("unmatched", 409)

    assert send(ravi, "Second attempt").status_code == 409
    assert pages[-1]["form"].form_errors == ["This message was already applied."]
    assert send(ravi, "x", "/inbound/in_nothing/apply").status_code == 404


def test_rejected_message_is_linked_to_its_order(buyer: Buyer, order_id: int, session: Session) -> None:
    stale = inbound_of(session, buyer.edit(current=7))
    assert (stale.effect, stale.order_id) == (Effect.REJECTED, order_id)
