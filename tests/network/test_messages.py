"""Incoming messages are read leniently; outgoing ones have exactly the documented fields."""

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.network.messages import Invalid, PurchaseOrderBody, ReqConfirm, parse
from app.network.reader import dumps, read_json
from app.network.vocabulary import ErrorCode, Kind

ORDERS = [read_json(line) for line in Path("app/demo/orders.jsonl").read_bytes().splitlines()]
FOLLOWUPS = [read_json(line) for line in Path("app/demo/followups.jsonl").read_bytes().splitlines()]
ABSENT = object()

CONFIRMATION: dict[str, Any] = {
    "device": {"tag": {"name": "GEOCODE", "value": "18.5204,73.8567"}},
    "b2bIds": {"buyerB2BId": "BUY0005@bbps", "supplierB2BId": "SUPPB2B0001@bbps"},
    "poConfirmation": {
        "objectId": "PORwdFcAefAZhnM6Jy8c1rihtYlKNxHddmQ",
        "buyerPONumber": "MAL/2611/45007",
        "supplierResponse": "ACCEPT",
        "supplierRemarks": "Confirmed",
        "objectVersion": {"currentVersion": 1, "newVersion": 1},
        "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "ACCEPTED"},
    },
    "additionalInfos": [{"name": "supplierOrderNumber", "value": "SO-1"}],
}


def changed(message: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The message with the value at a path such as `a.0.b` replaced or removed."""
    message = copy.deepcopy(message)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    part: Any = message
    for step in steps:
        part = part[step]
    if value is ABSENT:
        del part[last]
    else:
        part[last] = value
    return message


def refusal(kind: Kind, message: object) -> Invalid:
    with pytest.raises(Invalid) as refused:
        parse(kind, message)
    assert refused.value.detail.startswith(refused.value.field or "The message")
    return refused.value


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order["purchaseOrder"]["buyerPONumber"])
def test_sample_orders_are_parsed_and_written_unchanged(order: dict[str, Any]) -> None:
    assert parse(Kind.REQ_SEND, order).wire() == order


@pytest.mark.parametrize("followup", FOLLOWUPS, ids=lambda followup: followup["message"])
def test_sample_followups_are_parsed_and_written_unchanged(followup: dict[str, Any]) -> None:
    assert parse(Kind(followup["message"]), followup["body"]).wire() == followup["body"]


def test_parsed_order_has_typed_fields() -> None:
    order = parse(Kind.REQ_SEND, ORDERS[0]).purchase_order
    assert order.buyer_details is not None
    assert order.buyer_details.place_of_supply == "36"
    assert order.supplier_details is not None
    assert order.supplier_details.address is not None
    assert order.supplier_details.address.pincode == "411019"
    assert order.item_lists[0].unit_price == Decimal("186.400")
    assert str(order.item_lists[0].unit_price) == "186.400"
    assert order.item_lists[0].quantity == 2
    assert order.po_value_details["totalPOValue"] == Decimal("439.90")


@pytest.mark.parametrize(
    "path",
    [
        "device",
        "b2bIds",
        "b2bIds.buyerB2BId",
        "purchaseOrder",
        "purchaseOrder.objectId",
        "purchaseOrder.buyerPONumber",
        "purchaseOrder.ts",
        "purchaseOrder.orderDate",
        "purchaseOrder.deliveryDate",
        "purchaseOrder.subject",
        "purchaseOrder.objectVersion",
        "purchaseOrder.objectVersion.newVersion",
        "purchaseOrder.poStatusTransition",
        "purchaseOrder.poStatusTransition.newStatus",
        "purchaseOrder.itemLists",
        "additionalInfos",
    ],
)
def test_missing_field_is_named_by_its_path(path: str) -> None:
    refused = refusal(Kind.REQ_SEND, changed(ORDERS[0], path, ABSENT))
    assert (refused.code, refused.field) == (ErrorCode.FIELD_MISSING, path)
    assert refused.detail == f"{path} is missing."


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        ("purchaseOrder.objectId", "", "purchaseOrder.objectId", "must not be empty"),
        ("purchaseOrder.objectId", "x" * 101, "purchaseOrder.objectId", "must have at most 100 characters"),
        ("purchaseOrder.objectId", 7, "purchaseOrder.objectId", "must be a string"),
        ("purchaseOrder.objectId", None, "purchaseOrder.objectId", "must not be null"),
        (
            "purchaseOrder.buyerPONumber",
            "x" * 51,
            "purchaseOrder.buyerPONumber",
            "must have at most 50 characters",
        ),
        ("purchaseOrder.itemLists", {}, "purchaseOrder.itemLists", "must be a list"),
        ("purchaseOrder.itemLists.0", 1, "purchaseOrder.itemLists[0]", "must be an object"),
        (
            "purchaseOrder.itemLists.0.quantity",
            "2",
            "purchaseOrder.itemLists[0].quantity",
            "must be a number",
        ),
        (
            "purchaseOrder.itemLists.0.quantity",
            True,
            "purchaseOrder.itemLists[0].quantity",
            "must be a number",
        ),
        ("purchaseOrder.itemLists.0.quantity", 10**15, "purchaseOrder.itemLists[0].quantity", "is too large"),
        (
            "purchaseOrder.itemLists.0.rates.0.value",
            Decimal("1E-11"),
            "purchaseOrder.itemLists[0].rates[0].value",
            "has more than 10 decimals",
        ),
        ("purchaseOrder.itemLists.0.unit", 1, "purchaseOrder.itemLists[0].unit", "must be a string"),
        ("purchaseOrder.supplierDetails", [], "purchaseOrder.supplierDetails", "must be an object"),
        (
            "purchaseOrder.objectVersion.newVersion",
            "1",
            "purchaseOrder.objectVersion.newVersion",
            "must be a whole number",
        ),
        (
            "purchaseOrder.objectVersion.newVersion",
            True,
            "purchaseOrder.objectVersion.newVersion",
            "must be a whole number",
        ),
        (
            "purchaseOrder.objectVersion.newVersion",
            Decimal("1.5"),
            "purchaseOrder.objectVersion.newVersion",
            "must be a whole number",
        ),
        (
            "purchaseOrder.objectVersion.newVersion",
            -1,
            "purchaseOrder.objectVersion.newVersion",
            "must be at least 0",
        ),
        (
            "purchaseOrder.objectVersion.newVersion",
            2**31,
            "purchaseOrder.objectVersion.newVersion",
            "must be at most 2147483647",
        ),
        ("b2bIds.supplierB2BId", "\u200b\u3164", "b2bIds.supplierB2BId", "must not be empty"),
        ("purchaseOrder.objectId", " \t", "purchaseOrder.objectId", "must not be empty"),
        ("b2bIds.supplierB2BId", 'a"b', "b2bIds.supplierB2BId", 'must not contain " or \\'),
        ("b2bIds.supplierB2BId", "a\\b", "b2bIds.supplierB2BId", 'must not contain " or \\'),
        ("b2bIds.supplierB2BId", "x" * 101, "b2bIds.supplierB2BId", "must have at most 100 characters"),
        ("additionalInfos", None, "additionalInfos", "must not be null"),
        ("additionalInfos", [{"name": 1}], "additionalInfos[0].name", "must be a string"),
    ],
)
def test_invalid_field_is_named_by_its_path(path: str, value: object, field: str, reason: str) -> None:
    refused = refusal(Kind.REQ_SEND, changed(ORDERS[0], path, value))
    assert (refused.code, refused.field) == (ErrorCode.FIELD_INVALID, field)
    assert refused.detail == str(refused) == f"{field} {reason}."


def test_numbers_at_their_limits_are_valid() -> None:
    order = changed(ORDERS[0], "purchaseOrder.itemLists.0.quantity", Decimal("1E-10"))
    order = changed(order, "purchaseOrder.itemLists.0.unitPrice", 10**15 - 1)
    order = changed(order, "purchaseOrder.objectVersion.newVersion", Decimal("2147483647.0"))
    parsed = parse(Kind.REQ_SEND, order).purchase_order
    line = parsed.item_lists[0]
    assert (line.quantity, line.unit_price) == (Decimal("1E-10"), Decimal(10**15 - 1))
    assert repr(parsed.object_version.new_version) == "2147483647"


@pytest.mark.parametrize("message", [None, [], "x", 1, True])
@pytest.mark.parametrize("kind", Kind)
def test_message_that_is_not_an_object_is_rejected_without_a_field(kind: Kind, message: object) -> None:
    refused = refusal(kind, message)
    assert (refused.code, refused.field) == (ErrorCode.FIELD_INVALID, "")


def test_unknown_fields_and_codes_are_kept() -> None:
    order = changed(ORDERS[0], "purchaseOrder.poStatusTransition.newStatus", "HELD_BY_CUSTOMS")
    order = changed(order, "purchaseOrder.itemLists.0.colour", {"ral": 7016})
    order = changed(order, "purchaseOrder.poInfos", {"anything": [1, None]})
    parsed = parse(Kind.REQ_SEND, order)
    assert parsed.wire() == order
    assert parsed.purchase_order.po_status_transition.new_status == "HELD_BY_CUSTOMS"
    assert parsed.purchase_order.item_lists[0].model_extra == {"colour": {"ral": 7016}}


def test_optional_fields_that_are_null_or_missing_are_unchanged() -> None:
    order = changed(ORDERS[0], "purchaseOrder.supplierDetails", None)
    order = changed(order, "purchaseOrder.buyerDetails", ABSENT)
    order = changed(order, "purchaseOrder.itemLists.0.quantity", None)
    order = changed(order, "purchaseOrder.itemLists.0.rates", None)
    order = changed(order, "additionalInfos", [{}, {"name": None, "value": "x"}])
    assert parse(Kind.REQ_SEND, order).wire() == order


def test_parse_accepts_only_wire_names() -> None:
    order = changed(ORDERS[0], "purchaseOrder.object_id", "fake")
    assert parse(Kind.REQ_SEND, order).purchase_order.object_id == order["purchaseOrder"]["objectId"]
    without = changed(order, "purchaseOrder.objectId", ABSENT)
    assert refusal(Kind.REQ_SEND, without).field == "purchaseOrder.objectId"


@pytest.mark.parametrize("empty", [None, "", ABSENT])
def test_late_result_with_empty_error_fields_is_valid(empty: object) -> None:
    late = FOLLOWUPS[-2]["body"]
    for name in ("errorCd", "errorDtl", "errorField"):
        late = changed(late, f"resp.{name}", empty)
    assert parse(Kind.RESP_CONFIRM, late).resp.result == "SUCCESS"


@pytest.mark.parametrize(
    ("value", "text"),
    [(12, "12"), (Decimal("1.50"), "1.50"), (True, "true"), ({"code": 12}, None), ([], None)],
)
def test_late_result_with_error_fields_that_are_not_text_is_read_as_text(
    value: object, text: str | None
) -> None:
    late = FOLLOWUPS[-1]["body"]
    for name in ("errorCd", "errorDtl", "errorField"):
        late = changed(late, f"resp.{name}", value)
    resp = parse(Kind.RESP_CONFIRM, late).resp
    assert (resp.error_cd, resp.error_dtl, resp.error_field) == (text, text, text)


def test_late_result_with_a_number_as_id_is_read_as_text() -> None:
    late = changed(FOLLOWUPS[-1]["body"], "resp.reqMsgId", 123456789)
    assert parse(Kind.RESP_CONFIRM, late).resp.req_msg_id == "123456789"
    late = changed(late, "resp.reqMsgId", {"id": 1})
    assert refusal(Kind.RESP_CONFIRM, late).field == "resp.reqMsgId"


@pytest.mark.parametrize("infos", [None, "x", {}, [1], [{"name": "costCentre", "value": 5}], [{"name": {}}]])
def test_late_result_with_invalid_additional_infos_is_read(infos: object) -> None:
    late = changed(FOLLOWUPS[-1]["body"], "additionalInfos", infos)
    assert parse(Kind.RESP_CONFIRM, late).resp.result == "FAILURE"


def test_late_result_that_echoes_digits_as_numbers_is_read() -> None:
    late = FOLLOWUPS[-1]["body"]
    for name in ("objectId", "buyerPONumber", "supplierRemarks"):
        late = changed(late, f"poConfirmation.{name}", 45007)
    echo = parse(Kind.RESP_CONFIRM, late).po_confirmation
    assert (echo.object_id, echo.buyer_po_number, echo.supplier_remarks) == ("45007", "45007", "45007")
    late = changed(late, "poConfirmation.buyerPONumber", ["45007"])
    assert refusal(Kind.RESP_CONFIRM, late).field == "poConfirmation.buyerPONumber"


def test_late_result_without_its_object_is_rejected() -> None:
    late = changed(FOLLOWUPS[-1]["body"], "poConfirmation.objectVersion", ABSENT)
    assert refusal(Kind.RESP_CONFIRM, late).field == "poConfirmation.objectVersion"


def test_status_change_keeps_an_unknown_action() -> None:
    change = changed(FOLLOWUPS[4]["body"], "poStatus.buyerAction", "REOPEN")
    assert parse(Kind.REQ_STATUS_CHANGE, change).po_status.buyer_action == "REOPEN"


def test_hostile_field_name_is_shortened_in_the_error() -> None:
    refused = refusal(Kind.REQ_CONFIRM, changed(CONFIRMATION, "{" + "x" * 100_000, 1))
    assert len(refused.field) == 200
    assert len(refused.detail) < 300


def test_list_with_very_many_errors_is_rejected_at_the_first() -> None:
    order = changed(ORDERS[0], "additionalInfos", [1] * 100_000)
    assert refusal(Kind.REQ_SEND, order).field == "additionalInfos[0]"


def test_confirmation_has_the_documented_fields_in_order() -> None:
    built = ReqConfirm.model_validate(
        {
            "additional_infos": [{"name": "supplierOrderNumber", "value": "SO-1"}],
            "po_confirmation": {
                "po_status_transition": {"new_status": "ACCEPTED", "current_status": "CREATED"},
                "object_version": {"new_version": 1, "current_version": 1},
                "supplier_remarks": "Confirmed",
                "supplier_response": "ACCEPT",
                "buyer_po_number": "MAL/2611/45007",
                "object_id": "PORwdFcAefAZhnM6Jy8c1rihtYlKNxHddmQ",
            },
            "b2b_ids": {"supplier_b2b_id": "SUPPB2B0001@bbps", "buyer_b2b_id": "BUY0005@bbps"},
            "device": {"tag": {"value": "18.5204,73.8567", "name": "GEOCODE"}},
        }
    )
    assert dumps(built.wire()) == dumps(CONFIRMATION)
    assert parse(Kind.REQ_CONFIRM, read_json(dumps(built.wire()))) == built


@pytest.mark.parametrize("infos", [[], [{}], [{"name": "x"}], [{"value": ""}], [{"name": "x"}] * 50])
def test_confirmation_without_names_and_values_is_valid(infos: list[dict[str, str]]) -> None:
    message = changed(CONFIRMATION, "additionalInfos", infos)
    assert parse(Kind.REQ_CONFIRM, message).wire() == message


@pytest.mark.parametrize("remarks", ["x", "x" * 100, "ठीक है", "😀" * 100, "it's fine / <ok>"])
def test_remarks_within_the_limits_are_valid(remarks: str) -> None:
    parse(Kind.REQ_CONFIRM, changed(CONFIRMATION, "poConfirmation.supplierRemarks", remarks))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("extra", 1),
        ("device.extra", 1),
        ("device.tag.extra", 1),
        ("b2bIds.extra", 1),
        ("poConfirmation.extra", 1),
        ("poConfirmation.object_id", "x"),
        ("poConfirmation.objectVersion.extra", 1),
        ("poConfirmation.poStatusTransition.extra", 1),
        ("additionalInfos.0.extra", 1),
        ("device.tag.name", ""),
        ("device.tag.value", None),
        ("poConfirmation.objectId", ""),
        ("poConfirmation.buyerPONumber", "x" * 51),
        ("poConfirmation.supplierResponse", "accept"),
        ("poConfirmation.supplierResponse", "PERHAPS"),
        ("poConfirmation.supplierResponse", 1),
        ("poConfirmation.supplierRemarks", ""),
        ("poConfirmation.supplierRemarks", None),
        ("poConfirmation.supplierRemarks", "x" * 101),
        ("poConfirmation.supplierRemarks", 'so "called"'),
        ("poConfirmation.supplierRemarks", "a\\b"),
        ("poConfirmation.objectVersion.currentVersion", "1"),
        ("poConfirmation.poStatusTransition.newStatus", "DONE"),
        ("additionalInfos", {}),
        ("additionalInfos.0.name", None),
        ("additionalInfos.0.value", 7),
    ],
)
def test_confirmation_that_differs_from_the_documentation_is_rejected(path: str, value: object) -> None:
    refused = refusal(Kind.REQ_CONFIRM, changed(CONFIRMATION, path, value))
    assert refused.code is ErrorCode.FIELD_INVALID
    assert refused.field == path.replace(".0", "[0]")


@pytest.mark.parametrize("part", ["device", "device.tag", "device.tag.name", "b2bIds", "additionalInfos"])
def test_confirmation_without_a_part_is_rejected(part: str) -> None:
    refused = refusal(Kind.REQ_CONFIRM, changed(CONFIRMATION, part, ABSENT))
    assert (refused.code, refused.field) == (ErrorCode.FIELD_MISSING, part)


def test_more_than_fifty_additional_infos_are_rejected() -> None:
    refused = refusal(Kind.REQ_CONFIRM, changed(CONFIRMATION, "additionalInfos", [{}] * 51))
    assert refused.detail == "additionalInfos must have at most 50 entries."


def test_parsed_messages_are_immutable() -> None:
    order: PurchaseOrderBody = parse(Kind.REQ_EDIT, FOLLOWUPS[0]["body"]).purchase_order
    with pytest.raises(ValueError, match="frozen"):
        order.subject = "other"  # type: ignore[misc]
