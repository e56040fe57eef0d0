"""The filters of the inbox by buyer, supplier, amount, days and assignee."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from app.accounts.models import Person
from app.db import Database
from app.orders.models import NO_TOTAL, PAISE_MAX, PurchaseOrder, to_paise
from app.orders.queries import supplier_names
from tests.bench.setup import statements
from tests.fixture_types import Arrive
from tests.people import BEARINGS, HTMX, TRIVENI, Browser, po_numbers


def numbers(browser: Browser, query: str) -> list[str]:
    page = browser.get(f"/orders?{query}")
    assert page.status_code == 200, query
    return sorted(po_numbers(page))


@pytest.fixture
def orders(arrive: Arrive, database: Database) -> list[PurchaseOrder]:
    """Eight orders, as stored."""
    ids = arrive(8)
    with database.reading() as session:
        return list(session.scalars(select(PurchaseOrder).where(PurchaseOrder.id.in_(ids))))


def test_names_of_suppliers_are_read_in_one_query(orders: list[PurchaseOrder], database: Database) -> None:
    newest = {
        order.supplier_b2b_id: order.supplier_name
        for order in sorted(orders, key=lambda order: (order.respond_by, order.id))
    }
    names: list[dict[str, str]] = []
    with database.reading() as session:
        queries = statements(
            database.engine, lambda: names.append(supplier_names(session, [*newest, "NOBODY@bbps"]))
        )
        assert supplier_names(session, []) == {}
    assert names == [newest]
    assert len(queries) == 1


def test_buyer_is_found_by_part_of_name_or_by_id(meera: Browser, orders: list[PurchaseOrder]) -> None:
    buyer = orders[0]
    expected = sorted(order.buyer_po_number for order in orders if order.buyer_name == buyer.buyer_name)
    for text in (buyer.buyer_name, buyer.buyer_name[1:-1].upper()):
        assert numbers(meera, f"buyer={text}") == expected
    of_id = sorted(order.buyer_po_number for order in orders if order.buyer_b2b_id == buyer.buyer_b2b_id)
    assert numbers(meera, f"buyer={buyer.buyer_b2b_id}") == of_id
    assert numbers(meera, "buyer=%25") == numbers(meera, "buyer=_____") == []


def test_supplier_is_found_by_id_within_the_scope(
    asha: Browser, omar: Browser, orders: list[PurchaseOrder]
) -> None:
    for b2b_id in (TRIVENI, BEARINGS):
        expected = sorted(order.buyer_po_number for order in orders if order.supplier_b2b_id == b2b_id)
        assert numbers(asha, f"supplier={b2b_id}") == expected
    assert numbers(omar, f"supplier={TRIVENI}") == []


def test_amounts_include_both_ends(asha: Browser, orders: list[PurchaseOrder]) -> None:
    totals = sorted(float(order.total or 0) for order in orders)
    low, high = totals[2], totals[5]
    expected = sorted(order.buyer_po_number for order in orders if low <= float(order.total or 0) <= high)
    assert numbers(asha, f"amount_min={low:.2f}&amount_max={high:.2f}") == expected
    assert numbers(asha, f"amount_min={low:,.2f}&amount_max=₹{high:,.2f}") == expected


def test_order_without_total_is_in_no_amount_range(
    asha: Browser, orders: list[PurchaseOrder], database: Database
) -> None:
    with database.writing() as session:
        order = session.get_one(PurchaseOrder, orders[0].id)
        order.total = None
        session.commit()
        assert order.total_paise == NO_TOTAL
    assert orders[0].buyer_po_number not in numbers(asha, "amount_max=999999999999999")
    assert orders[0].buyer_po_number not in numbers(asha, "amount_min=0")


def test_days_of_receipt_are_days_of_the_reader(
    asha: Browser, orders: list[PurchaseOrder], database: Database
) -> None:
    at = ("2026-11-20T18:29:59+00:00", "2026-11-20T18:30:00+00:00", "2026-11-21T18:30:00+00:00")
    with database.writing() as session:
        for order, text in zip(orders, at, strict=False):
            moment = type(order.received_at).fromisoformat(text)
            session.execute(
                update(PurchaseOrder).where(PurchaseOrder.id == order.id).values(received_at=moment)
            )
        session.commit()
    # Midnight in India is 18:30 UTC.
    day = "received_since=2026-11-21&received_until=2026-11-21"
    assert numbers(asha, day) == [orders[1].buyer_po_number]
    assert orders[2].buyer_po_number in numbers(asha, "received_since=2026-11-22T00:00")
    assert numbers(asha, "received_until=2026-11-20") == [orders[0].buyer_po_number]


def test_delivery_days_include_both_ends(asha: Browser, orders: list[PurchaseOrder]) -> None:
    day = orders[0].delivery_day
    expected = sorted(order.buyer_po_number for order in orders if order.delivery_day == day)
    assert numbers(asha, f"deliver_by_since={day}&deliver_by_until={day}") == expected
    later = sorted(order.buyer_po_number for order in orders if order.delivery_day >= day)
    assert numbers(asha, f"deliver_by_since={day}") == later


def test_assigned_filter_accepts_a_username_me_and_none(
    asha: Browser, meera: Browser, orders: list[PurchaseOrder], database: Database
) -> None:
    with database.writing() as session:
        for order, name in ((orders[0], "asha"), (orders[1], "omar")):
            person = session.scalar(select(Person).where(Person.username == name))
            assert person
            session.get_one(PurchaseOrder, order.id).assignee_id = person.id
        session.commit()
    asha_order, omar_order = orders[0].buyer_po_number, orders[1].buyer_po_number
    assert numbers(asha, "assigned=me") == numbers(meera, "assigned=asha") == [asha_order]
    assert numbers(asha, "assigned=OMAR") == [omar_order]
    assert numbers(meera, "assigned=none") == sorted(order.buyer_po_number for order in orders[2:])
    assert numbers(meera, "assigned=nobody-known") == []
    choices = asha.get("/orders").page.select("select[name=assigned] option")
    assert [option.get_text() for option in choices] == ["Any assignee", "Me", "Unassigned", "Asha", "Omar"]
    chips = asha.get("/orders?assigned=me").page.select(".filter-chip bdi")
    assert [chip.get_text() for chip in chips] == ["Me"]


@pytest.mark.sqlite
def test_invalid_filter_has_its_error_beside_it_and_keeps_the_text(
    subtests: pytest.Subtests, asha: Browser, arrive: Arrive
) -> None:
    arrive(2)
    for name, value in (
        ("amount_min", "many"),
        ("amount_min", "1e9"),
        ("amount_max", "9" * 400),
        ("amount_max", "-1"),
        ("amount_max", "NaN"),
        ("amount_min", "1.001"),
        ("received_since", "soon"),
        ("received_until", "0001-01-01"),
        ("received_until", "9999-12-31"),
        ("deliver_by_since", "30/11/2026"),
        ("deliver_by_until", "2026-02-30"),
        ("buyer", "x" * 101),
        ("supplier", "x" * 101),
    ):
        with subtests.test(name=name):
            page = asha.get("/orders", query_string={name: value, "answer": "open"})
            assert page.status_code == 200
            field = page.one(f"#{name}")
            assert field["value"] == value
            assert field["aria-invalid"] == "true"
            assert page.one(f"#{field['aria-describedby']}").get_text()
            assert page.one(".more-filters").has_attr("open")
            assert page.one(".list .notice.warn")
            assert [chip.get_text() for chip in page.page.select(".filter-chip bdi")] == ["Needs response"]
            fragment = asha.get("/orders", query_string={name: value}, headers=HTMX)
            assert fragment.one(f"#{name}-error").get_text()


def test_hostile_text_matches_nothing(subtests: pytest.Subtests, asha: Browser, arrive: Arrive) -> None:
    arrive(1)
    for value in ("'; DROP TABLE person; --", "\u202e%_\\", "\ud800x", "🙂" * 20):
        for name in ("buyer", "supplier", "assigned"):
            with subtests.test(name=name, value=ascii(value)):
                url = "/orders?" + name + "=" + value.encode("utf-8", "surrogatepass").decode("latin-1")
                page = asha.get(url)
                assert page.status_code == 200
                assert not page.page.select("#orders-list tbody tr")


def test_invalid_page_of_amounts_shows_the_first(
    subtests: pytest.Subtests, asha: Browser, arrive: Arrive
) -> None:
    arrive(2)
    for key in ("MX4x", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTl-MQ", "LX4x", "eH4x"):
        with subtests.test(key=key):
            page = asha.get(f"/orders?sort=-amount&after={key}")
            assert page.status_code == 200
            assert len(page.page.select("#orders-list tbody tr")) in (0, 2)


def test_column_header_sorts_by_amount(asha: Browser, orders: list[PurchaseOrder]) -> None:
    url = asha.get("/orders").one("th.col-total a")["href"]
    by_total = sorted(orders, key=lambda order: (order.total_paise, order.id))
    assert po_numbers(asha.get(url)) == [order.buyer_po_number for order in by_total]


@pytest.mark.parametrize(
    ("total", "paise"),
    [(None, NO_TOTAL), ("0", 0), ("1.005", 101), ("-3", 0), ("9" * 59, PAISE_MAX), ("418900.00", 41890000)],
)
def test_to_paise_rounds_within_its_bounds(total: str | None, paise: int) -> None:
    assert to_paise(total) == paise
