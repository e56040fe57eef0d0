"""Sending many again: the plan, the press, the report."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.partners.queries import all_partners
from app.tasks import queries as job_queries
from app.tasks.models import Job
from app.tasks.routes import RESULTS, Result
from app.ui import web
from app.ui.fields import in_force, in_query, read_filter
from app.webhooks import resend_job, resend_plan
from app.webhooks.bulk_forms import ManyForm, SelectionForm

blueprint = Blueprint("resends", __name__, url_prefix="/webhooks/resends")
RESULTS[resend_job.KIND] = lambda job: Result("What came of it", url_for("resends.report", job_id=job.id))


@blueprint.get("")
@access.requires(Permission.RESEND)
def planned() -> Response:
    """What would be sent again and what not: by chosen ids, by the log's filter, or since an outage."""
    return _plan_page(ManyForm())


@blueprint.post("")
@access.requires(Permission.RESEND)
def send_many() -> AnyResponse:
    """Put the resend into the queue; what it takes in is decided now, row by row."""
    form = ManyForm()
    if not form.validate():
        return _plan_page(form, 422)
    selection, _, _ = _selection()
    if not _is_chosen(selection):
        form.form_errors.append("Choose first what is to be sent again.")
        return _plan_page(form, 422)
    try:
        job = resend_job.ask_for(
            web.db(),
            access.visible_suppliers(),
            selection,
            by=access.current_person().display_name,
            person_id=access.current_person().id,
            reason=form.reason.data or "",
        )
    except resend_job.NothingToSend:
        web.db().rollback()
        form.form_errors.append("Nothing of it can be sent again any more.")
        return _plan_page(form, 409)
    web.db().commit()
    return web.go(url_for(".report", job_id=job.id))


@blueprint.get("/<job_id>")
@access.requires(Permission.VIEW_ALL)
def report(job_id: str) -> Response:
    """What came of a resend, a row per message; it asks for itself while anything may still change."""
    job = _job(job_id)
    only, after = request.args.get("only", ""), request.args.get("after", "")
    lines, next_after = resend_job.report(web.db(), job, only=only, after=after)
    outcomes = resend_job.outcomes(web.db(), job)
    moving = not job.is_finished or bool(outcomes.keys() & {"on its way", "waiting"})
    return web.page(
        "webhooks/resend_report.html",
        "webhooks/_resend_report.html",
        job=job,
        lines=lines,
        outcomes=outcomes,
        moving=moving,
        only=only if only in resend_job.OUTCOMES else "",
        after=after,
        next_url=url_for(".report", job_id=job.id, only=only or None, after=next_after)
        if next_after
        else None,
    )


def _job(job_id: str) -> Job:
    job = job_queries.job(web.db(), None, job_id)
    if job is None or job.kind != resend_job.KIND:
        abort(404)
    return job


def _is_chosen(selection: resend_plan.Selection) -> bool:
    return bool(selection.ids or selection.tried_since or selection.filter != resend_plan.Selection().filter)


def _selection() -> tuple[resend_plan.Selection, SelectionForm, list[str]]:
    """What the address means, or on a press the fields that were sent along."""
    given = request.form if request.method == "POST" else request.args
    form = SelectionForm(given)
    values, notices = read_filter(form, web.zone())
    values.pop("after", None)
    if not access.can(access.current_person(), Permission.RESEND_DELIVERED):
        values.pop("delivered", None)
    return resend_plan.selection_of(values, given.getlist("ids")), form, notices


def _plan_page(form: ManyForm, status: int = 200) -> Response:
    selection, chosen, notices = _selection()
    values = _values(chosen, selection)
    shown: dict[str, Any] = {}
    if _is_chosen(selection):
        shown["plan"] = resend_plan.plan(web.db(), access.visible_suppliers(), selection)
    return web.page(
        "webhooks/resend_plan.html",
        status=status,
        form=form,
        chosen=chosen,
        notices=notices,
        selection=selection,
        query={} if selection.ids else in_query(values),
        chips=[] if selection.ids else in_force(chosen, values),
        partners=all_partners(web.db()),
        most=resend_plan.MOST,
        **shown,
    )


def _values(form: SelectionForm, selection: resend_plan.Selection) -> dict[str, Any]:
    values, _ = read_filter(form, web.zone())
    values.pop("after", None)
    values.pop("delivered", None)
    if selection.delivered_too:
        values["delivered"] = "1"
    return values
