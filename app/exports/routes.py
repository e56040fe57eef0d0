"""Exports of filtered lists, at once or as a background job, and the evidence pack of an order."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from flask import Blueprint, Response, abort, render_template, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.exports import evidence, files, formats, presenters, sources
from app.orders import queries as order_queries
from app.orders.activity_presenters import event_sentence
from app.orders.listing import with_own_name
from app.orders.presenters import delivery_chip
from app.orders.spreadsheet import ROWS_MAX
from app.tasks import queries as job_queries
from app.tasks.models import Job, JobState
from app.tasks.presenters import KINDS, JobKind, Result, job_title
from app.ui import web
from app.ui.numbers import size

blueprint = Blueprint("exports", __name__)
SECONDS_MAX = 5.0
"""A search that takes longer becomes a background job."""
IN_MEMORY = 8 * 1024 * 1024
"""Files up to this size, in bytes, are sent from memory; larger ones from disk."""


def _result(job: Job) -> Result:
    """The link to the file of a finished export, or why this machine has none."""
    if job.state is not JobState.DONE:
        return Result()
    if job.person_id != access.current_person().id:
        return Result(blocker=f"Only {job.created_by} can download the file.")
    url = url_for("exports.download", job_id=job.id)
    if path := files.stored_file(web.settings(), job):
        label = f"Download, {size(path.stat().st_size)}"
        return Result(label, url, kept_until=files.expires_at(web.settings(), job))
    if machine := files.machine_of(web.settings(), job):
        return Result("Not on this machine", url, f"The file is on {machine}.")
    return Result(blocker="The file has expired. Export it again.")


KINDS[files.KIND] = JobKind(presenters.export_job_title, _result)


@blueprint.errorhandler(sources.BadFilter)
def _invalid_filter(error: sources.BadFilter) -> Response:
    return web.error_page(422, "Export failed", str(error))


@blueprint.app_context_processor
def _links() -> dict[str, Any]:
    return {"export_links": export_links}


def export_links(source_name: str, query: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The name and URL of each format for a list with a filter."""
    if not access.can(Permission.EXPORT):
        return []
    return [
        (name, url_for("exports.export", source_name=source_name, form=form, **query))
        for form, name in formats.NAMES.items()
    ]


@blueprint.get("/exports")
@access.requires(Permission.EXPORT)
def index() -> Response:
    """The large exports of the signed-in person."""
    jobs = job_queries.newest_jobs(web.db(), access.current_person().id)
    exports = [(job, _result(job)) for job in jobs if job.kind == files.KIND]
    kept_for = presenters.kept_for(web.settings().export_keep_hours)
    return web.page("exports/index.html", exports=exports, kept_for=kept_for)


@blueprint.get("/exports/<source_name>.<form>")
@access.requires(Permission.EXPORT)
def export(source_name: str, form: str) -> Response:
    """The file if it is small, otherwise a page that offers a background job."""
    source, query = _source_and_query(source_name, form)
    values = sources.read_query(source, query, web.zone())
    limit = web.settings().export_rows_at_once
    batches: list[list[tuple[Any, ...]]] = []
    until = time.monotonic() + SECONDS_MAX
    count = 0
    for batch in sources.batches(web.database(), source, access.visible_suppliers(), values):
        batches.append(batch)
        count += len(batch)
        if count > limit or time.monotonic() > until:
            return web.page(
                "exports/offer.html",
                title=source.title,
                name=formats.NAMES[form],
                limit=limit if count > limit else None,
                action=request.full_path.rstrip("?"),
            )
    _record_export(presenters.export_title(source_name, form), source_name, form, query, rows=count)
    return _send_rows(source, form, batches, source_name)


@blueprint.post("/exports/<source_name>.<form>")
@access.requires(Permission.EXPORT)
def create(source_name: str, form: str) -> AnyResponse:
    """Start a background job for the file."""
    source, query = _source_and_query(source_name, form)
    sources.read_query(source, query, web.zone())
    person = access.current_person()
    job = files.create_job(
        web.db(),
        source_name,
        form,
        query,
        scope=access.visible_suppliers(),
        by=person.display_name,
        person_id=person.id,
    )
    trail.record(
        web.db(),
        AuditAction.EXPORTED,
        AuditObject.EXPORT,
        job.id,
        name=job_title(job),
        after=_audit_fields(source_name, form, query),
    )
    web.db().commit()
    return web.redirect_after_post(url_for("tasks.job_page", job_id=job.id))


@blueprint.get("/exports/files/<job_id>")
@access.requires(Permission.EXPORT)
def download(job_id: str) -> Response:
    """The file of a finished job, for the person who requested it."""
    job = job_queries.job(web.db(), access.current_person().id, job_id)
    if job is None or job.kind != files.KIND:
        abort(404)
    path = files.stored_file(web.settings(), job)
    if path is None:
        return _missing_file(files.machine_of(web.settings(), job))
    form = job.parameters["form"]
    name = _filename(job.parameters["what"], form, job)
    return _send(path, formats.MIMETYPES[form], name)


@blueprint.get("/orders/answers/sheet.<any(csv, xlsx):form>")
@access.requires(Permission.RESPOND)
def response_sheet(form: str) -> Response:
    """The orders of a list that need a response, with empty columns for the responses."""
    source, query = sources.RESPONSE_SHEET, _query()
    values = sources.read_query(source, query, web.zone())
    rows: list[tuple[Any, ...]] = []
    for batch in sources.batches(web.database(), source, access.visible_suppliers(), values):
        rows += batch
        if len(rows) >= ROWS_MAX:
            break
    _record_export(source.title, "responses", form, query, rows=len(rows[:ROWS_MAX]))
    return _send_rows(source, form, [rows[:ROWS_MAX]], "responses")


def _missing_file(machine: str | None) -> Response:
    if machine is None:
        text = "It is not finished or has expired. Export it again."
        return web.error_page(404, "File not found", text)
    if files.is_here(machine):
        text = "It was removed from this machine. Export it again."
        return web.error_page(404, "File not found", text)
    text = (
        f"It is on {machine}, but your request reached another machine. Reload this page to try again. "
        f"An administrator can share the instance folder “{files.FOLDER}” between machines."
    )
    return web.error_page(503, "File is on another machine", text)


@blueprint.get("/orders/<int:order_id>/evidence.zip")
@access.requires(Permission.EXPORT)
def evidence_of(order_id: int) -> Response:
    """The evidence pack: everything that was sent and received for one order."""
    order = order_queries.order(web.db(), access.visible_suppliers(), order_id) or abort(404)
    file = _temporary_file()

    def render(**context: Any) -> str:
        return render_template(
            "exports/evidence.html",
            delivery=delivery_chip(order),
            response_note=presenters.response_note,
            **context,
        )

    count = evidence.write(
        file,
        web.db(),
        order,
        zone=web.zone(),
        by=access.current_person().display_name,
        render=render,
        describe=event_sentence,
    )
    with web.database().writing() as session:
        trail.record(
            session,
            AuditAction.EXPORTED,
            AuditObject.ORDER,
            order.id,
            name=order.buyer_po_number,
            after={"what": "evidence pack", "files": count},
        )
        session.commit()
    safe = re.sub(r"[^A-Za-z0-9]+", "-", order.buyer_po_number).strip("-") or "order"
    file.seek(0)
    return _send(file, "application/zip", f"evidence-{safe[:60]}-{order.id}.zip")


def _source_and_query(source_name: str, form: str) -> tuple[sources.Source, dict[str, str]]:
    source = sources.SOURCES.get(source_name)
    if source is None or form not in formats.MIMETYPES:
        abort(404)
    if not access.can(source.needs):
        abort(403)
    return source, _query()


def _query() -> dict[str, str]:
    """The filter of the list, with the reader's own name for ``me``: a background job has no reader."""
    return with_own_name({name: value for name, value in request.args.items() if name != "after"})


def _send_rows(source: sources.Source, form: str, batches: Sequence[Any], name: str) -> Response:
    file = _temporary_file()
    formats.write(file, form, source.columns, batches, web.zone(), source.title)
    file.seek(0)
    return _send(file, formats.MIMETYPES[form], _filename(name, form))


def _temporary_file() -> IO[bytes]:
    return cast(IO[bytes], tempfile.SpooledTemporaryFile(IN_MEMORY))  # closed with the response


def _send(file: IO[bytes] | Path, mimetype: str, name: str) -> Response:
    response = send_file(file, mimetype=mimetype, as_attachment=True, download_name=name)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _filename(source_name: str, form: str, job: Job | None = None) -> str:
    at = ((job.finished_at if job else None) or clock.now()).astimezone(web.zone())
    return f"po-confirm-{source_name}-{at:%Y%m%d-%H%M}.{form}"


def _record_export(name: str, source_name: str, form: str, query: Mapping[str, str], *, rows: int) -> None:
    """Record the export before the first byte is sent, in a separate transaction."""
    with web.database().writing() as session:
        trail.record(
            session,
            AuditAction.EXPORTED,
            AuditObject.EXPORT,
            "",
            name=name,
            after={**_audit_fields(source_name, form, query), "rows": rows},
        )
        session.commit()


def _audit_fields(source_name: str, form: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "what": source_name,
        "form": form,
        "filter": {name: value for name, value in query.items() if value},
    }
