"""Responses to single lines: encoding, validation and totals."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.network.messages import Invalid, ItemLine
from app.orders.line_entry import LINES_MAX, EnteredLine, EnteredSplit, read_lines, response_mismatch
from app.orders.line_responses import LineAction, LineResponse, Split, decode, encode, from_json, to_json
from app.orders.lines import line_amounts, ordered_lines, summarize
from app.orders.req_confirm import DecisionInput, req_confirm
from tests.orders.bodies import ORDER, body

NUMBERS = st.decimals(min_value=0, max_value=10**9, places=3)
DAYS = st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31))
REFERENCES = st.text(min_size=1, max_size=20)
LINES = st.builds(
    LineResponse,
    reference=REFERENCES,
    response=st.sampled_from([LineAction.CHANGED, LineAction.REJECTED]),
    quantity=st.none() | NUMBERS,
    delivery_date=st.none() | DAYS,
    unit_price=st.none() | NUMBERS,
    remarks=st.text(max_size=20),
    splits=st.lists(st.builds(Split, NUMBERS, DAYS), max_size=3).map(tuple),
)


BOLTS = {
    "quantity": 100,
    "unit": "NOS",
    "unitPrice": Decimal("12.500"),
    "assessmentAmount": Decimal("1250.00"),
    "totalItemValue": Decimal("1475.00"),
    "itemValueDetails": [{"type": "IGST", "value": Decimal("225.00")}],
}


def read(entered: EnteredLine, *items: dict[str, Any]) -> tuple[LineResponse, ...]:
    return read_lines(ordered_lines(body(*(items or (BOLTS,)))), [entered])


# --- On the wire


@given(st.lists(LINES, max_size=4, unique_by=lambda line: line.reference).map(tuple))
def test_decode_returns_what_encode_wrote(lines: tuple[LineResponse, ...]) -> None:
    assert decode([("costCentre", "CC1"), *encode(lines)]) == (lines, (("costCentre", "CC1"),))
    assert tuple(from_json(to_json(line)) for line in lines) == lines


def test_changed_line_is_sent_under_its_documented_names() -> None:
    line = LineResponse(
        "00010",
        LineAction.CHANGED,
        quantity=Decimal("40"),
        delivery_date=date(2026, 12, 4),
        unit_price=Decimal("12.75"),
        remarks="Short of steel",
        splits=(Split(Decimal(30), date(2026, 12, 4)), Split(Decimal(10), date(2026, 12, 18))),
    )
    assert encode([line]) == (
        ("line/00010/response", "CHANGED"),
        ("line/00010/quantity", "40"),
        ("line/00010/deliveryDate", "2026-12-04"),
        ("line/00010/unitPrice", "12.75"),
        ("line/00010/remarks", "Short of steel"),
        ("line/00010/split/1/quantity", "30"),
        ("line/00010/split/1/deliveryDate", "2026-12-04"),
        ("line/00010/split/2/quantity", "10"),
        ("line/00010/split/2/deliveryDate", "2026-12-18"),
    )


def test_slash_in_reference_is_escaped() -> None:
    line = LineResponse("A/split/1 50%", LineAction.REJECTED, remarks="No")
    assert encode([line])[0] == ("line/A%2Fsplit%2F1 50%25/response", "REJECTED")
    assert decode(encode([line])) == ((line,), ())


@pytest.mark.parametrize(
    "pair",
    [
        ("line/1/quantity", "many"),
        ("line/1/quantity", "1e5"),
        ("line/1/deliveryDate", "soon"),
        ("line/1/response", "MAYBE"),
        ("line//quantity", "1"),
        ("line/1/colour", "red"),
        ("line/1/split/0/quantity", "1"),
    ],
)
def test_pair_that_cannot_be_read_stays_a_custom_field(pair: tuple[str, str]) -> None:
    assert decode([pair]) == ((), (pair,))


def test_line_pairs_do_not_count_as_custom_fields() -> None:
    lines = tuple(LineResponse(str(number), LineAction.REJECTED, remarks="No") for number in range(60))
    message = req_confirm(ORDER, DecisionInput("ACCEPT", "Confirmed", "IP", "::1", (("a", "b"),) * 50, lines))
    assert message.count(b'"line/') == 120
    with pytest.raises(Invalid, match="at most 50 entries"):
        req_confirm(ORDER, DecisionInput("ACCEPT", "Confirmed", "IP", "::1", (("a", "b"),) * 51, lines))


# --- Validation


def test_references_are_unique_for_each_line() -> None:
    items = (
        {"orderLineReference": "10"},
        {"orderLineReference": "10", "serialno": "2"},
        {"orderLineReference": "10", "serialno": "2"},
        {"orderLineReference": "", "serialno": "4"},
        {"orderLineReference": "x" * 101, "serialno": ""},
    )
    references = [line.reference for line in ordered_lines(body(*items))]
    assert references == ["1", "#2", "#3", "4", "#5"]


def test_changed_values_are_read_exactly() -> None:
    entered = EnteredLine("00010", "CHANGED", "1,00,000.125", "2026-12-04", "12.75", "Steel  price")
    assert read(entered) == (
        LineResponse(
            "00010",
            LineAction.CHANGED,
            Decimal("100000.125"),
            date(2026, 12, 4),
            Decimal("12.75"),
            "Steel  price",
        ),
    )


def test_values_as_ordered_are_not_a_change() -> None:
    entered = EnteredLine("00010", "AS_ORDERED", "100.000", "2026-12-18", "12.5")
    assert read(entered) == ()
    assert entered.errors == {}


def test_changed_value_without_choice_is_a_change() -> None:
    (response,) = read(EnteredLine("00010", quantity="40"))
    assert (response.response, response.quantity) == (LineAction.CHANGED, Decimal(40))


def test_rejected_line_has_only_its_reason() -> None:
    entered = EnteredLine("00010", "REJECTED", "100", "2026-12-18", "12.50", "Out of stock")
    assert read(entered) == (LineResponse("00010", LineAction.REJECTED, remarks="Out of stock"),)


def test_split_adds_up_to_the_changed_quantity() -> None:
    splits = {0: EnteredSplit("40", "2026-12-04"), 3: EnteredSplit("20", "2026-12-18"), 5: EnteredSplit()}
    (response,) = read(EnteredLine("00010", "CHANGED", "60", splits=splits))
    assert response.splits == (Split(Decimal(40), date(2026, 12, 4)), Split(Decimal(20), date(2026, 12, 18)))


@pytest.mark.parametrize(
    ("entered", "field"),
    [
        (EnteredLine("00010", "MAYBE"), "response"),
        (EnteredLine("00010", "CHANGED"), "response"),
        (EnteredLine("00010", "CHANGED", remarks="Why not"), "response"),
        (EnteredLine("00010", "AS_ORDERED", quantity="40"), "response"),
        (EnteredLine("00010", "AS_ORDERED", remarks="Why not"), "response"),
        (EnteredLine("00010", "REJECTED", quantity="40", remarks="No"), "response"),
        (EnteredLine("00010", "REJECTED"), "remarks"),
        (EnteredLine("00010", "REJECTED", remarks='He said "no"'), "remarks"),
        (EnteredLine("00010", "REJECTED", remarks="x" * 101), "remarks"),
        (EnteredLine("00010", "CHANGED", quantity="0"), "quantity"),
        (EnteredLine("00010", "CHANGED", quantity="-1"), "quantity"),
        (EnteredLine("00010", "CHANGED", quantity="forty"), "quantity"),
        (EnteredLine("00010", "CHANGED", quantity="1e3"), "quantity"),
        (EnteredLine("00010", "CHANGED", quantity="NaN"), "quantity"),
        (EnteredLine("00010", "CHANGED", quantity="9" * 5000), "quantity"),
        (EnteredLine("00010", "CHANGED", quantity="1" + "0" * 12), "quantity"),
        (EnteredLine("00010", "CHANGED", unit_price="12.1234"), "unit_price"),
        (EnteredLine("00010", "CHANGED", unit_price="-0.01"), "unit_price"),
        (EnteredLine("00010", "CHANGED", delivery_date="18/12/2026"), "delivery_date"),
        (EnteredLine("00010", "CHANGED", delivery_date="2026-02-30"), "delivery_date"),
        (EnteredLine("00010", "CHANGED", delivery_date="9999-12-31"), "delivery_date"),
        (EnteredLine("00010", "CHANGED", splits={0: EnteredSplit("99", "2026-12-04")}), "splits"),
        (EnteredLine("00010", "CHANGED", splits={0: EnteredSplit("100", "")}), "splits"),
        (EnteredLine("00010", "CHANGED", splits={0: EnteredSplit("", "2026-12-04")}), "splits"),
        (EnteredLine("00010", "CHANGED", splits={0: EnteredSplit("all", "2026-12-04")}), "splits"),
        (
            EnteredLine(
                "00010", "CHANGED", splits={row: EnteredSplit("1", "2026-12-04") for row in range(21)}
            ),
            "splits",
        ),
        (EnteredLine("99999", "CHANGED", quantity="40"), "reference"),
        (EnteredLine("", "CHANGED", quantity="40"), "reference"),
    ],
)
def test_invalid_line_has_an_error_at_its_field(entered: EnteredLine, field: str) -> None:
    assert read(entered) == ()
    assert list(entered.errors) == [field]


def test_same_line_entered_twice_is_an_error() -> None:
    entered = [EnteredLine("00010", quantity="40"), EnteredLine("00010", quantity="50")]
    read_lines(ordered_lines(body(BOLTS)), entered)
    assert "twice" in entered[1].errors["reference"]


def test_rejecting_every_line_needs_a_rejection() -> None:
    rejected = LineResponse("1", LineAction.REJECTED, remarks="No")
    changed = LineResponse("2", LineAction.CHANGED, quantity=Decimal(1))
    assert "Choose Reject" in response_mismatch("ACCEPT", [rejected], 1)
    assert "Choose Reject" in response_mismatch("RETURN", [rejected], 1)
    assert "whole order" in response_mismatch("REJECT", [rejected], 2)
    assert "whole order" in response_mismatch("REJECT", [changed], 1)
    for kind, lines, count in (("ACCEPT", [rejected], 2), ("REJECT", [rejected], 1), ("REJECT", [], 1)):
        assert response_mismatch(kind, lines, count) == ""


# --- Totals


def test_amounts_follow_quantity_and_price() -> None:
    item = ItemLine.model_validate(BOLTS, by_alias=True, by_name=False)
    change = LineResponse("1", LineAction.CHANGED, quantity=Decimal(40), unit_price=Decimal("12.75"))
    amounts = line_amounts(item, change)
    assert (amounts.net, amounts.tax, amounts.total) == (
        Decimal("510.00"),
        Decimal("91.80"),
        Decimal("601.80"),
    )


def test_summary_counts_lines_and_totals() -> None:
    order = body(BOLTS, BOLTS, BOLTS, poValueDetails={"totalPOValue": Decimal("4400.00")})
    summary = summarize(
        order,
        [
            LineResponse("00010", LineAction.CHANGED, quantity=Decimal(50)),
            LineResponse("00020", LineAction.REJECTED, remarks="No"),
        ],
    )
    assert (summary.lines, summary.as_ordered, summary.changed, summary.rejected) == (3, 1, 1, 1)
    assert summary.ordered.total == Decimal("4400.00")
    assert summary.confirmed.total == Decimal("4400.00") - Decimal("737.50") - Decimal("1475.00")
    assert summary.confirmed.net == Decimal("1875.00")


def test_total_without_order_total_is_unknown() -> None:
    order = body({"totalItemValue": Decimal(10)})
    changed = LineResponse("00010", LineAction.CHANGED, quantity=Decimal(50))
    assert summarize(order, [changed]).confirmed.total is None
    rejected = LineResponse("00010", LineAction.REJECTED, remarks="No")
    assert summarize(order, [rejected]).confirmed.total == 0


def test_limit_of_lines_keeps_the_message_below_a_megabyte() -> None:
    longest = LineResponse(
        "x" * 20, LineAction.CHANGED, Decimal("99999.999"), date(2026, 12, 4), Decimal("99999.999"), "r" * 100
    )
    message = encode([longest] * LINES_MAX)
    assert sum(len(name) + len(value) + 26 for name, value in message) < 1024 * 1024
