"""Files of what is filtered, at once or made by a job; and the evidence of one order."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, cast
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, render_template, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.exports import evidence, files, formats, sources
from app.orders import queries as order_queries
from app.orders.presenters import event_sentence
from app.partners.forms import PressForm
from app.tasks import queries as job_queries
from app.tasks.models import Job, JobState
from app.tasks.routes import RESULTS, Result
from app.ui import web
from app.ui.numbers import size

blueprint = Blueprint("exports", __name__)
CHUNK = 64 * 1024
PATIENCE_SECONDS = 5.0
"""What takes longer to find is found by a job."""
IN_MEMORY = 8 * 1024 * 1024
"""Bytes; a larger file that is made for one answer stands on the disk meanwhile."""
LINKS = {
    "webhooks.log": "webhooks",
    "orders.inbox": "orders",
    "inbound.log": "inbound",
    "audit.trail": "audit",
}


def _result(job: Job) -> Result:
    """The file, where the reader may have it and it is still kept."""
    if job.state is not JobState.DONE:
        return Result()
    if job.person_id != access.current_person().id:
        return Result(blocker=f"Only {job.created_by} can fetch the file.")
    path = files.found(web.settings(), job)
    if path is None:
        return Result(blocker="The file is no longer kept. Export it again.")
    words, url = f"Download, {size(path.stat().st_size)}", url_for("exports.finished", job_id=job.id)
    return Result(words, url, kept_until=files.expires_at(web.settings(), job))


RESULTS[files.KIND] = _result


@blueprint.app_context_processor
def _links() -> dict[str, Any]:
    return {"export_links": export_links}


def export_links() -> list[tuple[str, str]]:
    """The name and address of each kind of file of the list that this page shows, filtered as it is."""
    what = LINKS.get(request.endpoint or "")
    if what is None or not access.can(access.current_person(), Permission.EXPORT):
        return []
    query = urlencode({name: value for name, value in request.args.items() if name != "after"})
    return [
        (name, url_for("exports.export", what=what, form=form) + (f"?{query}" if query else ""))
        for form, name in formats.NAMES.items()
    ]


@blueprint.get("/exports")
@access.requires(Permission.EXPORT)
def index() -> Response:
    """One's own big files: under way, finished, and until when they are kept."""
    own = job_queries.newest_jobs(web.db(), access.current_person().id)
    shown = [
        {
            "job": job,
            "file": files.found(web.settings(), job),
            "expires_at": files.expires_at(web.settings(), job),
            "machine": files.machine_of(web.settings(), job),
        }
        for job in own
        if job.kind == files.KIND
    ]
    return web.page("exports/index.html", exports=shown, hours=web.settings().export_keep_hours)


@blueprint.get("/exports/<what>.<form>")
@access.requires(Permission.EXPORT)
def export(what: str, form: str) -> Response:
    """The file at once where it is small; else a page that offers to make it."""
    source, query = _asked(what, form)
    try:
        values = sources.read_query(source, query, web.zone())
    except sources.BadFilter as error:
        return web.error_page(422, "Nothing was exported", str(error))
    most = web.settings().export_rows_at_once
    coming = sources.batches(web.database(), source, access.visible_suppliers(), values)
    first: list[list[tuple[Any, ...]]] = []
    until = time.monotonic() + PATIENCE_SECONDS
    count = 0
    for batch in coming:
        first.append(batch)
        count += len(batch)
        if count > most or time.monotonic() > until:
            return web.page(
                "exports/offer.html",
                title=source.title,
                name=formats.NAMES[form],
                most=most if count > most else None,
                action=request.full_path.rstrip("?"),
            )
    _note(f"{source.title} as {formats.NAMES[form]}", what, form, query, rows=count)
    return _as_file(_encoded(source, form, first), form, what)


@blueprint.post("/exports/<what>.<form>")
@access.requires(Permission.EXPORT)
def make(what: str, form: str) -> AnyResponse:
    """Let a job make the file."""
    source, query = _asked(what, form)
    try:
        sources.read_query(source, query, web.zone())
    except sources.BadFilter as error:
        return web.error_page(422, "Nothing was exported", str(error))
    if not PressForm().validate():
        abort(400)
    me = access.current_person()
    job = files.ask(
        web.db(), what, form, query, scope=access.visible_suppliers(), by=me.display_name, me=me.id
    )
    trail.record(
        web.db(),
        AuditAction.EXPORTED,
        AuditObject.EXPORT,
        job.id,
        name=job.title,
        after=audit_fields(what, form, query),
    )
    web.db().commit()
    return web.go(url_for("tasks.one", job_id=job.id))


@blueprint.get("/exports/files/<job_id>")
@access.requires(Permission.EXPORT)
def finished(job_id: str) -> Response:
    """The file that a job made; for whom it was made, and while it is kept."""
    job = job_queries.job(web.db(), access.current_person().id, job_id)
    if job is None or job.kind != files.KIND:
        abort(404)
    path = files.found(web.settings(), job)
    if path is None:
        return _not_here(files.machine_of(web.settings(), job))
    form = job.parameters["form"]
    name = _name(job.parameters["what"], form, job)
    answer = send_file(path, mimetype=formats.MIMETYPES[form], as_attachment=True, download_name=name)
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def _not_here(machine: str | None) -> Response:
    if machine is None:
        words = "It is not finished, or its time is over. Export it again."
        return web.error_page(404, "The file is not here", words)
    if files.is_here(machine):
        words = "It was removed from this machine before its time. Export it again."
        return web.error_page(404, "The file is not here", words)
    words = (
        f"It was made on {machine}, and another machine answered you. Load this page again: the right one "
        f"may answer. An administrator can let all of them share the folder “{files.FOLDER}” of the "
        "instance, so that each has every file."
    )
    return web.error_page(503, "The file is on another machine", words)


@blueprint.get("/orders/<int(max=9223372036854775807):order_id>/evidence.zip")
@access.requires(Permission.EXPORT)
def evidence_of(order_id: int) -> Response:
    """Everything that was sent and received of one order, with digests and a page to read it by."""
    order = order_queries.order(web.db(), access.visible_suppliers(), order_id) or abort(404)
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed with the answer

    def render(**shown: Any) -> str:
        return render_template("exports/evidence.html", **shown)

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
    return _download(_chunks(file), "application/zip", f"evidence-{safe[:60]}-{order.id}.zip")


def _asked(what: str, form: str) -> tuple[sources.Source, dict[str, str]]:
    source = sources.SOURCES.get(what)
    if source is None or form not in formats.MIMETYPES:
        abort(404)
    if not access.can(access.current_person(), source.needs):
        abort(403)
    query = {name: value for name, value in request.args.items() if name != "after"}
    return source, query


def _encoded(source: sources.Source, form: str, batches: Sequence[Any]) -> Iterator[bytes]:
    zone = web.zone()
    if form == "xlsx":
        file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed when all is read
        formats.write_xlsx(cast(IO[bytes], file), source.columns, batches, zone, source.title)
        file.seek(0)
        return _chunks(file)
    encode = formats.as_csv if form == "csv" else formats.as_jsonl
    return encode(source.columns, batches, zone)


def _as_file(content: Iterator[bytes], form: str, what: str) -> Response:
    return _download(content, formats.MIMETYPES[form], _name(what, form))


def _download(content: Iterator[bytes], mimetype: str, name: str) -> Response:
    response = Response(content, mimetype=mimetype)
    response.headers["Content-Type"] = mimetype
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _chunks(file: Any) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _name(what: str, form: str, job: Job | None = None) -> str:
    at = ((job.finished_at if job else None) or clock.now()).astimezone(web.zone())
    return f"po-confirm-{what}-{at:%Y%m%d-%H%M}.{form}"


def _note(name: str, what: str, form: str, query: Mapping[str, str], *, rows: int) -> None:
    """Into the trail before the first byte leaves; in a transaction of its own, as the page only looks."""
    with web.database().writing() as session:
        trail.record(
            session,
            AuditAction.EXPORTED,
            AuditObject.EXPORT,
            "",
            name=name,
            after={**audit_fields(what, form, query), "rows": rows},
        )
        session.commit()


def audit_fields(what: str, form: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {"what": what, "form": form, "filter": {name: value for name, value in query.items() if value}}
