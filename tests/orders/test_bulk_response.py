"""Bulk responses: one remark, a preview, a result for each order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.audit.models import AuditAction, AuditEntry
from app.background import worker
from app.db import Database
from app.orders import bulk_queries, bulk_response, bulk_routes, inbox_queries
from app.orders.models import BulkItem, Decision, PurchaseOrder, ResponseState
from app.ui.numbers import money
from tests.fixture_types import Arrive, Deliver, MoveClock, PausePartner, RunJobs
from tests.people import HTMX, Browser, fields_of, one
from tests.queries import count_rows, set_order
from tests.serving import Network


def plan(browser: Browser, ids: list[int]) -> Any:
    return browser.get("/orders/answers/plan", query_string={"order_ids": ids})


def respond_to_all(browser: Browser, ids: list[int], **fields: Any) -> Any:
    token = plan(browser, ids).csrf_token
    given = {"supplier_response": "ACCEPT", "supplier_remarks": "Confirmed as ordered"}
    sent = browser.send("/orders/answers", {"csrf_token": token, "order_ids": ids, **given, **fields})
    return browser.get(sent.location) if sent.status_code == 303 else sent


def test_bulk_response_records_each_order(
    asha: Browser, arrive: Arrive, session: Session, deliver: Deliver
) -> None:
    ids = arrive(3)
    response = respond_to_all(asha, ids)
    assert response.status_code == 200
    assert response.visible_text.count("Confirmed Queued") == 3
    assert count_rows(session, Decision) == 3
    assert deliver() == {"delivered": 3}


@pytest.mark.sqlite
def test_preview_names_skipped_orders_and_records_nothing(
    asha: Browser, arrive: Arrive, session: Session
) -> None:
    ids = arrive(3)
    asha.respond(ids[0], "REJECT", "No capacity")
    set_order(session, ids[1], status="CANCELLED")
    page = plan(asha, ids)
    assert page.status_code == 200
    assert "Asha already responded." in page.visible_text
    assert "canceled by the buyer" in page.visible_text
    assert page.one(".panel.response .btn-main").get_text(" ").split()[-2:] == ["1", "order"]
    total = session.scalars(select(PurchaseOrder.total).where(PurchaseOrder.id == ids[2])).one()
    assert f"{money(total)} for 1 order" in page.visible_text
    assert count_rows(session, Decision) == 1


@pytest.mark.sqlite
def test_bulk_response_skips_orders_with_a_response(asha: Browser, arrive: Arrive, session: Session) -> None:
    ids = arrive(3)
    asha.respond(ids[0], "REJECT", "No capacity")
    response = respond_to_all(asha, ids)
    assert response.status_code == 200
    assert response.visible_text.count("Skipped Asha already responded.") == 1
    assert count_rows(session, Decision) == 3


def test_bulk_response_skips_changed_order(asha: Browser, arrive: Arrive, session: Session) -> None:
    ids = arrive(2)
    set_order(session, ids[0], version=2)
    response = respond_to_all(asha, ids, versions=[f"{ids[0]}:1", f"{ids[1]}:1"])
    assert "now version 2" in response.visible_text
    assert count_rows(session, Decision) == 1


@pytest.mark.sqlite
def test_bulk_response_to_an_earlier_version_is_stale_also_after_a_response(
    asha: Browser, arrive: Arrive, session: Session
) -> None:
    ids = arrive(1)
    set_order(session, ids[0], version=2)
    asha.respond(ids[0], "ACCEPT", "Confirmed as ordered")
    response = respond_to_all(asha, ids, versions=[f"{ids[0]}:1"])
    assert "now version 2" in response.visible_text
    assert "already" not in response.visible_text


@pytest.mark.sqlite
def test_bulk_response_twice_records_once(asha: Browser, arrive: Arrive, session: Session) -> None:
    ids = arrive(2)
    respond_to_all(asha, ids)
    again = respond_to_all(asha, ids)
    assert again.status_code == 200
    assert again.visible_text.count("It already had this response.") == 2
    assert count_rows(session, Decision) == 2


@pytest.mark.sqlite
def test_bulk_response_to_foreign_orders_is_not_found(
    omar: Browser, arrive: Arrive, session: Session
) -> None:
    ids = arrive(2)
    response = respond_to_all(omar, ids)
    assert response.status_code == 422
    assert "not found" in response.visible_text
    assert count_rows(session, Decision) == 0


@pytest.mark.sqlite
def test_bulk_response_invalid_remarks_are_shown_again(
    asha: Browser, arrive: Arrive, session: Session
) -> None:
    ids = arrive(2)
    response = respond_to_all(asha, ids, supplier_remarks='He said "yes"')
    assert response.status_code == 422
    assert "He said" in response.text
    assert respond_to_all(asha, ["x", "9" * 30]).status_code == 422  # type: ignore[list-item]
    assert count_rows(session, Decision) == 0


@pytest.mark.sqlite
def test_inbox_selects_only_orders_that_need_response(
    asha: Browser, meera: Browser, arrive: Arrive, session: Session
) -> None:
    ids = arrive(4)
    asha.respond(ids[0])
    set_order(session, ids[1], status="CANCELLED")
    page = asha.get("/orders")
    form = page.one("form#selection")
    assert (form["method"], form["action"]) == ("get", "/orders/answers/plan")
    boxes = page.page.select("input[type=checkbox][name=order_ids]")
    assert {int(str(box["value"])) for box in boxes} == set(ids[2:])
    assert {str(box["form"]) for box in boxes} == {"selection"}
    assert not form.select("input[name=order_ids]")
    planned = asha.get(str(form["action"]), query_string={"order_ids": [box["value"] for box in boxes]})
    assert planned.one(".panel.response .btn-main").get_text(" ").split()[-2:] == ["2", "orders"]
    assert meera.get("/orders").one("form#selection")["action"] == "/orders/assignments", "only to assign"
    assert not asha.get("/orders?answer=ACCEPT").page.select("form#selection")


@pytest.mark.sqlite
def test_refused_response_can_be_selected_again(
    asha: Browser, order_id: int, network: Network, deliver: Deliver
) -> None:
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    asha.respond(order_id)
    deliver()
    assert asha.get("/orders").one("input[name=order_ids]")["value"] == str(order_id)


# --- Own remarks


@pytest.mark.sqlite
def test_own_remark_replaces_the_shared_one(asha: Browser, arrive: Arrive, session: Session) -> None:
    first, second = arrive(2)
    respond_to_all(asha, [first, second], **{f"remarks-{second}": "Partly from stock"})
    remarks = dict(session.execute(select(Decision.order_id, Decision.remarks)).all())
    assert remarks == {first: "Confirmed as ordered", second: "Partly from stock"}


@pytest.mark.sqlite
def test_invalid_own_remark_is_shown_at_its_order(asha: Browser, arrive: Arrive, session: Session) -> None:
    first, second = arrive(2)
    response = respond_to_all(asha, [first, second], **{f"remarks-{second}": "x" * 101})
    assert response.status_code == 422
    field = response.one(f"#remarks-{second}")
    assert (field["value"], field["aria-invalid"]) == ("x" * 101, "true")
    assert "the remark has 101" in response.one(f"#remarks-{second}-error").get_text()
    assert count_rows(session, Decision) == 0


@pytest.mark.sqlite
def test_check_keeps_own_remarks_and_records_nothing(asha: Browser, order_id: int, session: Session) -> None:
    fields = {
        "order_ids": [order_id],
        "supplier_response": "REJECT",
        "supplier_remarks": "No capacity",
        f"remarks-{order_id}": "Not in our range",
        "csrf_token": plan(asha, [order_id]).csrf_token,
    }
    page = asha.send("/orders/answers/plan", fields)
    assert page.one(f"#remarks-{order_id}")["value"] == "Not in our range"
    assert page.one("input[name=supplier_response][checked]")["value"] == "REJECT"
    assert count_rows(session, Decision) == 0


# --- The result


@pytest.mark.sqlite
def test_result_follows_webhooks_until_all_have_ended(
    asha: Browser, arrive: Arrive, deliver: Deliver
) -> None:
    result = respond_to_all(asha, arrive(2))
    url = result.request.path
    part = result.one("#bulk-result")
    assert (part["data-hx-get"], part["data-hx-trigger"]) == (url, "every 2s")
    deliver()
    updates = asha.get(url, headers=HTMX)
    assert updates.one("#bulk-result").get("data-hx-get") is None
    assert updates.visible_text.count("Confirmed Delivered") == 2
    assert updates.one("#bulk-result")["data-announce"] == "2 delivered"


def test_result_counts_webhooks_by_the_state_of_their_rows(
    asha: Browser, arrive: Arrive, network: Network, deliver: Deliver, pause_partner: PausePartner
) -> None:
    """A webhook that is retried is not counted as queued, and one of a paused partner is paused."""

    def shown() -> tuple[str, list[str], str]:
        part = asha.get(url).one("#bulk-result")
        rows = [cell.get_text(" ", strip=True) for cell in part.select("tbody .col-delivery")]
        summary = one(part, ".bulk-deliveries").get_text(" ", strip=True)
        assert part.get("data-hx-get")
        return summary, rows, str(part["data-announce"])

    network.behave("status", times=1, status=503)
    url = respond_to_all(asha, arrive(1)).request.path
    assert shown() == ("Queued 1", ["Queued"], "1 queued")
    deliver()
    assert shown() == ("Retrying 1", ["Retrying"], "1 retrying")
    pause_partner()
    assert shown() == ("Paused 1", ["Paused"], "1 paused")


@pytest.mark.sqlite
def test_result_shows_why_a_webhook_was_refused(
    asha: Browser, arrive: Arrive, network: Network, deliver: Deliver
) -> None:
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    result = respond_to_all(asha, arrive(1))
    deliver()
    page = asha.get(result.request.path)
    assert "Refused" in page.one(".col-delivery a").get_text()
    assert "Not so" in page.one("tbody .col-state").get_text()


@pytest.mark.sqlite
def test_result_is_visible_to_its_author_and_managers_only(
    asha: Browser, omar: Browser, meera: Browser, arrive: Arrive
) -> None:
    url = respond_to_all(asha, arrive(1)).request.path
    assert omar.get(url).status_code == 404
    assert meera.get(url).status_code == 200
    assert asha.get("/orders/answers/bulk_00000000000000000000000000").status_code == 404


# --- Undo


@pytest.fixture
def grace(app: Flask) -> None:
    """Ten seconds to undo."""
    app.extensions["settings"] = app.extensions["settings"].model_copy(update={"undo_seconds": 10})


def undo(browser: Browser, result: Any, **fields: Any) -> Any:
    action = f"{result.request.path}/undo"
    return browser.submit(result.request.path, action, **fields)


@pytest.mark.usefixtures("grace")
def test_undo_all_cancels_every_webhook(
    asha: Browser, arrive: Arrive, deliver: Deliver, move_clock: MoveClock, session: Session
) -> None:
    result = respond_to_all(asha, arrive(3))
    assert "Undo all 3" in result.visible_text
    page = asha.get(undo(asha, result).location)
    assert page.one("h1").get_text() == "0 orders confirmed"
    assert page.visible_text.count("Undone Asha undid") == 3
    assert not page.page.select("button#undo-all")
    move_clock(seconds=60)
    assert deliver() == {}
    assert len(asha.get("/orders?answer=open").page.select("input[name=order_ids]")) == 3
    actions = session.scalars(select(AuditEntry.action)).all()
    assert (actions.count(AuditAction.RESPONDED), actions.count(AuditAction.RESPONSE_UNDONE)) == (3, 3)


@pytest.mark.sqlite
@pytest.mark.usefixtures("grace")
def test_undo_of_one_order_leaves_the_others(
    asha: Browser, arrive: Arrive, deliver: Deliver, move_clock: MoveClock
) -> None:
    first, *_ = ids = arrive(3)
    result = respond_to_all(asha, ids)
    path = result.request.path
    fragment = asha.submit(path, f"{path}/undo", headers=HTMX, order_id=first)
    assert fragment.one("h1").get_text() == "2 orders confirmed"
    assert not fragment.page.select(f"#undo-{first}")
    move_clock(seconds=60)
    assert deliver() == {"delivered": 2}


@pytest.mark.sqlite
@pytest.mark.usefixtures("grace")
def test_undo_after_sending_is_refused(asha: Browser, arrive: Arrive, move_clock: MoveClock) -> None:
    result = respond_to_all(asha, arrive(2))
    action = f"{result.request.path}/undo"
    fields = asha.fill(result.request.path, action)
    move_clock(seconds=11)
    late = asha.send(action, fields)
    assert (late.status_code, "Too late to undo" in late.visible_text) == (409, True)
    assert asha.send(action, {**fields, "order_id": "x"}).status_code == 409


@pytest.mark.sqlite
@pytest.mark.usefixtures("grace")
def test_undo_does_not_touch_a_later_response(asha: Browser, order_id: int, session: Session) -> None:
    result = respond_to_all(asha, [order_id])
    undo(asha, result)
    asha.respond(order_id, "REJECT", "No capacity")
    action = f"{result.request.path}/undo"
    token = asha.get("/orders").csrf_token
    assert asha.send(action, {"csrf_token": token}).status_code == 409
    assert session.scalars(select(PurchaseOrder.response)).one() == "REJECT"


@pytest.mark.sqlite
@pytest.mark.usefixtures("grace")
def test_undo_by_another_person_is_not_found(asha: Browser, omar: Browser, arrive: Arrive) -> None:
    result = respond_to_all(asha, arrive(1))
    token = omar.get("/orders").csrf_token
    assert omar.send(f"{result.request.path}/undo", {"csrf_token": token}).status_code == 404


# --- All orders of a list


@pytest.fixture
def select_all(asha: Browser, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Select all orders of a list; pages have two orders, so that few orders need several pages."""
    for module in (bulk_queries, bulk_routes):
        monkeypatch.setattr(module, "PAGE", 2)

    def select_all(query: str = "answer=open", **fields: Any) -> Any:
        token = asha.get("/orders").csrf_token
        sent = asha.send("/orders/answers/all", {"csrf_token": token, "list": query, **fields})
        assert sent.status_code == 303
        return asha.get(sent.location)

    return select_all


def send(browser: Browser, page: Any, **fields: Any) -> Any:
    """Press the button of a plan that was stored."""
    path = page.request.path
    sent = browser.send(path, {**fields_of(page.one(f"form[action='{path}']")), **fields})
    return browser.get(sent.location) if sent.status_code == 303 else sent


@pytest.mark.sqlite
def test_inbox_offers_all_orders_that_match(
    asha: Browser, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(5)
    assert not asha.get("/orders?answer=open").page.select("#select-matching")
    monkeypatch.setattr(inbox_queries.order_page, "__kwdefaults__", {"limit": 2})
    page = asha.get("/orders?answer=open")
    assert page.one("[form=select-matching]").get_text() == "Select all 5 that match"
    assert fields_of(page.one("#select-matching"))["list"] == "answer=open"


@pytest.mark.sqlite
@pytest.mark.parametrize("query", ["", "answer=open", "due=overdue", "due=soon", "answer=changed"])
def test_inbox_and_its_fragment_offer_as_many_orders(
    asha: Browser,
    arrive: Any,
    session: Session,
    pages: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
) -> None:
    now = clock.now()
    for number, order_id in enumerate(arrive(9)):
        deadline = now + timedelta(hours=(-1, 1, 9)[number % 3])
        response = ResponseState.CHANGED if number < 5 else ResponseState.NONE
        set_order(session, order_id, respond_by=deadline, response=response)
    monkeypatch.setattr(inbox_queries.order_page, "__kwdefaults__", {"limit": 1})
    asha.get(f"/orders?{query}")
    asha.get(f"/orders?{query}", headers=HTMX)
    assert pages[0]["matching"] == pages[1]["matching"] > 1


def test_all_orders_of_a_list_are_planned_in_pages(
    asha: Browser, arrive: Arrive, select_all: Any, session: Session
) -> None:
    ids = arrive(5)
    asha.respond(ids[0])
    page = select_all()
    assert "Respond to 4 orders" in page.visible_text
    assert len(page.page.select("tbody tr")) == 2
    form = page.one(f"form[action='{page.request.path}']")
    box = form.select("input[name^=remarks-]")[0]
    kept = asha.send(
        page.request.path,
        {**fields_of(form), str(box["name"]): "Own words", "supplier_remarks": "Shared words", "page": "2"},
    )
    second = asha.get(kept.location)
    assert second.one("textarea").get_text().strip() == "Shared words"
    assert len(second.page.select("tbody tr")) == 2
    assert count_rows(session, Decision) == 1
    result = send(asha, second)
    assert result.one("h1").get_text() == "4 orders confirmed"
    assert count_rows(session, Decision) == 5
    remarks = session.scalars(select(Decision.remarks)).all()
    assert sorted(remarks) == ["Confirmed", "Own words", *["Shared words"] * 3]


@pytest.mark.sqlite
def test_plan_names_orders_that_changed_since(
    asha: Browser, arrive: Arrive, select_all: Any, session: Session
) -> None:
    ids = arrive(2)
    page = select_all()
    set_order(session, ids[0], version=2)
    again = asha.get(page.request.path)
    assert "It is now version 2." in again.visible_text
    assert "1 of 2 orders are ready" in again.visible_text
    result = send(asha, again)
    assert "1 order skipped." in result.visible_text
    assert count_rows(session, Decision) == 1


def test_plan_sent_twice_records_once(
    asha: Browser, arrive: Arrive, select_all: Any, session: Session
) -> None:
    arrive(2)
    page = select_all()
    first, second = send(asha, page), send(asha, page)
    assert first.request.path == second.request.path
    assert count_rows(session, Decision) == 2


@pytest.mark.sqlite
def test_plan_of_another_person_is_not_found(omar: Browser, arrive: Arrive, select_all: Any) -> None:
    arrive(2)
    page = select_all()
    assert omar.get(page.request.path).status_code == 404
    token = omar.get("/orders").csrf_token
    assert omar.send(page.request.path, {"csrf_token": token}).status_code == 404


@pytest.mark.sqlite
def test_plan_with_invalid_fields_is_shown_again(
    asha: Browser, arrive: Arrive, select_all: Any, session: Session
) -> None:
    arrive(2)
    page = select_all()
    for fields in (
        {"supplier_remarks": ""},
        {"supplier_response": "MAYBE"},
        {"supplier_response": "RETURN"},
        {"csrf_token": "x"},
    ):
        assert send(asha, page, **fields).status_code == 422, fields
    own = {str(page.page.select("input[name^=remarks-]")[1]["name"]): 'a "quoted" remark'}
    response = send(asha, page, **own)
    assert (response.status_code, "cannot contain" in response.visible_text) == (422, True)
    assert count_rows(session, Decision) == 0


def test_select_all_of_a_hostile_list_causes_no_server_error(arrive: Arrive, select_all: Any) -> None:
    arrive(2)
    for query in ("answer=none&sort=x", "q=%00", "&" * 500, "status=?"):
        assert select_all(query).status_code == 200
    assert select_all("q=nothing+like+that").request.path == "/orders"


def test_many_responses_are_recorded_in_the_background(
    run_jobs: RunJobs,
    asha: Browser,
    arrive: Arrive,
    select_all: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrive(5)
    monkeypatch.setattr(bulk_response, "AT_ONCE", 4)
    monkeypatch.setattr(bulk_response, "BATCH", 2)
    page = send(asha, select_all())
    assert "0 of 5" in page.visible_text
    assert count_rows(session, Decision) == 0
    run_jobs()
    page = asha.get(page.request.path)
    assert page.one("h1").get_text() == "5 orders confirmed"
    assert count_rows(session, Decision) == 5
    entries = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.RESPONDED)).all()
    assert {(entry.actor, entry.role, entry.person_id is not None) for entry in entries} == {
        ("Asha", "supplier", True)
    }
    job_link = asha.get("/jobs").one(".jobs a.strong")
    job_page = asha.get(str(job_link["href"]))
    assert job_link.get_text(strip=True) == job_page.one("h1").get_text() == "Respond to 5 orders"
    assert job_page.one(".job-actions a")["href"] == page.request.path


@pytest.mark.sqlite
@pytest.mark.usefixtures("grace")
def test_undo_all_stops_the_background_job(
    app: Flask,
    asha: Browser,
    arrive: Arrive,
    select_all: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    run_jobs: RunJobs,
) -> None:
    arrive(5)
    monkeypatch.setattr(bulk_response, "AT_ONCE", 1)
    monkeypatch.setattr(bulk_response, "BATCH", 2)
    page = send(asha, select_all())
    tasks = worker(app.extensions["database"], app.extensions["settings"])
    while count_rows(session, Decision) == 0:
        assert tasks.run_next()
    undo(asha, page)
    run_jobs()
    assert count_rows(session, Decision) == 2
    assert not session.scalars(select(Decision).where(~Decision.undone)).all()
    counts = session.scalars(select(BulkItem.result)).all()
    assert counts.count(None) == 3


def test_old_plans_and_results_are_removed(
    database: Database,
    asha: Browser,
    arrive: Arrive,
    select_all: Any,
    session: Session,
    move_clock: MoveClock,
) -> None:
    ids = arrive(2)
    plan_url = select_all().request.path
    result_url = respond_to_all(asha, ids).request.path
    move_clock(days=2)
    assert bulk_response.remove_old(database) == 1
    assert (asha.get(plan_url).status_code, asha.get(result_url).status_code) == (404, 200)
    move_clock(days=90)
    assert bulk_response.remove_old(database) == 1
    assert count_rows(session, BulkItem) == 0
    assert count_rows(session, Decision) == 2
