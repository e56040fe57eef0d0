"""The inbox, the order page, and responses to one order."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, request, url_for
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.accounts.models import Person
from app.accounts.queries import device_tags, people_who_see
from app.network.messages import Invalid
from app.orders import (
    assignments,
    checks,
    decisions,
    open_forms,
    order_views,
    presenters,
    queries,
    queue,
)
from app.orders.check_presenters import ChecksView, checks_view
from app.orders.comparison import Differences, compare
from app.orders.forms import (
    CONFIRMED,
    DEFAULT_TAG,
    CommentForm,
    DismissCheckForm,
    LineFields,
    ResponseForm,
)
from app.orders.line_presenters import line_editor
from app.orders.lines import ordered_lines
from app.orders.listing import ORDERS, filter_values, opened_list, order_filter
from app.orders.models import Decision, PurchaseOrder, ResponseState
from app.orders.order_content import Document, document
from app.orders.req_confirm import DecisionInput, req_confirm
from app.orders.timeline import activity
from app.ui import web
from app.ui.bodies import text_of
from app.webhooks.queries import messages_of_order

log = logging.getLogger(__name__)
blueprint = Blueprint("orders", __name__, url_prefix="/orders")
ORDER = "/<int:order_id>"
FORM_BYTES = 512 * 1024
"""The largest response form: with as many changed lines as a response may have."""


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


# --- One order after the other


@blueprint.get("/next")
@access.requires(Permission.RESPOND)
def next_order() -> AnyResponse:
    """Go to the first order of the list ``list`` that needs a response."""
    return redirect(_next_url(opened_list() or presenters.list_query({"answer": "open"}), None))


@blueprint.get("/done")
@access.requires(Permission.RESPOND)
def done() -> Response:
    """The end of a list: all done, or how many orders were skipped."""
    query = opened_list() or presenters.list_query({"answer": "open"})
    wanted = _list_filter(query)
    return web.page(
        "orders/done.html",
        list_query=query,
        work_queue=presenters.order_queue(filter_values(query)),
        remaining=queue.open_count(web.db(), access.visible_suppliers(), wanted, clock.now()),
        responded=_responded(),
    )


def _list_filter(query: str) -> queries.OrderFilter:
    return order_filter(filter_values(query))


def _next_url(query: str, responded: PurchaseOrder | None) -> str:
    """The page of the next order of the list that needs a response, or the end of the list."""
    next_id = queue.next_open(
        web.db(), access.visible_suppliers(), _list_filter(query), clock.now(), responded
    )
    responded_id = responded.id if responded else None
    if next_id is None:
        return url_for(".done", list=query, responded=responded_id)
    return url_for(".order", order_id=next_id, list=query, responded=responded_id)


def _place(order: PurchaseOrder) -> queue.Place | None:
    """Where the order is in the list that was opened; None without a list."""
    query = opened_list()
    if not query or web.wants_fragment():
        return None
    wanted = _list_filter(query)
    return queue.place(web.db(), access.visible_suppliers(), wanted, order, clock.now())


def _responded() -> dict[str, Any] | None:
    """The order that was responded to just before, for the notice on the next page; None without one."""
    order_id = request.args.get("responded", type=int)
    if order_id is None or not 0 < order_id < 2**31:
        return None
    order = queries.order(web.db(), access.visible_suppliers(), order_id)
    last = decisions.last_decision(web.db(), order) if order else None
    if order is None or last is None:
        return None
    messages = messages_of_order(web.db(), order.id)
    message = messages[0] if messages else None
    can_undo = decisions.may_undo(message) and access.can(access.current_person(), Permission.RESPOND)
    return {"order": order, "decision": last, "message": message, "can_undo": can_undo}


# --- One order


@blueprint.get(ORDER)
@access.requires(Permission.VIEW)
def order(order_id: int) -> Response:
    """One order: the document, the response and the activity."""
    order = _order(order_id)
    _record_view(order)
    context = _context(order, _new_form(order))
    if context["shows_form"]:
        _record_open_form(order)
    return web.page("orders/order.html", **context, responded=_responded())


def _record_view(order: PurchaseOrder) -> None:
    """Record the first view of a version by a person who may respond to it.

    A view takes no lock: the record is a short transaction of its own, and the page does not depend on it.
    """
    me = access.current_person()
    if not access.can(me, Permission.RESPOND) or order_views.has_viewed(web.db(), order, me.id):
        return
    try:
        with web.database().writing() as session:
            order_views.record_view(
                session, order, person_id=me.id, person_name=me.display_name, at=clock.now()
            )
            session.commit()
    except DBAPIError as error:
        log.info("view of order %s was not recorded: %s", order.id, error.orig)


def _record_open_form(order: PurchaseOrder) -> None:
    """Record that the reader has the form open, for colleagues; the page does not depend on it."""
    me, now = access.current_person().id, clock.now()
    if open_forms.is_recorded(web.db(), order.id, me, now):
        return
    try:
        with web.database().writing_soon() as session:
            open_forms.record_open(session, order.id, me, now)
            session.commit()
    except DBAPIError as error:
        log.info("open form of order %s was not recorded: %s", order.id, error.orig)


def _others_with_form(order: PurchaseOrder) -> list[Person]:
    me = access.current_person().id
    people = open_forms.people_with_form(web.db(), order.id, clock.now())
    return [person for person in people if person.id != me]


@blueprint.get(ORDER + ".json")
@access.requires(Permission.VIEW)
def order_as_data(order_id: int) -> Response:
    """One order as JSON, its versions exactly as received."""
    return jsonify(_as_data(_order(order_id)))


@blueprint.get(ORDER + ".pdf")
@access.requires(Permission.VIEW)
def order_as_pdf(order_id: int) -> Response:
    """One order as a PDF; with a response in effect it is an order acknowledgment."""
    # The libraries take half a second to import, and most processes never need them.
    from app.orders.pdf_presenters import Paper, order_pdf, pdf_name  # noqa: PLC0415

    order = _order(order_id)
    messages = messages_of_order(web.db(), order.id)
    paper = Paper(
        order=order,
        content=document(order.revisions[0]),
        decision=decisions.current_decision(web.db(), order),
        message=messages[0] if messages else None,
        zone=web.zone(),
        now=clock.now(),
    )
    response = Response(order_pdf(paper), mimetype="application/pdf")
    response.headers["Content-Disposition"] = f'attachment; filename="{pdf_name(paper)}"'
    return response


@blueprint.get(ORDER + "/delivery")
@access.requires(Permission.VIEW)
def delivery(order_id: int) -> Response:
    """The response and its delivery; the page polls it until the delivery has ended."""
    order = _order(order_id)
    return web.page("orders/order.html", "orders/_response.html", **_context(order, _new_form(order)))


# --- Order checks


@blueprint.post(ORDER + "/checks/dismiss")
@access.requires(Permission.RESPOND)
def dismiss_check(order_id: int) -> AnyResponse:
    """Dismiss an order check with a note."""
    order = queries.order_for_update(web.db(), access.visible_suppliers(), order_id) or abort(404)
    form = DismissCheckForm(formdata=request.form)
    if not form.validate():
        return _checks_page(order, form, status=422)
    wanted = (form.kind.data, form.reference.data, form.version.data)
    body = document(order.revisions[0]).sent
    for check in checks.order_checks(web.db(), order, body):
        if (check.kind.value, check.reference, str(order.version)) == wanted:
            me = access.current_person()
            checks.dismiss(
                web.db(),
                order,
                check,
                note=form.note.data or "",
                person_id=me.id,
                name=me.display_name,
                at=clock.now(),
            )
            web.db().commit()
            url = url_for(".order", order_id=order_id, list=opened_list() or None, _anchor="checks")
            return web.redirect_after_post(url, fragment=lambda: _checks_page(order, None))
    return web.error_page(409, "This check no longer applies", "Reload the page to see the current checks.")


def _checks_page(order: PurchaseOrder, form: DismissCheckForm | None, *, status: int = 200) -> Response:
    context = _context(order, _new_form(order))
    view = _checks(order, context["document"])
    return web.page(
        "orders/order.html",
        "orders/_checks.html",
        status=status,
        **{**context, "checks": view, "dismiss_form": form},
    )


def _checks(order: PurchaseOrder, content: Document) -> ChecksView:
    known = checks.order_checks(web.db(), order, content.sent)
    return checks_view(known, checks.dismissals(web.db(), order), web.zone(), clock.now())


# --- Responding to one order


@blueprint.get(ORDER + "/answer")
@access.requires(Permission.RESPOND)
def response_form(order_id: int) -> Response:
    """The response form on its own page."""
    order = _order(order_id)
    if order.needs_response:
        _record_open_form(order)
    return _form_page(order, _new_form(order))


@blueprint.post(ORDER + "/answer")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def respond(order_id: int) -> AnyResponse:
    """Record the response and its webhook, in one commit."""
    order = queries.order_for_update(web.db(), access.visible_suppliers(), order_id) or abort(404)
    form = _posted_form(order)
    if not form.validate():
        # A kept form may be for an earlier version; its page shows the current one.
        is_stale = form.version.data not in ("", None, str(order.version))
        return _form_page(order, form, status=422, conflict="stale" if is_stale else "")
    goes_on = "next" in request.form
    if goes_on and "reviewed" not in request.form and _needs_review(order, form):
        return _review_page(order, form)
    if problem := _record(order, form):
        return problem
    open_forms.record_closed(web.db(), order.id, access.current_person().id)
    web.db().commit()
    if goes_on:
        return web.redirect_after_post(_next_url(request.form["next"], order))
    url = url_for(".order", order_id=order_id, list=opened_list() or None)
    return web.redirect_after_post(url, fragment=lambda: delivery(order_id))


def _record(order: PurchaseOrder, form: ResponseForm) -> Response | None:
    """Record the response of a valid form, or return the page that says why it was not recorded."""
    try:
        decisions.respond(
            web.db(),
            order,
            form.decision_input(),
            version=form.order_version(),
            by=_responder(),
            accepts_return=order.partner.accepts_return,
            undo_seconds=web.settings().undo_seconds,
        )
    except decisions.StaleVersion:
        return _form_page(order, form, status=409, conflict="stale")
    except decisions.AlreadyDecided as error:
        return _form_page(order, form, status=409, conflict="decided", current=error.decision)
    except decisions.NotAnswerable as error:
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
    """Undo the last response within the grace time."""
    order = queries.order_for_update(web.db(), access.visible_suppliers(), order_id) or abort(404)
    try:
        decisions.undo(web.db(), order, by=_responder())
    except decisions.TooLate:
        web.db().rollback()
        return web.error_page(409, "Too late to undo", "The response was already sent or undone.")
    web.db().commit()
    url = url_for(".order", order_id=order_id, list=opened_list() or None)
    return web.redirect_after_post(url, fragment=lambda: delivery(order_id))


@blueprint.route(ORDER + "/answer/review", methods=["GET", "POST"])
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def review(order_id: int) -> Response:
    """A summary of the response and its message; the button on it records the response."""
    order = _order(order_id)
    return _review_page(order, _posted_form(order, csrf=request.method == "POST"))


def _review_page(order: PurchaseOrder, form: ResponseForm) -> Response:
    try:
        body = _message_body(order, form)
    except NoMessage as error:
        return _form_page(order, form, status=error.status, **error.context)
    if current := decisions.current_decision(web.db(), order):
        return _form_page(order, form, status=409, conflict="decided", current=current)
    return web.page(
        "orders/review.html",
        "orders/_review.html",
        **_context(order, form),
        data=form.decision_input(),
        body=text_of(body),
    )


@blueprint.route(ORDER + "/answer/preview", methods=["GET", "POST"])
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
@access.keeps_form
def preview(order_id: int) -> Response:
    """The exact message of this response; as a fragment it follows what is typed.

    The fragment shows an incomplete form as a sentence, since the person is still typing.
    """
    order = _order(order_id)
    form = _posted_form(order, csrf=request.method == "POST")
    try:
        body = _message_body(order, form)
    except NoMessage as error:
        if web.wants_fragment():
            return _preview(error.status, order=order, problem=str(error))
        return _form_page(order, form, status=error.status, **error.context)
    return _preview(200, **_context(order, form), body=text_of(body))


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
        raise NoMessage(presenters.STALE_FORM.format(version=order.version), 409, conflict="stale")
    data, accepts_return = form.decision_input(), order.partner.accepts_return
    blocker = decisions.response_blocker(order, accepts_return=accepts_return, response=data.response)
    if blocker:
        sentence = presenters.blocker_sentence(order, blocker)
        current = decisions.current_decision(web.db(), order)
        conflict = "decided" if current else "closed"
        raise NoMessage(sentence, 409, conflict=conflict, blocker=sentence, current=current)
    try:
        return req_confirm(decisions.order_reference(order), data)
    except Invalid as error:
        sentence = presenters.NOT_ALLOWED_BY_PARTNER.format(detail=error.detail)
        form.form_errors.append(sentence)
        raise NoMessage(sentence, 422) from error


@blueprint.get(ORDER + "/answer/news")
@access.requires(Permission.RESPOND)
def form_news(order_id: int) -> Response:
    """Whether a colleague responded or the buyer changed the order since its form was opened."""
    orders = queries.orders_by_id(web.db(), access.visible_suppliers(), [order_id])
    if not orders:
        abort(404)
    news = presenters.form_news(
        orders[0], request.args.get("version", type=int), request.args.get("message", "")
    )
    if not news:
        _record_open_form(orders[0])
    others = _others_with_form(orders[0])
    return web.page("orders/_form_news.html", order=orders[0], news=news, others_with_form=others)


@blueprint.post(ORDER + "/answer/lines")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
def lines(order_id: int) -> Response:
    """Another page of the line editor; what was entered stays."""
    order = _order(order_id)
    form = _posted_form(order)
    if "lines_reset" in request.form:
        form.lines.reset()
    form.lines.validate()
    return web.page(
        "orders/response.html",
        "orders/_lines.html",
        updates="sentence" if web.wants_fragment() else "",
        **_context(order, form, opens_lines=True),
    )


@blueprint.post(ORDER + "/answer/lines/summary")
@web.accepts(FORM_BYTES)
@access.requires(Permission.RESPOND)
def line_summary(order_id: int) -> Response:
    """The totals of the line responses, which follow what is typed."""
    order = _order(order_id)
    form = _posted_form(order)
    form.lines.validate()
    return web.page(
        "orders/response.html",
        "orders/_line_summary.html",
        updates="lines" if web.wants_fragment() else "",
        **_context(order, form, opens_lines=True),
    )


# --- Shared by the pages of one order


def _order(order_id: int) -> PurchaseOrder:
    return queries.order(web.db(), access.visible_suppliers(), order_id) or abort(404)


def _responder() -> decisions.Responder:
    me = access.current_person()
    return decisions.Responder(me.id, me.display_name)


def _new_form(order: PurchaseOrder) -> ResponseForm:
    """A form that was not submitted: a confirmation, or the last response if it was not successful."""
    data = decisions.unsuccessful_response(web.db(), order) or _default_for(order)
    return _form(order, None, data, csrf=True)


def _posted_form(order: PurchaseOrder, *, csrf: bool = True) -> ResponseForm:
    """The form with the submitted values, from the body of a POST or from the URL."""
    values = request.form if request.method == "POST" else request.args
    return _form(order, values, _default_for(order), csrf=csrf)


def _default_for(order: PurchaseOrder) -> DecisionInput:
    """A confirmation, with the device tag that is set for the order's supplier."""
    tags = device_tags(web.db(), [order.supplier_b2b_id])
    return DecisionInput("ACCEPT", CONFIRMED, *tags.get(order.supplier_b2b_id, DEFAULT_TAG))


def _form(
    order: PurchaseOrder, values: MultiDict[str, str] | None, data: DecisionInput, *, csrf: bool
) -> ResponseForm:
    body = document(order.revisions[0]).sent
    return ResponseForm(
        accepts_return=order.partner.accepts_return,
        lines=LineFields(ordered_lines(body), may_respond=order.partner.line_responses),
        order_version=order.version,
        formdata=values,
        meta={"csrf": csrf},
        version=str(order.version),
        **ResponseForm.initial_data(data),
    )


def _form_page(order: PurchaseOrder, form: ResponseForm, *, status: int = 200, **context: Any) -> Response:
    shown = {**_context(order, form), **context}
    is_untouched = not shown["conflict"] and not form.errors
    shown["shows_response"] = is_untouched and bool(shown["current"] or shown["blocker"])
    return web.page("orders/response.html", "orders/_form.html", status=status, **shown)


def _context(order: PurchaseOrder, form: ResponseForm, *, opens_lines: bool = False) -> dict[str, Any]:
    """What the pages of one order show; ``opens_lines`` opens the line editor."""
    session, me = web.db(), access.current_person()
    messages = messages_of_order(session, order.id)
    message = messages[0] if messages else None
    last = decisions.last_decision(session, order)
    current = decisions.current_decision(session, order)
    blocker = decisions.response_blocker(order, accepts_return=order.partner.accepts_return)
    since = _compared_version(order, form, last)
    content = document(order.revisions[0])
    can_respond = access.can(me, Permission.RESPOND)
    return {
        "order": order,
        "list_query": opened_list(),
        "place": _place(order),
        "form": form,
        "document": content,
        "lines_page": _lines_page(),
        "messages": messages,
        "message": message,
        "editor": line_editor(
            form, request.form.get("lines_page", ""), request.form.get("lines_q", ""), opened=opens_lines
        ),
        "conflict": "",
        "last": last,
        "current": current,
        "is_mine": can_respond and last is not None and last.person_id == me.id,
        "can_undo": can_respond and decisions.may_undo(message),
        "shows_form": can_respond and current is None and blocker is None,
        "blocker": presenters.blocker_sentence(order, blocker),
        "changes": _changes_since(order, since, content),
        "changes_since": since,
        "checks": None if web.wants_fragment() else _checks(order, content),
        "ended": order.status_changes[0] if order.status_changes else None,
        "events": activity(session, order, messages),
        "comment_form": CommentForm(formdata=None),
        "people": people_who_see(session, order.supplier_b2b_id),
        "assignable": assignments.assignable_people(session, [order]),
        "others_with_form": _others_with_form(order),
    }


def _lines_page() -> int | None:
    """The page of the document's lines; None for all of them."""
    text = request.args.get("lines", "")
    if text == "all":
        return None
    return int(text) if text.isdecimal() and len(text) < 6 else 1


def _compared_version(order: PurchaseOrder, form: ResponseForm, last: Decision | None) -> int | None:
    """The version that the current one is compared with; None for no comparison.

    That is the one in the URL, else the one that an open form was made for, else the one that was last
    responded to, else the one before the current version.
    """
    versions = [revision.version for revision in order.revisions]
    opened = form.version.data or ""
    candidates = [
        request.args.get("since", type=int),
        int(opened) if opened.isdecimal() and len(opened) <= 10 else None,
        last.version if last else None,
        versions[1] if len(versions) > 1 and not last else None,
    ]
    return next((version for version in candidates if version in versions[1:]), None)


def _changes_since(order: PurchaseOrder, version: int | None, content: Document) -> Differences | None:
    old = next((revision for revision in order.revisions if revision.version == version), None)
    return compare(document(old).message, content.message) if old else None


def _as_data(order: PurchaseOrder) -> dict[str, Any]:
    """The JSON of an order; a version's body is text, so that amounts stay exact."""
    messages = messages_of_order(web.db(), order.id)
    return {
        "id": order.id,
        "object_id": order.object_id,
        "buyer_po_number": order.buyer_po_number,
        "buyer_b2b_id": order.buyer_b2b_id,
        "supplier_b2b_id": order.supplier_b2b_id,
        "partner": order.partner.name,
        "status": order.status,
        "version": order.version,
        "answer": order.response,
        "assignee": order.assignee.username if order.assignee else None,
        "delivery": "held" if messages and messages[0].is_held else order.delivery,
        "subject": order.subject,
        "total": order.total,
        "currency": "INR",
        "received_at": order.received_at.isoformat(),
        "respond_by": order.respond_by.isoformat(),
        "revisions": [
            {
                "version": revision.version,
                "received_at": revision.received_at.isoformat(),
                "inbound_id": revision.inbound_id,
                "body": text_of(revision.body),
            }
            for revision in order.revisions
        ],
        "decisions": [
            {
                "number": decision.number,
                "version": decision.version,
                "response": decision.response,
                "remarks": decision.remarks,
                "by": decision.person_name,
                "at": decision.decided_at.isoformat(),
                "message_id": decision.message_id,
                "lines": decision.lines,
            }
            for decision in order.decisions
        ],
        "status_changes": [
            {
                "action": change.action,
                "remarks": change.remarks,
                "from": change.status_from,
                "to": change.status_to,
                "at": change.received_at.isoformat(),
                "inbound_id": change.inbound_id,
            }
            for change in order.status_changes
        ],
    }
