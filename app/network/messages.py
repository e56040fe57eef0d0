"""Models of the network's messages: lenient for incoming messages, strict for outgoing ones.

Fields have Python names; the wire names are their aliases. Unknown fields of an incoming message are kept in
`model_extra`. Statuses, responses and actions that the vocabulary does not know stay plain strings.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from app.network.text import has_visible
from app.network.vocabulary import (
    AMOUNT_DECIMALS_MAX,
    AMOUNT_MAX,
    B2B_ID_MAX,
    DEVICE_TAG_MAX,
    FORBIDDEN_CHARACTERS,
    INFOS_MAX,
    LINE_INFOS_MAX,
    LINE_PREFIX,
    OBJECT_ID_MAX,
    PO_NUMBER_MAX,
    REMARKS_MAX,
    REQ_MSG_ID_MAX,
    STATUS_MAX,
    VERSION_MAX,
    ErrorCode,
    Kind,
    Status,
    SupplierResponse,
)

_WIRE_SPELLING = {"po": "PO", "b2b": "B2B"}
_NO_FORBIDDEN_CHARACTERS = f"^[^{re.escape(FORBIDDEN_CHARACTERS)}]*$"
_FIELD_PATH_MAX = 200


def _wire_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(_WIRE_SPELLING.get(word, word.capitalize()) for word in others)


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("number_type", "must be a number")
    number = Decimal(value)
    if not number.is_finite() or abs(number) >= AMOUNT_MAX:
        raise PydanticCustomError("number_size", "is too large")
    if -int(number.as_tuple().exponent) > AMOUNT_DECIMALS_MAX:
        raise PydanticCustomError("number_decimals", f"has more than {AMOUNT_DECIMALS_MAX} decimals")
    return number


def _whole_number(value: object) -> object:
    """Accept 1.0 as the integer 1, since JSON has only one kind of number."""
    if isinstance(value, Decimal) and abs(value) <= VERSION_MAX and value == value.to_integral_value():
        return int(value)
    return value


def _scalar_text(value: object) -> object:
    """Accept a number or boolean as its text: partners send codes and IDs as any of them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | Decimal) else value


def _optional_text(value: object) -> object:
    """The same where the text is optional: an object or list counts as absent, since it names no error."""
    return None if isinstance(value, dict | list) else _scalar_text(value)


def _visible(text: str) -> str:
    if not has_visible(text):
        raise PydanticCustomError("invisible", "must not be empty")
    return text


T = TypeVar("T")
# Reject a list with very many invalid entries at the first one.
Many = Annotated[list[T], Field(fail_fast=True)]
# Pydantic describes a Decimal as a number or a string; on the wire it is always a number.
_NUMBER_SCHEMA = {"type": "number", "exclusiveMinimum": -AMOUNT_MAX, "exclusiveMaximum": AMOUNT_MAX}
Number = Annotated[Decimal, BeforeValidator(_number), WithJsonSchema(_NUMBER_SCHEMA)]
Version = Annotated[int, Field(ge=0, le=VERSION_MAX), BeforeValidator(_whole_number)]
# The schema can only say "visible" with a pattern; the validator knows more invisible characters.
_VISIBLE = {"pattern": r"\S"}
_VISIBLE_ALLOWED = {"pattern": r'^[^"\\]*[^\s"\\][^"\\]*$'}
# Strip the whitespace around an ID: it is invisible, and the ID would match no supplier.
B2BId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=B2B_ID_MAX,
        pattern=_NO_FORBIDDEN_CHARACTERS,
        json_schema_extra=_VISIBLE_ALLOWED,
    ),
    AfterValidator(_visible),
    BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value),
]
ObjectId = Annotated[
    str,
    Field(min_length=1, max_length=OBJECT_ID_MAX, json_schema_extra=_VISIBLE),
    AfterValidator(_visible),
]
PONumber = Annotated[
    str,
    Field(min_length=1, max_length=PO_NUMBER_MAX, json_schema_extra=_VISIBLE),
    AfterValidator(_visible),
]
# An unknown status is kept as received, but it must fit into the column.
StatusText = Annotated[
    str,
    Field(min_length=1, max_length=STATUS_MAX, json_schema_extra=_VISIBLE),
    AfterValidator(_visible),
]
DeviceText = Annotated[
    str,
    Field(min_length=1, max_length=DEVICE_TAG_MAX, json_schema_extra=_VISIBLE),
    AfterValidator(_visible),
]
Remarks = Annotated[
    str,
    Field(
        min_length=1,
        max_length=REMARKS_MAX,
        pattern=_NO_FORBIDDEN_CHARACTERS,
        json_schema_extra=_VISIBLE_ALLOWED,
    ),
    AfterValidator(_visible),
]
_SCALAR = {"type": ["string", "number", "boolean"]}
ReqMsgId = Annotated[
    str,
    Field(max_length=REQ_MSG_ID_MAX),
    BeforeValidator(_scalar_text),
    WithJsonSchema({**_SCALAR, "maxLength": REQ_MSG_ID_MAX}),
]
# Echoes of what this app sent: partners may write texts of digits as numbers.
EchoedText = Annotated[str, BeforeValidator(_scalar_text), WithJsonSchema(_SCALAR)]
EchoedObjectId = Annotated[
    ObjectId,
    BeforeValidator(_scalar_text),
    WithJsonSchema({**_SCALAR, **_VISIBLE, "minLength": 1, "maxLength": OBJECT_ID_MAX}),
]
EchoedPONumber = Annotated[
    PONumber,
    BeforeValidator(_scalar_text),
    WithJsonSchema({**_SCALAR, **_VISIBLE, "minLength": 1, "maxLength": PO_NUMBER_MAX}),
]
ErrorText = Annotated[str | None, BeforeValidator(_optional_text), WithJsonSchema({})]
Response = Annotated[SupplierResponse, Field(strict=False)]
KnownStatus = Annotated[Status, Field(strict=False)]


class Inbound(BaseModel):
    """A part of an incoming message: types are strict, unknown fields are kept."""

    model_config = ConfigDict(
        strict=True,
        extra="allow",
        frozen=True,
        alias_generator=_wire_name,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )

    def wire(self) -> dict[str, Any]:
        """The part with its wire names, in the order of the contract, without unset fields."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Outbound(Inbound):
    """A part of an outgoing message: exactly the fields that the network documents."""

    model_config = ConfigDict(extra="forbid")


class B2BIds(Inbound):
    """The buyer and the supplier; the supplier ID decides who may see the order."""

    buyer_b2b_id: B2BId
    supplier_b2b_id: B2BId


class ObjectVersion(Inbound):
    """The version that the sender knows and the version that it creates."""

    current_version: Version
    new_version: Version


class StatusTransition(Inbound):
    """The status that the sender knows and the status that it requests."""

    current_status: StatusText
    new_status: StatusText


class DeviceTagPair(Inbound):
    """A property of the sending device, such as GEOCODE with "lat,long"."""

    name: str | None = None
    value: str | None = None


class Device(Inbound):
    """The device that created a message."""

    tag: DeviceTagPair


class Info(Inbound):
    """A custom name and value."""

    name: str | None = None
    value: str | None = None


class ContactNumber(Inbound):
    """A phone number."""

    type: str | None = None
    country_code: str | None = None
    phone_number: str | None = None


class Address(Inbound):
    """A postal address."""

    type: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    pincode: str | None = None


class AddressDetail(Inbound):
    """An address and its purpose, such as SHIP_TO."""

    address_type: str | None = None
    address: Address | None = None


class Party(Inbound):
    """The buyer or the supplier as described in the order; only the buyer has a `placeOfSupply`."""

    b2b_id: str | None = None
    gstin: str | None = None
    legal_name: str | None = None
    trade_name: str | None = None
    state_code: str | None = None
    address: Address | None = None
    contact_number: ContactNumber | None = None
    email: str | None = None
    place_of_supply: str | None = None


class TypedValue(Inbound):
    """A typed amount, or a rate in percent."""

    type: str | None = None
    value: Number | None = None


class ItemLine(Inbound):
    """One line of an order; amounts in INR, `gstRate` in percent, quantities in `unit`."""

    serialno: str | None = None
    product_description: str | None = None
    is_service: str | None = None
    hsn_code: str | None = None
    bar_code: str | None = None
    quantity: Number | None = None
    free_quantity: Number | None = None
    unit: str | None = None
    unit_price: Number | None = None
    total_amt: Number | None = None
    assessment_amount: Number | None = None
    gst_rate: Number | None = None
    total_item_value: Number | None = None
    order_line_reference: str | None = None
    origin_country: str | None = None
    product_serial_number: str | None = None
    item_value_details: Many[TypedValue] | None = None
    rates: Many[TypedValue] | None = None
    batch_details: Any = None


class PurchaseOrderBody(Inbound):
    """A purchase order; sections without a documented format are kept as received."""

    object_id: ObjectId
    buyer_po_number: PONumber
    ts: str
    order_date: str
    delivery_date: str
    subject: str
    object_version: ObjectVersion
    po_status_transition: StatusTransition
    supplier_details: Party | None = None
    buyer_details: Party | None = None
    address_details: Many[AddressDetail] | None = None
    item_lists: Many[ItemLine]
    po_value_details: Any = None
    po_infos: Any = None
    contract_reference_details: Any = None
    additional_document_details: Any = None
    payment_milestones: Any = None
    shipping_terms_details: Any = None


class StatusChangeBody(Inbound):
    """A cancellation or closure by the buyer."""

    object_id: ObjectId
    buyer_po_number: PONumber
    object_version: ObjectVersion
    buyer_action: str
    buyer_remarks: str
    po_status_transition: StatusTransition


class ConfirmationEcho(Inbound):
    """The supplier's response as the partner repeats it."""

    object_id: EchoedObjectId
    buyer_po_number: EchoedPONumber
    supplier_response: EchoedText
    supplier_remarks: EchoedText
    object_version: ObjectVersion
    po_status_transition: StatusTransition


class Resp(Inbound):
    """The result of a message; a null, empty or missing error field means no error."""

    req_msg_id: ReqMsgId
    result: str
    error_cd: ErrorText = None
    error_dtl: ErrorText = None
    error_field: ErrorText = None


class ReqSend(Inbound):
    """A buyer's new purchase order."""

    device: Device
    b2b_ids: B2BIds
    purchase_order: PurchaseOrderBody
    additional_infos: Many[Info]


class ReqEdit(ReqSend):
    """The complete purchase order after a change by the buyer."""


class ReqStatusChange(Inbound):
    """A purchase order canceled or closed by the buyer."""

    device: Device
    b2b_ids: B2BIds
    po_status: StatusChangeBody
    additional_infos: Many[Info]


class RespConfirm(Inbound):
    """The late result of the supplier's response. `additionalInfos` has no effect on it."""

    b2b_ids: B2BIds
    resp: Resp
    po_confirmation: ConfirmationEcho
    additional_infos: Any


class RespSend(Inbound):
    """The result of a `req-send` for the buyer; this app sends it only as the payload of a reply."""

    b2b_ids: B2BIds
    resp: Resp
    purchase_order: PurchaseOrderBody
    additional_infos: Many[Info]


class RespEdit(RespSend):
    """The result of a `req-edit` for the buyer."""


class RespStatusChange(Inbound):
    """The result of a `req-status-change` for the buyer."""

    b2b_ids: B2BIds
    resp: Resp
    po_status: StatusChangeBody
    additional_infos: Many[Info]


class SentB2BIds(B2BIds, Outbound):
    """The buyer and the supplier, without further fields."""

    model_config = ConfigDict(extra="forbid")


class SentObjectVersion(ObjectVersion, Outbound):
    """The two versions, without further fields."""

    model_config = ConfigDict(extra="forbid")


class SentDeviceTagPair(Outbound):
    """The name and value of the sending device."""

    name: DeviceText
    value: DeviceText


class SentDevice(Outbound):
    """The sending device."""

    tag: SentDeviceTagPair


class SentInfo(Outbound):
    """A custom name and value; each is optional, neither may be null."""

    name: str = ""
    value: str = ""


def _check_field_count(infos: list[SentInfo]) -> list[SentInfo]:
    """The limit is for what people type; the pairs of line responses have their own."""
    if sum(not info.name.startswith(LINE_PREFIX) for info in infos) > INFOS_MAX:
        raise PydanticCustomError("too_many", "must have at most {limit} entries", {"limit": INFOS_MAX})
    return infos


class SentStatusTransition(Outbound):
    """The status before the response and the status that the response requests."""

    current_status: KnownStatus
    new_status: KnownStatus


class Confirmation(Outbound):
    """The supplier's response to one version of an order."""

    object_id: ObjectId
    buyer_po_number: PONumber
    supplier_response: Response
    supplier_remarks: Remarks
    object_version: SentObjectVersion
    po_status_transition: SentStatusTransition


class ReqConfirm(Outbound):
    """The supplier's response as the network documents it: these fields, in this order."""

    device: SentDevice
    b2b_ids: SentB2BIds
    po_confirmation: Confirmation
    additional_infos: Annotated[
        Many[SentInfo],
        Field(max_length=INFOS_MAX + LINE_INFOS_MAX),
        AfterValidator(_check_field_count),
    ]


Message = ReqSend | ReqEdit | ReqStatusChange | RespConfirm | ReqConfirm

MODELS: dict[Kind, type[Message]] = {
    Kind.REQ_SEND: ReqSend,
    Kind.REQ_EDIT: ReqEdit,
    Kind.REQ_STATUS_CHANGE: ReqStatusChange,
    Kind.REQ_CONFIRM: ReqConfirm,
    Kind.RESP_CONFIRM: RespConfirm,
}


class Invalid(ValueError):
    """A message that violates the contract, or that the current order does not allow.

    `field` is a path of wire names, `detail` a sentence for the sender.
    """

    def __init__(self, code: ErrorCode, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail


@overload
def parse(kind: Literal[Kind.REQ_SEND], value: Any) -> ReqSend: ...
@overload
def parse(kind: Literal[Kind.REQ_EDIT], value: Any) -> ReqEdit: ...
@overload
def parse(kind: Literal[Kind.REQ_STATUS_CHANGE], value: Any) -> ReqStatusChange: ...
@overload
def parse(kind: Literal[Kind.REQ_CONFIRM], value: Any) -> ReqConfirm: ...
@overload
def parse(kind: Literal[Kind.RESP_CONFIRM], value: Any) -> RespConfirm: ...
@overload
def parse(kind: Kind, value: Any) -> Message: ...
def parse(kind: Kind, value: Any) -> Message:
    """Validate parsed JSON as a message of this kind; only wire names are accepted.

    Raises Invalid for the first violation of the contract.
    """
    try:
        return MODELS[kind].model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False)[0]) from None


_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this message",
    "string_type": "must be a string",
    "string_unicode": "must be valid text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": 'must not contain " or \\',
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "enum": "must be one of {expected}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def _invalid(error: ErrorDetails) -> Invalid:
    code = ErrorCode.FIELD_MISSING if error["type"] == "missing" else ErrorCode.FIELD_INVALID
    field = _path(error["loc"])
    if error["input"] is None and code is ErrorCode.FIELD_INVALID:
        sentence = "must not be null"
    elif template := _SENTENCES.get(error["type"]):
        sentence = template.format(**error.get("ctx", {}))
    else:
        sentence = error["msg"]
    return Invalid(code, field, f"{field or 'The message'} {sentence}.")


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return path.removeprefix(".")[:_FIELD_PATH_MAX]
