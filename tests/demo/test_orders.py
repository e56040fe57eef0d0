"""Example orders are realistic, current and exact."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demo.orders import ORDERS_FILE, PERIOD, example_orders, new_order
from app.network.messages import ItemLine, ReqSend, parse
from app.network.reader import dumps, read_json
from app.network.vocabulary import Kind

pytestmark = pytest.mark.sqlite

NOW = datetime(2027, 3, 1, 0, 5, tzinfo=UTC)
PAISA = Decimal("0.01")


def parsed(order: object) -> ReqSend:
    return parse(Kind.REQ_SEND, read_json(dumps(order)))


def paise(amount: Decimal) -> Decimal:
    return amount.quantize(PAISA, ROUND_HALF_UP)


def check_line(line: ItemLine) -> None:
    assert line.quantity
    assert line.unit_price is not None
    assert line.gst_rate is not None
    assert line.item_value_details
    amount = paise(line.quantity * line.unit_price)
    tax = paise(amount * line.gst_rate / 100)
    assert line.total_amt == line.assessment_amount == amount
    assert line.item_value_details[0].value == tax
    assert line.total_item_value == amount + tax


def test_example_orders_are_from_the_last_day() -> None:
    orders = [parsed(order).purchase_order for order in example_orders(NOW)]
    sent = [datetime.fromisoformat(order.ts) for order in orders]
    assert len(orders) == len({order.object_id for order in orders}) == 60
    assert min(sent) == NOW - PERIOD
    assert max(sent) == NOW - timedelta(minutes=10)
    assert all(order.ts.endswith("Z") for order in orders)
    assert all(order.ts.startswith(order.order_date) for order in orders)


def test_example_orders_change_only_their_dates() -> None:
    originals = [read_json(line) for line in ORDERS_FILE.read_bytes().splitlines()]
    for original, moved in zip(originals, example_orders(NOW), strict=True):
        was, now = original["purchaseOrder"], moved["purchaseOrder"]
        assert {name for name in was if was[name] != now[name]} <= {"ts", "orderDate", "deliveryDate"}
        lead_times = [
            date.fromisoformat(order["deliveryDate"]) - date.fromisoformat(order["orderDate"])
            for order in (was, now)
        ]
        assert lead_times[0] == lead_times[1]
        assert original | {"purchaseOrder": now} == moved


@given(st.integers())
def test_new_order_totals_add_up_exactly(seed: int) -> None:
    order = parsed(new_order(Random(seed), NOW)).purchase_order
    for line in order.item_lists:
        check_line(line)
    values = order.po_value_details
    assert values["assessmentValue"] == sum(line.assessment_amount or 0 for line in order.item_lists)
    assert values["totalPOValue"] == sum(line.total_item_value or 0 for line in order.item_lists)
    assert values["totalTaxValue"] == values["totalPOValue"] - values["assessmentValue"]


def test_new_order_has_a_new_id_and_current_dates() -> None:
    rng = Random(1)
    orders = [parsed(new_order(rng, NOW)).purchase_order for _ in range(50)]
    assert len({order.object_id for order in orders}) == 50
    assert len({order.buyer_po_number for order in orders}) == 50
    for order in orders:
        assert order.object_id.startswith("POR")
        assert len(order.object_id) == 35
        assert order.object_id[3:].isalnum()
        assert (order.ts, order.order_date) == ("2027-03-01T00:05:00Z", "2027-03-01")
        assert order.delivery_date > order.order_date
        assert order.object_version.new_version == 1


@pytest.mark.parametrize("seed", range(20))
def test_tax_is_split_if_buyer_and_supplier_share_a_state(seed: int) -> None:
    order = parsed(new_order(Random(seed), NOW)).purchase_order
    assert order.supplier_details
    assert order.buyer_details
    same = order.supplier_details.state_code == order.buyer_details.state_code
    kinds = {detail.type for line in order.item_lists for detail in line.item_value_details or []}
    assert kinds == {"CGST_SGST" if same else "IGST"}
