"""Bulk resend: preview, start, report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.partners.queries import all_partners
from app.tasks import queries as job_queries
from app.tasks.models import Job
from app.tasks.presenters import KINDS, JobKind, Result
from app.ui import web
from app.ui.chips import Chip
from app.ui.listing import active_filters, read_filter, url_values
from app.webhooks import resend_job, resend_plan, resend_report
from app.webhooks.forms import ResendForm, SelectionForm
from app.webhooks.partner_status import failing_partners
from app.webhooks.resend_presenters import resend_job_chip, resend_job_title
from app.webhooks.resend_report import ResendResult

blueprint = Blueprint("resends", __name__, url_prefix="/webhooks/resends")
UNFINISHED = {ResendResult.SENDING, ResendResult.QUEUED}


def _result(job: Job) -> Result:
    return Result("Result", url_for("resends.report", job_id=job.id))


def _chips(jobs: Sequence[Job]) -> dict[str, Chip]:
    counts = resend_report.count_not_delivered(web.db(), jobs)
    return {job.id: resend_job_chip(job, counts.get(job.id)) for job in jobs}


KINDS[resend_job.KIND] = JobKind(resend_job_title, _result, _chips)


@blueprint.get("")
@access.requires(Permission.RESEND)
def preview() -> Response:
    """What would be resent and what would be skipped: selected, by filter, or since an outage."""
    return _preview_page(ResendForm())


@blueprint.post("")
@access.requires(Permission.RESEND)
@access.keeps_form
def create() -> AnyResponse:
    """Start a bulk resend; the webhooks are fixed now, one row each."""
    form = ResendForm()
    if not form.validate():
        return _preview_page(form, 422)
    selection, *_ = _read_selection()
    if selection.is_empty:
        form.form_errors.append("Select the webhooks to resend.")
        return _preview_page(form, 422)
    try:
        job = resend_job.create_job(
            web.db(),
            access.visible_suppliers(),
            selection,
            by=access.current_person().display_name,
            person_id=access.current_person().id,
            reason=form.reason.data or "",
        )
    except resend_job.NothingToResend:
        web.db().rollback()
        form.form_errors.append("None of these webhooks can be resent anymore.")
        return _preview_page(form, 409)
    web.db().commit()
    return web.redirect_after_post(url_for(".report", job_id=job.id))


@blueprint.get("/<job_id>")
@access.requires(Permission.VIEW_ALL)
def report(job_id: str) -> Response:
    """The progress and results of a bulk resend."""
    job = _get_job_or_404(job_id)
    only, after = request.args.get("only", ""), request.args.get("after", "")
    only = only if only in set(ResendResult) else ""
    page = resend_report.report(web.db(), job, only=only, after=after)
    counts = resend_report.count_results(web.db(), job)
    address: dict[str, Any] = {"job_id": job.id, "only": only or None}
    return web.page(
        "webhooks/resend_report.html",
        "webhooks/_resend_report.html",
        job=job,
        state=resend_job_chip(job, sum(counts.get(result, 0) for result in resend_report.NOT_DELIVERED)),
        rows=page.rows,
        counts=counts,
        is_moving=not job.is_finished or bool(counts.keys() & UNFINISHED),
        only=only,
        after=after,
        report_page=resend_report.REPORT_PAGE,
        page_url=url_for(".report", **address, after=after or None),
        next_url=url_for(".report", **address, after=page.next_after) if page.next_after else None,
    )


def _get_job_or_404(job_id: str) -> Job:
    job = job_queries.job(web.db(), None, job_id)
    if job is None or job.kind != resend_job.KIND:
        abort(404)
    return job


def _read_selection() -> tuple[resend_plan.Selection, SelectionForm, dict[str, Any], list[str]]:
    """The selection of the query or of the posted form: also as a form, as values, and notices about it."""
    source = request.form if request.method == "POST" else request.args
    form = SelectionForm(source)
    values, notices = read_filter(form, web.zone())
    values.pop("after", None)
    if values.pop("delivered", False) and access.can(Permission.RESEND_DELIVERED):
        values["delivered"] = "1"
    return resend_plan.read_selection(values, source.getlist("ids")), form, values, notices


def _preview_page(form: ResendForm, status: int = 200) -> Response:
    selection, filter_form, values, notices = _read_selection()
    plan = None
    if not selection.is_empty:
        plan = resend_plan.plan(web.db(), access.visible_suppliers(), selection)
    return web.page(
        "webhooks/resend_preview.html",
        status=status,
        form=form,
        filter_form=filter_form,
        notices=notices,
        selection=selection,
        plan=plan,
        query={} if selection.ids else url_values(values),
        chips=[] if selection.ids else active_filters(filter_form, values),
        partners=all_partners(web.db()),
        limit=resend_plan.MESSAGES_MAX,
        down_since=_down_since(filter_form.partner.data),
    )


def _down_since(partner_name: str | None) -> datetime | None:
    """Since when the partner has been failing; without a name, any partner."""
    failing = failing_partners(web.db(), access.visible_suppliers())
    return min(
        (
            status.outage.since
            for status in failing
            if status.outage and partner_name in (status.partner.name, None, "")
        ),
        default=None,
    )
