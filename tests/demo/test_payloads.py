"""Follow-ups of an order follow the contract, and their totals add up."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demo.orders import ORDERS_FILE, new_order
from app.demo.payloads import Change, edit_message, late_result_message, status_change_message
from app.network.messages import PurchaseOrderBody, parse
from app.network.reader import dumps, read_json
from app.network.vocabulary import BuyerAction, Kind, Result
from tests.demo.client import confirmation

pytestmark = pytest.mark.sqlite

NOW = datetime(2027, 3, 1, 0, 5, tzinfo=UTC)
EXAMPLES = [read_json(line) for line in ORDERS_FILE.read_bytes().splitlines()]
PAISA = Decimal("0.01")


def edit(order: dict[str, Any], change: Change, seed: int = 1, version: int = 1) -> PurchaseOrderBody:
    message = edit_message(order, version=version, status="CREATED", change=change, rng=Random(seed))
    assert message.kind is Kind.REQ_EDIT
    assert message.summary
    return parse(Kind.REQ_EDIT, read_json(dumps(message.body))).purchase_order


def add_up(order: PurchaseOrderBody) -> None:
    for line in order.item_lists:
        assert line.quantity and line.unit_price is not None and line.gst_rate is not None
        assert line.item_value_details
        amount = (line.quantity * line.unit_price).quantize(PAISA, ROUND_HALF_UP)
        tax = (amount * line.gst_rate / 100).quantize(PAISA, ROUND_HALF_UP)
        assert (line.total_amt, line.total_item_value) == (amount, amount + tax)
        assert line.item_value_details[0].value == tax
    total = sum(line.total_item_value or 0 for line in order.item_lists)
    assert order.po_value_details["totalPOValue"] == total


@given(st.integers(), st.sampled_from(Change), st.integers(0, 5))
def test_edit_is_the_next_version_and_adds_up(seed: int, change: Change, version: int) -> None:
    order = new_order(Random(seed), NOW)
    before = copy.deepcopy(order)
    sent = edit(order, change, seed, version)
    assert order == before, "the earlier version is unchanged"
    assert (sent.object_version.current_version, sent.object_version.new_version) == (version, version + 1)
    assert sent.po_status_transition.new_status == "CREATED"
    assert sent.object_id == order["purchaseOrder"]["objectId"]
    add_up(sent)


@pytest.mark.parametrize("order", EXAMPLES[:20])
def test_changed_quantity_changes_only_one_line(order: dict[str, Any]) -> None:
    old, new = parse(Kind.REQ_SEND, order).purchase_order, edit(order, Change.QUANTITY)
    changed = [(a, b) for a, b in zip(old.item_lists, new.item_lists, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][0].quantity != changed[0][1].quantity
    assert (old.subject, old.delivery_date, old.ts) == (new.subject, new.delivery_date, new.ts)
    add_up(new)


@pytest.mark.parametrize("order", EXAMPLES[:20])
def test_replaced_line_has_a_new_reference(order: dict[str, Any]) -> None:
    old, new = parse(Kind.REQ_SEND, order).purchase_order, edit(order, Change.LINES)
    before = {line.order_line_reference for line in old.item_lists}
    after = {line.order_line_reference for line in new.item_lists}
    assert len(before - after) == len(after - before) == 1
    assert len({line.serialno for line in new.item_lists}) == len(new.item_lists)
    add_up(new)


@pytest.mark.parametrize("order", EXAMPLES[:20])
def test_moved_date_changes_the_date_and_the_subject(order: dict[str, Any]) -> None:
    old, new = parse(Kind.REQ_SEND, order).purchase_order, edit(order, Change.DATES)
    assert old.delivery_date != new.delivery_date
    assert new.subject == f"{old.subject} (moved)"
    again = edit({**order, "purchaseOrder": {**order["purchaseOrder"], "subject": new.subject}}, Change.DATES)
    assert again.subject == old.subject
    assert old.item_lists == new.item_lists


@pytest.mark.parametrize("change", Change)
def test_order_without_amounts_or_dates_can_be_edited(change: Change) -> None:
    bare = copy.deepcopy(EXAMPLES[0])
    bare["purchaseOrder"] |= {
        "itemLists": [{"productDescription": "As discussed"}],
        "deliveryDate": "soon",
        "orderDate": "",
    }
    del bare["purchaseOrder"]["poValueDetails"], bare["purchaseOrder"]["supplierDetails"]
    assert edit(bare, change).object_version.new_version == 2


@pytest.mark.parametrize(
    ("action", "new_status"), [(BuyerAction.CANCEL, "CANCELLED"), (BuyerAction.CLOSE, "CLOSED")]
)
def test_status_change_keeps_the_version_and_names_both_statuses(
    action: BuyerAction, new_status: str
) -> None:
    message = status_change_message(EXAMPLES[0], version=3, status="ACCEPTED", action=action, rng=Random(1))
    sent = parse(Kind.REQ_STATUS_CHANGE, message.body).po_status
    assert (sent.object_version.current_version, sent.object_version.new_version) == (3, 3)
    assert (sent.po_status_transition.current_status, sent.po_status_transition.new_status) == (
        "ACCEPTED",
        new_status,
    )
    assert sent.buyer_action == action
    assert sent.buyer_remarks
    update = status_change_message(
        EXAMPLES[0], version=3, status="X", action=action, remarks="Fire", rng=Random(1)
    )
    assert update.body["poStatus"]["buyerRemarks"] == "Fire"


def test_late_result_has_the_id_and_echoes_the_response() -> None:
    confirmed = confirmation()
    message = late_result_message(
        confirmed, req_msg_id="REQ1", result=Result.FAILURE, error=("E1", "Too late", "a.b")
    )
    sent = parse(Kind.RESP_CONFIRM, message.body)
    assert (sent.resp.req_msg_id, sent.resp.result) == ("REQ1", "FAILURE")
    assert (sent.resp.error_cd, sent.resp.error_dtl, sent.resp.error_field) == ("E1", "Too late", "a.b")
    assert message.body["poConfirmation"] == confirmed["poConfirmation"]
    good = parse(
        Kind.RESP_CONFIRM, late_result_message(confirmed, req_msg_id="REQ1", result=Result.SUCCESS).body
    )
    assert (good.resp.result, good.resp.error_cd) == ("SUCCESS", "")
