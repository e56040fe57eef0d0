"""The inbound API as an OpenAPI 3.1 document, generated from the models that read the messages. Pure."""

import shlex
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

import simplejson
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from app.network.examples import example
from app.network.messages import MODELS, RespConfirm, RespEdit, RespSend, RespStatusChange
from app.network.paths import API_PATH, KEY_HEADER
from app.network.replies import build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind, ResponseCode, Result

LIFE_CYCLE = (Kind.REQ_SEND, Kind.REQ_EDIT, Kind.RESP_CONFIRM, Kind.REQ_STATUS_CHANGE)
"""The messages that a partner may send, in the order of an order's life cycle."""

_SCHEMAS = "#/components/schemas/{model}"
_EXAMPLE_ID = "in_01JDCWQ4Z8M6T2X9KV5B7N3HRA"


# --- Replies


class _ReplyPart(BaseModel):
    """A part of a reply: exactly these fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Accepted(_ReplyPart):
    """The message was accepted, now or when it was first received: HTTP 200 and `response_code` 0."""

    response_code: Literal[ResponseCode.SUCCESS]
    response_message: Literal["Success"]


class ReqSendAccepted(_Accepted):
    """The new order was accepted."""

    payload: RespSend


class ReqEditAccepted(_Accepted):
    """The new version was accepted."""

    payload: RespEdit


class ReqStatusChangeAccepted(_Accepted):
    """The order was canceled or closed."""

    payload: RespStatusChange


class RespConfirmAccepted(_Accepted):
    """The late result was accepted."""

    payload: RespConfirm


class EchoedIds(_ReplyPart):
    """The IDs that were received; empty if they could not be read."""

    buyerB2BId: str  # noqa: N815
    supplierB2BId: str  # noqa: N815


class RejectedResp(_ReplyPart):
    """The reason: `errorCd` for programs, `errorDtl` for people, and `errorField`, a path such as
    `purchaseOrder.itemLists[0].quantity`. `errorField` is empty if the error is not in a field."""

    reqMsgId: str  # noqa: N815
    result: Literal[Result.FAILURE]
    errorCd: ErrorCode  # noqa: N815
    errorDtl: str  # noqa: N815
    errorField: str  # noqa: N815


class _RejectedPayload(_ReplyPart):
    b2bIds: EchoedIds  # noqa: N815
    resp: RejectedResp
    additionalInfos: list[dict[str, Any]]  # noqa: N815


class PurchaseOrderRejectedPayload(_RejectedPayload):
    """The received message, as far as it could be read, and its error."""

    purchaseOrder: dict[str, Any]  # noqa: N815


class PoStatusRejectedPayload(_RejectedPayload):
    """The received message, as far as it could be read, and its error."""

    poStatus: dict[str, Any]  # noqa: N815


class PoConfirmationRejectedPayload(_RejectedPayload):
    """The received message, as far as it could be read, and its error."""

    poConfirmation: dict[str, Any]  # noqa: N815


class _Rejected(_ReplyPart):
    """The message was rejected and changed nothing; `response_code` 38 is a duplicate reference."""

    response_code: Literal[ResponseCode.FAILURE, ResponseCode.DUPLICATE]
    response_message: Literal["Failure", "Duplicate reference"]


class PurchaseOrderRejected(_Rejected):
    """A rejected `req-send` or `req-edit`; it changed nothing."""

    payload: PurchaseOrderRejectedPayload


class PoStatusRejected(_Rejected):
    """A rejected `req-status-change`; it changed nothing."""

    payload: PoStatusRejectedPayload


class PoConfirmationRejected(_Rejected):
    """A rejected `resp-confirm`; it changed nothing."""

    payload: PoConfirmationRejectedPayload


ACCEPTED: dict[Kind, type[BaseModel]] = {
    Kind.REQ_SEND: ReqSendAccepted,
    Kind.REQ_EDIT: ReqEditAccepted,
    Kind.REQ_STATUS_CHANGE: ReqStatusChangeAccepted,
    Kind.RESP_CONFIRM: RespConfirmAccepted,
}
"""The 200 reply to each kind."""
REJECTED: dict[Kind, type[BaseModel]] = {
    Kind.REQ_SEND: PurchaseOrderRejected,
    Kind.REQ_EDIT: PurchaseOrderRejected,
    Kind.REQ_STATUS_CHANGE: PoStatusRejected,
    Kind.RESP_CONFIRM: PoConfirmationRejected,
}
"""All other replies to each kind."""


# --- Descriptions

_SUMMARIES = {
    Kind.REQ_SEND: "A new purchase order",
    Kind.REQ_EDIT: "The buyer changed an order",
    Kind.REQ_STATUS_CHANGE: "The buyer canceled or closed an order",
    Kind.RESP_CONFIRM: "The result of the supplier's response",
}
_DESCRIPTIONS = {
    Kind.REQ_SEND: (
        "The complete order, in its first version. PO Confirm sends the supplier's response as "
        "`req-confirm` to your URL."
    ),
    Kind.REQ_EDIT: (
        "The complete order after the change. `objectVersion.currentVersion` is the version that you "
        "changed, and `newVersion` is the next one. If the order has a newer version, the edit is "
        "rejected with 409. An order that already has a response needs a response again."
    ),
    Kind.REQ_STATUS_CHANGE: (
        "`buyerAction` is `CANCEL` or `CLOSE`. A canceled or closed order accepts no more responses. The "
        "version does not change: `newVersion` equals `currentVersion`. A change that the order's status "
        "does not allow is rejected with 409."
    ),
    Kind.RESP_CONFIRM: (
        "The result of a response that you accepted first and processed later. `resp.reqMsgId` is the ID "
        "that you returned when you accepted it. After `SUCCESS` the response is final. After `FAILURE` the "
        "order needs a response again, and `errorField` names the field to correct. The example requires an "
        "order with a response."
    ),
}
_ABOUT = f"""\
A buyer's platform sends purchase orders, changes and results to PO Confirm, as JSON. Replies are JSON too.

Send your key with every message, in the header `{KEY_HEADER}`.

**Repeats are safe.** The same message sent again gets the same reply and changes nothing, so send it again \
after a timeout. The same version with different content is a conflict (409).

**Amounts are decimals.** They are stored exactly, with up to ten decimal places.

**Additional fields are allowed.** They are stored and shown.

Any other path under `/api/` returns 404, and any other method 405, both in the same format."""

_STATUSES = {
    200: "Accepted. A repeat of an accepted message gets the same reply.",
    400: "The body is not valid JSON: malformed, not UTF-8, nested too deeply, or with a duplicate key.",
    401: f"The header `{KEY_HEADER}` is missing, or the key is unknown.",
    409: "The message is valid, but conflicts with the state of the order. Nothing was changed.",
    413: "The body is too large.",
    415: "The body must be sent as `application/json` without `Content-Encoding`.",
    422: "A field is missing or invalid; `errorField` is its path.",
    429: "Too many requests without valid credentials came from this address. Wait for `Retry-After`.",
    503: "The database is busy, and the message was not stored. Send it again after `Retry-After`.",
}
_Refusal = tuple[ErrorCode, str, str]
_REFUSALS: dict[int, _Refusal] = {
    400: (ErrorCode.UNREADABLE, "The body is not valid JSON (line 1, column 2).", ""),
    401: (
        ErrorCode.CREDENTIALS,
        f"The header {KEY_HEADER} is missing or its key is unknown.",
        "",
    ),
    413: (ErrorCode.TOO_LARGE, "The body is larger than 1048576 bytes.", ""),
    415: (ErrorCode.MEDIA_TYPE, "Use Content-Type: application/json.", ""),
    429: (ErrorCode.TOO_MANY, "Too many requests without valid credentials. Try again in 5 s.", ""),
    503: (ErrorCode.UNAVAILABLE, "The message was not recorded. Try again in a moment.", ""),
}
"""Rejections of unreadable messages, which are not echoed."""
_CONFLICTS: dict[Kind, _Refusal] = {
    Kind.REQ_SEND: (
        ErrorCode.CONFLICT,
        f"purchaseOrder.objectId: {_EXAMPLE_ID} has the same object, version and status, "
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
        "No response matches this result.",
        "resp.reqMsgId",
    ),
}
_ERRORS: dict[Kind, _Refusal] = {
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


def openapi(server_url: str) -> dict[str, Any]:
    """The document; numbers in examples are exact Decimals.

    `server_url` is the URL of this app, without a trailing slash.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "PO Confirm: inbound messages", "version": "0", "description": _ABOUT},
        "servers": [{"url": server_url}],
        "security": [{"partnerKey": []}],
        "tags": [{"name": "purchase-order", "description": "Messages from the network to the supplier."}],
        "paths": {API_PATH + kind: {"post": _operation(server_url, kind)} for kind in LIFE_CYCLE},
        "components": {
            "securitySchemes": {
                "partnerKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": KEY_HEADER,
                    "description": "The key that the supplier gave you.",
                }
            },
            "schemas": _schemas(),
        },
    }


def curl(server_url: str, kind: Kind) -> str:
    """A shell command that sends the example of this kind; it reads the key from `$PARTNER_KEY`."""
    return " \\\n  ".join(
        (
            f"curl --request POST {shlex.quote(server_url + API_PATH + kind)}",
            "--header 'Content-Type: application/json'",
            f'--header "{KEY_HEADER}: $PARTNER_KEY"',
            f"--data-raw {shlex.quote(pretty(example(kind)))}",
        )
    )


def pretty(value: Any) -> str:
    """Indented JSON with exact Decimals."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, indent=2)


class _Brief(GenerateJsonSchema):
    """Omits titles that repeat the name of the field, Python defaults, and `anyOf` for nullable types."""

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
def _schemas() -> dict[str, Any]:
    models = [model for kind in LIFE_CYCLE for model in (MODELS[kind], ACCEPTED[kind], REJECTED[kind])]
    unique = dict.fromkeys(models)
    _, document = models_json_schema(
        [(model, "validation") for model in unique], ref_template=_SCHEMAS, schema_generator=_Brief
    )
    schemas: dict[str, Any] = document.get("$defs", {})
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
    model = ACCEPTED[kind] if status == 200 else REJECTED[kind]
    reply = _reply(kind, status)
    codes = [code for code, code_status in HTTP_STATUS.items() if code_status == status]
    description = _STATUSES[status]
    if codes:
        description += f" `errorCd`: {', '.join(f'`{code}`' for code in codes)}."
    response = {"description": description, "content": _content(model, description, reply)}
    if status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return response


def _reply(kind: Kind, status: int) -> dict[str, Any]:
    reply: Callable[..., dict[str, Any]] = partial(build_reply, kind, req_msg_id=_EXAMPLE_ID)
    if status == 200:
        return reply(example(kind))
    if status in _REFUSALS:
        code, detail, field = _REFUSALS[status]
        return reply(None, code=code, detail=detail, field=field)
    code, detail, field = (_CONFLICTS if status == 409 else _ERRORS)[kind]
    return reply(
        _with_error(kind, field) if status == 422 else example(kind), code=code, detail=detail, field=field
    )


def _with_error(kind: Kind, field: str) -> dict[str, Any]:
    """The example with the error that the rejection names, as far as the reply echoes it."""
    message: dict[str, Any] = simplejson.loads(pretty(example(kind)), use_decimal=True)
    section, _, name = field.partition(".")
    if name == "itemLists[0].quantity":
        message[section]["itemLists"][0]["quantity"] = "1500"
    else:
        del message[section][name]
    return message


def _content(model: type[BaseModel], description: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "application/json": {
            "schema": {"$ref": _SCHEMAS.format(model=model.__name__)},
            "examples": {"example": {"summary": description.partition(".")[0], "value": value}},
        }
    }
