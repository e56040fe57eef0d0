"""What a plan of a bulk response shows: its form, and what would happen to each order now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from app.accounts import access
from app.network.vocabulary import SupplierResponse
from app.orders import bulk_presenters, bulk_queries, bulk_response
from app.orders.bulk_forms import BulkResponseForm, EnteredResponse, SendForm, read_row
from app.orders.bulk_presenters import PlanRow, plan_row
from app.orders.bulk_response import PlannedResponse
from app.orders.forms import CONFIRMED, remarks_error
from app.orders.models import BulkItem, BulkResponse, BulkSource, BulkStatus, PurchaseOrder
from app.orders.req_confirm import DecisionInput
from app.orders.spreadsheet import FILLED_IN, SheetColumn
from app.ui import web


def form_of(bulk: BulkResponse) -> BulkResponseForm | SendForm:
    """The form of a stored plan."""
    if bulk.source is BulkSource.SPREADSHEET:
        return SendForm()
    items = bulk_queries.items_of(web.db(), bulk)
    orders = bulk_queries.orders_of(web.db(), access.visible_suppliers(), items)
    return response_form(list(orders.values()), None, bulk)


def response_form(
    orders: Sequence[PurchaseOrder], values: Any, bulk: BulkResponse | None = None
) -> BulkResponseForm:
    """The form with one response to these orders, as submitted or as the plan has it."""
    return BulkResponseForm(
        accepts_return=bool(orders) and all(order.partner.accepts_return for order in orders),
        formdata=values,
        supplier_response=bulk.response if bulk else "ACCEPT",
        supplier_remarks=bulk.remarks if bulk else CONFIRMED,
    )


def plan_rows(
    items: Sequence[BulkItem],
    orders: Mapping[int, PurchaseOrder],
    form: BulkResponseForm | SendForm,
) -> list[PlanRow]:
    """What would happen to each order of a plan now."""
    if not isinstance(form, BulkResponseForm):
        return _sheet_rows(items, orders)
    known = [(item, orders.get(item.order_id or 0)) for item in items]
    rows = iter(
        shared_rows(
            form, [(order, item.version, item.entered.get("remarks", "")) for item, order in known if order]
        )
    )
    return [next(rows) if order else _not_found(item) for item, order in known]


def shared_rows(
    form: BulkResponseForm, entries: Sequence[tuple[PurchaseOrder, int | None, str]]
) -> list[PlanRow]:
    """Orders that all have the response of the form, with their own remark or that of all."""
    chosen = form.supplier_response.data
    response = chosen if chosen in set(SupplierResponse) else SupplierResponse.ACCEPT.value
    shared = "" if form.errors else form.supplier_remarks.data or ""
    errors, planned = [], []
    for order, version, own in entries:
        error = remarks_error(own, response) if own else ""
        remarks = (own if own and not error else shared) or CONFIRMED
        errors.append(error)
        planned.append(PlannedResponse(order, DecisionInput(response, remarks), version))
    checked = bulk_response.check(web.db(), planned)
    return [
        plan_row(row, plan.data, remarks=own, remarks_error=error)
        for row, plan, (_, _, own), error in zip(checked, planned, entries, errors, strict=True)
    ]


def _sheet_rows(items: Sequence[BulkItem], orders: Mapping[int, PurchaseOrder]) -> list[PlanRow]:
    first_rows: dict[int, int] = {}
    entered = []
    for item in items:
        order = orders.get(item.order_id or 0)
        same_as = first_rows.setdefault(order.id, item.number) if order else item.number
        entered.append((item, order, read_row(item, order, None if same_as == item.number else same_as)))
    valid = [
        PlannedResponse(order, row.data, item.version) for item, order, row in entered if order and row.data
    ]
    checked = iter(bulk_response.check(web.db(), valid))
    rows = []
    for item, order, row in entered:
        if row.data:
            rows.append(plan_row(next(checked), row.data, number=item.number))
        elif order is None:
            rows.append(_not_found(item, _cell_errors(item.number, row)))
        else:
            errors = _cell_errors(item.number, row)
            rows.append(
                PlanRow(order, BulkStatus.ERRORS, errors, number=item.number, entered=_filled_in(item))
            )
    return rows


def _not_found(item: BulkItem, errors: Sequence[str] = (bulk_presenters.NOT_FOUND,)) -> PlanRow:
    return PlanRow(
        None,
        BulkStatus.NOT_FOUND,
        errors,
        number=item.number,
        entered_order=item.entered.get(SheetColumn.ORDER, ""),
        entered=_filled_in(item),
    )


def _filled_in(item: BulkItem) -> list[str]:
    cells = ((column, item.entered.get(column, "")) for column in FILLED_IN)
    return [text if column is SheetColumn.RESPONSE else f"{column}: {text}" for column, text in cells if text]


def plan_context(rows: Sequence[PlanRow]) -> dict[str, Any]:
    """The rows of a plan with their numbers."""
    return {
        "rows": rows,
        "total_rows": len(rows),
        "ready": sum(row.status is BulkStatus.READY for row in rows),
        "total": _sum_of([row.order.total for row in rows if row.order and row.status is BulkStatus.READY]),
    }


def _sum_of(totals: Sequence[str | None]) -> Decimal | None:
    """The sum of the totals; None if the total of an order is unknown."""
    return None if None in totals else sum((Decimal(total) for total in totals if total), Decimal(0))


def errors_of(result: bulk_queries.BulkResult, bulk: BulkResponse) -> list[str]:
    """The errors of a spreadsheet's row that was not sent."""
    had_errors = result.item.result in (BulkStatus.ERRORS, BulkStatus.NOT_FOUND)
    if bulk.source is not BulkSource.SPREADSHEET or not had_errors:
        return []
    return _cell_errors(result.item.number, read_row(result.item, result.order, None))


def _cell_errors(number: int, entered: EnteredResponse) -> list[str]:
    return [f"Row {number}, {column}: {error}" for column, error in entered.errors.items()]
