"""The inbound API as an OpenAPI 3.1 document, made from the very models that read the messages. Pure."""

import shlex
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, Literal

import simplejson
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from app.network.examples import example
from app.network.messages import MODELS, RespConfirm, RespEdit, RespSend, RespStatusChange
from app.network.replies import build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind, ResponseCode, Result

PATH = "/api/v0/purchase-order/"
KEY_HEADER = "X-Partner-Key"
STORY = (Kind.REQ_SEND, Kind.REQ_EDIT, Kind.RESP_CONFIRM, Kind.REQ_STATUS_CHANGE)
"""The messages that a partner may send, in the order in which an order's life has them."""

_SCHEMAS = "#/components/schemas/{model}"
_GIVEN_ID = "in_01JDCWQ4Z8M6T2X9KV5B7N3HRA"


# --- What we answer


class _Said(BaseModel):
    """A part of our own answers: exactly these fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Taken(_Said):
    """The message was taken, now or when it came first: HTTP 200 and `response_code` 0."""

    response_code: Literal[ResponseCode.SUCCESS]
    response_message: Literal["Success"]


class ReqSendTaken(_Taken):
    """The new order was taken."""

    payload: RespSend


class ReqEditTaken(_Taken):
    """The new version was taken."""

    payload: RespEdit


class ReqStatusChangeTaken(_Taken):
    """The order was cancelled or closed."""

    payload: RespStatusChange


class RespConfirmTaken(_Taken):
    """The late result was taken."""

    payload: RespConfirm


class EchoedIds(_Said):
    """The ids that came; empty where none could be read."""

    buyerB2BId: str  # noqa: N815
    supplierB2BId: str  # noqa: N815


class RefusedResp(_Said):
    """Why: `errorCd` for programs, `errorDtl` for people, `errorField` the path of the field, such as
    `purchaseOrder.itemLists[0].quantity`, empty where no field is at fault."""

    reqMsgId: str  # noqa: N815
    result: Literal[Result.FAILURE]
    errorCd: ErrorCode  # noqa: N815
    errorDtl: str  # noqa: N815
    errorField: str  # noqa: N815


class _RefusedPayload(_Said):
    b2bIds: EchoedIds  # noqa: N815
    resp: RefusedResp
    additionalInfos: list[dict[str, Any]]  # noqa: N815


class PurchaseOrderRefusedPayload(_RefusedPayload):
    """What came, as far as it could be read, and what is wrong with it."""

    purchaseOrder: dict[str, Any]  # noqa: N815


class PoStatusRefusedPayload(_RefusedPayload):
    """What came, as far as it could be read, and what is wrong with it."""

    poStatus: dict[str, Any]  # noqa: N815


class PoConfirmationRefusedPayload(_RefusedPayload):
    """What came, as far as it could be read, and what is wrong with it."""

    poConfirmation: dict[str, Any]  # noqa: N815


class _Refused(_Said):
    """The message was not taken and changed nothing; `response_code` 38 is a duplicate reference."""

    response_code: Literal[ResponseCode.FAILURE, ResponseCode.DUPLICATE]
    response_message: Literal["Failure", "Duplicate reference"]


class PurchaseOrderRefused(_Refused):
    """A `req-send` or `req-edit` that was not taken; it changed nothing."""

    payload: PurchaseOrderRefusedPayload


class PoStatusRefused(_Refused):
    """A `req-status-change` that was not taken; it changed nothing."""

    payload: PoStatusRefusedPayload


class PoConfirmationRefused(_Refused):
    """A `resp-confirm` that was not taken; it changed nothing."""

    payload: PoConfirmationRefusedPayload


TAKEN: dict[Kind, type[BaseModel]] = {
    Kind.REQ_SEND: ReqSendTaken,
    Kind.REQ_EDIT: ReqEditTaken,
    Kind.REQ_STATUS_CHANGE: ReqStatusChangeTaken,
    Kind.RESP_CONFIRM: RespConfirmTaken,
}
"""The shape of the 200 answer to each kind."""
REFUSED: dict[Kind, type[BaseModel]] = {
    Kind.REQ_SEND: PurchaseOrderRefused,
    Kind.REQ_EDIT: PurchaseOrderRefused,
    Kind.REQ_STATUS_CHANGE: PoStatusRefused,
    Kind.RESP_CONFIRM: PoConfirmationRefused,
}
"""The shape of every other answer to each kind."""


# --- The words

_SUMMARIES = {
    Kind.REQ_SEND: "A new purchase order",
    Kind.REQ_EDIT: "The buyer changed an order",
    Kind.REQ_STATUS_CHANGE: "The buyer cancelled or closed an order",
    Kind.RESP_CONFIRM: "What became of the supplier’s answer",
}
_DESCRIPTIONS = {
    Kind.REQ_SEND: (
        "The whole order, in its first version. The supplier’s answer comes back as `req-confirm` to the "
        "address that was agreed with you."
    ),
    Kind.REQ_EDIT: (
        "The whole order again, as it is now. `objectVersion.currentVersion` is the version that you changed "
        "and `newVersion` the next one; if the order has moved on meanwhile, the edit is refused with 409. "
        "An order that was answered already is open again."
    ),
    Kind.REQ_STATUS_CHANGE: (
        "`buyerAction` is `CANCEL` or `CLOSE`. A cancelled or closed order can no longer be answered. The "
        "version stays: `newVersion` equals `currentVersion`. A change that the order’s status does not "
        "allow is refused with 409."
    ),
    Kind.RESP_CONFIRM: (
        "For an answer that you first took and judged later. `resp.reqMsgId` is the id that you gave when "
        "you took it. `SUCCESS` settles it; `FAILURE` opens the order to be answered again, and `errorField` "
        "says which field to mend. The example needs an order that the supplier has answered."
    ),
}
_ABOUT = f"""\
What a buyer’s platform sends to PO Confirm: purchase orders, their changes, and results. JSON in, JSON out.

Every message carries the key that you were given, in the header `{KEY_HEADER}`.

**A repeat is safe.** The same message sent again gets the same answer and changes nothing, so after a \
timeout simply send it again. The same version with different content is a conflict: 409.

**Amounts are decimals.** They are kept exactly as written, with up to ten decimals.

**More fields are welcome.** What a message has beyond the fields described here is kept and shown.

Any other address below `/api/` is a 404, any other method a 405, both in the same shape."""

_STATUSES = {
    200: "Taken. A repeat of a message that was taken gets the very same answer.",
    400: "The body is not JSON: malformed, not UTF-8, nested too deeply, or with a key that stands twice.",
    401: f"The header `{KEY_HEADER}` is missing, or the key is not known.",
    409: "Readable and well formed, but it does not fit what is known of the order. Nothing changed.",
    413: "The body is too large.",
    415: "The body must be sent as `application/json` without `Content-Encoding`.",
    422: "A field is missing or breaks the contract; `errorField` is its path.",
    503: "Not recorded, because the database is busy. Send it again in a moment.",
}
_Refusal = tuple[ErrorCode, str, str]
_REFUSALS: dict[int, _Refusal] = {
    400: (ErrorCode.UNREADABLE, "The body is not valid JSON: look at line 1, column 2.", ""),
    401: (
        ErrorCode.CREDENTIALS,
        f"The header {KEY_HEADER} is missing or its key is unknown.",
        "",
    ),
    413: (ErrorCode.TOO_LARGE, "The body is larger than 1048576 bytes.", ""),
    415: (ErrorCode.MEDIA_TYPE, "Use Content-Type: application/json.", ""),
    503: (ErrorCode.UNAVAILABLE, "The message was not recorded. Try again in a moment.", ""),
}
"""The refusals of what nobody could read, so nothing is echoed."""
_CONFLICTS: dict[Kind, _Refusal] = {
    Kind.REQ_SEND: (
        ErrorCode.CONFLICT,
        f"purchaseOrder.objectId: {_GIVEN_ID} has the same object, version and status, "
        "but different content.",
        "purchaseOrder.objectId",
    ),
    Kind.REQ_EDIT: (
        ErrorCode.STALE_VERSION,
        "The order is at version 3 now.",
        "purchaseOrder.objectVersion.currentVersion",
    ),
    Kind.REQ_STATUS_CHANGE: (
        ErrorCode.TRANSITION,
        "An order that is CLOSED cannot become CANCELLED.",
        "poStatus.poStatusTransition.newStatus",
    ),
    Kind.RESP_CONFIRM: (
        ErrorCode.UNKNOWN_OBJECT,
        "There is no answer that this result could belong to.",
        "resp.reqMsgId",
    ),
}
_FAULTS: dict[Kind, _Refusal] = {
    Kind.REQ_SEND: (ErrorCode.FIELD_MISSING, "purchaseOrder.subject is missing.", "purchaseOrder.subject"),
    Kind.REQ_EDIT: (
        ErrorCode.FIELD_INVALID,
        "purchaseOrder.itemLists[0].quantity must be a number.",
        "purchaseOrder.itemLists[0].quantity",
    ),
    Kind.REQ_STATUS_CHANGE: (
        ErrorCode.FIELD_MISSING,
        "poStatus.buyerAction is missing.",
        "poStatus.buyerAction",
    ),
    Kind.RESP_CONFIRM: (ErrorCode.FIELD_MISSING, "resp.reqMsgId is missing.", "resp.reqMsgId"),
}


# --- The document


def openapi(server_url: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    """The document for those of `kinds` that partners send; numbers in its examples are exact Decimals.

    `server_url` is where this app answers, without a slash at its end.
    """
    taken = set(kinds)
    told = [kind for kind in STORY if kind in taken]
    return {
        "openapi": "3.1.0",
        "info": {"title": "PO Confirm: inbound messages", "version": "0", "description": _ABOUT},
        "servers": [{"url": server_url}],
        "security": [{"partnerKey": []}],
        "tags": [{"name": "purchase-order", "description": "What the network tells the supplier."}],
        "paths": {PATH + kind: {"post": _operation(server_url, kind)} for kind in told},
        "components": {
            "securitySchemes": {
                "partnerKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": KEY_HEADER,
                    "description": "The key that you were given when you were made known to this app.",
                }
            },
            "schemas": _schemas(tuple(told)),
        },
    }


def curl(server_url: str, kind: Kind) -> str:
    """A shell command that sends the example of this kind; the key is read from `$PARTNER_KEY`."""
    return " \\\n  ".join(
        (
            f"curl --request POST {shlex.quote(server_url + PATH + kind)}",
            "--header 'Content-Type: application/json'",
            f'--header "{KEY_HEADER}: $PARTNER_KEY"',
            f"--data-raw {shlex.quote(pretty(example(kind)))}",
        )
    )


def pretty(value: Any) -> str:
    """JSON with indents, for people; Decimals exactly as they are."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, indent=2)


class _Brief(GenerateJsonSchema):
    """Without titles that repeat the field's name, defaults that are only Python's, and long nulls."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        inner = self.generate_inner(schema["schema"])
        if isinstance(inner.get("type"), str) and not {"enum", "const"} & set(inner):
            return {**inner, "type": [inner["type"], "null"]}
        return super().nullable_schema(schema)


@cache
def _schemas(kinds: tuple[Kind, ...]) -> dict[str, Any]:
    models = [model for kind in kinds for model in (MODELS[kind], TAKEN[kind], REFUSED[kind])]
    once = dict.fromkeys(models)
    _, found = models_json_schema(
        [(model, "validation") for model in once], ref_template=_SCHEMAS, schema_generator=_Brief
    )
    schemas: dict[str, Any] = found.get("$defs", {})
    return schemas


def _operation(server_url: str, kind: Kind) -> dict[str, Any]:
    return {
        "operationId": kind.value,
        "tags": ["purchase-order"],
        "summary": _SUMMARIES[kind],
        "description": _DESCRIPTIONS[kind],
        "requestBody": {
            "required": True,
            "content": _content(MODELS[kind], _SUMMARIES[kind], example(kind)),
        },
        "responses": {str(status): _response(kind, status) for status in _STATUSES},
        "x-codeSamples": [{"lang": "Shell", "label": "curl", "source": curl(server_url, kind)}],
    }


def _response(kind: Kind, status: int) -> dict[str, Any]:
    model = TAKEN[kind] if status == 200 else REFUSED[kind]
    said = _answered(kind, status)
    codes = [code for code, meant in HTTP_STATUS.items() if meant == status]
    words = _STATUSES[status]
    if codes:
        words += f" `errorCd`: {', '.join(f'`{code}`' for code in codes)}."
    response = {"description": words, "content": _content(model, words, said)}
    if status == 503:
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return response


def _answered(kind: Kind, status: int) -> dict[str, Any]:
    say: Callable[..., dict[str, Any]] = partial(build_reply, kind, req_msg_id=_GIVEN_ID)
    if status == 200:
        return say(example(kind))
    if status in _REFUSALS:
        code, detail, field = _REFUSALS[status]
        return say(None, code=code, detail=detail, field=field)
    code, detail, field = (_CONFLICTS if status == 409 else _FAULTS)[kind]
    return say(
        _spoilt(kind, field) if status == 422 else example(kind), code=code, detail=detail, field=field
    )


def _spoilt(kind: Kind, field: str) -> dict[str, Any]:
    """The example with the fault that the refusal names, as far as the answer echoes it."""
    spoilt: dict[str, Any] = simplejson.loads(pretty(example(kind)), use_decimal=True)
    section, _, name = field.partition(".")
    if name == "itemLists[0].quantity":
        spoilt[section]["itemLists"][0]["quantity"] = "1500"
    else:
        del spoilt[section][name]
    return spoilt


def _content(model: type[BaseModel], words: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "application/json": {
            "schema": {"$ref": _SCHEMAS.format(model=model.__name__)},
            "examples": {"example": {"summary": words.partition(".")[0], "value": value}},
        }
    }
