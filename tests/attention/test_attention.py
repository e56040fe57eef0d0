"""What needs attention: each with its cause and next step, handed over, closed by name, open again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.models import CircuitBreaker, Message, MessageState
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.buyer import Buyer
from tests.people import Browser


@pytest.fixture
def refused(asha: Browser, arrive: Any, deliver: Any, network: Any, session: Session) -> str:
    """A message that the network refused, of an order of Triveni."""
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Remarks are not acceptable")
    asha.answer(arrive(1)[0])
    deliver()
    return session.scalars(select(Message.id)).one()


def press(browser: Browser, key: str, verb: str, **fields: Any) -> Any:
    """Press a button of a thing's page, with the fields of its form."""
    action = f"/attention/{key}/{verb}"
    return browser.send(action, {**browser.fill(f"/attention/{key}", action), **fields})


def counted(browser: Browser) -> str:
    return str(browser.get("/").one("#n-attention").get_text())


def again(browser: Browser, message_id: str, deliver: Any) -> None:
    action = f"/webhooks/{message_id}/resend"
    browser.send(action, {**browser.fill(f"/webhooks/{message_id}", action), "reason": "Again"})
    deliver()


def test_each_has_its_cause_and_the_next_step_of_the_reader(
    asha: Browser, ravi: Browser, refused: str
) -> None:
    row = ravi.get("/attention").one(".attention-item")
    words = row.get_text(" ")
    assert "Remarks are not acceptable" in words and "Refused" in words
    assert row.select(f"a.btn[href='/webhooks/{refused}']")
    own = asha.get("/attention").one(".attention-item")
    assert [link.get_text() for link in own.select("a.btn")] == ["Answer the order anew"]


def test_what_is_closed_is_told_with_name_and_reason_and_counts_no_more(
    ravi: Browser, meera: Browser, asha: Browser, refused: str
) -> None:
    key = f"message-{refused}"
    assert counted(ravi) == counted(meera) == "1"
    done = press(ravi, key, "close", reason="Settled by telephone")
    assert (done.status_code, done.location) == (303, f"/attention/{key}")
    for browser in (ravi, meera, asha):
        assert counted(browser) == ""
        assert "All is well" in browser.get("/attention").words
        closed = browser.get("/attention/closed").one(".attention-item").get_text(" ")
        assert "Settled by telephone" in closed and "Ravi" in closed
    assert not meera.get("/webhooks?state=attention").page.select("tbody tr")
    assert len(meera.get("/webhooks?state=refused").page.select("tbody tr")) == 1
    history = meera.get(f"/attention/{key}").one(".timeline").get_text(" ")
    assert "Closed" in history and "Ravi" in history and "Settled by telephone" in history


def test_what_happens_again_is_open_again_and_keeps_its_history(
    ravi: Browser, refused: str, network: Any, deliver: Any
) -> None:
    key = f"message-{refused}"
    press(ravi, key, "close", reason="They will mend it")
    network.behave("refuse", times=1, error_cd="BPR013", error_dtl="Still not")
    again(ravi, refused, deliver)
    assert counted(ravi) == "1"
    row = ravi.get("/attention").one(".attention-item").get_text(" ")
    assert "Came again" in row and "Still not" in row
    assert "They will mend it" in ravi.get(f"/attention/{key}").words
    press(ravi, key, "assign", person="4")
    history = [one.get_text() for one in ravi.get(f"/attention/{key}").page.select(".timeline b")]
    assert history == ["Handed over to Ravi", "Came again", "Closed"]


def test_what_is_delivered_needs_nobody_any_more(ravi: Browser, refused: str, deliver: Any) -> None:
    again(ravi, refused, deliver)
    assert counted(ravi) == ""
    assert press_closed(ravi, f"message-{refused}").status_code == 409


def press_closed(browser: Browser, key: str) -> Any:
    token = browser.fill("/webhooks?state=refused", "/views")["csrf_token"]
    return browser.send(f"/attention/{key}/close", {"reason": "Late", "csrf_token": token})


def test_it_is_handed_over_and_given_back(
    ravi: Browser, browser_of: Any, refused: str, session: Session
) -> None:
    key, admin = f"message-{refused}", browser_of("admin")
    assert press(ravi, key, "assign", person="5").status_code == 303
    assert "with Admin" in ravi.get("/attention").one(".attention-item").get_text()
    assert len(admin.get("/attention?whose=mine").page.select(".attention-item")) == 1
    for url in ("/attention?whose=nobody",):
        assert not ravi.get(url).page.select(".attention-item")
    assert "Nothing is with you" in ravi.get("/attention?whose=mine").words
    assert press(admin, key, "assign", person="").status_code == 303
    assert len(ravi.get("/attention?whose=nobody").page.select(".attention-item")) == 1
    for nobody in ("1", "999", "x", "-1"):
        assert press(ravi, key, "assign", person=nobody).status_code == 422, nobody


def test_a_reason_is_wanted_and_a_closing_can_be_taken_back(ravi: Browser, refused: str) -> None:
    key = f"message-{refused}"
    assert press(ravi, key, "close", reason=" ").status_code == 422
    assert press(ravi, key, "close", reason="x" * 201).status_code == 422
    assert counted(ravi) == "1"
    press(ravi, key, "close", reason="Mistaken")
    assert press(ravi, key, "reopen", reason="It was the wrong one").status_code == 303
    assert counted(ravi) == "1"
    assert not ravi.get("/attention/closed").page.select(".attention-item")


def test_an_answer_anew_closes_the_refused_one_by_itself(
    ravi: Browser, asha: Browser, refused: str, session: Session, deliver: Any
) -> None:
    order_id = session.scalars(select(Message.order_id)).one()
    asha.answer(order_id, remarks="Better words")
    deliver()
    assert counted(ravi) == ""
    closed = ravi.get("/attention/closed").one(".attention-item").get_text(" ")
    assert "answered again by Asha" in closed and "by itself" in closed


def test_held_networks_and_what_fits_nothing_stand_with_support(
    app: Any,
    ravi: Browser,
    meera: Browser,
    database: Database,
    partner: Partner,
    arrive: Any,
    example_bodies: list[Any],
    confirm: Any,
) -> None:
    (order_id,) = arrive(1)
    assert Buyer(app.test_client(), example_bodies).move(5).status_code == 409
    with database.writing() as writing:
        partner_service.pause(writing, writing.get(Partner, partner.id), "They asked us to wait", by="Ravi")
        writing.commit()
    assert counted(ravi) == "2"
    rows = [one.get_text(" ") for one in ravi.get("/attention").page.select(".attention-item")]
    assert "They asked us to wait" in rows[0] and "Resume it" in rows[0]
    assert "Apply it again" in rows[1]
    assert counted(meera) == ""
    links = ravi.get("/attention").page.select(".attention-item-actions a.subline")
    key = links[1]["href"].removeprefix("/attention/")
    assert meera.get(f"/attention/{key}").status_code == 404
    assert press(ravi, key, "close", reason="A stray of theirs").status_code == 303
    assert counted(ravi) == "1"
    assert press(ravi, key, "reopen", reason="Not so stray").status_code == 303
    assert counted(ravi) == "2"
    held = f"partner-{partner.id}"
    assert press(ravi, held, "assign", person="4").status_code == 303
    assert "with Ravi" in ravi.get("/attention").page.get_text()
    with database.writing() as writing:
        partner_service.resume(writing, writing.get(Partner, partner.id))
        writing.add(CircuitBreaker(partner_id=partner.id, opened_at=partner.created_at, probe_at=None))
        writing.commit()
    # Where nothing waits, nothing is held: the next answer is the probe.
    assert "does not answer" not in ravi.get("/attention").words
    confirm(order_id)
    assert "does not answer" in ravi.get("/attention").words


def test_what_was_withdrawn_under_way_is_asked_about(
    ravi: Browser, asha: Browser, arrive: Any, database: Database, session: Session
) -> None:
    asha.answer(arrive(1)[0])
    with database.writing() as writing:
        message = writing.scalars(select(Message)).one()
        message.state, message.unknown_outcome, message.attempts_made = MessageState.CANCELLED, True, 1
        message.note = "The buyer changed the order. It may have reached the partner."
        writing.commit()
    row = ravi.get("/attention").one(".attention-item").get_text(" ")
    assert "Nobody knows whether it arrived" in row and "may have reached" in row


def test_nobody_handles_what_is_not_theirs(
    ravi: Browser, omar: Browser, asha: Browser, meera: Browser, refused: str
) -> None:
    key = f"message-{refused}"
    assert omar.get(f"/attention/{key}").status_code == 404
    assert counted(omar) == ""
    token = asha.fill("/webhooks?state=refused", "/views")
    for browser in (asha, meera):
        answer = browser.send(f"/attention/{key}/close", {**token, "reason": "Mine"})
        assert answer.status_code in (400, 403)
    press(ravi, key, "close", reason="Settled")
    assert not omar.get("/attention/closed").page.select(".attention-item")
    for odd in ("message-", "partner-x", "partner-99999999", "inbound-in_x", "x", "partner-٣"):
        assert ravi.get(f"/attention/{odd}").status_code == 404, odd


def test_pages_stay_put_and_odd_queries_are_told(ravi: Browser, refused: str) -> None:
    assert "is ignored" in ravi.get("/attention?whose=them").words
    assert "is ignored" in ravi.get("/attention?after=x").words
    for after in ("x", "-1", "99999999999999999999", "7"):
        assert ravi.get(f"/attention/closed?after={after}").status_code == 200


def test_what_was_closed_and_then_came_right_is_not_opened_again(
    ravi: Browser, refused: str, network: Any, deliver: Any
) -> None:
    key = f"message-{refused}"
    press(ravi, key, "close", reason="They will mend it")
    action = f"/webhooks/{refused}/resend"
    network.behave("ok")
    ravi.send(action, {**ravi.fill(f"/webhooks/{refused}", action), "reason": "They did"})
    deliver()
    assert not ravi.get(f"/attention/{key}").page.select(f"form[action='/attention/{key}/reopen']")
    assert "They will mend it" in ravi.get("/attention/closed").words
