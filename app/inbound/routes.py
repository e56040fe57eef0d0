"""The log of what partners sent, one message, and applying it again."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, jsonify, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.inbound import queries
from app.inbound.forms import ApplyForm, InboundFilterForm
from app.inbound.models import InboundMessage
from app.inbound.processing import CannotApply, Rules, apply_again, why_not_again
from app.partners.queries import all_partners
from app.ui import web
from app.ui.fields import in_force, in_query, read_filter
from app.webhooks.routes import text_of

blueprint = Blueprint("inbound", __name__, url_prefix="/inbound")


@blueprint.get("")
@access.requires(Permission.VIEW)
def log() -> Response:
    """The log, newest first."""
    form = InboundFilterForm(request.args)
    values, notices = read_filter(form, web.zone())
    wanted = queries.InboundFilter(**values)
    found = queries.message_page(web.db(), access.visible_suppliers(), wanted)
    narrowed = {name: value for name, value in values.items() if name != "after"}
    next_url = None
    if found.next_after:
        next_url = url_for(".log", **in_query({**narrowed, "after": found.next_after}))
    return web.page(
        "inbound/log.html",
        "inbound/_list.html",
        form=form,
        notices=notices,
        found=found,
        next_url=next_url,
        filtered=bool(narrowed),
        query=in_query(narrowed),
        chips=in_force(form, narrowed),
        partners=all_partners(web.db()),
        newer_url=_newer_url(values, _newest_shown(found, wanted)),
        unmatched=queries.unmatched_count(web.db(), access.visible_suppliers()),
    )


@blueprint.get("/newer")
@access.requires(Permission.VIEW)
def newer() -> Response:
    """Whether more has come than an open page shows; without htmx the list itself."""
    if not web.wants_fragment():
        return log()
    values, _ = read_filter(InboundFilterForm(request.args), web.zone())
    values.pop("after", None)
    than = request.args.get("than", "")[:40]
    count = queries.newer_count(web.db(), access.visible_suppliers(), queries.InboundFilter(**values), than)
    return web.page(
        "inbound/log.html",
        "ui/_new_rows.html",
        count=count,
        newer_url=_newer_url(values, than),
        first_url=url_for(".log", **in_query(values)),
    )


def _newest_shown(found: queries.InboundPage, wanted: queries.InboundFilter) -> str:
    if wanted.after:
        return queries.newest_id(web.db(), access.visible_suppliers(), wanted)
    return found.messages[0].id if found.messages else ""


def _newer_url(values: dict[str, Any], than: str) -> str:
    shown = {name: value for name, value in values.items() if name != "after"}
    return url_for(".newer", **in_query({**shown, "than": than}))


@blueprint.get("/<inbound_id>")
@access.requires(Permission.VIEW)
def message(inbound_id: str) -> Response:
    """One message: as received, what we answered, what it changed."""
    return _message_page(_found(inbound_id), ApplyForm())


@blueprint.get("/<inbound_id>.json")
@access.requires(Permission.VIEW)
def message_as_data(inbound_id: str) -> Response:
    """One message as data."""
    return jsonify(as_data(_found(inbound_id)))


@blueprint.post("/<inbound_id>/apply")
@access.requires(Permission.IMPORT)
def apply(inbound_id: str) -> AnyResponse:
    """Apply a stored message again, for a reason."""
    found = queries.message_for_update(web.db(), access.visible_suppliers(), inbound_id) or abort(404)
    form = ApplyForm()
    if not form.validate():
        return _message_page(found, form, status=422)
    try:
        apply_again(
            web.db(),
            found,
            by=access.current_person().display_name,
            reason=form.reason.data or "",
            rules=Rules.of(web.settings()),
        )
    except CannotApply as blocker:
        form.form_errors.append(str(blocker))
        return _message_page(found, form, status=409)
    web.db().commit()
    return web.go(url_for(".message", inbound_id=inbound_id), fragment=lambda: message(inbound_id))


def _found(inbound_id: str) -> InboundMessage:
    return queries.message(web.db(), access.visible_suppliers(), inbound_id) or abort(404)


def _message_page(found: InboundMessage, form: ApplyForm, status: int = 200) -> Response:
    return web.page(
        "inbound/message.html",
        status=status,
        message=found,
        form=form,
        why_not_apply=why_not_again(found),
        repeats=queries.repeats_of(web.db(), found.id),
        body=text_of(found.body),
        answer_body=text_of(found.answer_body),
    )


def as_data(message: InboundMessage) -> dict[str, Any]:
    """A message as ``GET /inbound/<id>.json`` gives it; bodies as text, times in UTC, ISO 8601."""
    return {
        "id": message.id,
        "kind": message.kind,
        "partner": message.partner.name if message.partner else None,
        "order_id": message.order_id,
        "object_id": message.object_id,
        "buyer_po_number": message.buyer_po_number,
        "received_at": message.received_at.isoformat(),
        "effect": message.effect,
        "repeat_of": message.repeat_of,
        "error": {
            "errorCd": message.error_cd,
            "errorDtl": message.detail,
            "errorField": message.error_field,
        }
        if message.error_cd
        else None,
        "request": {
            "path": message.path,
            "remote_address": message.remote_address,
            "headers": message.headers,
            "size": message.size,
            "body": text_of(message.body),
        },
        "answer": {"status": message.answer_status, "body": text_of(message.answer_body)},
        "again": {
            "at": message.again_at.isoformat(),
            "by": message.again_by,
            "reason": message.again_reason,
            "first_effect": message.first_effect,
            "detail": message.again_detail,
        }
        if message.again_at
        else None,
    }
