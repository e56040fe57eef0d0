"""The inbox, the order page, and order checks."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.orders import (
    checks,
    decisions,
    inbox_presenters,
    list_navigation,
    presence,
)
from app.orders.forms import DismissCheckForm
from app.orders.listing import (
    ORDERS,
    current_list,
    filter_values,
    list_filter,
    next_url,
    order_url,
    responded_order,
)
from app.orders.models import PurchaseOrder
from app.orders.order_data import order_data
from app.orders.order_page import (
    ORDER,
    current_checks,
    get_order,
    lock_order,
    new_form,
    page_context,
    record_open_form,
)
from app.ui import web
from app.webhooks.queries import messages_of_order

blueprint = Blueprint("orders", __name__, url_prefix="/orders")


# --- The inbox


@blueprint.get("")
@access.requires(Permission.VIEW)
def inbox() -> Response:
    """The list of orders; its whole state is in the URL."""
    return ORDERS.page()


@blueprint.get("/newer")
@access.requires(Permission.VIEW)
def newer() -> Response:
    """How many orders are new or changed since the list was opened."""
    return ORDERS.newer()


# --- Next order


@blueprint.get("/next")
@access.requires(Permission.RESPOND)
def next_order() -> AnyResponse:
    """Go to the first order of the list ``list`` that needs a response."""
    return redirect(next_url())


@blueprint.get("/done")
@access.requires(Permission.RESPOND)
def done() -> Response:
    """The end of a list: all done, or how many orders were skipped."""
    query = current_list()
    filters = list_filter(query)
    return web.page(
        "orders/done.html",
        list_query=query,
        work_queue=inbox_presenters.order_queue(filter_values(query)),
        remaining=list_navigation.open_count(web.db(), access.visible_suppliers(), filters),
        responded=responded_order(),
    )


# --- One order


@blueprint.get(ORDER)
@access.requires(Permission.VIEW)
def order(order_id: int) -> Response:
    """One order: the document, the response and the activity."""
    order = get_order(order_id)
    _record_view(order)
    context = page_context(order, new_form(order))
    if context["shows_form"]:
        record_open_form(order)
    return web.page("orders/order.html", **context, responded=responded_order())


def _record_view(order: PurchaseOrder) -> None:
    """Record the first view of a version by a person who may respond to it.

    A view takes no lock: the record is a short transaction of its own, and the page does not depend on it.
    """
    me = access.current_person()
    if not access.can(Permission.RESPOND) or presence.has_viewed(web.db(), order, me.id):
        return
    with web.recording(web.database().writing(), f"view of order {order.id}") as session:
        presence.record_view(session, order, by=me)


@blueprint.get(ORDER + ".json")
@access.requires(Permission.VIEW)
def order_as_data(order_id: int) -> Response:
    """One order as JSON, its versions exactly as received."""
    order = get_order(order_id)
    return jsonify(order_data(order))


@blueprint.get(ORDER + ".pdf")
@access.requires(Permission.VIEW)
def order_as_pdf(order_id: int) -> Response:
    """One order as a PDF; with a response in effect it is an order acknowledgment."""
    # The libraries take half a second to import, and most processes never need them.
    from app.orders.pdf_presenters import OrderPdf, order_pdf, pdf_name  # noqa: PLC0415

    order = get_order(order_id)
    messages = messages_of_order(web.db(), order.id)
    pdf_data = OrderPdf(
        order=order,
        decision=decisions.current_decision(order),
        message=messages[0] if messages else None,
        zone=web.zone(),
        now=clock.now(),
    )
    headers = {"Content-Disposition": f'attachment; filename="{pdf_name(pdf_data)}"'}
    return Response(order_pdf(pdf_data), mimetype="application/pdf", headers=headers)


# --- Order checks


@blueprint.post(ORDER + "/checks/dismiss")
@access.requires(Permission.RESPOND)
def dismiss_check(order_id: int) -> AnyResponse:
    """Dismiss an order check with a note."""
    order = lock_order(order_id)
    form = DismissCheckForm(formdata=request.form)
    if not form.validate():
        return _checks_page(order, form, status=422)
    entered = (form.kind.data, form.reference.data, form.version.data)
    for check in checks.order_checks(web.db(), order):
        if (check.kind, check.reference, str(order.version)) == entered:
            note = form.note.data or ""
            checks.dismiss(web.db(), order, check, note=note, by=access.current_person())
            web.db().commit()
            url = order_url(order_id, "checks")
            return web.redirect_after_post(url, fragment=lambda: _checks_page(order, None))
    return web.error_page(409, "This check no longer applies", "Reload the page to see the current checks.")


def _checks_page(order: PurchaseOrder, form: DismissCheckForm | None, *, status: int = 200) -> Response:
    context = {**page_context(order, new_form(order)), "checks": current_checks(order), "dismiss_form": form}
    return web.page("orders/order.html", "orders/_checks.html", status=status, **context)
