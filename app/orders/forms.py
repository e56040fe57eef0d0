"""The list's filter and the answer form."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    DateField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    RadioField,
    SearchField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, InputRequired, Length, Optional, ValidationError

from app.network.vocabulary import (
    DEVICE_TAG_MAX,
    FORBIDDEN_CHARACTERS,
    INFOS_MAX,
    REMARKS_MAX,
    VERSION_MAX,
    DeviceTag,
    Status,
    SupplierResponse,
)
from app.orders.models import Delivery, ResponseState
from app.orders.req_confirm import DecisionInput
from app.ui.fields import choices, folded, iso_day

CONFIRMED = "Confirmed"
"""The remark that a confirmation starts with."""
DEFAULT_TAG = (DeviceTag.INITIATING_CHANNEL.value, "WEB")
INFO_MAX = 500
"""Characters of a further name or value."""
OWN_NUMBER, PROMISED_DATE = "supplierOrderNumber", "promisedDate"
"""The names under which they travel in ``additionalInfos``."""

VERBS = {
    SupplierResponse.ACCEPT: "Confirm",
    SupplierResponse.REJECT: "Reject",
    SupplierResponse.RETURN: "Return for changes",
}
ANSWERS = [
    ("", "Any answer"),
    ("open", "To answer"),
    (ResponseState.NONE.value, "Not answered"),
    (ResponseState.ACCEPT.value, "Confirmed"),
    (ResponseState.REJECT.value, "Rejected"),
    (ResponseState.RETURN.value, "Returned"),
    (ResponseState.CHANGED.value, "Changed"),
]
STATUS_NAMES = {
    Status.CREATED: "Open",
    Status.ACCEPTED: "Accepted",
    Status.REJECTED: "Rejected",
    Status.RETURNED: "Returned",
    Status.CANCELLED: "Cancelled by the buyer",
    Status.CLOSED: "Closed by the buyer",
}
"""What the network knows of an order, in words."""
DELIVERIES = [
    ("", "Any delivery"),
    (Delivery.NONE.value, "Nothing sent"),
    (Delivery.PENDING.value, "Not delivered yet"),
    ("held", "Held"),
    (Delivery.SENDING.value, "Being sent"),
    (Delivery.DELIVERED.value, "Delivered"),
    (Delivery.REFUSED.value, "Refused"),
    (Delivery.FAILED.value, "Not delivered"),
    (Delivery.CANCELLED.value, "Withdrawn"),
]
SORT_NAMES = {
    "respond_by": "Respond by, soonest first",
    "-respond_by": "Respond by, latest first",
    "-received_at": "Received, newest first",
    "received_at": "Received, oldest first",
    "delivery_date": "Deliver by, soonest first",
    "-delivery_date": "Deliver by, latest first",
    "buyer_po_number": "PO number, A to Z",
    "-buyer_po_number": "PO number, Z to A",
}


class OrderFilterForm(Form):
    """``GET /orders``."""

    q = SearchField("Search", [Optional(), Length(max=200)])
    status = SelectField(
        "Status at the network",
        [Optional()],
        choices=choices(
            [("", "Any status"), *((status.value, name) for status, name in STATUS_NAMES.items())]
        ),
        default="",
    )
    answer = SelectField("Answer", [Optional()], choices=choices(ANSWERS), default="")
    delivery = SelectField("Delivery", [Optional()], choices=choices(DELIVERIES), default="")
    partner = StringField("Partner", [Optional(), Length(max=80)])
    due = SelectField(
        "Due",
        [Optional()],
        choices=choices([("", "Any time"), ("overdue", "Overdue"), ("soon", "Due soon")]),
        default="",
    )
    sort = SelectField("Sort", choices=choices(SORT_NAMES.items()), default="respond_by")
    after = StringField("After", [Optional(), Length(max=200)])


class InfoForm(Form):
    """One of the further names and values."""

    name = StringField("Name", [Optional(), Length(max=INFO_MAX)], filters=[folded])
    value = StringField("Value", [Optional(), Length(max=INFO_MAX)], filters=[folded])


class BaseResponseForm(FlaskForm):
    """What every answer says: confirm, reject or return, and a remark."""

    supplier_response = RadioField(
        "Answer",
        [InputRequired("Choose whether to confirm or to reject.")],
        choices=choices(VERBS.items()),
    )
    supplier_remarks = TextAreaField(
        "Remarks for the buyer",
        [InputRequired("The network wants a remark with every answer.")],
        filters=[folded],
    )

    def __init__(self, *, accepts_return: bool, **more: Any) -> None:
        super().__init__(**more)
        if not accepts_return:
            self.supplier_response.choices = choices(
                (response, verb)
                for response, verb in VERBS.items()
                if response is not SupplierResponse.RETURN
            )

    def validate_supplier_remarks(self, field: Any) -> None:
        text = field.data or ""
        if not text:
            raise ValidationError("The network wants a remark with every answer.")
        if len(text) > REMARKS_MAX:
            raise ValidationError(f"It has {len(text)} characters; the network takes {REMARKS_MAX}.")
        if any(letter in text for letter in FORBIDDEN_CHARACTERS):
            raise ValidationError('The network does not take " and \\ in remarks.')
        if self.supplier_response.data not in (None, SupplierResponse.ACCEPT) and text == CONFIRMED:
            raise ValidationError("Give the buyer the reason: this remark is the one for a confirmation.")


class BulkResponseForm(BaseResponseForm):
    """One answer to several orders. ``order_ids`` and ``versions`` ("id:version") are read by themselves."""

    def given(self) -> DecisionInput:
        """What a valid form says of each order."""
        return DecisionInput(self.supplier_response.data, self.supplier_remarks.data or "", *DEFAULT_TAG)


class ResponseForm(BaseResponseForm):
    """A supplier's answer to one version of an order."""

    version = HiddenField("Version", [InputRequired("The form does not say which version it answers.")])
    supplier_order_number = StringField(
        "Your order number", [Optional(), Length(max=INFO_MAX)], filters=[folded]
    )
    promised_date = DateField("Promised date", [Optional()])
    device_tag_name = StringField(
        "Device tag",
        [DataRequired("The network wants a device tag."), Length(max=DEVICE_TAG_MAX)],
        default=DEFAULT_TAG[0],
        filters=[folded],
    )
    device_tag_value = StringField(
        "Device value",
        [
            DataRequired("The network wants a value for the device tag."),
            Length(max=DEVICE_TAG_MAX),
        ],
        default=DEFAULT_TAG[1],
        filters=[folded],
    )
    additional_infos = FieldList(FormField(InfoForm), min_entries=1)

    def validate_version(self, field: Any) -> None:
        if not field.data.isdecimal() or len(field.data) > 10 or int(field.data) > VERSION_MAX:
            raise ValidationError("The form does not say which version it answers.")

    def validate_additional_infos(self, _field: Any) -> None:
        if len(self.given_infos()) > INFOS_MAX:
            raise ValidationError(f"The network takes at most {INFOS_MAX} further names and values.")

    def given_infos(self) -> tuple[tuple[str, str], ...]:
        """The further names and values, the two of our own first; empty rows are dropped."""
        promised = self.promised_date.data
        own = (
            (OWN_NUMBER, self.supplier_order_number.data or ""),
            (PROMISED_DATE, promised.isoformat() if promised else ""),
        )
        rows = ((row.data["name"] or "", row.data["value"] or "") for row in self.additional_infos)
        return (
            *((name, value) for name, value in own if value),
            *((name, value) for name, value in rows if name or value),
        )

    @staticmethod
    def filled_with(given: DecisionInput) -> dict[str, Any]:
        """The form's fields for an answer that was given before."""
        infos = list(given.infos)
        own = {name: value for name, value in reversed(infos) if name in (OWN_NUMBER, PROMISED_DATE)}
        promised = iso_day(own.get(PROMISED_DATE, ""))
        taken = {(OWN_NUMBER, own.get(OWN_NUMBER)), (PROMISED_DATE, promised and own[PROMISED_DATE])}
        return {
            "supplier_response": given.response,
            "supplier_remarks": given.remarks,
            "supplier_order_number": own.get(OWN_NUMBER, ""),
            "promised_date": promised,
            "device_tag_name": given.device_tag_name,
            "device_tag_value": given.device_tag_value,
            "additional_infos": [
                {"name": name, "value": value} for name, value in infos if (name, value) not in taken
            ],
        }

    def errors_without_a_field(self) -> list[str]:
        """What is wrong with the form as a whole, with a hidden field, or with the number of rows."""
        of_rows = [error for error in self.additional_infos.errors if isinstance(error, str)]
        return [*self.form_errors, *self.version.errors, *of_rows]

    def first_error(self) -> str:
        """The first thing that is wrong with the form, with the name of its field, as a sentence."""
        for field in self:
            if field.errors and isinstance(field.errors, list | tuple) and isinstance(field.errors[0], str):
                named = field.type not in ("HiddenField", "CSRFTokenField", "FieldList")
                return f"{field.label.text}: {field.errors[0]}" if named else str(field.errors[0])
        return f"A further name or value is too long: the network takes {INFO_MAX} characters."

    def given(self) -> DecisionInput:
        """What a valid form says."""
        return DecisionInput(
            response=self.supplier_response.data,
            remarks=self.supplier_remarks.data or "",
            device_tag_name=self.device_tag_name.data or "",
            device_tag_value=self.device_tag_value.data or "",
            infos=self.given_infos(),
        )

    def given_version(self) -> int:
        """The version that the form was made for."""
        return int(self.version.data or 0)
