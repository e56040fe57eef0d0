"""Responding to one order: the form, the review, the preview, and undo."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.network.messages import Invalid
from app.orders import (
    decisions,
    presence,
    presenters,
    queries,
    response_presenters,
)
from app.orders.forms import ResponseForm
from app.orders.listing import next_url, order_url
from app.orders.models import PurchaseOrder, ResponseState
from app.orders.order_page import (
    ORDER,
    get_order,
    lock_order,
    new_form,
    others_with_form,
    page_context,
    posted_form,
    record_open_form,
)
from app.orders.req_confirm import req_confirm
from app.ui import web
from app.ui.bodies import text_of

blueprint = Blueprint("responses", __name__, url_prefix="/orders")
FORM_BYTES = 512 * 1024
"""The size of the largest response form, with as many changed lines as a response may have."""


@blueprint.get(ORDER + "/delivery")
@access.requires(Permission.VIEW)
def delivery(order_id: int) -> Response:
    """The response and its delivery; the page polls it until the delivery has ended."""
    order = get_order(order_id)
    return web.page("orders/order.html", "orders/_response.html", **page_context(order, new_form(order)))


@blueprint.get(ORDER + "/answer")
@access.requires(Permission.RESPOND)
def response_form(order_id: int) -> Response:
    """The response form on its own page."""
    order = get_order(order_id)
    if order.needs_response:
        record_open_form(order)
    return _form_page(order, new_form(order))


@blueprint.post(ORDER + "/answer")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def respond(order_id: int) -> AnyResponse:
    """Record the response and its webhook, in one commit."""
    order = lock_order(order_id)
    form = posted_form(order)
    if not form.validate():
        # A kept form may be for an earlier version; its page shows the current one.
        is_stale = form.version.data not in ("", None, str(order.version))
        return _form_page(order, form, status=422, conflict="stale" if is_stale else "")
    goes_to_next = "next" in request.form
    if goes_to_next and "reviewed" not in request.form and _needs_review(order, form):
        return _review_page(order, form)
    if problem := _record(order, form):
        return problem
    presence.record_form_closed(web.db(), order.id, access.current_person().id)
    web.db().commit()
    if goes_to_next:
        return web.redirect_after_post(next_url(order))
    url = order_url(order_id)
    return web.redirect_after_post(url, fragment=lambda: delivery(order_id))


def _record(order: PurchaseOrder, form: ResponseForm) -> Response | None:
    """Record the response of a valid form, or return the page that says why it was not recorded."""
    try:
        decisions.respond(
            web.db(),
            order,
            form.decision_input(),
            version=form.order_version(),
            by=access.current_person(),
            undo_seconds=web.settings().undo_seconds,
        )
    except decisions.StaleVersion:
        return _form_page(order, form, status=409, conflict="stale")
    except decisions.AlreadyDecided as error:
        return _form_page(order, form, status=409, conflict="decided", current=error.decision)
    except decisions.CannotRespond as error:
        blocker = presenters.blocker_sentence(order, error.blocker)
        return _form_page(order, form, status=409, conflict="closed", blocker=blocker)
    except Invalid as error:
        form.form_errors.append(presenters.NOT_ALLOWED_BY_PARTNER.format(detail=error.detail))
        return _form_page(order, form, status=422)
    return None


def _needs_review(order: PurchaseOrder, form: ResponseForm) -> bool:
    """Whether "Confirm and next" shows the review first: the buyer or the supplier changed something."""
    return bool(form.lines.responses) or order.response is ResponseState.CHANGED


@blueprint.post(ORDER + "/answer/undo")
@access.requires(Permission.RESPOND)
def undo(order_id: int) -> AnyResponse:
    """Undo the last response within the undo period."""
    order = lock_order(order_id)
    try:
        decisions.undo(web.db(), order, by=access.current_person())
    except decisions.TooLate:
        web.db().rollback()
        return web.error_page(409, "Too late to undo", "The response was already sent or undone.")
    web.db().commit()
    url = order_url(order_id)
    return web.redirect_after_post(url, fragment=lambda: delivery(order_id))


@blueprint.route(ORDER + "/answer/review", methods=["GET", "POST"])
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def review(order_id: int) -> Response:
    """A summary of the response and its message; the button on it records the response."""
    order = get_order(order_id)
    return _review_page(order, posted_form(order))


def _review_page(order: PurchaseOrder, form: ResponseForm) -> Response:
    try:
        body = _message_body(order, form)
    except NoMessage as error:
        return _form_page(order, form, status=error.status, **error.context)
    if current := decisions.current_decision(order):
        return _form_page(order, form, status=409, conflict="decided", current=current)
    return web.page(
        "orders/review.html",
        "orders/_review.html",
        **page_context(order, form),
        data=form.decision_input(),
        body=text_of(body),
    )


@blueprint.route(ORDER + "/answer/preview", methods=["GET", "POST"])
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def preview(order_id: int) -> Response:
    """The exact message of this response; as a fragment, it updates while the person types.

    The fragment shows an incomplete form as a sentence, since the person is still typing.
    """
    order = get_order(order_id)
    form = posted_form(order)
    try:
        body = _message_body(order, form)
    except NoMessage as error:
        if web.wants_fragment():
            return _preview(error.status, order=order, problem=str(error))
        return _form_page(order, form, status=error.status, **error.context)
    return _preview(200, **page_context(order, form), body=text_of(body))


def _preview(status: int, **context: Any) -> Response:
    return web.page("orders/preview.html", "orders/_preview.html", status=status, **context)


class NoMessage(Exception):
    """The form makes no message (yet): a sentence that says why, and the context for the form's page."""

    def __init__(self, sentence: str, status: int, **context: Any) -> None:
        super().__init__(sentence)
        self.status, self.context = status, context


def _message_body(order: PurchaseOrder, form: ResponseForm) -> bytes:
    """The message of this response. Errors: NoMessage."""
    if not form.validate():
        raise NoMessage(form.first_error(), 422)
    if form.order_version() != order.version:
        raise NoMessage(response_presenters.STALE_FORM.format(version=order.version), 409, conflict="stale")
    data = form.decision_input()
    if blocker := decisions.response_blocker(order, data.response):
        sentence = presenters.blocker_sentence(order, blocker)
        current = decisions.current_decision(order)
        conflict = "decided" if current else "closed"
        raise NoMessage(sentence, 409, conflict=conflict, blocker=sentence, current=current)
    try:
        return req_confirm(order, data)
    except Invalid as error:
        sentence = presenters.NOT_ALLOWED_BY_PARTNER.format(detail=error.detail)
        form.form_errors.append(sentence)
        raise NoMessage(sentence, 422) from error


@blueprint.get(ORDER + "/answer/news")
@access.requires(Permission.RESPOND)
def form_updates(order_id: int) -> Response:
    """Whether a colleague responded or the buyer changed the order since its form was opened."""
    orders = queries.orders_by_id(web.db(), access.visible_suppliers(), [order_id])
    if not orders:
        abort(404)
    change = response_presenters.form_updates(
        orders[0], request.args.get("version", type=int), request.args.get("message", "")
    )
    if not change:
        record_open_form(orders[0])
    others = others_with_form(orders[0])
    return web.page("orders/_form_updates.html", order=orders[0], change=change, others_with_form=others)


@blueprint.post(ORDER + "/answer/lines")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
def lines(order_id: int) -> Response:
    """Another page of the line editor, which keeps what was entered."""
    return _lines_page(order_id, "orders/_lines.html", updates="sentence")


@blueprint.post(ORDER + "/answer/lines/summary")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
def line_summary(order_id: int) -> Response:
    """The totals of the line responses, which update while the person types."""
    return _lines_page(order_id, "orders/_line_summary.html", updates="lines")


def _lines_page(order_id: int, fragment: str, *, updates: str) -> Response:
    """The lines as entered; ``updates`` is what a fragment changes elsewhere on the page."""
    order = get_order(order_id)
    form = posted_form(order)
    if "lines_reset" in request.form:
        form.lines.reset()
    form.lines.validate()
    return web.page(
        "orders/response.html",
        fragment,
        updates=updates if web.wants_fragment() else "",
        **page_context(order, form, opens_lines=True),
    )


def _form_page(order: PurchaseOrder, form: ResponseForm, *, status: int = 200, **context: Any) -> Response:
    shown = {**page_context(order, form), **context}
    is_untouched = not shown["conflict"] and not form.errors
    shown["shows_response"] = is_untouched and bool(shown["current"] or shown["blocker"])
    return web.page("orders/response.html", "orders/_form.html", status=status, **shown)
