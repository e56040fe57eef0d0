"""The log of incoming messages, the page of a message, and reprocessing."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, jsonify, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.inbound import queries
from app.inbound.forms import ReprocessForm
from app.inbound.listing import INBOUND
from app.inbound.models import InboundMessage
from app.inbound.presenters import REPROCESS_BLOCKERS, reprocess_blocker_text
from app.inbound.processing import CannotReprocess, Rules, reprocess, reprocess_blocker
from app.ui import web
from app.ui.bodies import text_of

blueprint = Blueprint("inbound", __name__, url_prefix="/inbound")


@blueprint.get("")
@access.requires(Permission.VIEW)
def log() -> Response:
    """The log, newest first."""
    return INBOUND.page()


@blueprint.get("/newer")
@access.requires(Permission.VIEW)
def newer() -> Response:
    """The number of messages newer than those on an open page."""
    return INBOUND.newer()


@blueprint.get("/<inbound_id>")
@access.requires(Permission.VIEW)
def message(inbound_id: str) -> Response:
    """A message: the request, the response and the result."""
    return _message_page(_get_message(inbound_id), ReprocessForm())


@blueprint.get("/<inbound_id>.json")
@access.requires(Permission.VIEW)
def message_as_data(inbound_id: str) -> Response:
    """A message as JSON."""
    return jsonify(as_data(_get_message(inbound_id)))


@blueprint.post("/<inbound_id>/apply")
@access.requires(Permission.TRIAGE)
def apply(inbound_id: str) -> AnyResponse:
    """Reprocess a stored message; a reason is required."""
    stored = queries.message_for_update(web.db(), access.visible_suppliers(), inbound_id) or abort(404)
    form = ReprocessForm()
    if not form.validate():
        return _message_page(stored, form, status=422)
    try:
        reprocess(
            web.db(),
            stored,
            by=access.current_person().display_name,
            reason=form.reason.data or "",
            rules=Rules.of(web.settings()),
        )
    except CannotReprocess as error:
        form.form_errors.append(REPROCESS_BLOCKERS[error.blocker])
        return _message_page(stored, form, status=409)
    web.db().commit()
    return web.redirect_after_post(
        url_for(".message", inbound_id=inbound_id), fragment=lambda: message(inbound_id)
    )


def _get_message(inbound_id: str) -> InboundMessage:
    return queries.message(web.db(), access.visible_suppliers(), inbound_id) or abort(404)


def _message_page(stored: InboundMessage, form: ReprocessForm, status: int = 200) -> Response:
    return web.page(
        "inbound/message.html",
        status=status,
        message=stored,
        form=form,
        reprocess_blocker=reprocess_blocker_text(reprocess_blocker(stored)),
        repeats=queries.repeats_of(web.db(), stored.id),
        body=text_of(stored.body),
        response_body=text_of(stored.response_body),
    )


def as_data(message: InboundMessage) -> dict[str, Any]:
    """A message as JSON for ``GET /inbound/<id>.json``; bodies as text, times in UTC, ISO 8601."""
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
        "answer": {"status": message.response_status, "body": text_of(message.response_body)},
        "again": {
            "at": message.reprocessed_at.isoformat(),
            "by": message.reprocessed_by,
            "reason": message.reprocess_reason,
            "first_effect": message.first_effect,
            "detail": message.reprocess_error,
        }
        if message.reprocessed_at
        else None,
    }
