"""Replies to partners, and replies from partners."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.network.reader import dumps, read_json
from app.network.replies import build_reply, read_reply
from app.network.vocabulary import ErrorCode, Kind

ORDER = read_json(Path("app/demo/orders.jsonl").read_bytes().splitlines()[0])
NAMES = {
    Kind.REQ_SEND: "purchaseOrder",
    Kind.REQ_EDIT: "purchaseOrder",
    Kind.REQ_STATUS_CHANGE: "poStatus",
    Kind.REQ_CONFIRM: "poConfirmation",
    Kind.RESP_CONFIRM: "poConfirmation",
}


def test_success_reply_echoes_the_message() -> None:
    assert build_reply(Kind.REQ_SEND, ORDER, req_msg_id="in_1") == {
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


def test_failure_reply_has_code_and_field() -> None:
    refused = build_reply(
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
def test_response_code_is_duplicate_only_for_a_conflict(code: ErrorCode) -> None:
    response_code = build_reply(Kind.REQ_EDIT, ORDER, req_msg_id="in_1", code=code)["response_code"]
    assert response_code == (38 if code is ErrorCode.CONFLICT else 1)


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
def test_reply_part_that_cannot_be_echoed_is_empty(kind: Kind, received: object) -> None:
    payload = build_reply(kind, received, req_msg_id="", code=ErrorCode.UNREADABLE)["payload"]
    assert list(payload) == ["b2bIds", "resp", NAMES[kind], "additionalInfos"]
    assert payload["b2bIds"] == {"buyerB2BId": "", "supplierB2BId": ""}
    assert payload[NAMES[kind]] == {}
    assert payload["additionalInfos"] == []


def test_reply_built_by_the_app_can_be_read() -> None:
    reply = read_reply(
        dumps(build_reply(Kind.REQ_CONFIRM, {"poConfirmation": {"objectId": "POR1"}}, req_msg_id="REQ1"))
    )
    assert reply is not None
    assert (reply.response_code, reply.object_id, reply.req_msg_id) == (0, "POR1", "REQ1")
    assert not reply.says_failure


def test_refusal_is_read_with_its_field() -> None:
    resp = {"reqMsgId": "r", "result": "failure", "errorCd": "E", "errorDtl": "D", "errorField": "F"}
    reply = read_reply(dumps({"response_code": 1, "response_message": "no", "payload": {"resp": resp}}))
    assert reply is not None
    assert reply.says_failure
    assert (reply.error_cd, reply.error_dtl, reply.error_field) == ("E", "D", "F")


@pytest.mark.parametrize(
    "errors", [{}, {"errorCd": None, "errorDtl": None}, {"errorCd": "", "errorField": ""}]
)
def test_null_empty_and_absent_error_fields_are_the_same(errors: dict[str, Any]) -> None:
    reply = read_reply(dumps({"response_code": 0, "payload": {"resp": {"result": "SUCCESS"} | errors}}))
    assert reply is not None
    assert (reply.error_cd, reply.error_dtl, reply.error_field) == ("", "", "")


SUCCESSES = [
    b'{"response_code":0}',
    b'\xef\xbb\xbf{"response_code":0}',
    b' \r\n{"response_code":0}\r\n',
    b'{"response_code":0,"response_message":null,"payload":null,"more":{}}',
    b'{"response_code":0,"response_message":7,"payload":{}}',
    b'{"response_code":0,"response_message":["SUCCESS"],"payload":"string"}',
    b'{"response_code":0,"payload":[]}',
    b'{"response_code":0,"payload":{"resp":null,"poConfirmation":[]}}',
    b'{"response_code":0,"payload":{"resp":"SUCCESS"}}',
    b'{"response_code":0,"payload":{"resp":["FAILURE"]}}',
    b'{"response_code":0,"payload":{"resp":{"result":0,"reqMsgId":{}}}}',
    b'{"response_code":0,"payload":{"poConfirmation":{"objectId":null}}}',
    b'{"response_code":0,"more":NaN,"larger":' + b"9" * 5000 + b',"smaller":1e-999999999999}',
    b'{"response_code":0,"more":1,"more":2,"text":"a\\u0000b\\ud800\xff"}',
    b'{"response_code":0,"response_code":0}',
    b'{"response_code":0.0}',
    b'{"response_code":-0e5}',
    b'\xef\xbb\xbf{"response_code":0}',
    '{"response_code":0}'.encode("utf-16"),
    '{"response_code":0}'.encode("utf-32-be"),
]


@pytest.mark.parametrize("raw", SUCCESSES)
def test_integer_response_code_overrides_other_reply_fields(raw: bytes) -> None:
    reply = read_reply(raw)
    assert reply is not None
    assert (reply.response_code, reply.object_id, reply.says_failure) == (0, "", False)


def test_result_without_its_object_is_accepted() -> None:
    reply = read_reply(b'{"response_code":0,"payload":{"resp":"FAILURE"}}')
    assert reply is not None
    assert (reply.result, reply.says_failure) == ("FAILURE", True)


def test_reply_keeps_its_document_and_whether_it_has_a_payload() -> None:
    document = {"response_code": 0, "payload": {"more": 1}}
    reply, empty = read_reply(dumps(document)), read_reply(b'{"response_code":0,"payload":{}}')
    assert reply and empty
    assert reply.document == document
    assert (reply.has_payload, empty.has_payload) == (True, False)


def test_integer_of_nineteen_digits_is_read_and_a_longer_one_is_not() -> None:
    reply = read_reply(b'{"response_code":' + b"9" * 19 + b"}")
    assert reply and reply.response_code == int("9" * 19)
    assert read_reply(b'{"response_code":' + b"9" * 20 + b"}") is None


def test_scalar_counts_as_its_text() -> None:
    reply = read_reply(
        b'{"response_code":1,"response_message":false,"payload":{"resp":{"reqMsgId":123456789,'
        b'"result":"FAILURE","errorCd":12,"errorDtl":1.50,"errorField":true},"poConfirmation":{"objectId":7}}}'
    )
    assert reply is not None
    assert (reply.response_message, reply.req_msg_id, reply.object_id) == ("false", "123456789", "7")
    assert (reply.error_cd, reply.error_dtl, reply.error_field) == ("12", "1.50", "true")
    assert reply.says_failure


def test_texts_are_stored_by_every_database() -> None:
    reply = read_reply(b'{"response_code":1,"response_message":"a\\u0000b\\ud800"}')
    assert reply is not None
    assert reply.response_message == "a\N{REPLACEMENT CHARACTER}b?"


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
        b'{"response_code":0.5}',
        b'{"response_code":1e-40}',
        b'{"response_code":1e-999999999}',
        b'{"response_code":1e999999999}',
        b'{"response_code":' + b"9" * 30 + b"}",
        b'{"response_code":0',
        b'{"response_code":0,"response_code":1}',
        b"[" * 100_000,
    ],
)
def test_reply_without_a_clear_response_code_is_none(raw: bytes) -> None:
    assert read_reply(raw) is None


@given(st.binary(max_size=100))
def test_reading_a_reply_never_raises(raw: bytes) -> None:
    read_reply(raw)
    read_reply(b'{"response_code":0,"payload":' + raw + b"}")
