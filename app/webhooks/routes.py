"""The list of webhooks, one webhook, resend and cancel."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, jsonify, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.accounts import access
from app.accounts.access import Permission
from app.delivery.models import Attempt, Message
from app.delivery.presenters import detail_sentence
from app.delivery.resend_blocker import resend_blocker
from app.delivery.service import (
    CannotCancel,
    CannotResend,
    cancel_blocker,
    cancel_manually,
    resend,
)
from app.ui import web
from app.ui.bodies import text_of
from app.webhooks import presenters, queries
from app.webhooks.forms import CancelForm, ResendForm
from app.webhooks.listing import WEBHOOKS

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")


@blueprint.get("")
@access.requires(Permission.VIEW)
def log() -> Response:
    """The log, newest first."""
    return WEBHOOKS.page()


@blueprint.get("/newer")
@access.requires(Permission.VIEW)
def newer() -> Response:
    """How many webhooks are newer than those on an open page."""
    return WEBHOOKS.newer()


@blueprint.get("/<message_id>")
@blueprint.get("/<message_id>/state", endpoint="state")
@access.requires(Permission.VIEW)
def message(message_id: str) -> Response:
    """One webhook with all its attempts. Until it is final, its page polls ``/state``."""
    return _message_page(_get_or_404(message_id))


@blueprint.get("/<message_id>.json")
@access.requires(Permission.VIEW)
def message_json(message_id: str) -> Response:
    """One webhook as JSON."""
    scope = access.visible_suppliers()
    message = queries.message(web.db(), scope, message_id, with_response_bodies=True) or abort(404)
    return jsonify(as_data(message))


@blueprint.post("/<message_id>/resend")
@access.requires(Permission.RESEND)
@access.keeps_form
def resend_one(message_id: str) -> AnyResponse:
    """Send the same payload under the same id again, for a reason."""
    message = queries.message_for_update(web.db(), access.visible_suppliers(), message_id) or abort(404)
    form = ResendForm()
    if not form.validate():
        return _message_page(_get_or_404(message_id), form, status=422)
    try:
        resend(web.db(), message, by=access.current_person().display_name, reason=form.reason.data or "")
    except CannotResend as error:
        form.form_errors.append(presenters.RESEND_BLOCKERS[error.blocker])
        return _message_page(_get_or_404(message_id), form, status=409)
    web.db().commit()
    url = url_for(".message", message_id=message_id)
    return web.redirect_after_post(url, fragment=lambda: _message_page(_get_or_404(message_id)))


@blueprint.post("/<message_id>/withdraw")
@access.requires(Permission.CANCEL)
def cancel(message_id: str) -> AnyResponse:
    """Cancel delivery for a reason. An attempt in progress may still succeed; it is not retried."""
    message = queries.message_for_update(web.db(), access.visible_suppliers(), message_id) or abort(404)
    form = CancelForm()
    if not form.validate():
        return _message_page(_get_or_404(message_id), cancel_form=form, status=422)
    try:
        cancel_manually(
            web.db(), message, by=access.current_person().display_name, reason=form.why.data or ""
        )
    except CannotCancel as error:
        form.form_errors.append(presenters.CANCEL_BLOCKERS[error.blocker])
        return _message_page(_get_or_404(message_id), cancel_form=form, status=409)
    web.db().commit()
    url = url_for(".message", message_id=message_id)
    return web.redirect_after_post(url, fragment=lambda: _message_page(_get_or_404(message_id)))


def _get_or_404(message_id: str) -> Message:
    return queries.message(web.db(), access.visible_suppliers(), message_id) or abort(404)


def _message_page(
    message: Message,
    form: ResendForm | None = None,
    cancel_form: CancelForm | None = None,
    status: int = 200,
) -> Response:
    number = request.args.get("attempt", type=int)
    attempts = {attempt.number: attempt for attempt in message.attempts}
    newest = message.attempts[0] if message.attempts else None
    attempt = attempts.get(number or 0, newest)
    is_comparing = request.args.get("show") == "difference"
    shows_last_delivery = request.args.get("beside") == "good"
    last_delivery = _last_delivery(message) if shows_last_delivery and attempt else None
    address: dict[str, Any] = {
        "message_id": message.id,
        "attempt": number if number in attempts else None,
        "show": "difference" if is_comparing else None,
        "beside": "good" if shows_last_delivery else None,
    }
    may_cancel = access.can(Permission.CANCEL)
    return web.page(
        "webhooks/message.html",
        "webhooks/_message.html",
        status=status,
        message=message,
        attempt=attempt,
        previous=attempts.get(attempt.number - 1) if attempt else None,
        is_comparing=is_comparing,
        shows_last_delivery=shows_last_delivery,
        last_delivery=last_delivery,
        last_delivery_attempt=queries.successful_attempt(last_delivery) if last_delivery else None,
        page_url=url_for(".message", **address),
        poll_url=None if message.is_final else url_for(".state", **address),
        form=form or ResendForm(formdata=None),
        cancel_form=cancel_form or CancelForm(formdata=None),
        shows_cancel=may_cancel and (cancel_form is not None or not cancel_blocker(message)),
        resend_blocker=resend_blocker(web.db(), message),
    )


def _last_delivery(message: Message) -> Message | None:
    """The newest other webhook that the partner accepted, to compare with."""
    scope = access.visible_suppliers()
    return queries.last_delivered(web.db(), scope, message.partner_id, except_id=message.id)


def as_data(message: Message) -> dict[str, Any]:
    """The body of ``GET /webhooks/<id>.json``; attempts oldest first, bodies as text."""
    newest = message.attempts[0] if message.attempts else None
    return {
        "id": message.id,
        "state": message.state_shown,
        "kind": message.kind,
        "partner": message.partner.name,
        "order_id": message.order_id,
        "buyer_po_number": message.buyer_po_number,
        "object_id": message.object_id,
        "created_at": message.created_at.isoformat(),
        "result_from": message.result_from,
        "result_inbound_id": message.result_inbound_id,
        "next_at": message.next_at.isoformat() if message.next_at and not message.is_final else None,
        "request": {
            "url": newest.url if newest else None,
            "headers": newest.request_headers if newest else [],
            "body": text_of(message.body),
            "sha256": message.body_sha256,
        },
        "attempts": [_attempt_data(attempt) for attempt in reversed(message.attempts)],
    }


def _attempt_data(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "trigger": attempt.trigger,
        "actor": attempt.actor,
        "reason": attempt.request_reason,
        "request_id": attempt.request_id,
        "outcome": attempt.outcome,
        "detail": detail_sentence(attempt.detail),
        "status": attempt.status,
        "headers": attempt.response_headers,
        "body": text_of(attempt.response_body),
        "size": attempt.response_size,
        "duration_ms": attempt.duration_ms,
        "started_at": attempt.started_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat() if attempt.ended_at else None,
    }
