"""The pages of background jobs: list, progress, cancel."""

from __future__ import annotations

from flask import Blueprint, Response, abort, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.tasks import queries, service
from app.tasks.models import Job
from app.tasks.presenters import job_chips, job_result, job_title
from app.ui import web

blueprint = Blueprint("tasks", __name__, url_prefix="/jobs")


@blueprint.get("")
@access.requires(Permission.VIEW)
def index() -> Response:
    """The newest jobs."""
    jobs = queries.newest_jobs(web.db(), _scope())
    return web.page("tasks/index.html", jobs=jobs, chips=job_chips(jobs))


@blueprint.get("/<job_id>")
@access.requires(Permission.VIEW)
def job_page(job_id: str) -> Response:
    """One job; with htmx the fragment that polls until the job is finished."""
    return _job_page(_get_or_404(job_id))


@blueprint.post("/<job_id>/cancel")
@access.requires(Permission.VIEW)
def cancel(job_id: str) -> AnyResponse:
    """Cancel a job after its current step. Finished steps are kept."""
    job = queries.job(web.db(), _scope(), job_id, lock=True) or abort(404)
    if not _may_cancel(job):
        abort(403)
    service.cancel(web.db(), job, by=access.current_person().display_name, title=job_title(job))
    web.db().commit()
    return web.redirect_after_post(url_for(".job_page", job_id=job_id), fragment=lambda: _job_page(job))


def _scope() -> int | None:
    return None if access.can(Permission.VIEW_ALL) else access.current_person().id


def _may_cancel(job: Job) -> bool:
    """Only the owner and support may cancel."""
    return job.person_id == access.current_person().id or access.can(Permission.RESEND)


def _get_or_404(job_id: str) -> Job:
    return queries.job(web.db(), _scope(), job_id) or abort(404)


def _job_page(job: Job) -> Response:
    return web.page(
        "tasks/job.html",
        "tasks/_job.html",
        job=job,
        state=job_chips([job])[job.id],
        can_cancel=_may_cancel(job) and job.is_cancelable,
        result=job_result(job),
    )
