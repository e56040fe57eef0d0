"""Responding to several orders: selected, all of a list, or from a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.db.filters import PAGE
from app.network.text import whole_number
from app.network.vocabulary import SupplierResponse
from app.orders import (
    bulk_presenters,
    bulk_queries,
    bulk_response,
    inbox_presenters,
    list_navigation,
    queries,
    spreadsheet,
)
from app.orders.bulk_page import errors_of, form_of, plan_context, plan_rows, response_form
from app.orders.bulk_presenters import PlanRow
from app.orders.bulk_queries import Plan
from app.orders.forms import CONFIRMED, BulkResponseForm, SendForm, UploadForm, selected_ids
from app.orders.listing import filter_values, order_filter
from app.orders.models import BulkItem, BulkResponse, BulkSource, BulkStatus
from app.orders.spreadsheet import BadSheet, SheetColumn
from app.tasks import queries as job_queries
from app.tasks import service as task_service
from app.tasks.models import Job
from app.tasks.presenters import KINDS, JobKind, Result, job_title
from app.ui import web
from app.ui.fields import folded
from app.ui.listing import url_values

blueprint = Blueprint("bulk", __name__, url_prefix="/orders/answers")
FORM_BYTES = 512 * 1024
UPLOAD_BYTES = spreadsheet.UPLOAD_MAX + 64 * 1024
"""A file and the rest of its form."""
UNDO_BATCH = 50


def _result(job: Job) -> Result:
    return Result("Result", url_for("bulk.show", bulk_id=job.parameters["bulk"]))


KINDS[bulk_response.KIND] = JobKind(bulk_presenters.respond_job_title, _result)


# --- Selected orders


@blueprint.route("/plan", methods=["GET", "POST"])
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
def plan() -> Response:
    """What a response to the selected orders would do; nothing is recorded."""
    selected = _selected()
    is_filled_in = request.method == "POST" and "supplier_response" in request.form
    form = response_form(selected, request.form if is_filled_in else None)
    is_valid = not is_filled_in or form.validate()
    return _selection_page(selected, form, status=200 if is_valid else 422)


@blueprint.post("")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def respond() -> AnyResponse:
    """Record the same response to each selected order that accepts it."""
    selected = _selected()
    form = response_form(selected, request.form)
    is_valid = form.validate()
    rows = plan_rows(selected, form)
    if not is_valid or not rows or any(row.remarks_error for row in rows):
        return _selection_page(selected, form, status=422)
    items = [item for item, _ in selected]
    versions = _seen_versions()
    for item in items:
        item.version = versions.get(item.order_id or 0)
    _store_responses(items, rows)
    bulk = bulk_response.create_plan(
        web.db(),
        BulkSource.SELECTION,
        access.current_person(),
        items,
        response=form.supplier_response.data,
        remarks=form.supplier_remarks.data,
        missing=_missing(selected),
    )
    _send(bulk)
    web.db().commit()
    return web.redirect_after_post(url_for(".show", bulk_id=bulk.id))


def _selected() -> Plan:
    """The selected orders with their own remarks."""
    orders = queries.orders_by_id(web.db(), access.visible_suppliers(), selected_ids(request.values))
    return [
        (
            BulkItem(number=number, order_id=order.id, entered={"remarks": _own_remarks(order.id) or ""}),
            order,
        )
        for number, order in enumerate(orders, 1)
    ]


def _selection_page(selected: Plan, form: BulkResponseForm, *, status: int) -> Response:
    return web.page(
        "orders/bulk_response.html",
        **plan_context(plan_rows(selected, form)),
        form=form,
        bulk=None,
        next_after=None,
        has_previous=False,
        missing=_missing(selected),
        versions=[f"{order.id}:{order.version}" for _, order in selected if order],
        status=status,
    )


def _missing(selected: Plan) -> int:
    """How many of the selected orders were not found."""
    return len(selected_ids(request.values)) - len(selected)


def _own_remarks(order_id: int | None) -> str | None:
    """The remark for this order in the submitted form; None if the form has no field for it."""
    return folded(request.form.get(f"remarks-{order_id}"))


def _seen_versions() -> dict[int, int]:
    """The versions that the person saw, from hidden fields with the value ``id:version``."""
    pairs = (text.partition(":") for text in request.form.getlist("versions"))
    return {
        order_id: version
        for order_id, version in ((whole_number(first), whole_number(last)) for first, _, last in pairs)
        if order_id is not None and version is not None
    }


# --- All orders of a list


@blueprint.post("/all")
@access.requires(Permission.RESPOND)
def select_all() -> AnyResponse:
    """Plan a response to all orders of the list ``list`` that need one."""
    values = filter_values(request.form.get("list", ""))
    filters = order_filter(values)
    orders = list_navigation.open_orders(
        web.db(), access.visible_suppliers(), filters, limit=bulk_response.ORDERS_MAX
    )
    if not orders:
        return web.redirect_after_post(url_for("orders.inbox", **url_values(values)))
    bulk = bulk_response.create_plan(
        web.db(),
        BulkSource.FILTER,
        access.current_person(),
        [
            BulkItem(number=number, order_id=order_id, version=version)
            for number, (order_id, version) in enumerate(orders, 1)
        ],
        response="ACCEPT",
        remarks=CONFIRMED,
    )
    web.db().commit()
    return web.redirect_after_post(url_for(".show", bulk_id=bulk.id))


# --- A spreadsheet


@blueprint.get("/upload")
@access.requires(Permission.RESPOND)
def spreadsheet_page() -> Response:
    """Download the orders of a list as a spreadsheet, and upload it filled in."""
    return _upload_page(UploadForm())


@blueprint.post("/upload")
@web.accepts(UPLOAD_BYTES)
@access.requires(Permission.RESPOND)
def upload() -> AnyResponse:
    """Plan the responses of a filled-in spreadsheet; nothing is sent."""
    form = UploadForm()
    form.validate()
    file = request.files.get("file")
    try:
        sheet = spreadsheet.read_sheet(file.stream.read(spreadsheet.UPLOAD_MAX + 1) if file else b"")
    except BadSheet as error:
        form.file.errors = [bulk_presenters.sheet_problem(error)]
        return _upload_page(form, status=422)
    items = [
        BulkItem(
            number=row.number,
            order_id=whole_number(row.cells.get(SheetColumn.ORDER, "")),
            version=whole_number(row.cells.get(SheetColumn.VERSION, "")),
            entered=dict(row.cells),
        )
        for row in sheet.rows
    ]
    ids = [item.order_id for item in items if item.order_id is not None]
    visible = {order.id for order in queries.orders_by_id(web.db(), access.visible_suppliers(), ids)}
    for item in items:
        item.order_id = item.order_id if item.order_id in visible else None
    bulk = bulk_response.create_plan(
        web.db(),
        BulkSource.SPREADSHEET,
        access.current_person(),
        items,
        file_name=(folded(file.filename) or "")[:200] if file else "",
        blank=sheet.blank,
    )
    web.db().commit()
    return web.redirect_after_post(url_for(".show", bulk_id=bulk.id))


def _upload_page(form: UploadForm, status: int = 200) -> Response:
    values = filter_values(request.query_string.decode(errors="replace"))
    filters = order_filter(values)
    scope, most = access.visible_suppliers(), spreadsheet.ROWS_MAX + 1
    return web.page(
        "orders/bulk_upload.html",
        form=form,
        work_queue=inbox_presenters.order_queue(values),
        query=url_values(values),
        count=list_navigation.open_count(web.db(), scope, filters, most=most),
        limit=spreadsheet.ROWS_MAX,
        status=status,
    )


# --- A plan and its result


@blueprint.get("/<bulk_id>")
@access.requires(Permission.VIEW)
def show(bulk_id: str) -> Response:
    """The plan for its author, or its result, which refreshes until every webhook has ended."""
    me = access.current_person()
    sees_all = access.can(Permission.VIEW_ALL)
    bulk = bulk_queries.bulk_response(web.db(), None if sees_all else me.id, bulk_id) or abort(404)
    if bulk.sent_at:
        return _result_page(bulk)
    if bulk.person_id != me.id or not access.can(Permission.RESPOND):
        abort(404)
    plan = _plan_of(bulk)
    return _plan_page(bulk, plan, form_of(plan, bulk))


@blueprint.post("/<bulk_id>")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def send(bulk_id: str) -> AnyResponse:
    """Send the responses of a plan. With ``page``, keep the entries and show another page instead."""
    bulk = bulk_response.plan_for_update(web.db(), access.current_person().id, bulk_id) or abort(404)
    url = url_for(".show", bulk_id=bulk.id)
    if bulk.sent_at:
        return web.redirect_after_post(url)
    plan = _plan_of(bulk)
    items = [item for item, _ in plan]
    form = form_of(plan, bulk, request.form)
    is_valid = form.validate()
    if form.csrf_token.errors:
        return _plan_page(bulk, plan, form, status=422)
    if isinstance(form, BulkResponseForm):
        _keep_entered(bulk, items)
    if "page" in request.form:
        web.db().commit()
        after = whole_number(request.form["page"])
        return web.redirect_after_post(url_for(".show", bulk_id=bulk.id, after=after or None))
    rows = plan_rows(plan, form)
    if not is_valid or any(row.remarks_error for row in rows):
        return _plan_page(bulk, plan, form, status=422)
    if not any(row.status is BulkStatus.READY for row in rows):
        form.form_errors.append(bulk_presenters.bulk_hint(0, len(rows)))
        return _plan_page(bulk, plan, form, status=409)
    _store_responses(items, rows)
    _send(bulk)
    web.db().commit()
    return web.redirect_after_post(url)


@blueprint.post("/<bulk_id>/undo")
@access.requires(Permission.RESPOND)
def undo(bulk_id: str) -> AnyResponse:
    """Undo the response to one order, ``order_id``, or to all that can still be undone."""
    by = access.current_person()
    bulk = bulk_response.plan_for_update(web.db(), by.id, bulk_id) or abort(404)
    if "order_id" not in request.form:
        if job := job_queries.job(web.db(), None, bulk.job_id or "", lock=True):
            task_service.cancel(web.db(), job, by=by.display_name, title=job_title(job))
        ids = bulk_queries.undoable_orders(web.db(), bulk)
    else:
        ids = bulk_queries.undoable_orders(web.db(), bulk, whole_number(request.form["order_id"]) or 0)
    web.db().commit()
    undone = 0
    # Each batch is committed on its own, so that other writers do not wait for all of them.
    for start in range(0, len(ids), UNDO_BATCH):
        with web.database().writing() as session:
            batch = ids[start : start + UNDO_BATCH]
            undone += bulk_response.undo(session, batch, scope=access.visible_suppliers(), by=by)
            session.commit()
    if not undone:
        return web.error_page(409, "Too late to undo", "The responses were already sent or undone.")
    url = url_for(".show", bulk_id=bulk.id, after=_after() or None)
    return web.redirect_after_post(url, fragment=lambda: show(bulk_id))


def _store_responses(items: Sequence[BulkItem], rows: Sequence[PlanRow]) -> None:
    """Store the response of each row in its item; rows that cannot be sent get their result now."""
    for item, row in zip(items, rows, strict=True):
        if row.data:
            bulk_response.set_response(item, row.data)
        else:
            item.result, item.result_detail = row.status, str(row.same_as or "")


def _send(bulk: BulkResponse) -> None:
    bulk_response.send(
        web.db(),
        bulk,
        scope=access.visible_suppliers(),
        by=access.current_person(),
        undo_seconds=web.settings().undo_seconds,
    )


def _keep_entered(bulk: BulkResponse, items: Sequence[BulkItem]) -> None:
    """Keep the response and the remarks of this page in the plan."""
    response = request.form.get("supplier_response", "")
    bulk.response = response if response in set(SupplierResponse) else bulk.response
    bulk.remarks = (folded(request.form.get("supplier_remarks", "")) or "")[:1000]
    for item in items:
        remarks = _own_remarks(item.order_id)
        if remarks is not None:
            item.entered = {"remarks": remarks[:1000]}


def _plan_of(bulk: BulkResponse) -> Plan:
    return bulk_queries.plan_of(web.db(), access.visible_suppliers(), bulk)


def _plan_page(
    bulk: BulkResponse, plan: Plan, form: BulkResponseForm | SendForm, *, status: int = 200
) -> Response:
    rows = plan_rows(plan, form)
    numbers = [item.number for item, _ in plan]
    after = _after()
    first = next((index for index, number in enumerate(numbers) if number > after), 0)
    first_invalid = next((index for index, row in enumerate(rows) if row.remarks_error), None)
    if status == 422 and first_invalid is not None:
        # Show the page with the first error.
        first = first_invalid - first_invalid % PAGE
    last = first + PAGE
    template = "bulk_sheet" if bulk.source is BulkSource.SPREADSHEET else "bulk_response"
    return web.page(
        f"orders/{template}.html",
        **{**plan_context(rows), "rows": rows[first:last]},
        form=form,
        bulk=bulk,
        missing=0,
        versions=[],
        first_number=first + 1,
        errors=sum(row.status in (BulkStatus.ERRORS, BulkStatus.NOT_FOUND) for row in rows),
        next_after=numbers[last - 1] if len(rows) > last else None,
        has_previous=first > 0,
        status=status,
    )


def _after() -> int:
    """The number of the last order of the page before; 0 for the first page."""
    return whole_number(request.args.get("after", "")) or 0


def _result_page(bulk: BulkResponse) -> Response:
    after = _after()
    scope, me = access.visible_suppliers(), access.current_person()
    results, next_after = bulk_queries.results(web.db(), scope, bulk, after=after)
    counts = bulk_queries.counts(web.db(), bulk)
    job = job_queries.job(web.db(), None, bulk.job_id) if bulk.job_id else None
    is_running = job is not None and not job.is_finished
    may_undo = bulk.person_id == me.id and access.can(Permission.RESPOND)
    undoable = set(bulk_queries.undoable_orders(web.db(), bulk)) if may_undo else set()
    return web.page(
        "orders/bulk_result.html",
        "orders/_bulk_result.html",
        bulk=bulk,
        counts=counts,
        job=job,
        may_cancel=bulk.person_id == me.id,
        is_live=is_running or counts.is_moving,
        pace=bulk_presenters.result_pace(bulk, job, clock.now()),
        rows=[
            bulk_presenters.result_row(result, bulk, errors_of(result, bulk), ended=not is_running)
            for result in results
        ],
        undoable=undoable,
        page_url=url_for(".show", bulk_id=bulk.id, after=after or None),
        undo_url=url_for(".undo", bulk_id=bulk.id, after=after or None),
        next_url=url_for(".show", bulk_id=bulk.id, after=next_after) if next_after else None,
        first_url=url_for(".show", bulk_id=bulk.id) if after else "",
    )
