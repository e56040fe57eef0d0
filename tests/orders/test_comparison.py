"""Differences between two versions of an order."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from app.demo.orders import ORDERS_FILE
from app.network.messages import ReqSend, parse
from app.network.reader import dumps, read_json
from app.network.vocabulary import Kind
from app.orders.comparison import Difference, compare
from app.orders.document_presenters import change_counts

FOLLOWUPS = ORDERS_FILE.with_name("followups.jsonl")


@pytest.fixture
def body(example_bodies: list[Any]) -> dict[str, Any]:
    """An order of several lines."""
    return copy.deepcopy(
        next(example for example in example_bodies if len(example["purchaseOrder"]["itemLists"]) == 3)
    )


def read(body: dict[str, Any]) -> ReqSend:
    return parse(Kind.REQ_SEND, read_json(dumps(body)))


def changed(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A copy to change, and its order."""
    other = copy.deepcopy(body)
    return other, other["purchaseOrder"]


def test_compare_equal_orders_in_other_spelling_is_empty(body: dict[str, Any]) -> None:
    other, order = changed(body)
    line = order["itemLists"][0]
    line["quantity"] = Decimal(line["quantity"]).quantize(Decimal("0.000"))
    line["barCode"] = None
    order["ts"] = "2030-01-01T00:00:00Z"
    order["objectVersion"] = {"currentVersion": 1, "newVersion": 2}
    differences = compare(read(body), read(other))
    assert not differences
    assert change_counts(differences) == "no visible changes"


def test_compare_header_fields_has_old_and_new(body: dict[str, Any]) -> None:
    other, order = changed(body)
    was = (order["deliveryDate"], order["subject"])
    order["deliveryDate"], order["subject"] = "2027-01-15", "Moved"
    differences = compare(read(body), read(other))
    assert differences.header == (
        Difference("deliveryDate", "Delivery date", was[0], "2027-01-15"),
        Difference("subject", "Subject", was[1], "Moved"),
    )
    assert not differences.lines
    assert change_counts(differences) == "delivery date, subject"


def test_compare_nested_fields_lists_each_leaf_by_name(body: dict[str, Any]) -> None:
    other, order = changed(body)
    order["buyerDetails"]["address"]["city"] = "Nagpur"
    order["poInfos"] = [{"name": "Insurance", "value": "Buyer"}, *order["poInfos"]]
    order["shippingTermsDetails"]["incoterm"] = "DDP"
    other["additionalInfos"] = [{"name": "costCentre", "value": "CC000"}]
    fields = {field.path: field for field in compare(read(body), read(other)).header}
    assert set(fields) == {
        "buyerDetails.address.city",
        "poInfos.Insurance",
        "shippingTermsDetails.incoterm",
        "additionalInfos.costCentre",
    }
    assert fields["buyerDetails.address.city"].label == "Buyer: address city"
    assert (fields["poInfos.Insurance"].old, fields["poInfos.Insurance"].new) == (None, "Buyer")
    assert fields["additionalInfos.costCentre"].label == "Additional information: costCentre"


def test_compare_unknown_fields_are_included(body: dict[str, Any]) -> None:
    other, order = changed(body)
    body["purchaseOrder"]["colour"] = {"ral": [5010]}
    order["colour"] = {"ral": [5010, 6018]}
    (field,) = compare(read(body), read(other)).header
    assert (field.path, field.old, field.new) == ("colour.ral.2", None, 6018)


def test_compare_changed_line_has_fields_with_exact_amounts(body: dict[str, Any]) -> None:
    other, order = changed(body)
    line = order["itemLists"][1]
    was = line["quantity"]
    line["quantity"], line["unitPrice"] = Decimal("7.125"), Decimal("0.1")
    (change,) = compare(read(body), read(other)).lines
    assert (change.kind, change.label) == ("changed", line["serialno"])
    assert [(field.label, field.new) for field in change.fields] == [
        ("Quantity", Decimal("7.125")),
        ("Unit price", Decimal("0.1")),
    ]
    assert change.fields[0].old == was
    assert change.line.quantity == Decimal("7.125")


def test_compare_inserted_first_line_changes_no_other(body: dict[str, Any]) -> None:
    other, order = changed(body)
    removed = order["itemLists"].pop()
    added = {**copy.deepcopy(removed), "serialno": "1", "orderLineReference": "00005"}
    for number, line in enumerate(order["itemLists"], start=2):
        line["serialno"] = str(number)
    order["itemLists"].insert(0, added)
    differences = compare(read(body), read(other))
    assert [(change.kind, change.label) for change in differences.lines] == [
        ("added", "1"),
        ("removed", removed["serialno"]),
    ]
    assert change_counts(differences).startswith("1 line added, 1 removed")


def test_line_label_is_serialno_else_reference_else_position(body: dict[str, Any]) -> None:
    other, order = changed(body)
    lines = order["itemLists"]
    for line in (*body["purchaseOrder"]["itemLists"], *lines):
        line.pop("serialno", None)
        line.pop("orderLineReference", None)
    lines[1]["quantity"] = 901
    lines[2] |= {"orderLineReference": "REF-3", "quantity": 902}
    lines[0] |= {"serialno": "A1", "orderLineReference": "REF-1", "quantity": 903}
    labels = {line.new.quantity: line.label for line in compare(read(body), read(other)).lines if line.new}
    assert labels == {903: "A1", 901: "2", 902: "REF-3"}


def test_differences_are_true_with_header_or_lines(body: dict[str, Any]) -> None:
    header, order = changed(body)
    order["subject"] = "Moved"
    lines, order = changed(body)
    order["itemLists"][0]["quantity"] = 901
    assert compare(read(body), read(header)) and compare(read(body), read(lines))


def test_change_counts_name_parts_of_nested_unknown_and_additional_fields(body: dict[str, Any]) -> None:
    other, order = changed(body)
    order["buyerDetails"]["address"]["city"] = "Nagpur"
    order["colour"] = {"ral": 5010}
    other["additionalInfos"] = [{"name": "costCentre", "value": "CC000"}]
    assert change_counts(compare(read(body), read(other))) == "buyer, colour, additional information"


def test_lines_show_old_and_new_and_unknown_fields(body: dict[str, Any]) -> None:
    other, order = changed(body)
    order["itemLists"][0]["colour"] = "red"
    removed = order["itemLists"].pop()
    first, last = compare(read(body), read(other)).lines
    assert first.old and first.old.serialno == body["purchaseOrder"]["itemLists"][0]["serialno"]
    assert first.fields == (Difference("colour", "colour", None, "red"),)
    assert last.old and last.old.serialno == removed["serialno"] and last.line is last.old


def test_added_line_without_number_is_labeled_by_its_position(body: dict[str, Any]) -> None:
    other, order = changed(body)
    added = copy.deepcopy(order["itemLists"][0])
    del added["serialno"], added["orderLineReference"]
    order["itemLists"].append(added)
    (line,) = compare(read(body), read(other)).lines
    assert (line.kind, line.label) == ("added", "4")


def test_match_lines_with_different_references_never_match(body: dict[str, Any]) -> None:
    for number, line in enumerate(body["purchaseOrder"]["itemLists"]):
        line["orderLineReference"] = f"A{number}"
    other, order = changed(body)
    order["itemLists"][0]["orderLineReference"] = "B0"
    assert [line.kind for line in compare(read(body), read(other)).lines] == ["added", "removed"]


def test_match_lines_without_unique_reference_uses_serialno(body: dict[str, Any]) -> None:
    for line in body["purchaseOrder"]["itemLists"]:
        line["orderLineReference"] = "00010"
    other, order = changed(body)
    order["itemLists"].reverse()
    order["itemLists"][0]["unit"] = "BOX"
    (change,) = compare(read(body), read(other)).lines
    assert (change.kind, change.label, [field.label for field in change.fields]) == ("changed", "3", ["Unit"])


def test_match_line_with_a_new_reference_is_the_same_line(body: dict[str, Any]) -> None:
    for line in body["purchaseOrder"]["itemLists"]:
        del line["orderLineReference"]
    other, order = changed(body)
    for number, line in enumerate(order["itemLists"]):
        line["orderLineReference"] = f"000{number}0"
    assert not compare(read(body), read(other)).lines


def test_match_lines_with_the_same_serialno_uses_their_order(body: dict[str, Any]) -> None:
    for line in body["purchaseOrder"]["itemLists"]:
        line.pop("orderLineReference")
        line["serialno"] = "1"
    other, order = changed(body)
    del order["itemLists"][2]
    changes = compare(read(body), read(other)).lines
    assert [change.kind for change in changes] == ["removed"]


def test_change_counts_describe_the_example_edits(example_bodies: list[Any]) -> None:
    newest = {example["purchaseOrder"]["objectId"]: example for example in example_bodies}
    briefs = []
    for line in FOLLOWUPS.read_bytes().splitlines():
        followup = read_json(line)
        if followup["message"] == "req-edit":
            body = followup["body"]
            object_id = body["purchaseOrder"]["objectId"]
            briefs.append(change_counts(compare(read(newest[object_id]), read(body))))
            newest[object_id] = body
    assert briefs == [
        "1 line changed; totals",
        "1 line added, 1 removed",
        "delivery date, subject",
        "1 line changed; delivery date, subject, totals",
    ]
