"""What a plan of a bulk response shows: its form, and what would happen to each order now."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from app.network.text import read_date, search_key, whole_number
from app.network.vocabulary import SupplierResponse
from app.orders import bulk_response
from app.orders.bulk_presenters import NOT_FOUND, PlanRow, outcome_notes
from app.orders.bulk_queries import BulkResult, Plan
from app.orders.forms import CONFIRMED, INFO_MAX, BulkResponseForm, SendForm, remarks_error
from app.orders.models import BulkItem, BulkResponse, BulkSource, BulkStatus, PurchaseOrder
from app.orders.presenters import RESPONSE_LABELS, RESPONSE_VERBS
from app.orders.req_confirm import DecisionInput, own_infos
from app.orders.spreadsheet import FILLED_IN, SheetColumn
from app.ui import web
from app.ui.fields import folded

RESPONSES = {
    search_key(word): response
    for response, verb in RESPONSE_VERBS.items()
    for word in (response.value, verb, RESPONSE_LABELS[response.value])  # type: ignore[index]
}
"""The accepted values of the Response column: ``ACCEPT``, ``Confirm`` or ``Confirmed``."""


def form_of(plan: Plan, bulk: BulkResponse, values: Any = None) -> BulkResponseForm | SendForm:
    """The form of a stored plan, as submitted or as the plan has it."""
    if bulk.source is BulkSource.SPREADSHEET:
        return SendForm()
    return response_form(plan, values, response=bulk.response, remarks=bulk.remarks)


def response_form(
    plan: Plan, values: Any, *, response: str = "ACCEPT", remarks: str = CONFIRMED
) -> BulkResponseForm:
    """The form with one response to these orders."""
    partners = [order.partner for _, order in plan if order]
    return BulkResponseForm(
        accepts_return=bool(partners) and all(partner.accepts_return for partner in partners),
        formdata=values,
        supplier_response=response,
        supplier_remarks=remarks,
    )


def plan_rows(plan: Plan, form: BulkResponseForm | SendForm) -> list[PlanRow]:
    """What would happen to each order of a plan now."""
    if isinstance(form, BulkResponseForm):
        rows = [_shared_row(item, order, form) for item, order in plan]
    else:
        rows = _sheet_rows(plan)
    valid = [(row, row.order, row.data) for row in rows if row.order and row.data]
    checked = bulk_response.check(web.db(), [(order, data, row.version) for row, order, data in valid])
    for (row, order, _), (status, detail) in zip(valid, checked, strict=True):
        row.status = BulkStatus.ERRORS if row.remarks_error else status
        row.notes = outcome_notes(order, status, detail)
    return rows


def plan_context(rows: Sequence[PlanRow]) -> dict[str, Any]:
    """The rows of a plan with their numbers. The total is None if that of an order is unknown."""
    ready = [row.order for row in rows if row.order and row.status is BulkStatus.READY]
    totals = [Decimal(order.total) for order in ready if order.total is not None]
    return {
        "rows": rows,
        "total_rows": len(rows),
        "ready": len(ready),
        "total": sum(totals, Decimal(0)) if len(totals) == len(ready) else None,
    }


def _shared_row(item: BulkItem, order: PurchaseOrder | None, form: BulkResponseForm) -> PlanRow:
    """An order with the response of the form, and with its own remark or the shared one."""
    if order is None:
        return PlanRow(None, BulkStatus.NOT_FOUND, [NOT_FOUND], entered_order=str(item.order_id or ""))
    chosen = form.supplier_response.data
    response = chosen if chosen in set(SupplierResponse) else SupplierResponse.ACCEPT.value
    shared = "" if form.errors else form.supplier_remarks.data or ""
    own = item.entered.get("remarks", "")
    error = remarks_error(own, response) if own else ""
    data = DecisionInput(response, (own if own and not error else shared) or CONFIRMED)
    return PlanRow(order, version=item.version, data=data, remarks=own, remarks_error=error)


# --- Rows of a spreadsheet


def _sheet_rows(plan: Plan) -> list[PlanRow]:
    first_rows: dict[int, int] = {}
    rows = []
    for item, order in plan:
        first = first_rows.setdefault(order.id, item.number) if order else item.number
        same_as = first if first != item.number else None
        data, errors = _read_row(item, order, same_as)
        rows.append(
            PlanRow(
                order,
                BulkStatus.ERRORS if order else BulkStatus.NOT_FOUND,
                errors,
                version=item.version,
                data=data,
                number=item.number,
                entered_order=item.entered.get(SheetColumn.ORDER, ""),
                entered=_filled_in(item),
                same_as=same_as,
            )
        )
    return rows


def errors_of(result: BulkResult, bulk: BulkResponse) -> list[str]:
    """The errors of a spreadsheet row that was not sent."""
    item = result.item
    had_errors = item.result in (BulkStatus.ERRORS, BulkStatus.NOT_FOUND)
    if bulk.source is not BulkSource.SPREADSHEET or not had_errors:
        return []
    return _read_row(item, result.order, whole_number(item.result_detail))[1]


def _read_row(
    item: BulkItem, order: PurchaseOrder | None, same_as: int | None
) -> tuple[DecisionInput | None, list[str]]:
    """The response in a row, or its errors. ``same_as`` is an earlier row with the same order."""
    cells = item.entered
    errors: dict[str, str] = {}
    data = None
    if order is None:
        errors[SheetColumn.ORDER] = NOT_FOUND
    else:
        if same_as is not None:
            errors[SheetColumn.ORDER] = f"Row {same_as} has the same order."
        po_number = _comparable(cells.get(SheetColumn.PO_NUMBER, ""))
        if po_number and po_number != _comparable(order.buyer_po_number):
            errors[SheetColumn.PO_NUMBER] = f"The PO number does not match order {order.id}. Were rows moved?"
        if item.version is None or item.version > order.version:
            errors[SheetColumn.VERSION] = "Enter the version from the downloaded file."
        elif item.version != order.version:
            errors[SheetColumn.VERSION] = (
                f"The buyer changed this order. It is now version {order.version}. Download it again."
            )
        data = _read_response(cells, errors)
    return data, [f"Row {item.number}, {column}: {error}" for column, error in errors.items()]


def _read_response(cells: dict[str, str], errors: dict[str, str]) -> DecisionInput | None:
    """The response in the columns that the person fills in; None if the row has errors."""
    response_text = cells.get(SheetColumn.RESPONSE, "")
    response = RESPONSES.get(search_key(response_text))
    if response is None:
        errors[SheetColumn.RESPONSE] = f"Enter Confirm, Reject or Return{_instead_of(response_text)}."
    remarks = folded(cells.get(SheetColumn.REMARKS, "")) or ""
    if not remarks and response is SupplierResponse.ACCEPT:
        remarks = CONFIRMED
    if response and (error := remarks_error(remarks, response)):
        errors[SheetColumn.REMARKS] = error
    own_number = folded(cells.get(SheetColumn.OWN_NUMBER, "")) or ""
    if len(own_number) > INFO_MAX:
        errors[SheetColumn.OWN_NUMBER] = f"Enter at most {INFO_MAX} characters."
    promised_text = cells.get(SheetColumn.PROMISED_DATE, "")
    promised = read_date(promised_text)
    if promised_text and promised is None:
        errors[SheetColumn.PROMISED_DATE] = f"Enter a date such as 2026-11-23{_instead_of(promised_text)}."
    if response is None or errors:
        return None
    return DecisionInput(response, remarks, infos=own_infos(own_number, promised))


def _instead_of(text: str) -> str:
    return f", not “{text[:40]}”" if text else ""


def _comparable(po_number: str) -> str:
    """A PO number without the leading apostrophe or zeros that spreadsheets add or drop."""
    return search_key(po_number.removeprefix("'")).lstrip("0")


def _filled_in(item: BulkItem) -> list[str]:
    cells = ((column, item.entered.get(column, "")) for column in FILLED_IN)
    return [text if column is SheetColumn.RESPONSE else f"{column}: {text}" for column, text in cells if text]
