"""The outgoing `req-confirm`: fixed bytes, with exactly the documented fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.network.messages import Invalid
from app.orders.req_confirm import DecisionInput, req_confirm
from tests.orders.bodies import ORDER

GOLDEN = Path(__file__).parent / "golden"
RESPONSES = {
    "accept": DecisionInput("ACCEPT", "Confirmed", "INITIATING_CHANNEL", "WEB"),
    "reject": DecisionInput("REJECT", "मूल्य अनुबंध से भिन्न है", "GEOCODE", "18.5204,73.8567"),
    "return": DecisionInput(
        "RETURN",
        "Please move delivery to 4 December",
        "IP",
        "203.0.113.7",
        (
            ("supplierOrderNumber", "SO-2611/88"),
            ("promisedDate", "2026-12-04"),
            ("remark only", ""),
            ("", "v"),
        ),
    ),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_req_confirm_bytes_equal_the_golden_file(name: str) -> None:
    assert req_confirm(ORDER, RESPONSES[name]) == (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")


def test_req_confirm_fields_and_order_are_as_documented() -> None:
    body = json.loads(req_confirm(ORDER, RESPONSES["return"]))
    assert list(body) == ["device", "b2bIds", "poConfirmation", "additionalInfos"]
    assert list(body["device"]["tag"]) == ["name", "value"]
    assert list(body["b2bIds"]) == ["buyerB2BId", "supplierB2BId"]
    assert list(body["poConfirmation"]) == [
        "objectId",
        "buyerPONumber",
        "supplierResponse",
        "supplierRemarks",
        "objectVersion",
        "poStatusTransition",
    ]
    assert body["poConfirmation"]["objectVersion"] == {"currentVersion": 1, "newVersion": 1}
    assert body["poConfirmation"]["poStatusTransition"] == {
        "currentStatus": "CREATED",
        "newStatus": "RETURNED",
    }


@pytest.mark.parametrize("remarks", ["", "x" * 101, 'say "yes"', "back\\slash"])
def test_req_confirm_with_invalid_remarks_is_rejected(remarks: str) -> None:
    with pytest.raises(Invalid) as refused:
        req_confirm(ORDER, DecisionInput("ACCEPT", remarks, "IP", "203.0.113.7"))
    assert refused.value.field == "poConfirmation.supplierRemarks"
