"""The forms of bulk responses, and the response to each order as the person entered it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask_wtf.file import FileField

from app.network.text import read_date, search_key
from app.network.vocabulary import SupplierResponse
from app.orders.bulk_presenters import NOT_FOUND
from app.orders.forms import CONFIRMED, INFO_MAX, BaseResponseForm, remarks_error
from app.orders.models import BulkItem, PurchaseOrder
from app.orders.presenters import RESPONSE_LABELS, RESPONSE_VERBS
from app.orders.req_confirm import OWN_NUMBER, PROMISED_DATE, DecisionInput
from app.orders.spreadsheet import SheetColumn
from app.ui.fields import folded
from app.ui.forms import FlaskForm

RESPONSES = {
    search_key(word): response
    for response, verb in RESPONSE_VERBS.items()
    for word in (response.value, verb, RESPONSE_LABELS[response.value])  # type: ignore[index]
}
"""What may be written in the column Response: ``ACCEPT``, ``Confirm`` or ``Confirmed``."""


class BulkResponseForm(BaseResponseForm):
    """One response to several orders. The route reads the orders and their own remarks itself."""

    def decision_input(self, own_remarks: str = "") -> DecisionInput:
        """The response of a valid form to one order."""
        remarks = own_remarks or self.supplier_remarks.data or ""
        return DecisionInput(self.supplier_response.data, remarks)


class UploadForm(FlaskForm):
    """A filled-in response sheet."""

    file = FileField("Filled-in file")


class SendForm(FlaskForm):
    """The button that sends the responses of a spreadsheet."""


@dataclass(slots=True)
class EnteredResponse:
    """The response to one order, or the errors of what was entered, by column."""

    data: DecisionInput | None = None
    errors: dict[str, str] = field(default_factory=dict)


def own_remarks(values: Mapping[str, str], order_id: int | None) -> str | None:
    """The remark for this order in a submitted form; None if the form has no field for it."""
    return folded(values.get(f"remarks-{order_id}"))


def read_row(item: BulkItem, order: PurchaseOrder | None, same_as: int | None) -> EnteredResponse:
    """The response in a row of a spreadsheet. ``same_as`` is an earlier row with the same order."""
    cells: Mapping[str, str] = item.entered
    row = EnteredResponse()
    if order is None:
        row.errors[SheetColumn.ORDER] = NOT_FOUND
        return row
    if same_as is not None:
        row.errors[SheetColumn.ORDER] = f"Row {same_as} has the same order."
    po_number = _comparable(cells.get(SheetColumn.PO_NUMBER, ""))
    if po_number and po_number != _comparable(order.buyer_po_number):
        row.errors[SheetColumn.PO_NUMBER] = f"Order {order.id} has another PO number. Were rows moved?"
    if item.version is None or item.version > order.version:
        row.errors[SheetColumn.VERSION] = "Enter the version from the downloaded file."
    elif item.version != order.version:
        row.errors[SheetColumn.VERSION] = (
            f"The buyer changed this order. It is now version {order.version}. Download it again."
        )
    _read_response(row, cells)
    return row


def _read_response(row: EnteredResponse, cells: Mapping[str, str]) -> None:
    """Read the columns that the person fills in."""
    response_text = cells.get(SheetColumn.RESPONSE, "")
    response = RESPONSES.get(search_key(response_text))
    if response is None:
        row.errors[SheetColumn.RESPONSE] = f"Enter Confirm, Reject or Return{_instead_of(response_text)}."
    remarks = folded(cells.get(SheetColumn.REMARKS, "")) or ""
    if not remarks and response is SupplierResponse.ACCEPT:
        remarks = CONFIRMED
    if response and (error := remarks_error(remarks, response)):
        row.errors[SheetColumn.REMARKS] = error
    own_number = folded(cells.get(SheetColumn.OWN_NUMBER, "")) or ""
    if len(own_number) > INFO_MAX:
        row.errors[SheetColumn.OWN_NUMBER] = f"Enter at most {INFO_MAX} characters."
    promised_text = cells.get(SheetColumn.PROMISED_DATE, "")
    promised = read_date(promised_text)
    if promised_text and promised is None:
        row.errors[SheetColumn.PROMISED_DATE] = (
            f"Enter a date such as 2026-11-23{_instead_of(promised_text)}."
        )
    if response and not row.errors:
        infos = ((OWN_NUMBER, own_number), (PROMISED_DATE, promised.isoformat() if promised else ""))
        row.data = DecisionInput(
            response, remarks, infos=tuple((name, value) for name, value in infos if value)
        )


def _instead_of(text: str) -> str:
    return f", not “{text[:40]}”" if text else ""


def _comparable(po_number: str) -> str:
    """A PO number without what spreadsheets add or drop: an apostrophe, zeros in front."""
    return search_key(po_number.removeprefix("'")).lstrip("0")
