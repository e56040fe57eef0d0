"""What the pages of one order share: the order, its response form and their context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import abort, request
from werkzeug.datastructures import MultiDict

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.accounts.models import Person
from app.accounts.queries import device_tags, people_who_see
from app.delivery.models import Message
from app.network.text import whole_number
from app.network.vocabulary import DEFAULT_TAG
from app.orders import (
    checks,
    decisions,
    presence,
    presenters,
    queries,
    team,
)
from app.orders.check_presenters import ChecksView, checks_view
from app.orders.comparison import compare
from app.orders.forms import CONFIRMED, CommentForm, LineFields, ResponseForm
from app.orders.line_presenters import line_editor
from app.orders.lines import ordered_lines
from app.orders.listing import list_position, opened_list
from app.orders.models import Decision, PurchaseOrder
from app.orders.req_confirm import DecisionInput
from app.orders.timeline import activity
from app.ui import web
from app.webhooks.queries import messages_of_order

ORDER = "/<int:order_id>"
"""The path of an order below ``/orders``."""


def get_order(order_id: int) -> PurchaseOrder:
    """The order. Errors: 404 if the reader may not see it."""
    return queries.order(web.db(), access.visible_suppliers(), order_id) or abort(404)


def lock_order(order_id: int) -> PurchaseOrder:
    """The order, locked until the end of the transaction. Errors: 404 if the reader may not see it."""
    return queries.order_for_update(web.db(), access.visible_suppliers(), order_id) or abort(404)


def record_open_form(order: PurchaseOrder) -> None:
    """Record that the reader has the form open, for colleagues; the page does not depend on it."""
    me = access.current_person().id
    if presence.is_form_recorded(web.db(), order.id, me):
        return
    with web.recording(web.database().writing_soon(), f"open form of order {order.id}") as session:
        presence.record_form_open(session, order.id, me)


def others_with_form(order: PurchaseOrder) -> list[Person]:
    """The other people who have the response form open."""
    return presence.others_with_form(web.db(), order.id, access.current_person().id)


def current_checks(order: PurchaseOrder) -> ChecksView:
    """The order checks with their dismissals."""
    known = checks.order_checks(web.db(), order)
    return checks_view(known, checks.dismissals(web.db(), order), web.zone(), clock.now())


def new_form(order: PurchaseOrder) -> ResponseForm:
    """The form before it is submitted: a confirmation, or the last response if it was unsuccessful."""
    data = decisions.unsuccessful_response(order) or _default_for(order)
    return _form(order, None, data)


def posted_form(order: PurchaseOrder) -> ResponseForm:
    """The form with the submitted values, from the body of a POST or from the URL."""
    values = request.form if request.method == "POST" else request.args
    return _form(order, values, _default_for(order))


def _default_for(order: PurchaseOrder) -> DecisionInput:
    """A confirmation, with the device tag that is set for the order's supplier."""
    tags = device_tags(web.db(), [order.supplier_b2b_id])
    return DecisionInput("ACCEPT", CONFIRMED, *tags.get(order.supplier_b2b_id, DEFAULT_TAG))


def _form(order: PurchaseOrder, values: MultiDict[str, str] | None, data: DecisionInput) -> ResponseForm:
    return ResponseForm(
        accepts_return=order.partner.accepts_return,
        lines=LineFields(ordered_lines(order.content), may_respond=order.partner.accepts_line_responses),
        order_version=order.version,
        formdata=values,
        # The review and the preview may also be requested with GET; they record nothing.
        meta={"csrf": values is None or request.method == "POST"},
        version=str(order.version),
        **ResponseForm.initial_data(data),
    )


def page_context(order: PurchaseOrder, form: ResponseForm, *, opens_lines: bool = False) -> dict[str, Any]:
    """What the pages of one order show; ``opens_lines`` opens the line editor."""
    session, me = web.db(), access.current_person()
    messages = messages_of_order(session, order.id)
    message = messages[0] if messages else None
    last = order.last_decision
    current = decisions.current_decision(order)
    blocker = decisions.response_blocker(order)
    since = _compared_version(order, form, last)
    can_respond = access.can(Permission.RESPOND)
    return {
        "order": order,
        "list_query": opened_list(),
        "list_position": list_position(order),
        "form": form,
        "lines_page": _lines_page(),
        "message": message,
        "editor": line_editor(
            form, request.form.get("lines_page", ""), request.form.get("lines_q", ""), opened=opens_lines
        ),
        "conflict": "",
        "last": last,
        "current": current,
        "is_own_response": can_respond and last is not None and last.person_id == me.id,
        "can_undo": can_respond and message is not None and message.is_undoable,
        "shows_form": can_respond and current is None and blocker is None,
        "blocker": presenters.blocker_sentence(order, blocker),
        "changes": compare(order.revision(since).message, order.revisions[0].message) if since else None,
        "changes_since": since,
        "checks": None if web.wants_fragment() else current_checks(order),
        "ended": order.status_changes[0] if order.status_changes else None,
        "comment_form": CommentForm(formdata=None),
        **team_context(order, messages),
    }


def team_context(order: PurchaseOrder, messages: Sequence[Message]) -> dict[str, Any]:
    """What the activity and the comments of an order show."""
    return {
        "people": people_who_see(web.db(), order.supplier_b2b_id),
        "assignable": team.assignable_people(web.db(), [order]),
        "others_with_form": others_with_form(order),
        "events": activity(web.db(), order, messages),
    }


def _lines_page() -> int | None:
    """The page of the document's lines; None for all of them."""
    text = request.args.get("lines", "")
    return None if text == "all" else whole_number(text, 99_999) or 1


def _compared_version(order: PurchaseOrder, form: ResponseForm, last: Decision | None) -> int | None:
    """The version that the current one is compared with; None for no comparison.

    That is the one in the URL, else the one that an open form was made for, else the one that was last
    responded to, else the one before the current version.
    """
    versions = [revision.version for revision in order.revisions]
    candidates = [
        request.args.get("since", type=int),
        whole_number(form.version.data or ""),
        last.version if last else None,
        versions[1] if len(versions) > 1 and not last else None,
    ]
    return next((version for version in candidates if version in versions[1:]), None)
