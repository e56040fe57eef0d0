"""The answer's shape, ours and theirs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.network.reader import dumps, read_json
from app.network.replies import answer, read_answer
from app.network.vocabulary import ErrorCode, Kind

ORDER = read_json(Path("app/demo/orders.jsonl").read_bytes().splitlines()[0])
NAMES = {
    Kind.REQ_SEND: "purchaseOrder",
    Kind.REQ_EDIT: "purchaseOrder",
    Kind.REQ_STATUS_CHANGE: "poStatus",
    Kind.REQ_CONFIRM: "poConfirmation",
    Kind.RESP_CONFIRM: "poConfirmation",
}


def test_a_success_echoes_the_message() -> None:
    assert answer(Kind.REQ_SEND, ORDER, req_msg_id="in_1") == {
        "response_code": 0,
        "response_message": "Success",
        "payload": {
            "b2bIds": ORDER["b2bIds"],
            "resp": {
                "reqMsgId": "in_1",
                "result": "SUCCESS",
                "errorCd": "",
                "errorDtl": "",
                "errorField": "",
            },
            "purchaseOrder": ORDER["purchaseOrder"],
            "additionalInfos": ORDER["additionalInfos"],
        },
    }


def test_a_refusal_says_what_and_where() -> None:
    refused = answer(
        Kind.REQ_SEND,
        ORDER,
        req_msg_id="in_1",
        code=ErrorCode.FIELD_MISSING,
        detail="purchaseOrder.subject is missing.",
        field="purchaseOrder.subject",
    )
    assert refused["response_code"] == 1
    assert refused["payload"]["resp"] == {
        "reqMsgId": "in_1",
        "result": "FAILURE",
        "errorCd": "PO_FIELD_MISSING",
        "errorDtl": "purchaseOrder.subject is missing.",
        "errorField": "purchaseOrder.subject",
    }


@pytest.mark.parametrize("code", ErrorCode)
def test_only_a_conflict_is_a_duplicate_reference(code: ErrorCode) -> None:
    given = answer(Kind.REQ_EDIT, ORDER, req_msg_id="in_1", code=code)["response_code"]
    assert given == (38 if code is ErrorCode.CONFLICT else 1)


@pytest.mark.parametrize(
    "received",
    [
        None,
        [],
        "x",
        7,
        {},
        {"b2bIds": 1, "purchaseOrder": [], "poStatus": "x", "poConfirmation": 1, "additionalInfos": {}},
        {"b2bIds": {"buyerB2BId": 1}, "additionalInfos": [1]},
    ],
)
@pytest.mark.parametrize("kind", Kind)
def test_what_cannot_be_echoed_is_empty(kind: Kind, received: object) -> None:
    payload = answer(kind, received, req_msg_id="", code=ErrorCode.UNREADABLE)["payload"]
    assert list(payload) == ["b2bIds", "resp", NAMES[kind], "additionalInfos"]
    assert payload["b2bIds"] == {"buyerB2BId": "", "supplierB2BId": ""}
    assert payload[NAMES[kind]] == {}
    assert payload["additionalInfos"] == []


def test_our_own_answer_reads_back() -> None:
    read = read_answer(
        dumps(answer(Kind.REQ_CONFIRM, {"poConfirmation": {"objectId": "POR1"}}, req_msg_id="REQ1"))
    )
    assert read is not None
    assert (read.response_code, read.object_id, read.resp.req_msg_id) == (0, "POR1", "REQ1")
    assert not read.says_failure


def test_a_refusal_is_read_with_its_field() -> None:
    resp = {"reqMsgId": "r", "result": "failure", "errorCd": "E", "errorDtl": "D", "errorField": "F"}
    read = read_answer(dumps({"response_code": 1, "response_message": "no", "payload": {"resp": resp}}))
    assert read is not None
    assert read.says_failure
    assert (read.resp.error_cd, read.resp.error_dtl, read.resp.error_field) == ("E", "D", "F")


@pytest.mark.parametrize(
    "errors", [{}, {"errorCd": None, "errorDtl": None}, {"errorCd": "", "errorField": ""}]
)
def test_null_empty_and_absent_error_fields_are_the_same(errors: dict[str, Any]) -> None:
    read = read_answer(dumps({"response_code": 0, "payload": {"resp": {"result": "SUCCESS"} | errors}}))
    assert read is not None
    assert (read.resp.error_cd, read.resp.error_dtl, read.resp.error_field) == ("", "", "")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"response_code":0}',
        b'{"response_code":7,"response_message":null,"payload":null,"more":{}}',
        b'{"response_code":0,"payload":{}}',
        b'{"response_code":0,"payload":{"resp":null,"poConfirmation":[]}}',
        b'{"response_code":0,"payload":{"poConfirmation":{"objectId":1}}}',
    ],
)
def test_an_integer_response_code_is_enough(raw: bytes) -> None:
    read = read_answer(raw)
    assert read is not None
    assert (read.object_id, read.resp.result) == ("", "")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"OK",
        b"<html>",
        b"{}",
        b"[]",
        b"null",
        b"0",
        b'{"response_code":"0"}',
        b'{"response_code":null}',
        b'{"response_code":true}',
        b'{"response_code":0.0}',
        b'{"response_code":0',
        b'{"response_code":0,"response_message":7}',
        b'{"response_code":0,"payload":[]}',
        b'{"response_code":0,"payload":{"resp":"SUCCESS"}}',
        b'{"response_code":0,"payload":{"resp":{"result":0}}}',
        b'{"response_code":0,"response_code":1}',
        b"[" * 100_000,
        b'{"response_code":0,"x":"' + b"x" * 1_048_576 + b'"}',
    ],
)
def test_what_is_not_the_contracts_shape_is_no_answer(raw: bytes) -> None:
    assert read_answer(raw) is None


@given(st.binary(max_size=100))
def test_reading_an_answer_never_raises(raw: bytes) -> None:
    read_answer(raw)
    read_answer(b'{"response_code":0,"payload":' + raw + b"}")
