"""The network's words, limits and transitions in one place.

Only `CREATED` and the shape of the messages are printed by the network's own page; the rest was read on
sibling pages or inferred from them. Where a partner's real document says otherwise, correct it here.
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
    """What a supplier may answer; RETURN (send back for changes) only where a partner supports it."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    RETURN = "RETURN"


class Status(StrEnum):
    """What the network knows of an order."""

    CREATED = "CREATED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"
    CLOSED = "CLOSED"


class BuyerAction(StrEnum):
    """What a buyer does in a status change."""

    CANCEL = "CANCEL"
    CLOSE = "CLOSE"


class Result(StrEnum):
    """The values of `resp.result`."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class DeviceTag(StrEnum):
    """The known names of `device.tag`; others are taken and shown as they came."""

    GEOCODE = "GEOCODE"
    IP = "IP"
    MOBILE = "MOBILE"
    POSTAL_CODE = "POSTAL_CODE"
    INITIATING_CHANNEL = "INITIATING_CHANNEL"


class ResponseCode(IntEnum):
    """The values of `response_code` that this app gives; partners may have more."""

    SUCCESS = 0
    FAILURE = 1
    DUPLICATE = 38


class ErrorCode(StrEnum):
    """Every `errorCd` that this app gives."""

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
"""Not allowed in B2B ids and in remarks."""

B2B_ID_MAX = 100
OBJECT_ID_MAX = 100
PO_NUMBER_MAX = 50
REMARKS_MAX = 100
INFOS_MAX = 50
DEVICE_TAG_MAX = 100
REQ_MSG_ID_MAX = 200
STATUS_MAX = 100
VERSION_MAX = 2**31 - 1
AMOUNT_MAX = 10**15
"""Amounts and quantities are below this, either way from zero."""
AMOUNT_DECIMALS_MAX = 10

FIELD_NAMES = {
    "poConfirmation.supplierResponse": "answer",
    "poConfirmation.supplierRemarks": "remarks",
    "poConfirmation.objectVersion": "version",
    "poConfirmation.poStatusTransition": "status",
    "device.tag.name": "device tag",
    "device.tag.value": "device value",
    "additionalInfos": "further information",
}
"""What people call the fields of an answer, by the path that `errorField` gives."""

_AFTER_ANSWER = {
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

_ANSWERED_FROM = frozenset({Status.CREATED})
_MOVED_FROM = {
    Status.CANCELLED: frozenset({Status.CREATED, Status.RETURNED, Status.ACCEPTED}),
    Status.CLOSED: frozenset({Status.ACCEPTED}),
}


def is_known_status(status: str) -> bool:
    """Whether the table knows this status; an unknown one is kept and shown as it came."""
    return status in _STATUSES


def status_after(response: str) -> Status:
    """The order's status once this answer was delivered. ValueError for an unknown answer."""
    return _AFTER_ANSWER[SupplierResponse(response)]


def status_after_action(action: str) -> Status | None:
    """The status that a buyer's action asks for; None for an action that the table does not know."""
    return _AFTER_ACTION[BuyerAction(action)] if action in _ACTIONS else None


def may_answer(status: str, response: str) -> bool:
    """Whether an order in this status may get this answer; unknown statuses and answers never."""
    return status in _ANSWERED_FROM and response in _RESPONSES


def may_move(current: str, action_or_new: str) -> bool:
    """Whether a buyer's status change, named by its action or by its new status, is allowed."""
    new = status_after_action(action_or_new) or action_or_new
    return new in _MOVED_FROM and current in _MOVED_FROM[Status(new)]


def may_edit(status: str) -> bool:
    """Whether the buyer may still edit; the version is the lock, so only the final statuses forbid it."""
    return status not in _FINAL
