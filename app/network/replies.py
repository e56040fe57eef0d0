"""The contract's 200 answer and its refusals: ours to partners, and theirs to us."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.network.reader import Unreadable, read_json
from app.network.vocabulary import ErrorCode, Kind, ResponseCode, Result

OBJECT_NAMES: dict[Kind, str] = {
    Kind.REQ_SEND: "purchaseOrder",
    Kind.REQ_EDIT: "purchaseOrder",
    Kind.REQ_STATUS_CHANGE: "poStatus",
    Kind.REQ_CONFIRM: "poConfirmation",
    Kind.RESP_CONFIRM: "poConfirmation",
}
"""Under which name a message carries its object."""

_RESPONSE_MESSAGES = {
    ResponseCode.SUCCESS: "Success",
    ResponseCode.FAILURE: "Failure",
    ResponseCode.DUPLICATE: "Duplicate reference",
}


def response_code(code: ErrorCode | None) -> ResponseCode:
    """The `response_code` that goes with an `errorCd`: 38 for the same key with other content, else 1."""
    if code is None:
        return ResponseCode.SUCCESS
    return ResponseCode.DUPLICATE if code is ErrorCode.CONFLICT else ResponseCode.FAILURE


def answer(
    kind: Kind,
    received: Any,
    *,
    req_msg_id: str,
    code: ErrorCode | None = None,
    detail: str = "",
    field: str = "",
) -> dict[str, Any]:
    """The contract's answer to `received`, a success unless `code` says what was wrong.

    What cannot be echoed, because it never came or has the wrong type, is an empty string, object or list.
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
    found = ids if isinstance(ids, dict) else {}
    return {
        name: found[name] if isinstance(found.get(name), str) else ""
        for name in ("buyerB2BId", "supplierB2BId")
    }


def _echoed_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _echoed_infos(infos: Any) -> list[dict[str, Any]]:
    if isinstance(infos, list) and all(isinstance(info, dict) for info in infos):
        return infos
    return []


def _absent_as_empty(value: object) -> object:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_absent_as_empty)]


class _Lenient(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="allow",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


class AnswerResp(_Lenient):
    """`payload.resp`; null, empty and absent are all an empty string."""

    req_msg_id: Text = Field("", alias="reqMsgId")
    result: Text = ""
    error_cd: Text = Field("", alias="errorCd")
    error_dtl: Text = Field("", alias="errorDtl")
    error_field: Text = Field("", alias="errorField")


class AnswerPayload(_Lenient):
    """`payload`; the echoed parts stay as they came."""

    b2b_ids: Any = Field(None, alias="b2bIds")
    resp: AnswerResp | None = None
    po_confirmation: Any = Field(None, alias="poConfirmation")
    additional_infos: Any = Field(None, alias="additionalInfos")


class Answer(_Lenient):
    """A partner's answer to our message."""

    response_code: int
    response_message: Text = ""
    payload: AnswerPayload | None = None

    @property
    def resp(self) -> AnswerResp:
        """`payload.resp`, all empty where the partner left it out."""
        return (self.payload and self.payload.resp) or AnswerResp()

    @property
    def object_id(self) -> str:
        """The objectId that the payload echoes; empty where it names none."""
        echoed = self.payload.po_confirmation if self.payload else None
        object_id = echoed.get("objectId") if isinstance(echoed, dict) else None
        return object_id if isinstance(object_id, str) else ""

    @property
    def says_failure(self) -> bool:
        """Whether `resp.result` says FAILURE, in whatever case."""
        return self.resp.result.strip().upper() == Result.FAILURE


def read_answer(raw: bytes) -> Answer | None:
    """A partner's answer, or None where the bytes are not JSON of the contract's shape. Never raises."""
    try:
        return Answer.model_validate(read_json(raw), by_alias=True, by_name=False)
    except (Unreadable, ValidationError):
        return None
