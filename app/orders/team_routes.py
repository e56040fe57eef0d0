"""Working together on orders: comments and assignments."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.accounts.models import Person
from app.orders import queries, team
from app.orders.forms import CHOOSE_PERSON, AssignForm, CommentForm, selected_ids
from app.orders.listing import opened_list, order_url
from app.orders.models import PurchaseOrder
from app.orders.order_page import ORDER, get_order, lock_order, team_context
from app.ui import web
from app.webhooks.queries import messages_of_order

blueprint = Blueprint("team", __name__, url_prefix="/orders")


@blueprint.get(ORDER + "/team")
@access.requires(Permission.VIEW)
def show(order_id: int) -> Response:
    """The assignee, the comments and the activity of an order."""
    return _team_page(get_order(order_id))


@blueprint.post(ORDER + "/comments")
@access.requires(Permission.VIEW)
@access.keeps_form
def comment(order_id: int) -> AnyResponse:
    """Comment on an order, for the team."""
    order, form = get_order(order_id), CommentForm()
    if not form.validate():
        return _team_page(order, comment_form=form, status=422)
    team.add_comment(web.db(), order, form.text.data or "", by=access.current_person())
    web.db().commit()
    return _redirect_to(order)


@blueprint.post(ORDER + "/comments/<int:comment_id>/delete")
@access.requires(Permission.VIEW)
def delete_comment(order_id: int, comment_id: int) -> AnyResponse:
    """Delete a comment of the signed-in person."""
    order = get_order(order_id)
    comment = team.find_comment(web.db(), order_id, comment_id) or abort(404)
    if comment.person_id != access.current_person().id:
        abort(403)
    team.delete_comment(web.db(), order, comment)
    web.db().commit()
    return _redirect_to(order)


@blueprint.post(ORDER + "/assign")
@access.requires(Permission.ASSIGN)
def assign(order_id: int) -> AnyResponse:
    """Assign an order to a person, or unassign it."""
    order = lock_order(order_id)
    form = AssignForm()
    person = _chosen_person(form, team.assignable_people(web.db(), [order]))
    if form.errors:
        return _team_page(order, assign_form=form, status=422)
    current = order.assignee.username if order.assignee else ""
    if form.current.raw_data and form.current.data not in (current, None):
        return _team_page(order, has_new_assignee=True, status=409)
    team.assign(web.db(), [order], person, by=access.current_person())
    web.db().commit()
    return _redirect_to(order)


# --- Several orders


@blueprint.get("/assignments")
@access.requires(Permission.ASSIGN)
def choose_assignee() -> Response:
    """The form to assign the selected orders."""
    orders = queries.orders_by_id(web.db(), access.visible_suppliers(), selected_ids(request.args))
    return _assignments_page(orders, AssignForm(formdata=None))


@blueprint.post("/assignments")
@access.requires(Permission.ASSIGN)
def assign_many() -> AnyResponse:
    """Assign the selected orders to a person, or unassign them, in one commit."""
    ids = selected_ids(request.form)
    orders = queries.orders_for_update(web.db(), access.visible_suppliers(), ids)
    form = AssignForm()
    person = _chosen_person(form, team.assignable_people(web.db(), orders))
    if form.errors or not orders:
        return _assignments_page(orders, form, status=422)
    team.assign(web.db(), orders, person, by=access.current_person())
    web.db().commit()
    return web.redirect_after_post(
        url_for(".assigned", order_ids=ids, username=person.username if person else None)
    )


@blueprint.get("/assignments/done")
@access.requires(Permission.ASSIGN)
def assigned() -> Response:
    """Which of the orders have this assignee now."""
    ids = selected_ids(request.args)
    orders = queries.orders_by_id(web.db(), access.visible_suppliers(), ids)
    username = request.args.get("username", "")
    person = _person_named(username, team.assignable_people(web.db(), orders))
    assignee_id = person.id if person else None
    return web.page(
        "orders/assigned.html",
        assigned=[order for order in orders if order.assignee_id == assignee_id],
        skipped=[order for order in orders if order.assignee_id != assignee_id],
        assignee=person,
        missing=len(ids) - len(orders),
    )


def _assignments_page(orders: Sequence[PurchaseOrder], form: AssignForm, *, status: int = 200) -> Response:
    return web.page(
        "orders/assignments.html",
        orders=orders,
        form=form,
        people=team.assignable_people(web.db(), orders),
        missing=len(selected_ids(request.values)) - len(orders),
        status=status,
    )


def _chosen_person(form: AssignForm, people: Sequence[Person]) -> Person | None:
    """The chosen person, None to unassign. An unknown username becomes an error of the form."""
    if not form.validate() or not form.username.data:
        return None
    person = _person_named(form.username.data, people)
    if person is None:
        form.username.errors = [CHOOSE_PERSON]
    return person


def _person_named(username: str, people: Sequence[Person]) -> Person | None:
    return next((person for person in people if person.username == username), None)


def _redirect_to(order: PurchaseOrder) -> AnyResponse:
    return web.redirect_after_post(order_url(order.id, "team"), fragment=lambda: _team_page(order))


def _team_page(
    order: PurchaseOrder,
    *,
    comment_form: CommentForm | None = None,
    assign_form: AssignForm | None = None,
    has_new_assignee: bool = False,
    status: int = 200,
) -> Response:
    return web.page(
        "orders/team.html",
        "orders/_team.html",
        status=status,
        order=order,
        list_query=opened_list(),
        comment_form=comment_form or CommentForm(formdata=None),
        assign_form=assign_form,
        has_new_assignee=has_new_assignee,
        is_saved=request.method == "POST" and status == 200,
        **team_context(order, messages_of_order(web.db(), order.id)),
    )
