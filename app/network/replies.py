"""Replies to messages: those sent to partners, and those received from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from typing import Any

from app.network.vocabulary import ErrorCode, Kind, ResponseCode, Result

OBJECT_NAMES: dict[Kind, str] = {
    Kind.REQ_SEND: "purchaseOrder",
    Kind.REQ_EDIT: "purchaseOrder",
    Kind.REQ_STATUS_CHANGE: "poStatus",
    Kind.REQ_CONFIRM: "poConfirmation",
    Kind.RESP_CONFIRM: "poConfirmation",
}
"""The name under which a message of each kind carries its object."""

_RESPONSE_MESSAGES = {
    ResponseCode.SUCCESS: "Success",
    ResponseCode.FAILURE: "Failure",
    ResponseCode.DUPLICATE: "Duplicate reference",
}


def response_code(code: ErrorCode | None) -> ResponseCode:
    """The `response_code` for an `errorCd`: 38 for the same key with different content, otherwise 1."""
    if code is None:
        return ResponseCode.SUCCESS
    return ResponseCode.DUPLICATE if code is ErrorCode.CONFLICT else ResponseCode.FAILURE


def build_reply(
    kind: Kind,
    received: Any,
    *,
    req_msg_id: str,
    code: ErrorCode | None = None,
    detail: str = "",
    field: str = "",
) -> dict[str, Any]:
    """The contract's reply to `received`: a success, or the failure that `code` names.

    A part that cannot be echoed, because it is missing or of the wrong type, is an empty string, object or
    list.
    """
    response = response_code(code)
    message = received if isinstance(received, dict) else {}
    name = OBJECT_NAMES[kind]
    return {
        "response_code": int(response),
        "response_message": _RESPONSE_MESSAGES[response],
        "payload": {
            "b2bIds": _echoed_ids(message.get("b2bIds")),
            "resp": {
                "reqMsgId": req_msg_id,
                "result": str(Result.FAILURE if code else Result.SUCCESS),
                "errorCd": str(code or ""),
                "errorDtl": detail,
                "errorField": field,
            },
            name: _echoed_object(message.get(name)),
            "additionalInfos": _echoed_infos(message.get("additionalInfos")),
        },
    }


def _echoed_ids(ids: Any) -> dict[str, str]:
    known = ids if isinstance(ids, dict) else {}
    return {
        name: known[name] if isinstance(known.get(name), str) else ""
        for name in ("buyerB2BId", "supplierB2BId")
    }


def _echoed_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _echoed_infos(infos: Any) -> list[dict[str, Any]]:
    if isinstance(infos, list) and all(isinstance(info, dict) for info in infos):
        return infos
    return []


# --- The partner's reply to a webhook
#
# It is only judged, not stored as an order: a clear `response_code` and `result` decide, whatever the rest
# looks like. So it is read more leniently than a message that a partner sends.

_NUMBER_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class PartnerReply:
    """A partner's reply to our webhook. A part that is missing or unreadable is an empty string.

    `object_id` is the objectId that the payload echoes. `has_payload` is whether the payload is an object
    that is not empty. `document` is the whole reply.
    """

    response_code: int
    response_message: str
    has_payload: bool
    object_id: str
    result: str
    req_msg_id: str
    error_cd: str
    error_dtl: str
    error_field: str
    document: dict[str, Any] = field(repr=False)

    @property
    def says_failure(self) -> bool:
        """Whether `resp.result` is FAILURE (case-insensitive)."""
        return self.result.strip().upper() == Result.FAILURE


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a partner's response; empty if there is none. Never raises."""
    try:
        text = raw.decode(json.detect_encoding(raw), "replace")
        value = _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_reply(raw: bytes) -> PartnerReply | None:
    """Read a partner's reply; None if it is not a JSON object with an integer `response_code`.

    Never raises.
    """
    document = read_object(raw)
    code = _whole_number(document.get("response_code"))
    if code is None:
        return None
    payload = document.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    resp = payload.get("resp")
    resp = resp if isinstance(resp, dict) else {"result": resp}
    echo = payload.get("poConfirmation")
    return PartnerReply(
        response_code=code,
        response_message=_text(document.get("response_message")),
        has_payload=bool(payload),
        object_id=_text(echo.get("objectId")) if isinstance(echo, dict) else "",
        result=_text(resp.get("result")),
        req_msg_id=_text(resp.get("reqMsgId")),
        error_cd=_text(resp.get("errorCd")),
        error_dtl=_text(resp.get("errorDtl")),
        error_field=_text(resp.get("errorField")),
        document=document,
    )


def _whole_number(value: Any) -> int | None:
    """An integer, also as 0.0, since JSON has only one kind of number; None for anything else."""
    if isinstance(value, Decimal) and abs(value.adjusted()) < _NUMBER_CHARACTERS_MAX and value == int(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    """A scalar as text that every database accepts; empty for null, objects and lists."""
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _integer(literal: str) -> int | str:
    return int(literal) if len(literal) < 20 else literal[:_NUMBER_CHARACTERS_MAX]


def _decimal(literal: str) -> Decimal | str:
    try:
        return Decimal(literal[:_NUMBER_CHARACTERS_MAX])
    except DecimalException:
        return literal[:_NUMBER_CHARACTERS_MAX]


def _without_contradictions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object without the keys that are given twice with different values."""
    values = dict(pairs)
    for name, value in pairs if len(values) < len(pairs) else ():
        if name in values and values[name] != value:
            del values[name]
    return values


_DECODER = json.JSONDecoder(
    strict=False,
    parse_int=_integer,
    parse_float=_decimal,
    parse_constant=str,
    object_pairs_hook=_without_contradictions,
)
