"""The partner's door: JSON in, JSON out, a key instead of a cookie."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import MethodNotAllowed, NotFound

from app import clock
from app.accounts import access
from app.inbound.handlers import VERBS
from app.inbound.processing import Call, Receipt, Rules, receive_message, refuse_call
from app.network.reader import dumps
from app.network.replies import build_reply
from app.network.signing import signature_of
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind
from app.partners.masking import MASK
from app.partners.models import Partner
from app.partners.queries import partner_of_call
from app.ui import web

log = logging.getLogger(__name__)
blueprint = Blueprint("inbound_api", __name__)

KEY_HEADER = "X-Partner-Key"
TAKEN = tuple(VERBS)
SECRET_HEADERS = frozenset({"x-partner-key", "authorization", "cookie", "proxy-authorization"})
ONLY: dict[str, Any] = {"provide_automatic_options": False}
"""Of an address below ``/api/``: only the methods that are described; OPTIONS is refused like any other."""


@blueprint.post(
    "/api/v0/purchase-order/<any({}):name>".format(", ".join(f'"{kind}"' for kind in TAKEN)), **ONLY
)
@web.csrf.exempt
@access.public
def take(name: str) -> Response:
    """Take one message: who sent it, then what it is, then what it says. One commit whatever it was."""
    receipt = _receive(Kind(name))
    web.db().commit()
    return _json(receipt.status, receipt.body)


@blueprint.get("/api/v0/ping", **ONLY)
@access.public
def ping() -> Response:
    """Whether a key or a signature is right: what a partner tries first. It records nothing."""
    partner = _caller(b"")
    if partner is None:
        return _said(ErrorCode.CREDENTIALS, _not_known())
    said = {"partner": partner.name, "at": clock.now().isoformat()}
    return _json(200, dumps({"response_code": 0, "response_message": "Success", "payload": said}))


@blueprint.before_app_request
def _nothing_here() -> Response | None:
    """Any other address or method below ``/api/`` is refused in the contract's shape as well.

    No route could say it: one that takes every method would be listed in every ``Allow``.
    """
    if not f"{request.path}/".startswith("/api/"):
        return None
    wrong = request.routing_exception
    if isinstance(wrong, MethodNotAllowed):
        return _with_another_method(sorted(wrong.valid_methods or ()))
    if isinstance(wrong, NotFound):
        return _said(ErrorCode.UNKNOWN_RESOURCE, "There is no such message here.")
    return None


def _with_another_method(allowed: list[str]) -> Response:
    name = request.path.rpartition("/")[2]
    words = (
        f"Send this message with {allowed[0]}." if name in TAKEN else f"Only {' and '.join(allowed)} here."
    )
    response = _said(ErrorCode.METHOD, words, Kind(name) if name in TAKEN else Kind.REQ_SEND)
    response.headers["Allow"] = ", ".join(allowed)
    return response


@blueprint.errorhandler(OperationalError)
@blueprint.errorhandler(InterfaceError)
def _busy(error: Exception) -> Response:
    log.warning("database not available: %s", error)
    response = _said(ErrorCode.UNAVAILABLE, "Not recorded. Send it again in a moment.")
    response.headers["Retry-After"] = "5"
    return response


@blueprint.errorhandler(Exception)
def _fault(error: Exception) -> Response:
    reference = web.new_reference()
    log.error("fault, reference %s", reference, exc_info=error)
    return _said(ErrorCode.INTERNAL, f"Not recorded. Reference {reference}.")


def _receive(kind: Kind) -> Receipt:
    settings = web.settings()
    call = Call(
        kind=kind,
        path=request.path,
        remote_address=request.remote_addr or "",
        headers=[
            (name[:100], MASK if name.lower() in SECRET_HEADERS else value[:500])
            for name, value in list(request.headers.items())[:50]
        ],
    )
    size = request.content_length or 0
    limit = settings.max_body_bytes
    # The whole body is read before the transaction begins: a slow sender must not hold SQLite's writer.
    raw = _body(limit)
    session = web.db()
    partner = _caller(raw)
    if partner is None:
        detail = _not_known()
        return refuse_call(session, call, ErrorCode.CREDENTIALS, detail, partner_id=None, size=size)
    if request.mimetype != "application/json":
        detail = "Send it as application/json."
        return refuse_call(session, call, ErrorCode.MEDIA_TYPE, detail, partner_id=partner.id, size=size)
    if size > limit or len(raw) > limit:
        detail = f"The body is larger than {limit} bytes."
        return refuse_call(
            session, call, ErrorCode.TOO_LARGE, detail, partner_id=partner.id, size=max(size, len(raw))
        )
    return receive_message(session, partner.id, call, raw, Rules.of(settings))


def _body(limit: int) -> bytes:
    """The body as it came, at most one byte over the limit; nothing where it says that it is longer."""
    return b"" if (request.content_length or 0) > limit else request.stream.read(limit + 1)


def _caller(raw: bytes) -> Partner | None:
    """The partner who is calling, by key or by a signature over these bytes."""
    signature = signature_of(request.headers.items())
    return partner_of_call(web.db(), request.headers.get(KEY_HEADER, ""), signature, raw)


def _not_known() -> str:
    if signature_of(request.headers.items()):
        return "The signature is not right, too old, or by a secret that is not known here."
    return f"The header {KEY_HEADER} is missing or is not one that is known here."


def _said(code: ErrorCode, detail: str, kind: Kind = Kind.REQ_SEND) -> Response:
    return _json(HTTP_STATUS[code], dumps(build_reply(kind, None, req_msg_id="", code=code, detail=detail)))


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, content_type="application/json")
