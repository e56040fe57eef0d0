"""Bulk responses: one remark, a preview, a result for each order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.orders.models import Decision, PurchaseOrder
from tests.people import Browser


def decisions(session: Session) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(Decision)) or 0


def plan(browser: Browser, ids: list[int]) -> Any:
    return browser.get("/orders/answers/plan", query_string={"order_ids": ids})


def respond_to_all(browser: Browser, ids: list[int], **fields: Any) -> Any:
    token = plan(browser, ids).page.find("input", attrs={"name": "csrf_token"})["value"]
    response = {"supplier_response": "ACCEPT", "supplier_remarks": "Confirmed as ordered"}
    return browser.send("/orders/answers", {"csrf_token": token, "order_ids": ids, **response, **fields})


def test_bulk_response_records_each_order(asha: Browser, arrive: Any, session: Session, deliver: Any) -> None:
    ids = arrive(3)
    response = respond_to_all(asha, ids)
    assert response.status_code == 200
    assert response.words.count("Confirmed sending") == 3
    assert decisions(session) == 3
    assert deliver() == {"delivered": 3}


def test_preview_names_skipped_orders_and_records_nothing(
    asha: Browser, arrive: Any, session: Session
) -> None:
    ids = arrive(3)
    asha.respond(ids[0], "REJECT", "No capacity")
    session.execute(update(PurchaseOrder).where(PurchaseOrder.id == ids[1]).values(status="CANCELLED"))
    session.commit()
    page = plan(asha, ids)
    assert page.status_code == 200
    assert "Asha already responded." in page.words
    assert "canceled by the buyer" in page.words
    assert page.one(".answer .btn-main").get_text(" ").split()[-2:] == ["1", "order"]
    assert decisions(session) == 1


def test_bulk_response_skips_orders_with_a_response(asha: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(3)
    asha.respond(ids[0], "REJECT", "No capacity")
    response = respond_to_all(asha, ids)
    assert response.status_code == 200
    assert response.words.count("Skipped Asha already responded.") == 1
    assert decisions(session) == 3


def test_bulk_response_skips_changed_order(asha: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    session.execute(update(PurchaseOrder).where(PurchaseOrder.id == ids[0]).values(version=2))
    session.commit()
    response = respond_to_all(asha, ids, versions=[f"{ids[0]}:1", f"{ids[1]}:1"])
    assert "now version 2" in response.words
    assert decisions(session) == 1


def test_bulk_response_twice_records_once(asha: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    respond_to_all(asha, ids)
    again = respond_to_all(asha, ids)
    assert again.status_code == 200
    assert again.words.count("Already responded") == 2
    assert decisions(session) == 2


def test_bulk_response_to_foreign_orders_is_not_found(omar: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    response = respond_to_all(omar, ids)
    assert response.status_code == 422
    assert "not found" in response.words
    assert decisions(session) == 0


def test_bulk_response_invalid_remarks_are_shown_again(asha: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    response = respond_to_all(asha, ids, supplier_remarks='He said "yes"')
    assert response.status_code == 422
    assert "He said" in response.text
    assert respond_to_all(asha, ["x", "9" * 30]).status_code == 422  # type: ignore[list-item]
    assert decisions(session) == 0


def test_inbox_selects_only_orders_that_need_response(
    asha: Browser, meera: Browser, arrive: Any, session: Session
) -> None:
    ids = arrive(4)
    asha.respond(ids[0])
    session.execute(update(PurchaseOrder).where(PurchaseOrder.id == ids[1]).values(status="CANCELLED"))
    session.commit()
    page = asha.get("/orders")
    form = page.one("form#selection")
    assert (form["method"], form["action"]) == ("get", "/orders/answers/plan")
    boxes = page.page.select("input[type=checkbox][name=order_ids]")
    assert {int(str(box["value"])) for box in boxes} == set(ids[2:])
    assert {str(box["form"]) for box in boxes} == {"selection"}
    assert not form.select("input[name=order_ids]")
    planned = asha.get(str(form["action"]), query_string={"order_ids": [box["value"] for box in boxes]})
    assert planned.one(".answer .btn-main").get_text(" ").split()[-2:] == ["2", "orders"]
    assert not meera.get("/orders").page.select("form#selection, input[name=order_ids]")
    assert not asha.get("/orders?answer=ACCEPT").page.select("form#selection")


def test_refused_response_can_be_selected_again(
    asha: Browser, arrive: Any, network: Any, deliver: Any
) -> None:
    (order_id,) = arrive(1)
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    asha.respond(order_id)
    deliver()
    assert asha.get("/orders").one("input[name=order_ids]")["value"] == str(order_id)
