"""The inbox, one order, and its answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request, url_for
from sqlalchemy.exc import DBAPIError
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.accounts.queries import device_tags
from app.network.messages import Invalid
from app.orders import bulk_response, decisions, order_views, queries
from app.orders.comparison import Differences, compare
from app.orders.forms import CONFIRMED, DEFAULT_TAG, BulkResponseForm, OrderFilterForm, ResponseForm
from app.orders.models import Decision, PurchaseOrder
from app.orders.order_content import Document, document
from app.orders.req_confirm import DecisionInput, req_confirm
from app.orders.timeline import timeline
from app.partners.queries import all_partners
from app.ui import web
from app.ui.fields import in_force, read_filter
from app.webhooks.queries import messages_of_order
from app.webhooks.routes import text_of

log = logging.getLogger(__name__)
blueprint = Blueprint("orders", __name__, url_prefix="/orders")
ORDER = "/<int:order_id>"


@blueprint.get("")
@access.requires(Permission.VIEW)
def inbox() -> Response:
    """The list of orders; all of its state is in the URL."""
    form = OrderFilterForm(request.args)
    values, notices = read_filter(form, web.zone())
    try:
        found = _page_of(values)
    except queries.BadKey:
        notices.append("This page is not of this list. Here is the first one.")
        values.pop("after")
        found = _page_of(values)
    next_url = url_for(".inbox", **{**values, "after": found.next_after}) if found.next_after else None
    query = {name: value for name, value in values.items() if name != "after"}
    if query.get("sort") == form.sort.default:
        del query["sort"]
    return web.page(
        "orders/inbox.html",
        "orders/_list.html",
        form=form,
        notices=notices,
        found=found,
        next_url=next_url,
        filtered=bool(set(values) - {"sort", "after"}),
        query=query,
        sort=values.get("sort", form.sort.default),
        chips=in_force(form, values),
        partners=all_partners(web.db()),
    )


def _page_of(values: dict[str, Any]) -> queries.OrderPage:
    return queries.order_page(
        web.db(), access.visible_suppliers(), queries.OrderFilter(**values), clock.now()
    )


@blueprint.get(ORDER)
@access.requires(Permission.VIEW)
def order(order_id: int) -> Response:
    """One order: the document, the answer, what happened."""
    found = _found(order_id)
    _note_sight(found)
    return web.page("orders/order.html", **_shown(found, _form(found)))


def _note_sight(order: PurchaseOrder) -> None:
    """Record the first sight of a version by somebody who may answer it.

    Looking takes no lock: where there is something to write, that is a short transaction of its own, and
    the page does not depend on it.
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
        log.info("a sight of order %s was not recorded: %s", order.id, error.orig)


@blueprint.get(ORDER + ".json")
@access.requires(Permission.VIEW)
def order_as_data(order_id: int) -> Response:
    """One order as data, its revisions as they came."""
    return jsonify(_as_data(_found(order_id)))


@blueprint.get(ORDER + "/delivery")
@access.requires(Permission.VIEW)
def delivery(order_id: int) -> Response:
    """What stands of the answer and its delivery, which the page asks for until it is final."""
    found = _found(order_id)
    return web.page("orders/order.html", "orders/_answer.html", **_shown(found, _form(found)))


@blueprint.get(ORDER + "/answer")
@access.requires(Permission.RESPOND)
def answer_form(order_id: int) -> Response:
    """The answer form on a page of its own."""
    found = _found(order_id)
    return _form_page(found, _form(found))


@blueprint.post(ORDER + "/answer")
@access.requires(Permission.RESPOND)
def give_answer(order_id: int) -> AnyResponse:
    """Record the answer and the message that carries it, in one commit."""
    found = queries.order_for_update(web.db(), access.visible_suppliers(), order_id) or abort(404)
    form = _form(found)
    if not form.validate():
        return _form_page(found, form, status=422)
    me = access.current_person()
    try:
        decisions.respond(
            web.db(),
            found,
            form.given(),
            version=form.given_version(),
            by=decisions.Responder(me.id, me.display_name),
            accepts_return=found.partner.accepts_return,
            undo_seconds=web.settings().undo_seconds,
        )
    except decisions.StaleVersion:
        return _form_page(found, form, status=409, conflict="stale")
    except decisions.AlreadyDecided as error:
        return _form_page(found, form, status=409, conflict="decided", standing=error.decision)
    except decisions.NotAnswerable as error:
        return _form_page(found, form, status=409, conflict="closed", blocker=str(error))
    except Invalid as error:
        form.form_errors.append(f"The network would not take this: {error.detail}")
        return _form_page(found, form, status=422)
    web.db().commit()
    return web.go(url_for(".order", order_id=order_id), fragment=lambda: delivery(order_id))


@blueprint.post(ORDER + "/answer/undo")
@access.requires(Permission.RESPOND)
def undo(order_id: int) -> AnyResponse:
    """Take the last answer back in the seconds before it leaves."""
    found = queries.order_for_update(web.db(), access.visible_suppliers(), order_id) or abort(404)
    me = access.current_person()
    try:
        decisions.undo(web.db(), found, by=decisions.Responder(me.id, me.display_name))
    except decisions.TooLate:
        web.db().rollback()
        title, words = "It has left already", "The answer is on its way or was taken back before."
        return web.error_page(409, title, words)
    web.db().commit()
    return web.go(url_for(".order", order_id=order_id), fragment=lambda: delivery(order_id))


@blueprint.route("/answers/plan", methods=["GET", "POST"])
@access.requires(Permission.RESPOND)
def plan_answers() -> Response:
    """What one answer to several orders would come to: which take it, and why the others do not."""
    ids = _chosen_ids()
    orders = queries.orders_by_id(web.db(), access.visible_suppliers(), ids)
    form = BulkResponseForm(
        accepts_return=_all_accept_return(orders),
        formdata=request.form if "supplier_response" in request.form else None,
        supplier_response="ACCEPT",
        supplier_remarks=CONFIRMED,
    )
    asked = form.is_submitted() and "supplier_response" in request.form
    status = 422 if asked and not form.validate() else 200
    given = form.given() if asked and status == 200 else DecisionInput("ACCEPT", CONFIRMED, *DEFAULT_TAG)
    return _many_page(form, bulk_response.plan_responses(web.db(), orders, given), ids, status=status)


@blueprint.post("/answers")
@access.requires(Permission.RESPOND)
def give_answers() -> Response:
    """Record one answer for several orders, each where it is taken, all in one commit."""
    ids = _chosen_ids()
    orders = queries.orders_for_update(web.db(), access.visible_suppliers(), ids)
    form = BulkResponseForm(accepts_return=_all_accept_return(orders))
    if not form.validate() or not orders:
        planned = bulk_response.plan_responses(
            web.db(), orders, DecisionInput("ACCEPT", CONFIRMED, *DEFAULT_TAG)
        )
        return _many_page(form, planned, ids, status=422)
    me = access.current_person()
    rows = bulk_response.respond_to_many(
        web.db(),
        orders,
        form.given(),
        versions=_seen_versions(),
        by=decisions.Responder(me.id, me.display_name),
        undo_seconds=web.settings().undo_seconds,
    )
    web.db().commit()
    return web.page(
        "orders/answers_given.html",
        rows=rows,
        given=form.given(),
        missing=len(ids) - len(orders),
        status=200 if any(row.blocker is None for row in rows) else 409,
    )


def _many_page(
    form: BulkResponseForm, rows: list[bulk_response.BulkRow], ids: list[int], *, status: int
) -> Response:
    return web.page(
        "orders/answers.html",
        form=form,
        rows=rows,
        missing=len(ids) - len(rows),
        sum_of=_sum_of([row.order.total for row in rows]),
        status=status,
    )


def _sum_of(totals: Sequence[str | None]) -> Decimal | None:
    """What orders come to together; None where one of them names no total."""
    return None if None in totals else sum((Decimal(total) for total in totals if total), Decimal(0))


def _chosen_ids() -> list[int]:
    """The orders that were picked, each once; what is no id is no order."""
    picked = dict.fromkeys(request.values.getlist("order_ids"))
    return [int(text) for text in picked if text.isdecimal() and len(text) <= 18][: bulk_response.MOST]


def _seen_versions() -> dict[int, int]:
    """The versions that the reader saw, from hidden fields of the form ``id:version``."""
    pairs = (text.partition(":") for text in request.form.getlist("versions"))
    return {
        int(order_id): int(version)
        for order_id, _, version in pairs
        if order_id.isdecimal() and version.isdecimal() and len(order_id) <= 18 and len(version) <= 10
    }


def _all_accept_return(orders: Sequence[PurchaseOrder]) -> bool:
    return bool(orders) and all(order.partner.accepts_return for order in orders)


@blueprint.route(ORDER + "/answer/review", methods=["GET", "POST"])
@access.requires(Permission.RESPOND)
def review(order_id: int) -> Response:
    """The answer once more in words, with the exact message; recorded only by the press on this page."""
    found = _found(order_id)
    form = _form(found, given=True)
    try:
        body = _would_be_sent(found, form)
    except NoMessage as no:
        return _form_page(found, form, status=no.status, **no.why)
    return web.page(
        "orders/review.html",
        "orders/_review.html",
        order=found,
        form=form,
        given=form.given(),
        body=text_of(body),
    )


@blueprint.route(ORDER + "/answer/preview", methods=["GET", "POST"])
@access.requires(Permission.RESPOND)
def preview(order_id: int) -> Response:
    """The exact message that this answer would send; as a fragment it follows what is typed.

    There, what makes no message yet is a sentence: somebody is in the middle of a word.
    """
    found = _found(order_id)
    form = _form(found, given=True)
    try:
        body = _would_be_sent(found, form)
    except NoMessage as no:
        if web.wants_fragment():
            return _preview(found, status=no.status, not_yet=str(no))
        return _form_page(found, form, status=no.status, **no.why)
    return _preview(found, form=form, body=text_of(body))


def _preview(order: PurchaseOrder, *, status: int = 200, **shown: Any) -> Response:
    return web.page("orders/preview.html", "orders/_preview.html", status=status, order=order, **shown)


class NoMessage(Exception):
    """What was typed makes no message (yet): a sentence that says why, and what the page shows of it."""

    def __init__(self, sentence: str, status: int, **why: Any) -> None:
        super().__init__(sentence)
        self.status, self.why = status, why


def _would_be_sent(order: PurchaseOrder, form: ResponseForm) -> bytes:
    """The message of this answer. Errors: NoMessage."""
    if not form.validate():
        raise NoMessage(form.first_error(), 422)
    if form.given_version() != order.version:
        sentence = f"The buyer changed this order meanwhile: it is now version {order.version}."
        raise NoMessage(f"{sentence} Load the page anew to see what changed.", 409, conflict="stale")
    given, accepts_return = form.given(), order.partner.accepts_return
    blocker = decisions.response_blocker(order, accepts_return=accepts_return, response=given.response)
    if blocker:
        standing = decisions.current_decision(web.db(), order)
        conflict = "decided" if standing else "closed"
        raise NoMessage(blocker, 409, conflict=conflict, blocker=blocker, standing=standing)
    try:
        return req_confirm(decisions.about(order), given)
    except Invalid as error:
        sentence = f"The network would not take this: {error.detail}"
        form.form_errors.append(sentence)
        raise NoMessage(sentence, 422) from error


def _found(order_id: int) -> PurchaseOrder:
    return queries.order(web.db(), access.visible_suppliers(), order_id) or abort(404)


def _form(order: PurchaseOrder, *, given: bool = False) -> ResponseForm:
    """The form for this order: what was typed where something came, else its fresh state.

    After an answer that did not come to stand, that is the answer once more, to be mended.
    """
    came = request.form if request.method == "POST" else request.args if given else None
    to_mend = decisions.unsuccessful_response(web.db(), order) if came is None else None
    tag_name, tag_value = device_tags(web.db(), [order.supplier_b2b_id]).get(
        order.supplier_b2b_id, DEFAULT_TAG
    )
    fresh = DecisionInput("ACCEPT", CONFIRMED, tag_name, tag_value)
    return ResponseForm(
        accepts_return=order.partner.accepts_return,
        formdata=came,
        meta={"csrf": request.method == "POST" or not given},
        version=str(order.version),
        **ResponseForm.filled_with(to_mend or fresh),
    )


def _form_page(order: PurchaseOrder, form: ResponseForm, *, status: int = 200, **why: Any) -> Response:
    shown = _shown(order, form)
    return web.page("orders/answer.html", "orders/_form.html", status=status, **{**shown, **why})


def _shown(order: PurchaseOrder, form: ResponseForm) -> dict[str, Any]:
    session = web.db()
    messages = messages_of_order(session, order.id)
    newest = decisions.last_decision(session, order)
    since = _seen_last(order, form, newest)
    shown = document(order.revisions[0])
    return {
        "order": order,
        "form": form,
        "document": shown,
        "messages": messages,
        "message": messages[0] if messages else None,
        "newest": newest,
        "may_undo": decisions.may_undo(messages[0] if messages else None),
        "standing": decisions.current_decision(session, order),
        "blocker": decisions.response_blocker(order, accepts_return=order.partner.accepts_return),
        "changes": _changes_since(order, since, shown),
        "changes_since": since,
        "ended": order.status_changes[0] if order.status_changes else None,
        "events": timeline(session, order, messages),
    }


def _seen_last(order: PurchaseOrder, form: ResponseForm, newest: Decision | None) -> int | None:
    """The version from which the reader wants to see what changed; None where nothing has.

    That is the one that the address names, else the one that an open form was made for, else the one that was
    answered last, else the one before the present one.
    """
    versions = [revision.version for revision in order.revisions]
    opened = form.version.data or ""
    wanted = [
        request.args.get("since", type=int),
        int(opened) if opened.isdecimal() and len(opened) <= 10 else None,
        newest.version if newest else None,
        versions[1] if len(versions) > 1 and not newest else None,
    ]
    return next((one for one in wanted if one in versions[1:]), None)


def _changes_since(order: PurchaseOrder, version: int | None, shown: Document) -> Differences | None:
    old = next((revision for revision in order.revisions if revision.version == version), None)
    return compare(document(old).message, shown.message) if old else None


def _as_data(order: PurchaseOrder) -> dict[str, Any]:
    """An order as ``GET /orders/<id>.json`` gives it; amounts in a revision's body are exact text."""
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
