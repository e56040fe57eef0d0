"""Comments, assignees and open forms of orders."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Person
from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.notifications.models import Event, Notification
from app.orders import queries
from app.orders.models import Comment, OpenForm, PurchaseOrder
from app.orders.presence import remove_closed_forms
from app.orders.team import COMMENT_MAX, Part, assignable_people, split_mentions
from app.orders.timeline import EventKind, activity, timeline
from tests.bench.setup import statements
from tests.fixture_types import Arrive, Confirm, Deliver, MoveClock
from tests.people import BEARINGS, HTMX, TRIVENI, Browser
from tests.queries import count_rows
from tests.serving import Network


def order_of_bearings(arrive: Arrive) -> int:
    """An order that Omar may respond to."""
    return int(arrive(3)[2])


def orders_of(session: Session, supplier: str) -> list[int]:
    session.rollback()
    own = select(PurchaseOrder.id).where(PurchaseOrder.supplier_b2b_id == supplier)
    return list(session.scalars(own.order_by(PurchaseOrder.id)))


def send(browser: Browser, order_id: int, action: str, **fields: Any) -> Any:
    """Fill in a form of the order page and send it."""
    page = f"/orders/{order_id}"
    return browser.submit(page, f"{page}/{action}", **fields)


def assignee(session: Session, order_id: int) -> str:
    session.rollback()
    name = select(Person.username).join(PurchaseOrder, PurchaseOrder.assignee_id == Person.id)
    return session.scalar(name.where(PurchaseOrder.id == order_id)) or ""


def notified(session: Session, username: str, event: Event) -> list[str]:
    session.rollback()
    rows = select(Notification.title).join(Person, Person.id == Notification.person_id)
    return list(session.scalars(rows.where(Person.username == username, Notification.event == event)))


def audited(session: Session, action: AuditAction) -> list[AuditEntry]:
    session.rollback()
    return list(session.scalars(select(AuditEntry).where(AuditEntry.action == action.value)))


# --- Comments


@pytest.mark.sqlite
def test_comment_is_in_the_activity_and_never_sent(
    order_id: int,
    confirm: Confirm,
    deliver: Deliver,
    network: Network,
    asha: Browser,
    meera: Browser,
    session: Session,
) -> None:
    sent = send(asha, order_id, "comments", text="Stock is <b>low</b>.\r\nAsk the mill.")
    assert sent.status_code == 303
    page = meera.get(f"/orders/{order_id}")
    assert page.one(".comment-text").get_text() == "Stock is <b>low</b>.\nAsk the mill."
    assert "Comment by Asha" in page.visible_text and "Only your team sees comments" in page.visible_text
    confirm(order_id)
    deliver()
    assert "Stock is" not in str(network.received())
    assert [entry.new_values for entry in audited(session, AuditAction.COMMENTED)] == [
        {"comment": "Stock is <b>low</b>.\nAsk the mill."}
    ]


@pytest.mark.sqlite
def test_comment_without_javascript_keeps_the_list(order_id: int, asha: Browser) -> None:
    page = f"/orders/{order_id}?list=answer%3Dopen"
    action = f"/orders/{order_id}/comments?list=answer%3Dopen"
    sent = asha.submit(page, action, text="Ask the mill")
    assert sent.location == f"{page}#team"


@pytest.mark.sqlite
@pytest.mark.parametrize("text", ["", "  \n ", "\u200b\u2060", "x" * (COMMENT_MAX + 1)])
def test_invalid_comment_is_rejected_and_keeps_its_text(
    text: str, order_id: int, asha: Browser, session: Session
) -> None:
    response = send(asha, order_id, "comments", text=text)
    assert response.status_code == 422 and response.one("#comment-error")
    assert response.one("textarea[name=text]").get_text().strip("\n") == text.strip()
    assert count_rows(session, Comment) == 0


def test_mention_notifies_people_who_see_the_order(
    order_id: int, asha: Browser, omar: Browser, session: Session
) -> None:
    send(asha, order_id, "comments", text="@Meera, @omar and @nobody.x: see this. a@meera @asha")
    assert len(notified(session, "meera", Event.MENTIONED)) == 1
    assert not notified(session, "omar", Event.MENTIONED) and not notified(session, "asha", Event.MENTIONED)
    page = asha.get(f"/orders/{order_id}")
    assert [mention.get_text() for mention in page.page.select(".mention")] == ["@Meera", "@asha"]
    assert (
        "@omar, @nobody.x were not notified: no user with that name can see this order." in page.visible_text
    )
    assert omar.get(f"/orders/{order_id}").status_code == 404


def test_usernames_with_periods_are_recognized_in_text() -> None:
    text = "Hi @r.k@mill.in. And (@ravi): x@ravi @@ravi"
    parts = [part for part in split_mentions(text, ["r.k@mill.in", "ravi"]) if part.text]
    assert parts == [
        Part("Hi "),
        Part("@r.k@mill.in", "r.k@mill.in"),
        Part(". And ("),
        Part("@ravi", "ravi"),
        Part("): x@ravi @@ravi"),
    ]


@pytest.mark.sqlite
def test_comment_is_deleted_by_its_author_only(
    arrive: Arrive, asha: Browser, ravi: Browser, session: Session
) -> None:
    order_id, other = arrive(2)
    send(asha, order_id, "comments", text="Typed too early")
    session.rollback()
    comment_id = session.scalar(select(Comment.id))
    action = f"comments/{comment_id}/delete"
    fields = ravi.fill(f"/orders/{order_id}", f"/orders/{order_id}/comments")
    assert ravi.send(f"/orders/{order_id}/{action}", fields).status_code == 403
    assert asha.send(f"/orders/{other}/{action}", fields).status_code in (400, 404)
    assert send(asha, order_id, action).status_code == 303
    assert not asha.get(f"/orders/{order_id}").page.select(".comment-text")
    assert audited(session, AuditAction.COMMENT_DELETED)[0].old_values == {"comment": "Typed too early"}


@pytest.mark.sqlite
def test_comments_are_not_in_the_evidence_pack(order_id: int, asha: Browser, session: Session) -> None:
    send(asha, order_id, "comments", text="Between ourselves")
    session.rollback()
    order = queries.order(session, None, order_id)
    assert order
    assert EventKind.COMMENTED not in [event.kind for event in timeline(session, order, [])]
    assert EventKind.COMMENTED in [event.kind for event in activity(session, order, [])]


@pytest.mark.sqlite
def test_comment_on_an_order_of_another_supplier_is_not_found(arrive: Arrive, omar: Browser) -> None:
    order_id, _, own = arrive(3)
    fields = {**omar.fill(f"/orders/{own}", f"/orders/{own}/comments"), "text": "x"}
    assert omar.send(f"/orders/{order_id}/comments", fields).status_code == 404
    assert omar.send(f"/orders/{order_id}/assign", {**fields, "username": "omar"}).status_code == 404


# --- Assignees


def test_claim_assigns_the_order_to_oneself(order_id: int, asha: Browser, session: Session) -> None:
    claim = asha.get(f"/orders/{order_id}").page.find("button", string="Claim")
    assert claim is not None
    assert send(asha, order_id, "assign", username="asha").status_code == 303
    page = asha.get(f"/orders/{order_id}")
    assert "Assigned to Asha" in page.visible_text and not page.page.find("button", string="Claim")
    assert not notified(session, "asha", Event.ASSIGNED)
    (entry,) = audited(session, AuditAction.ASSIGNED)
    assert entry.new_values == {"assigned to": "Asha"}
    assert "Claimed by Asha" in page.one("#timeline").get_text()
    row = asha.get("/orders").one(".initials")
    assert row["title"] == "Assigned to Asha"


@pytest.mark.sqlite
def test_assigned_order_notifies_the_assignee_once(order_id: int, meera: Browser, session: Session) -> None:
    for _ in range(2):
        assert send(meera, order_id, "assign", username=" Asha ").status_code == 303
    assert len(notified(session, "asha", Event.ASSIGNED)) == 1
    assert send(meera, order_id, "assign", username="").status_code == 303
    assert assignee(session, order_id) == ""
    assert len(audited(session, AuditAction.ASSIGNED)) == 2
    titles = [entry.get_text() for entry in meera.get(f"/orders/{order_id}").page.select("#timeline li > b")]
    assert titles[:2] == ["Unassigned by Meera", "Assigned to Asha by Meera"]


@pytest.mark.sqlite
@pytest.mark.parametrize("username", ["omar", "meera", "nobody.x", "\ud7ff" * 300])
def test_order_cannot_be_assigned_to_a_person_who_cannot_respond(
    username: str, order_id: int, asha: Browser, session: Session
) -> None:
    response = send(asha, order_id, "assign", username=username)
    assert response.status_code == 422 and response.one("#assignee-error")
    assert assignee(session, order_id) == ""


@pytest.mark.sqlite
def test_assign_without_a_username_is_rejected(order_id: int, asha: Browser) -> None:
    fields = asha.fill(f"/orders/{order_id}", f"/orders/{order_id}/assign")
    del fields["username"]
    assert asha.send(f"/orders/{order_id}/assign", fields).status_code == 422


def test_claim_of_an_order_that_a_colleague_took_conflicts(
    arrive: Arrive, asha: Browser, omar: Browser, session: Session
) -> None:
    order_id = order_of_bearings(arrive)
    action = f"/orders/{order_id}/assign"
    fields = {**asha.fill(f"/orders/{order_id}", action), "username": "asha"}
    send(omar, order_id, "assign", username="omar")
    late = asha.send(action, fields)
    assert late.status_code == 409 and "is now assigned to Omar" in late.visible_text
    assert assignee(session, order_id) == "omar"
    # A script sends no current assignee.
    del fields["current"]
    assert asha.send(action, fields).status_code == 303


@pytest.mark.sqlite
def test_assignable_people_of_several_suppliers_are_read_in_one_query(
    arrive: Arrive, session: Session, database: Database
) -> None:
    arrive(12)
    orders = session.scalars(select(PurchaseOrder)).all()
    assert {order.supplier_b2b_id for order in orders} == {TRIVENI, BEARINGS}
    people: list[Person] = []
    queries = statements(database.engine, lambda: people.extend(assignable_people(session, orders)))
    assert [person.username for person in people] == ["asha", "omar"]
    assert len(queries) == 1


def test_several_orders_are_assigned_at_once(arrive: Arrive, meera: Browser, session: Session) -> None:
    arrive(12)
    ids = orders_of(session, BEARINGS)[:3]
    page = "/orders/assignments"
    query = "&".join(f"order_ids={order_id}" for order_id in [*ids, 999, "x"])
    form = meera.get(f"{page}?{query}")
    assert "1 order not found" in form.visible_text
    assert [option["value"] for option in form.page.select("option")] == ["asha", "omar", ""]
    fields = {**meera.fill(f"{page}?{query}", page), "order_ids": ids, "username": "omar"}
    sent = meera.send(page, fields)
    assert sent.status_code == 303
    done = meera.get(sent.location)
    assert done.one("h1").get_text() == "3 orders assigned to Omar"
    assert {assignee(session, order_id) for order_id in ids} == {"omar"}
    assert notified(session, "omar", Event.ASSIGNED) == ["3 orders"]
    assert len(audited(session, AuditAction.ASSIGNED)) == 3


@pytest.mark.sqlite
def test_several_orders_skip_those_that_the_assignee_cannot_see(
    arrive: Arrive, asha: Browser, session: Session
) -> None:
    other, _, own = arrive(3)
    page = "/orders/assignments"
    fields = asha.fill(f"{page}?order_ids={own}&order_ids={other}", page)
    done = asha.get(asha.send(page, {**fields, "order_ids": [own, other], "username": "omar"}).location)
    assert "1 order assigned to Omar" in done.visible_text and "1 order skipped" in done.visible_text
    assert (assignee(session, own), assignee(session, other)) == ("omar", "")
    invalid: list[dict[str, Any]] = [{"username": "x"}, {"order_ids": []}, {"order_ids": ["x", "9" * 30]}]
    for wrong in invalid:
        assert asha.send(page, {**fields, "order_ids": [own], "username": "omar", **wrong}).status_code == 422


@pytest.mark.sqlite
def test_manager_selects_orders_to_assign_but_not_to_respond(
    arrive: Arrive, meera: Browser, asha: Browser
) -> None:
    arrive(2)
    page = meera.get("/orders?answer=open")
    assert len(page.page.select("input[name=order_ids]")) == 2
    buttons = [button.get_text(strip=True) for button in page.page.select("#selection button")]
    assert buttons == ["Assign to…"]
    buttons = [button.get_text(strip=True) for button in asha.get("/orders").page.select("#selection button")]
    assert buttons == ["Bulk respond", "Assign to…"]


# --- Open forms


@pytest.mark.sqlite
def test_open_form_is_shown_to_colleagues_for_a_minute(
    arrive: Arrive, asha: Browser, omar: Browser, meera: Browser, move_clock: MoveClock
) -> None:
    order_id = order_of_bearings(arrive)
    omar.get(f"/orders/{order_id}")
    assert "form open" not in omar.get(f"/orders/{order_id}/answer").visible_text
    assert "Omar has this form open." in asha.get(f"/orders/{order_id}").visible_text
    assert "Asha and Omar have this form open." in meera.get(f"/orders/{order_id}").visible_text
    move_clock(seconds=61)
    assert "form open" not in meera.get(f"/orders/{order_id}").visible_text


def test_open_form_is_renewed_by_its_poll_in_one_row(
    arrive: Arrive, asha: Browser, omar: Browser, move_clock: MoveClock, database: Database, session: Session
) -> None:
    order_id = order_of_bearings(arrive)
    omar.get(f"/orders/{order_id}")
    for _ in range(8):
        move_clock(seconds=10)
        omar.get(f"/orders/{order_id}/answer/news?version=1", headers={**HTMX, "X-Poll": "1"})
    updates = asha.get(f"/orders/{order_id}/answer/news?version=1", headers=HTMX)
    assert "Omar has this form open." in updates.visible_text
    assert count_rows(session, OpenForm) == 2
    move_clock(minutes=2)
    remove_closed_forms(database)
    assert count_rows(session, OpenForm) == 0


@pytest.mark.sqlite
def test_open_form_ends_with_the_response(arrive: Arrive, omar: Browser, session: Session) -> None:
    order_id = order_of_bearings(arrive)
    omar.respond(order_id)
    assert count_rows(session, OpenForm) == 0
