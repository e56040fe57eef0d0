"""Order checks: what they compare, their sentences on the page, and how they are dismissed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditEntry, AuditObject
from app.db import Database, migrations
from app.network.vocabulary import Status
from app.orders import checks
from app.orders.check_presenters import checks_view
from app.orders.checks import Check, CheckKind, GstinProblem, compare_item, gstin_problem
from app.orders.models import OrderCheckDismissal, OrderItem, PurchaseOrder
from tests.buyer import Buyer, Change
from tests.fixture_types import Arrive
from tests.orders.bodies import body
from tests.people import HTMX, Browser, one
from tests.queries import count_rows

PARTIES = ("buyer", "supplier")


def line(**fields: Any) -> Change:
    def change(order: dict[str, Any]) -> None:
        order["itemLists"][0].update(fields)

    return change


def sentences(browser: Browser, order_id: int) -> list[str]:
    page = browser.get(f"/orders/{order_id}").page
    return [" ".join(item.get_text().split()) for item in page.select("#checks .check-list p")]


def item(**fields: Any) -> OrderItem:
    values = {"quantity": "10", "unit": "NOS", "unit_price": "5", "hsn_code": "73", "gst_rate": "18"}
    return OrderItem(**{"order_id": 1, "lead_days": 20, **values, **fields})


def test_order_without_earlier_ones_has_no_checks(asha: Browser, receive: Any) -> None:
    order_id = receive()
    assert sentences(asha, order_id) == []
    assert not asha.get(f"/orders/{order_id}").page.select("#checks")


def test_price_hsn_and_rate_are_compared_with_the_last_order(asha: Browser, receive: Any) -> None:
    first = receive(line(quantity=3))
    second = receive(line(quantity=4, unitPrice=194.23, hsnCode="84829900", gstRate=12))
    assert sentences(asha, second)[:3] == [
        "Unit price is 4.2% above the last order of this item (MAL/1: ₹186.40).",
        "HSN code is 84829900 instead of 84821011 in the last order of this item (MAL/1).",
        "GST rate is 12% instead of 18% in the last order of this item (MAL/1).",
    ]
    links = asha.get(f"/orders/{second}").page.select("#checks a")
    assert {link["href"] for link in links} == {f"/orders/{first}"}


def test_possible_duplicate_of_an_open_order_is_named(asha: Browser, receive: Any, session: Session) -> None:
    receive()
    second = receive()
    (sentence,) = sentences(asha, second)
    assert sentence.startswith("Possible duplicate of MAL/1: same items and quantities, received ")
    session.get_one(PurchaseOrder, 1).status = "CLOSED"
    session.commit()
    assert sentences(asha, second) == []


def test_orders_of_another_buyer_are_not_compared(asha: Browser, receive: Any, session: Session) -> None:
    receive(line(unitPrice=1))
    session.get_one(OrderItem, 1).buyer_b2b_id = "BUY9@bbps"
    session.commit()
    assert sentences(asha, receive()) == []


@pytest.mark.sqlite
def test_totals_that_do_not_add_up_are_shown(asha: Browser, receive: Any) -> None:
    def change(order: dict[str, Any]) -> None:
        order["poValueDetails"]["totalPOValue"] = 440

    assert sentences(asha, receive(change)) == ["Total is ₹440.00, but the lines add up to ₹439.90."]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("gstin", "problem"),
    [
        ("27AAPFU0939F1ZW", "its check digit is wrong"),
        ("27AAPFU0939F1Z", "a GSTIN has two digits and 13 letters or digits"),
        ("see letter", "a GSTIN has two digits and 13 letters or digits"),
    ],
)
def test_wrong_gstin_is_shown(asha: Browser, receive: Any, gstin: str, problem: str) -> None:
    def change(order: dict[str, Any]) -> None:
        order["supplierDetails"]["gstin"] = gstin

    (sentence,) = sentences(asha, receive(change))
    assert sentence == f"GSTIN {gstin.upper()} of the supplier is not valid: {problem}."


def test_quantity_and_date_are_unusual_only_beyond_every_earlier_order() -> None:
    earlier = [item(order_id=number, quantity=q) for number, q in ((1, "10"), (2, "40"), (3, "20"))]

    def kinds(**fields: Any) -> list[CheckKind]:
        return [kind for kind, _ in compare_item(item(order_id=9, **fields), earlier)]

    assert kinds(quantity="80") == kinds(quantity="5") == []
    assert kinds(quantity="81") == kinds(quantity="4") == [CheckKind.QUANTITY]
    assert kinds(quantity="500", unit="KGS") == []
    assert kinds(lead_days=18) == []
    assert kinds(lead_days=17) == [CheckKind.SOONER]
    assert list(compare_item(item(order_id=9, quantity="500"), earlier[:2])) == []


def test_differences_from_earlier_orders_name_both_values() -> None:
    earlier = [
        item(order_id=1, quantity="10", lead_days=20),
        item(order_id=2, quantity="40.5", unit_price="4", hsn_code="72", gst_rate="5", lead_days=30),
        item(order_id=3, quantity="20", lead_days=25),
    ]
    unusual = item(quantity="82", unit_price="6", hsn_code="74", gst_rate="12", lead_days=17)
    assert list(compare_item(unusual, earlier)) == [
        (CheckKind.PRICE, {"now": "6", "before": "5"}),
        (CheckKind.HSN, {"now": "74", "before": "73"}),
        (CheckKind.GST_RATE, {"now": "12", "before": "18"}),
        (CheckKind.QUANTITY, {"now": "82", "unit": "NOS", "least": "10", "most": "40.5"}),
        (CheckKind.SOONER, {"days": "8", "usual": "25"}),
    ]


@pytest.mark.parametrize("name", ["unit_price", "hsn_code", "gst_rate", "quantity", "lead_days"])
def test_missing_value_is_not_compared(name: str) -> None:
    values = {"unit_price": "6", "hsn_code": "74", "gst_rate": "12", "quantity": "99", "lead_days": 1}
    kinds = {
        "unit_price": CheckKind.PRICE,
        "hsn_code": CheckKind.HSN,
        "gst_rate": CheckKind.GST_RATE,
        "quantity": CheckKind.QUANTITY,
        "lead_days": CheckKind.SOONER,
    }
    others = set(kinds.values()) - {kinds[name]}
    earlier = [item(order_id=number) for number in (1, 2, 3)]
    assert {kind for kind, _ in compare_item(item(**values), earlier)} == set(kinds.values())
    assert {kind for kind, _ in compare_item(item(**{**values, name: None}), earlier)} == others
    without = [item(order_id=number, **{name: None}) for number in (1, 2, 3)]
    assert {kind for kind, _ in compare_item(item(**values), without)} == others


def test_price_and_quantity_in_another_unit_are_not_compared() -> None:
    earlier = [item(order_id=number, unit="KGS") for number in (1, 2, 3)]
    assert list(compare_item(item(quantity="99", unit_price="6"), earlier)) == []
    mixed = [item(order_id=1, quantity="50"), item(order_id=2, unit="KGS"), item(order_id=3, quantity="60")]
    ((kind, params),) = compare_item(item(quantity="24"), mixed)
    assert (kind, params["least"], params["most"]) == (CheckKind.QUANTITY, "50", "60")


def test_unusual_value_needs_three_earlier_orders_not_lines() -> None:
    lines = [item(order_id=1), item(order_id=1), item(order_id=2)]
    assert list(compare_item(item(quantity="99"), lines)) == []


def test_gstin_has_digits_letters_and_its_check_digit() -> None:
    for valid in ("29AAGCB7383J1Z4", "27AAPFU0939F1ZV"):
        assert gstin_problem(valid) is None
    assert gstin_problem("27APAFU0939F1ZV") is GstinProblem.CHECK_DIGIT
    for text in (
        "",
        "२७AAPFU0939F1ZV",
        "27AAPFU0939F1Z",
        "27AAPFU0939F1ZVV",
        "27aapfu0939f1zv",
        "2AAAPFU0939F1ZV",
        "27AAPFU0939F1Z-",
    ):
        assert gstin_problem(text) is GstinProblem.FORMAT


# --- Checks without a database


RECEIVED_AT = datetime(2026, 11, 20, tzinfo=UTC)


def other_order(number: int, **fields: Any) -> Any:
    values = {"status": Status.CREATED, "line_count": 1, "received_at": RECEIVED_AT, **fields}
    return SimpleNamespace(id=number, buyer_po_number=f"PO{number}", **values)


def test_item_check_names_its_line_and_the_last_order(monkeypatch: pytest.MonkeyPatch) -> None:
    queried: list[tuple[str, int]] = []

    def earlier_items(_session: Any, row: OrderItem, limit: int) -> list[Any]:
        queried.append((row.item_key, limit))
        return (
            [(item(unit_price="4"), other_order(7)), (item(), other_order(6))] if row.line_index != 1 else []
        )

    monkeypatch.setattr(checks, "earlier_items", earlier_items)
    keys = ["a", "b", "a", "c", "d"]
    rows = [item(line_index=index, item_key=key) for index, key in enumerate(keys)]
    session: Any = None
    order = body({}, {}, {}, {"serialno": "4", "orderLineReference": ""})
    params, other = {"now": "5", "before": "4"}, other_order(7)
    assert list(checks._item_checks(session, rows, order)) == [
        Check(CheckKind.PRICE, "00010", "1", params, other),
        Check(CheckKind.PRICE, "00030", "3", params, other),
        Check(CheckKind.PRICE, "4", "4", params, other),
    ]
    assert queried == [("a", 12), ("b", 12), ("c", 12), ("d", 12)]
    queried.clear()
    monkeypatch.setattr(checks, "ITEMS_MAX", 1)
    assert len(list(checks._item_checks(session, rows, order))) == 2
    assert queried == [("a", 12)]


@pytest.mark.parametrize(
    ("lines", "others", "duplicate"),
    [
        (1, [other_order(7), other_order(6)], 7),
        (1, [other_order(7, status=Status.ACCEPTED), other_order(6)], 6),
        (1, [other_order(7, line_count=2), other_order(6)], 6),
        (1, [other_order(5), other_order(6)], 6),
        (2, [other_order(7)], None),
        (0, [other_order(7)], None),
        (1, [], None),
    ],
)
def test_duplicate_is_the_newest_open_order_with_the_same_content(
    monkeypatch: pytest.MonkeyPatch, lines: int, others: list[Any], duplicate: int | None
) -> None:
    rows = [item(item_key="a")] if lines else []
    contents = {7: [item(item_key="a")], 6: [item(item_key="a")], 5: [item(item_key="a", unit="KGS")]}
    monkeypatch.setattr(checks, "orders_with_item", lambda session, row, limit: others[:limit])
    monkeypatch.setattr(checks, "items_of", lambda session, order_id, limit: contents[order_id][:limit])
    session: Any = None
    expected = (
        [
            Check(
                CheckKind.DUPLICATE,
                str(duplicate),
                other=next(order for order in others if order.id == duplicate),
            )
        ]
        if duplicate
        else []
    )
    assert list(checks._duplicates(session, other_order(9, line_count=lines), rows)) == expected


@pytest.mark.parametrize(
    ("gstin", "params"),
    [
        (None, None),
        ("", None),
        (" urp ", None),
        (" 27aapfu0939f1zv ", None),
        (" 27aapfu0939f1zw ", {"gstin": "27AAPFU0939F1ZW", "problem": "check_digit"}),
        ("x" * 41, {"gstin": "X" * 40, "problem": "format"}),
    ],
)
def test_gstin_of_each_party_is_checked(gstin: str | None, params: dict[str, str] | None) -> None:
    def gstin_checks(**details: Any) -> list[Check]:
        return list(checks._gstin_checks(body({}, **details)))

    buyer, supplier = ([Check(CheckKind.GSTIN, name, params=params)] if params else [] for name in PARTIES)
    assert gstin_checks(buyerDetails={"gstin": gstin}) == buyer
    assert gstin_checks(buyerDetails={"gstin": gstin}, supplierDetails={"gstin": gstin}) == buyer + supplier
    assert gstin_checks() == []


def test_total_check_names_the_total() -> None:
    order = body({"totalItemValue": 10, "unitPrice": 10, "quantity": 1}, poValueDetails={"totalPOValue": 11})
    (check,) = checks._total_checks(order)
    assert (check.kind, check.params) == (CheckKind.TOTAL, {"stated": "11", "calculated": "10"})
    assert check.reference == "totalPOValue"


@pytest.mark.parametrize("other", [None, other_order(7)])
def test_dismissal_is_stored_and_audited(monkeypatch: pytest.MonkeyPatch, other: Any) -> None:
    added: list[Any] = []
    audited: list[Any] = []
    session: Any = SimpleNamespace(add=added.append, flush=lambda: added.append("flush"))
    order = other_order(3, version=2)
    check = Check(CheckKind.PRICE, "00010", "1", {"now": "5", "before": "4"}, other)
    stored: dict[tuple[str, str], Any] = {("price", "00020"): 1, ("hsn", "00010"): 1}
    monkeypatch.setattr(checks, "dismissals", lambda *_: stored)
    monkeypatch.setattr(trail, "record", lambda *entry, **more: audited.append((entry, more)))
    monkeypatch.setattr(clock, "now", lambda: RECEIVED_AT)
    details: dict[str, Any] = {"note": "Agreed", "by": SimpleNamespace(id=5, display_name="Asha")}
    checks.dismiss(session, order, check, **details)
    row, flush = added
    names = ("order_id", "version", "kind", "reference", "note", "person_id", "person_name", "dismissed_at")
    values = [getattr(row, name) for name in names]
    assert values == [3, 2, "price", "00010", "Agreed", 5, "Asha", RECEIVED_AT]
    assert flush == "flush"
    after = {"check": "price", "reference": "00010", "version": 2, "now": "5", "before": "4"}
    ((entry, more),) = audited
    assert entry == (session, AuditAction.CHECK_DISMISSED, AuditObject.ORDER, 3)
    assert more == {
        "name": "PO3",
        "by": "Asha",
        "reason": "Agreed",
        "after": after | ({"compared with": "PO7"} if other else {}),
    }
    stored["price", "00010"] = row
    checks.dismiss(session, order, check, **details)
    assert (len(added), len(audited)) == (2, 1)


# --- Sentences


@pytest.mark.sqlite
def test_check_of_quantity_and_date_names_earlier_values(asha: Browser, receive: Any) -> None:
    for number in (2, 3, 4):
        receive(line(quantity=number))

    def change(order: dict[str, Any]) -> None:
        order["itemLists"][0]["quantity"] = 50
        order["deliveryDate"] = order["orderDate"]

    assert sentences(asha, receive(change)) == [
        "Quantity 50 NOS is unusually large: earlier orders had 2 to 4 (last one: MAL/3).",
        "Delivery is 10 days sooner than usual for this item: usually 10 days (last order: MAL/3).",
    ]


def test_edit_replaces_the_indexed_items(buyer: Buyer, session: Session) -> None:
    assert buyer.send().status_code == 200
    lines = [{"productDescription": "One"}, {"productDescription": ""}, {"productDescription": "Two"}]
    assert buyer.edit(itemLists=lines).status_code == 200
    assert session.scalars(select(OrderItem.line_index).order_by(OrderItem.line_index)).all() == [0, 2]


def test_many_checks_are_listed_up_to_a_limit() -> None:
    prices = {"now": "5", "before": "4"}
    many = [Check(CheckKind.PRICE, str(number), str(number), prices) for number in range(60)]
    view = checks_view(many, {}, ZoneInfo("UTC"), RECEIVED_AT)
    assert (len(view.shown), len(view.more), view.unlisted) == (4, 46, 10)


def dismissal(browser: Browser, order_id: int) -> dict[str, Any]:
    return browser.fill(f"/orders/{order_id}", f"/orders/{order_id}/checks/dismiss")


@pytest.mark.sqlite
def test_dismissed_check_shows_who_and_the_note(asha: Browser, receive: Any, session: Session) -> None:
    receive(line(unitPrice=1))
    order_id = receive(line(quantity=5))
    url = f"/orders/{order_id}/checks/dismiss"
    before = sentences(asha, order_id)
    labels = [
        " ".join(label.get_text().split())
        for label in asha.get(f"/orders/{order_id}").page.select(".dismiss summary")
    ]
    fields = dismissal(asha, order_id) | {"note": "New contract <b>"}
    for _ in range(2):
        response = asha.send(url, fields)
        assert response.status_code == 303
    assert response.location == f"/orders/{order_id}#checks"
    assert labels == [f"Dismiss: Line 1, {sentence}" for sentence in before]
    page = asha.get(f"/orders/{order_id}")
    assert "1 dismissed" in page.one("#checks").get_text()
    assert "Dismissed by Asha, " in " ".join(sentences(asha, order_id))
    assert page.one("#checks q").get_text() == "New contract <b>"
    assert not page.page.select("#checks form")
    (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.CHECK_DISMISSED))
    assert (entry.actor, entry.reason) == ("Asha", "New contract <b>")
    after = json.loads(entry.after)
    assert (after["check"], after["now"], after["before"]) == ("price", "186.4", "1")


def test_new_version_is_checked_again(asha: Browser, buyer: Buyer, receive: Any, session: Session) -> None:
    receive(line(unitPrice=1))
    assert buyer.send().status_code == 200
    order_id = session.scalar(select(func.max(PurchaseOrder.id))) or 0
    for fields in [dismissal(asha, order_id)] * 2:
        page = asha.get(f"/orders/{order_id}").page
        forms = page.select("#checks form")
        names = ("kind", "reference")
        chosen = {name: one(forms[0], f"[name={name}]")["value"] for name in names}
        asha.send(f"/orders/{order_id}/checks/dismiss", {**fields, **chosen, "note": "ok"})
    assert not asha.get(f"/orders/{order_id}").page.select("#checks form")
    assert buyer.edit().status_code == 200
    assert asha.get(f"/orders/{order_id}").page.select("#checks form")


@pytest.mark.sqlite
def test_dismissal_without_note_keeps_the_form(asha: Browser, receive: Any, session: Session) -> None:
    receive(line(unitPrice=1))
    order_id = receive(line(quantity=5))
    url = f"/orders/{order_id}/checks/dismiss"
    response = asha.send(url, dismissal(asha, order_id) | {"note": " "})
    assert response.status_code == 422
    assert "Enter a note." in response.one("#checks .field-error").get_text()
    long = asha.send(url, dismissal(asha, order_id) | {"note": "x" * 201}, headers=HTMX)
    assert long.status_code == 422
    assert long.one("#checks input[aria-invalid]")["value"] == "x" * 201
    assert count_rows(session, OrderCheckDismissal) == 0


@pytest.mark.sqlite
@pytest.mark.parametrize("wrong", [{"kind": "x"}, {"reference": "x" * 5000}, {"version": "9"}, {"kind": ""}])
def test_check_that_does_not_apply_is_a_conflict(asha: Browser, receive: Any, wrong: dict[str, str]) -> None:
    receive(line(unitPrice=1))
    order_id = receive(line(quantity=5))
    fields = dismissal(asha, order_id) | {"note": "ok"} | wrong
    response = asha.send(f"/orders/{order_id}/checks/dismiss", fields)
    assert response.status_code == 409
    assert "This check no longer applies" in response.visible_text


@pytest.mark.sqlite
def test_only_those_who_respond_may_dismiss(meera: Browser, omar: Browser, receive: Any) -> None:
    receive(line(unitPrice=1))
    order_id = receive(line(quantity=5))
    page = meera.get(f"/orders/{order_id}").page
    assert page.select("#checks li")
    assert not page.select("#checks form")
    url = f"/orders/{order_id}/checks/dismiss"
    token = meera.fill("/", "/logout")
    assert meera.send(url, token).status_code == 403
    assert omar.send(url, omar.fill("/", "/logout")).status_code == 404


@pytest.mark.sqlite
def test_checks_do_not_block_a_response(asha: Browser, receive: Any) -> None:
    receive(line(unitPrice=1))
    assert asha.respond(receive(line(quantity=5))).status_code == 303


def test_order_that_was_never_indexed_has_a_page(asha: Browser, receive: Any, session: Session) -> None:
    receive()
    order_id = receive()
    session.execute(delete(OrderItem))
    session.commit()
    assert sentences(asha, order_id) == []


def test_migration_indexes_existing_orders(arrive: Arrive, database: Database, session: Session) -> None:
    arrive(8)
    columns = [column for column in OrderItem.__table__.c if column.name != "id"]
    query = select(*columns).order_by(OrderItem.order_id, OrderItem.line_index)
    before = session.execute(query).all()
    session.close()
    with database.engine.connect() as connection:
        migrations.downgrade(connection, "0029")
    database.upgrade()
    assert session.execute(query).all() == before
    assert len(before) > 8
