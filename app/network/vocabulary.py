"""The codes, limits and status transitions of the network.

The network documents only `CREATED` and the structure of the messages. The rest comes from related pages or
is inferred from them. If a partner's document differs, correct it here.
"""

from enum import IntEnum, StrEnum


class Kind(StrEnum):
    """The messages that this app receives or sends; the value is the last part of the path."""

    REQ_SEND = "req-send"
    REQ_EDIT = "req-edit"
    REQ_STATUS_CHANGE = "req-status-change"
    REQ_CONFIRM = "req-confirm"
    RESP_CONFIRM = "resp-confirm"


class SupplierResponse(StrEnum):
    """The responses of a supplier; RETURN (send back for changes) only if the partner supports it."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    RETURN = "RETURN"


class Status(StrEnum):
    """The status of an order at the network."""

    CREATED = "CREATED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"
    CLOSED = "CLOSED"


class BuyerAction(StrEnum):
    """The buyer's action in a status change."""

    CANCEL = "CANCEL"
    CLOSE = "CLOSE"


class Result(StrEnum):
    """The values of `resp.result`."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class DeviceTag(StrEnum):
    """The known names of `device.tag`; others are accepted and shown as received."""

    GEOCODE = "GEOCODE"
    IP = "IP"
    MOBILE = "MOBILE"
    POSTAL_CODE = "POSTAL_CODE"
    INITIATING_CHANNEL = "INITIATING_CHANNEL"


DEFAULT_TAG = (DeviceTag.INITIATING_CHANNEL.value, "WEB")
"""Name and value of the `device.tag` of a response without another one."""


class ResponseCode(IntEnum):
    """The values of `response_code` that this app returns; partners may use more."""

    SUCCESS = 0
    FAILURE = 1
    DUPLICATE = 38


class ErrorCode(StrEnum):
    """Every `errorCd` that this app returns."""

    UNREADABLE = "PO_UNREADABLE"
    CREDENTIALS = "PO_CREDENTIALS"
    NOT_ALLOWED = "PO_NOT_ALLOWED"
    UNKNOWN_RESOURCE = "PO_UNKNOWN_RESOURCE"
    METHOD = "PO_METHOD"
    CONFLICT = "PO_CONFLICT"
    STALE_VERSION = "PO_STALE_VERSION"
    TRANSITION = "PO_TRANSITION"
    UNKNOWN_OBJECT = "PO_UNKNOWN_OBJECT"
    GONE = "PO_GONE"
    TOO_LARGE = "PO_TOO_LARGE"
    MEDIA_TYPE = "PO_MEDIA_TYPE"
    FIELD_MISSING = "PO_FIELD_MISSING"
    FIELD_INVALID = "PO_FIELD_INVALID"
    TOO_MANY = "PO_TOO_MANY"
    INTERNAL = "PO_INTERNAL"
    UNAVAILABLE = "PO_UNAVAILABLE"


HTTP_STATUS: dict[ErrorCode, int] = {
    ErrorCode.UNREADABLE: 400,
    ErrorCode.CREDENTIALS: 401,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.UNKNOWN_RESOURCE: 404,
    ErrorCode.METHOD: 405,
    ErrorCode.CONFLICT: 409,
    ErrorCode.STALE_VERSION: 409,
    ErrorCode.TRANSITION: 409,
    ErrorCode.UNKNOWN_OBJECT: 409,
    ErrorCode.GONE: 410,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.MEDIA_TYPE: 415,
    ErrorCode.FIELD_MISSING: 422,
    ErrorCode.FIELD_INVALID: 422,
    ErrorCode.TOO_MANY: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
}

FORBIDDEN_CHARACTERS = '"\\'
"""Not allowed in B2B IDs and in remarks."""

B2B_ID_MAX = 100
OBJECT_ID_MAX = 100
PO_NUMBER_MAX = 50
REMARKS_MAX = 100
INFOS_MAX = 50
LINE_PREFIX = "line/"
"""How the names of line responses in `additionalInfos` begin; the limit above does not count them."""
LINE_INFOS_MAX = 50_000
DEVICE_TAG_MAX = 100
REQ_MSG_ID_MAX = 200
STATUS_MAX = 100
VERSION_MAX = 2**31 - 1
AMOUNT_MAX = 10**15
"""The absolute value of amounts and quantities is below this."""
AMOUNT_DECIMALS_MAX = 10

FIELD_NAMES = {
    "poConfirmation.supplierResponse": "response",
    "poConfirmation.supplierRemarks": "remarks",
    "poConfirmation.objectVersion": "version",
    "poConfirmation.poStatusTransition": "status",
    "device.tag.name": "device tag",
    "device.tag.value": "device value",
    "additionalInfos": "additional information",
}
"""Display names of the fields of a response, by their path in `errorField`."""

_AFTER_RESPONSE = {
    SupplierResponse.ACCEPT: Status.ACCEPTED,
    SupplierResponse.REJECT: Status.REJECTED,
    SupplierResponse.RETURN: Status.RETURNED,
}
_AFTER_ACTION = {BuyerAction.CANCEL: Status.CANCELLED, BuyerAction.CLOSE: Status.CLOSED}
_FINAL = frozenset({Status.REJECTED, Status.CANCELLED, Status.CLOSED})

# `in` on the enum itself raises for other strings before Python 3.12.
_STATUSES = frozenset(Status)
_ACTIONS = frozenset(BuyerAction)
_RESPONSES = frozenset(SupplierResponse)

_OPEN_STATUSES = frozenset({Status.CREATED})
_MOVED_FROM = {
    Status.CANCELLED: frozenset({Status.CREATED, Status.RETURNED, Status.ACCEPTED}),
    Status.CLOSED: frozenset({Status.ACCEPTED}),
}


def is_known_status(status: str) -> bool:
    """Whether this status is known; an unknown one is kept and shown as received."""
    return status in _STATUSES


def status_after(response: str) -> Status:
    """The order's status after delivery of this response. ValueError for an unknown response."""
    return _AFTER_RESPONSE[SupplierResponse(response)]


def status_after_action(action: str) -> Status | None:
    """The status that a buyer's action requests; None for an unknown action."""
    return _AFTER_ACTION[BuyerAction(action)] if action in _ACTIONS else None


def may_respond(status: str, response: str) -> bool:
    """Whether an order in this status accepts this response; never for an unknown status or response."""
    return status in _OPEN_STATUSES and response in _RESPONSES


def may_move(current: str, action_or_new: str) -> bool:
    """Whether a buyer's status change, given as an action or as the new status, is allowed."""
    new = status_after_action(action_or_new) or action_or_new
    return new in _MOVED_FROM and current in _MOVED_FROM[Status(new)]


def may_edit(status: str) -> bool:
    """Whether the buyer may edit: always, except in a final status."""
    return status not in _FINAL
