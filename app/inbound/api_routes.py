"""The partner API: JSON requests and responses, authenticated by a key or a signature."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import MethodNotAllowed

from app import clock
from app.accounts import access, throttle
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.inbound.api_description import NO_AUTOMATIC_OPTIONS
from app.inbound.handlers import HANDLERS
from app.inbound.models import InboundMessage
from app.inbound.processing import Call, Rules, receive_message, reject_call
from app.network.paths import API_PATH, KEY_HEADER, is_api_path
from app.network.reader import dumps
from app.network.replies import build_reply
from app.network.signing import signature_of
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind
from app.partners.masking import MASK
from app.partners.models import Partner
from app.partners.queries import partner_of_call
from app.ui import web
from app.ui.request_log import request_id

log = logging.getLogger(__name__)
blueprint = Blueprint("inbound_api", __name__)

KINDS = tuple(HANDLERS)
"""The kinds of message that partners may send."""
SECRET_HEADERS = frozenset({KEY_HEADER.lower(), "authorization", "cookie", "proxy-authorization"})


@blueprint.post(
    API_PATH + "<any({}):name>".format(", ".join(f'"{kind}"' for kind in KINDS)),
    **NO_AUTOMATIC_OPTIONS,
)
@web.csrf.exempt
@access.public
def receive(name: str) -> Response:
    """Receive a message. It is stored and committed whatever the result."""
    message = _receive(Kind(name))
    web.db().commit()
    response = _json(message.response_status, message.response_body)
    if message.response_status == 415:
        response.headers["Accept-Encoding"] = "identity"
    return response


@blueprint.get("/api/v0/ping", **NO_AUTOMATIC_OPTIONS)
@access.public
def ping() -> Response:
    """Test a key or a signature. Nothing is recorded."""
    partner = _caller(b"")
    if partner is None:
        with web.database().writing() as session:
            _count_wrong_key(session)
            session.commit()
        return _error(ErrorCode.CREDENTIALS, _credentials_detail())
    payload = {"partner": partner.name, "at": clock.now().isoformat()}
    return _json(200, dumps({"response_code": 0, "response_message": "Success", "payload": payload}))


@blueprint.before_app_request
def _unknown_address() -> Response | None:
    """Reject any other path or method below ``/api/`` in the JSON format of the contract.

    A catch-all route cannot do this: it would add its methods to the ``Allow`` of every path.
    """
    if not is_api_path(request.path):
        return None
    error = request.routing_exception
    if isinstance(error, MethodNotAllowed):
        return _method_not_allowed(sorted(error.valid_methods or ()))
    if error is not None:  # not found, or a redirect to a cleaned-up path, which a POST would not survive
        return _error(ErrorCode.UNKNOWN_RESOURCE, "Unknown path.")
    return None


def _method_not_allowed(allowed: list[str]) -> Response:
    name = request.path.rpartition("/")[2]
    is_kind = name in KINDS
    detail = f"Use {allowed[0]}." if is_kind else f"Use {' or '.join(allowed)}."
    response = _error(ErrorCode.METHOD, detail, Kind(name) if is_kind else Kind.REQ_SEND)
    response.headers["Allow"] = ", ".join(allowed)
    return response


@blueprint.errorhandler(OperationalError)
@blueprint.errorhandler(InterfaceError)
def _busy(error: Exception) -> Response:
    log.warning("database not available: %s", error)
    response = _error(ErrorCode.UNAVAILABLE, "The message was not recorded. Try again in a moment.")
    response.headers["Retry-After"] = "5"
    return response


@blueprint.errorhandler(Exception)
def _internal_error(error: Exception) -> Response:
    reference = request_id()
    log.error("fault, reference %s", reference, exc_info=error)
    return _error(ErrorCode.INTERNAL, f"The message was not recorded. Reference {reference}.")


@blueprint.errorhandler(throttle.TooManyAttempts)
def _too_many_keys(error: throttle.TooManyAttempts) -> Response:
    detail = f"Too many requests without valid credentials. Try again in {error.seconds} s."
    response = _error(ErrorCode.TOO_MANY, detail)
    response.headers["Retry-After"] = str(error.seconds)
    return response


def _count_wrong_key(session: Session) -> None:
    """Count a wrong key of this address. Errors: TooManyAttempts if there were too many before it."""
    address = throttle.of_address(throttle.ThrottleKind.PARTNER_KEY, request.remote_addr)
    if throttle.begin_attempt(session, [address]):
        trail.record(session, AuditAction.THROTTLED, AuditObject.PARTNER, "", name="Inbound API")


def _receive(kind: Kind) -> InboundMessage:
    settings = web.settings()
    call = _call(kind)
    size = request.content_length or 0
    limit = settings.max_body_bytes
    # The whole body is read before the transaction begins: a slow sender must not hold SQLite's writer.
    raw = _body(limit)
    session = web.db()
    partner = _caller(raw)
    if partner is None:
        _count_wrong_key(session)
        detail = _credentials_detail()
        return reject_call(session, call, ErrorCode.CREDENTIALS, detail, partner_id=None, size=size)
    if detail := _media_type_problem():
        return reject_call(session, call, ErrorCode.MEDIA_TYPE, detail, partner_id=partner.id, size=size)
    if size > limit or len(raw) > limit:
        detail = f"The body is larger than {limit} bytes."
        return reject_call(
            session, call, ErrorCode.TOO_LARGE, detail, partner_id=partner.id, size=max(size, len(raw))
        )
    return receive_message(session, partner.id, call, raw, Rules.of(settings))


def _call(kind: Kind) -> Call:
    """The parts of the request, besides its body, that the log keeps; secrets are masked."""
    return Call(
        kind=kind,
        path=request.path,
        remote_address=request.remote_addr or "",
        headers=[
            (name[:100], MASK if name.lower() in SECRET_HEADERS else value[:500])
            for name, value in list(request.headers.items())[:50]
        ],
    )


def _media_type_problem() -> str:
    """What is wrong with the declared type or encoding of the body; empty if nothing."""
    if request.mimetype != "application/json":
        return "Use Content-Type: application/json."
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        return "Send the body without Content-Encoding."
    return ""


def _body(limit: int) -> bytes:
    """The body, cut one byte above the limit; empty if Content-Length is above the limit."""
    return b"" if (request.content_length or 0) > limit else request.stream.read(limit + 1)


def _caller(raw: bytes) -> Partner | None:
    """The partner that sent the request, by its key or by a signature of the body."""
    signature = signature_of(request.headers.items())
    return partner_of_call(web.db(), request.headers.get(KEY_HEADER, ""), signature, raw)


def _credentials_detail() -> str:
    if signature_of(request.headers.items()):
        return "The signature is invalid or expired, or its secret is unknown."
    return f"The header {KEY_HEADER} is missing or its key is unknown."


def _error(code: ErrorCode, detail: str, kind: Kind = Kind.REQ_SEND) -> Response:
    return _json(HTTP_STATUS[code], dumps(build_reply(kind, None, req_msg_id="", code=code, detail=detail)))


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, content_type="application/json")
