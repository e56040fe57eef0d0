"""The filter of the order list, and the forms for responses, order checks, comments and assignment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask_wtf.file import FileField
from werkzeug.datastructures import MultiDict
from wtforms import (
    FieldList,
    FormField,
    HiddenField,
    RadioField,
    SearchField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, InputRequired, Length, Optional, ValidationError

from app.delivery.models import PAUSED
from app.network.text import has_visible, iso_day, whole_number
from app.network.vocabulary import (
    DEFAULT_TAG,
    DEVICE_TAG_MAX,
    INFOS_MAX,
    VERSION_MAX,
    SupplierResponse,
)
from app.orders.bulk_response import BULK_MAX
from app.orders.decisions import ResponseBlocker
from app.orders.line_entry import LINES_MAX, EnteredLine, EnteredSplit, read_lines, response_mismatch
from app.orders.line_responses import LineResponse, is_line_name, to_json
from app.orders.lines import OrderedLine
from app.orders.presenters import (
    BLOCKER_SENTENCES,
    DELIVERY_LABELS,
    RESPONSE_LABELS,
    RESPONSE_VERBS,
    STATUS_LABELS,
)
from app.orders.req_confirm import OWN_NUMBER, PROMISED_DATE, DecisionInput, own_infos, remark_error
from app.orders.team import COMMENT_MAX
from app.ui.fields import SESSION_ENDED, Amount, Choice, Day, Moment, Rows, Until, choices, folded, lowercase
from app.ui.forms import FlaskForm, Form

CONFIRMED = "Confirmed"
"""The default remark of a confirmation."""
INFO_MAX = 500
"""Maximum length of the name or value of a custom field, in characters."""
NOTE_MAX = 200
"""Maximum length of the note of a dismissed check, in characters."""
ENTER_REMARK = "Enter a remark."
NO_REASON = {
    SupplierResponse.REJECT.value: "Enter a reason for the rejection.",
    SupplierResponse.RETURN.value: "Enter a reason for the return.",
}
"""Errors of another response that still has the default remark of a confirmation."""
ENTER_COMMENT = "Enter a comment."
CHOOSE_PERSON = "Choose a user from the list."
NO_VERSION = "The form has no order version. Reload the page."
RESERVED_NAME = "Names that begin with line/ are reserved for line responses."
ENTERED_TWICE = "Enter the supplier order number and the promised date only once."

SORT_NAMES = {
    "respond_by": "Respond by, soonest first",
    "-respond_by": "Respond by, latest first",
    "-received_at": "Received, newest first",
    "received_at": "Received, oldest first",
    "delivery_date": "Deliver by, soonest first",
    "-delivery_date": "Deliver by, latest first",
    "-amount": "Amount, highest first",
    "amount": "Amount, lowest first",
    "buyer_po_number": "PO number, A to Z",
    "-buyer_po_number": "PO number, Z to A",
}


def selected_ids(values: MultiDict[str, str]) -> list[int]:
    """The selected orders without duplicates; values that are not ids are dropped."""
    ids = map(whole_number, dict.fromkeys(values.getlist("order_ids")))
    return [order_id for order_id in ids if order_id is not None][:BULK_MAX]


class OrderFilterForm(Form):
    """The query of ``GET /orders``."""

    q = SearchField("Search", [Optional(), Length(max=200)])
    status = SelectField(
        "Network status",
        [Optional()],
        choices=choices([("", "Any status"), *STATUS_LABELS.items()]),
        default="",
    )
    answer = SelectField(
        "Response",
        [Optional()],
        choices=choices([("", "Any response"), ("open", "Needs response"), *RESPONSE_LABELS.items()]),
        default="",
    )
    delivery = SelectField(
        "Delivery",
        [Optional()],
        choices=choices([("", "Any delivery"), *DELIVERY_LABELS.items(), (PAUSED, "Paused")]),
        default="",
    )
    partner = Choice("Partner", [Optional(), Length(max=80)], any_label="Any partner")
    due = SelectField(
        "Respond by",
        [Optional()],
        choices=choices([("", "Any due date"), ("overdue", "Overdue"), ("soon", "Due soon")]),
        default="",
    )
    buyer = StringField("Buyer", [Optional(), Length(max=100)])
    supplier = Choice("Supplier", [Optional(), Length(max=100)])
    amount_min = Amount("Amount from", [Optional()])
    amount_max = Amount("Amount to", [Optional()])
    received_since = Moment("Received since", [Optional()])
    received_until = Until("Received until", [Optional()])
    deliver_by_since = Day("Deliver by, from", [Optional()])
    deliver_by_until = Day("Deliver by, to", [Optional()])
    assigned = Choice("Assignee", [Optional(), Length(max=80)], any_label="Any assignee")
    sort = SelectField("Sort", choices=choices(SORT_NAMES.items()), default="respond_by")
    after = StringField("After", [Optional(), Length(max=600)])


class InfoForm(Form):
    """A custom field: a name and a value."""

    name = StringField("Name", [Optional(), Length(max=INFO_MAX)], filters=[folded])
    value = StringField("Value", [Optional(), Length(max=INFO_MAX)], filters=[folded])

    def validate_name(self, field: Any) -> None:
        if is_line_name(field.data or ""):
            raise ValidationError(RESERVED_NAME)


_LINE_FIELD = re.compile(
    r"lines-(\d{1,5})-(?:(reference|response|quantity|delivery_date|unit_price|remarks)"
    r"|split-(\d{1,2})-(quantity|delivery_date))",
    re.ASCII,
)


class LineFields:
    """The line fields of a response form: what was entered for which line of the order.

    ``may_respond`` is whether the partner accepts responses to single lines.
    """

    def __init__(self, ordered: Sequence[OrderedLine] = (), *, may_respond: bool = True) -> None:
        self.ordered = ordered
        self.may_respond = may_respond
        self.entered: list[EnteredLine] = []
        self.errors: list[str] = []
        self.responses: tuple[LineResponse, ...] = ()

    @property
    def blocker(self) -> str:
        """Why the partner does not accept responses to single lines; empty if it does."""
        return "" if self.may_respond else BLOCKER_SENTENCES[ResponseBlocker.LINES_NOT_SUPPORTED]

    def read(self, values: Mapping[str, str]) -> None:
        """Read the fields of a submitted form; other fields are ignored."""
        lines: dict[int, EnteredLine] = {}
        for name, value in values.items():
            match = _LINE_FIELD.fullmatch(name)
            if not match:
                continue
            line = lines.setdefault(int(match[1]), EnteredLine())
            if match[2]:
                setattr(line, match[2], folded(value) or "")
            else:
                split = line.splits.setdefault(int(match[3]), EnteredSplit())
                setattr(split, match[4], folded(value) or "")
        self.entered = [lines[number] for number in sorted(lines)]

    def fill(self, responses: Sequence[LineResponse]) -> None:
        """Enter the lines of an earlier response."""
        for fields in map(to_json, responses):
            splits = {number: EnteredSplit(**split) for number, split in enumerate(fields.pop("splits", ()))}
            self.entered.append(EnteredLine(**fields, splits=splits))
        self.responses = tuple(responses)

    def reset(self) -> None:
        """Set all lines as ordered."""
        self.entered, self.errors, self.responses = [], [], ()

    def validate(self) -> bool:
        """Check what was entered; afterwards ``responses`` has the lines that differ from the order."""
        if not self.may_respond:
            if any(not line.is_blank for line in self.entered):
                self.errors.append(self.blocker)
            return not self.errors
        self.responses = read_lines(self.ordered, self.entered)
        self.errors += [line.errors["reference"] for line in self.entered if "reference" in line.errors][:5]
        if len(self.responses) > LINES_MAX:
            self.errors.append(f"Change at most {LINES_MAX} lines.")
        return not self.errors and not any(line.errors for line in self.entered)

    def first_error(self) -> str:
        """The first error as a sentence with the number of its line."""
        if self.errors:
            return self.errors[0]
        numbers = {line.reference: line.number for line in self.ordered}
        for line in self.entered:
            for error in line.errors.values():
                return f"Line {numbers.get(line.reference, line.reference)}: {error}"
        return ""


class DismissCheckForm(FlaskForm):
    """Dismisses one order check of a version, with a note."""

    kind = HiddenField()
    reference = HiddenField()
    version = HiddenField()
    note = StringField("Note", [DataRequired("Enter a note."), Length(max=NOTE_MAX)], filters=[folded])


class BaseResponseForm(FlaskForm):
    """The fields of every response: its kind and a remark."""

    supplier_response = RadioField(
        "Response", [InputRequired("Choose a response.")], choices=choices(RESPONSE_VERBS.items())
    )
    supplier_remarks = TextAreaField("Remarks for the buyer", [InputRequired(ENTER_REMARK)], filters=[folded])

    def __init__(self, *, accepts_return: bool, **more: Any) -> None:
        super().__init__(**more)
        if not accepts_return:
            self.supplier_response.choices = choices(
                (response, verb)
                for response, verb in RESPONSE_VERBS.items()
                if response is not SupplierResponse.RETURN
            )

    def validate_supplier_remarks(self, field: Any) -> None:
        if error := remarks_error(field.data or "", self.supplier_response.data):
            raise ValidationError(error)


def remarks_error(text: str, response: str | None) -> str:
    """Why the remark cannot be sent with this response; empty if it can."""
    if not text:
        return ENTER_REMARK
    if text == CONFIRMED:
        return NO_REASON.get(response or "", "")
    return remark_error(text)


class BulkResponseForm(BaseResponseForm):
    """One response to several orders. The route reads the orders and their own remarks itself."""


class UploadForm(FlaskForm):
    """A filled-in response sheet."""

    file = FileField("Filled-in file")


class SendForm(FlaskForm):
    """The button that sends the responses of a spreadsheet."""


class ResponseForm(BaseResponseForm):
    """A response to one version of an order. ``lines`` are the responses to its lines."""

    version = HiddenField("Version", [InputRequired(NO_VERSION)])
    supplier_order_number = StringField(
        "Supplier order number", [Optional(), Length(max=INFO_MAX)], filters=[folded]
    )
    promised_date = Day("Promised date", [Optional()])
    device_tag_name = StringField(
        "Device tag",
        [DataRequired("Enter a device tag."), Length(max=DEVICE_TAG_MAX)],
        default=DEFAULT_TAG[0],
        filters=[folded],
    )
    device_tag_value = StringField(
        "Device value",
        [DataRequired("Enter a value for the device tag."), Length(max=DEVICE_TAG_MAX)],
        default=DEFAULT_TAG[1],
        filters=[folded],
    )
    additional_infos = Rows(FormField(InfoForm), min_entries=1)

    def __init__(
        self,
        *,
        lines: LineFields | None = None,
        order_version: int | None = None,
        line_responses: Sequence[LineResponse] = (),
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.lines = lines or LineFields()
        self._of_version = order_version
        if (values := more.get("formdata")) is not None:
            self.lines.read(values)
        else:
            self.lines.fill(line_responses)

    def validate(self, extra_validators: Any = None) -> bool:
        """Check the fields and the lines.

        The lines of another version are not checked: the response is rejected for its version anyway.
        """
        is_valid: bool = super().validate(extra_validators)
        if not self.version.errors and self._of_version not in (None, self.order_version()):
            return is_valid
        if not self.lines.validate():
            return False
        kind = self.supplier_response
        if not kind.errors and (
            mismatch := response_mismatch(kind.data, self.lines.responses, len(self.lines.ordered))
        ):
            kind.errors = [mismatch]
            return False
        return is_valid

    def validate_version(self, field: Any) -> None:
        if whole_number(field.data, VERSION_MAX) is None:
            raise ValidationError(NO_VERSION)

    def validate_additional_infos(self, _field: Any) -> None:
        infos = self.infos()
        if len(infos) > INFOS_MAX:
            raise ValidationError(f"Enter at most {INFOS_MAX} custom fields.")
        own = [name for name, _ in infos if name in (OWN_NUMBER, PROMISED_DATE)]
        if len(own) > len(set(own)):
            raise ValidationError(ENTERED_TWICE)

    def infos(self) -> tuple[tuple[str, str], ...]:
        """The additional infos to send: the two with their own fields first; empty rows are dropped."""
        rows = ((row.data["name"] or "", row.data["value"] or "") for row in self.additional_infos)
        return (
            *own_infos(self.supplier_order_number.data or "", self.promised_date.data),
            *((name, value) for name, value in rows if name or value),
        )

    @staticmethod
    def initial_data(data: DecisionInput) -> dict[str, Any]:
        """The form's fields for a response, for example an earlier one."""
        infos = list(data.infos)
        own = {name: value for name, value in reversed(infos) if name in (OWN_NUMBER, PROMISED_DATE)}
        promised = iso_day(own.get(PROMISED_DATE, ""))
        used = {(OWN_NUMBER, own.get(OWN_NUMBER)), (PROMISED_DATE, promised and own[PROMISED_DATE])}
        return {
            "supplier_response": data.response,
            "supplier_remarks": data.remarks,
            "supplier_order_number": own.get(OWN_NUMBER, ""),
            "promised_date": promised,
            "device_tag_name": data.device_tag_name,
            "device_tag_value": data.device_tag_value,
            "additional_infos": [
                {"name": name, "value": value} for name, value in infos if (name, value) not in used
            ],
            "line_responses": data.line_responses,
        }

    def errors_without_a_field(self) -> list[str]:
        """Errors of the form as a whole, of the hidden version, and of the number of rows."""
        of_rows = [error for error in self.additional_infos.errors if isinstance(error, str)]
        return [*self.form_errors, *self.version.errors, *of_rows, *self.lines.errors]

    def first_error(self) -> str:
        """The first error as a sentence with the name of its field."""
        for field in self:
            if field.errors and field.type == "CSRFTokenField":
                return SESSION_ENDED
            if field.errors and isinstance(field.errors, list | tuple) and isinstance(field.errors[0], str):
                is_named = not isinstance(field, HiddenField | FieldList)
                return f"{field.label.text}: {field.errors[0]}" if is_named else str(field.errors[0])
        rows = list(self.additional_infos)
        if any(RESERVED_NAME in row["name"].errors for row in rows):
            return RESERVED_NAME
        if any(row.errors for row in rows):
            return f"Enter at most {INFO_MAX} characters in a custom field."
        return self.lines.first_error()

    def decision_input(self) -> DecisionInput:
        """The response of a valid form."""
        return DecisionInput(
            response=self.supplier_response.data,
            remarks=self.supplier_remarks.data or "",
            device_tag_name=self.device_tag_name.data or "",
            device_tag_value=self.device_tag_value.data or "",
            infos=self.infos(),
            line_responses=self.lines.responses,
        )

    def order_version(self) -> int:
        """The version that the form was made for."""
        return int(self.version.data or 0)


# --- The team


def _with_newlines(text: str | None) -> str:
    """The text with one kind of line break: a browser sends two characters for each."""
    return (text or "").replace("\r\n", "\n").replace("\r", "\n").strip()


class CommentForm(FlaskForm):
    """A comment on an order."""

    text = TextAreaField(
        "Comment",
        [Length(max=COMMENT_MAX, message=f"Enter at most {COMMENT_MAX:,} characters.")],
        filters=[_with_newlines],
    )

    def validate_text(self, field: TextAreaField) -> None:
        if not has_visible(field.data or ""):
            raise ValidationError(ENTER_COMMENT)


class AssignForm(FlaskForm):
    """The username of the assignee, empty to unassign; ``current`` is the one that the page showed."""

    username = StringField("Assignee", filters=[lowercase])
    current = StringField("Current assignee")

    def validate_username(self, field: StringField) -> None:
        if not field.raw_data:
            raise ValidationError(CHOOSE_PERSON)
