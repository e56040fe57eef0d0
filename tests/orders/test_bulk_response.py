"""Several orders at once: one remark, a plan of what cannot be, a result per row."""

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


def press(browser: Browser, ids: list[int], **fields: Any) -> Any:
    token = plan(browser, ids).page.find("input", attrs={"name": "csrf_token"})["value"]
    given = {"supplier_response": "ACCEPT", "supplier_remarks": "Confirmed as ordered"}
    return browser.send("/orders/answers", {"csrf_token": token, "order_ids": ids, **given, **fields})


def test_several_orders_are_answered_with_one_remark(
    asha: Browser, arrive: Any, session: Session, deliver: Any
) -> None:
    ids = arrive(3)
    answer = press(asha, ids)
    assert answer.status_code == 200
    assert answer.words.count("Confirmed sending") == 3
    assert decisions(session) == 3
    assert deliver() == {"delivered": 3}


def test_the_plan_says_which_cannot_be_and_records_nothing(
    asha: Browser, arrive: Any, session: Session
) -> None:
    ids = arrive(3)
    asha.answer(ids[0], "REJECT", "No capacity")
    session.execute(update(PurchaseOrder).where(PurchaseOrder.id == ids[1]).values(status="CANCELLED"))
    session.commit()
    page = plan(asha, ids)
    assert page.status_code == 200
    assert "Asha already responded." in page.words
    assert "canceled by the buyer" in page.words
    assert page.one(".answer .btn-main").get_text(" ").split()[-2:] == ["1", "order"]
    assert decisions(session) == 1


def test_those_that_cannot_be_answered_do_not_keep_the_others_from_it(
    asha: Browser, arrive: Any, session: Session
) -> None:
    ids = arrive(3)
    asha.answer(ids[0], "REJECT", "No capacity")
    answer = press(asha, ids)
    assert answer.status_code == 200
    assert answer.words.count("Skipped Asha already responded.") == 1
    assert decisions(session) == 3


def test_an_order_that_changed_since_the_plan_is_left_alone(
    asha: Browser, arrive: Any, session: Session
) -> None:
    ids = arrive(2)
    session.execute(update(PurchaseOrder).where(PurchaseOrder.id == ids[0]).values(version=2))
    session.commit()
    answer = press(asha, ids, versions=[f"{ids[0]}:1", f"{ids[1]}:1"])
    assert "now version 2" in answer.words
    assert decisions(session) == 1


def test_pressed_twice_it_is_still_one_answer_each(asha: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    press(asha, ids)
    again = press(asha, ids)
    assert again.status_code == 200
    assert again.words.count("Already responded") == 2
    assert decisions(session) == 2


def test_somebody_else_s_orders_are_not_found(omar: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    answer = press(omar, ids)
    assert answer.status_code == 422
    assert "not found" in answer.words
    assert decisions(session) == 0


def test_remarks_that_make_no_sense_come_back(asha: Browser, arrive: Any, session: Session) -> None:
    ids = arrive(2)
    answer = press(asha, ids, supplier_remarks='He said "yes"')
    assert answer.status_code == 422
    assert "He said" in answer.text
    assert press(asha, ["x", "9" * 30]).status_code == 422  # type: ignore[list-item]
    assert decisions(session) == 0


def test_the_inbox_offers_to_answer_together_what_takes_an_answer(
    asha: Browser, meera: Browser, arrive: Any, session: Session
) -> None:
    ids = arrive(4)
    asha.answer(ids[0])
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


def test_an_answer_that_was_refused_can_be_given_anew_together(
    asha: Browser, arrive: Any, network: Any, deliver: Any
) -> None:
    (order_id,) = arrive(1)
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not so")
    asha.answer(order_id)
    deliver()
    assert asha.get("/orders").one("input[name=order_ids]")["value"] == str(order_id)
