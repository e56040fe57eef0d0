"""The partner simulator: a web app that accepts responses as the network does, or fails on request.

It talks to PO Confirm over HTTP only. Like a real partner it may record a message and lose its own reply.
"""

import errno
import hmac
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from app.demo import control_routes, pages
from app.demo.behavior import Behavior
from app.demo.buyer import Buyer
from app.demo.orders import new_id
from app.demo.pages import data
from app.demo.payloads import REFUSAL
from app.demo.state import Exchange, Identity, SimulatorState, identity_of
from app.demo.traffic import TrafficGenerator
from app.network.messages import Invalid, ReqConfirm, parse
from app.network.paths import API_PATH, KEY_HEADER
from app.network.reader import BYTES_MAX, Unreadable, dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind, may_respond, status_after
from app.ui.web import CONTENT_SECURITY_POLICY, READING_METHODS, is_cross_site

CONFIRM_PATH = API_PATH + Kind.REQ_CONFIRM
HUGE_BYTES = 64 * 1_048_576

_ROOT = Path(__file__).resolve().parents[2]
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CODES = {status: code for code, status in reversed(HTTP_STATUS.items())}


@dataclass(frozen=True, slots=True)
class _Reply:
    """The reply before a faulty mode changes it."""

    status: int
    body: dict[str, Any]


def create_simulator(
    *,
    send_to: str,
    inbound_key: str,
    partner_key: str | None = None,
    orders: Iterable[dict[str, Any]] | None = None,
    time_zone: str = "Asia/Kolkata",
) -> Flask:
    """The Flask app of the simulator.

    `send_to` is PO Confirm's base URL and `inbound_key` the key that orders are sent with. With
    `partner_key`, messages must carry it as X-Partner-Key, X-Api-Key or bearer token. `orders` are `req-send`
    or `req-edit` bodies sent before, oldest first, with their present status as `newStatus`. Times are shown
    in `time_zone`. The traffic generator, off at first, is at `app.extensions["traffic"]`, and the state at
    `app.extensions["state"]`.
    """
    app = Flask("partner", root_path=str(_ROOT), template_folder="templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BYTES_MAX
    app.config["MAX_FORM_MEMORY_SIZE"] = BYTES_MAX
    state = app.extensions["state"] = SimulatorState(orders or ())
    app_url = send_to.rstrip("/")
    buyer = Buyer(state, app_url, inbound_key)
    traffic = app.extensions["traffic"] = TrafficGenerator(buyer, state)
    _guard(app)
    _add_confirm_route(app, state, partner_key)
    pages.init_app(app, state, traffic, app_url, ZoneInfo(time_zone))
    control_routes.init_app(app, state, buyer, traffic)
    return app


def _guard(app: Flask) -> None:
    @app.before_request
    def refuse_other_sites() -> BaseResponse | None:
        if request.method in READING_METHODS or not is_cross_site():
            return None
        return data({"error": "This request came from another site."}, 403)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    def explain(error: HTTPException) -> BaseResponse:
        status = error.code or 500
        detail = error.description or "Invalid request."
        if request.path == CONFIRM_PATH:
            code = _CODES.get(status, ErrorCode.INTERNAL)
            response = data(_failure(new_id("REQ"), None, code, detail), status)
        else:
            response = data({"error": detail}, status)
        for name, value in error.get_headers():
            if name not in {"Content-Type", "Content-Length"}:
                response.headers[name] = value
        return response


def _add_confirm_route(app: Flask, state: SimulatorState, partner_key: str | None) -> None:
    @app.post(CONFIRM_PATH)
    def req_confirm() -> BaseResponse:
        behavior = state.take_behavior()
        exchange = Exchange(
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            headers=dict(request.headers),
            raw=request.get_data(),
            mode=behavior.mode,
        )
        reply = _reply(state, exchange, behavior, partner_key)
        # Recorded before the reply, so that it is listed as soon as the sender has the reply.
        state.add_exchange(exchange)
        return _REPLY_SENDERS.get(behavior.mode, _send)(behavior, exchange, reply)


def _reply(state: SimulatorState, exchange: Exchange, behavior: Behavior, partner_key: str | None) -> _Reply:
    req_msg_id = new_id("REQ")
    try:
        _check_sender(partner_key)
        exchange.body = read_json(exchange.raw)
        message = parse(Kind.REQ_CONFIRM, exchange.body)
        identity = identity_of(message)
        req_msg_id = state.req_msg_id(identity)
        _check_sense(message)
        if behavior.accepts:
            req_msg_id = _take(state, exchange, identity, message)
    except (Unreadable, Invalid) as refused:
        field = "" if isinstance(refused, Unreadable) else refused.field
        failure = _failure(req_msg_id, exchange.body, refused.code, refused.detail, field)
        reply = _Reply(HTTP_STATUS[refused.code], failure)
    else:
        reply = _Reply(200, build_reply(Kind.REQ_CONFIRM, exchange.body, req_msg_id=req_msg_id))
    if behavior.accepts:
        return _Reply(behavior.status if reply.status == 200 else reply.status, reply.body)
    return _forced_refusal(behavior, exchange, req_msg_id)


def _check_sender(partner_key: str | None) -> None:
    if partner_key is not None and not any(_same(key, partner_key) for key in _sent_keys()):
        raise Invalid(ErrorCode.CREDENTIALS, "", "The partner's key is missing or wrong.")
    if request.mimetype != "application/json":
        raise Invalid(ErrorCode.MEDIA_TYPE, "", "The body must be application/json.")


def _sent_keys() -> list[str]:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return [request.headers.get(KEY_HEADER, ""), request.headers.get("X-Api-Key", ""), bearer]


def _same(key: str, secret: str) -> bool:
    return hmac.compare_digest(key.encode(), secret.encode())


def _check_sense(message: ReqConfirm) -> None:
    confirmation = message.po_confirmation
    statuses = confirmation.po_status_transition
    if confirmation.object_version.new_version != confirmation.object_version.current_version:
        raise Invalid(
            ErrorCode.FIELD_INVALID,
            "poConfirmation.objectVersion.newVersion",
            "A confirmation keeps the version: newVersion must equal currentVersion.",
        )
    if not may_respond(statuses.current_status, confirmation.supplier_response):
        raise Invalid(
            ErrorCode.TRANSITION,
            "poConfirmation.poStatusTransition.currentStatus",
            f"An order that is {statuses.current_status} cannot be responded to.",
        )
    if statuses.new_status != status_after(confirmation.supplier_response):
        raise Invalid(
            ErrorCode.TRANSITION,
            "poConfirmation.poStatusTransition.newStatus",
            f"{confirmation.supplier_response} does not lead to {statuses.new_status}.",
        )


def _take(state: SimulatorState, exchange: Exchange, identity: Identity, message: ReqConfirm) -> str:
    taken = state.accept(identity, exchange.idempotency_key, message)
    exchange.repeat = taken.repeat
    if taken.refused:
        raise Invalid(taken.refused, _FIELDS[taken.refused], taken.detail)
    return taken.req_msg_id


_FIELDS = {
    ErrorCode.CONFLICT: "poConfirmation.objectVersion",
    ErrorCode.STALE_VERSION: "poConfirmation.objectVersion.currentVersion",
    ErrorCode.TRANSITION: "poConfirmation.poStatusTransition.currentStatus",
}


def _forced_refusal(behavior: Behavior, exchange: Exchange, req_msg_id: str) -> _Reply:
    """The refusal of the chosen response mode."""
    code = _CODES.get(behavior.status, ErrorCode.INTERNAL)
    error = (str(code), f"The simulator is set to respond with {behavior.status}.", "")
    if behavior.mode == "refuse":
        error = REFUSAL
    error_cd, detail, field = error
    body = _failure(
        req_msg_id, exchange.body, code, behavior.error_dtl or detail, behavior.error_field or field
    )
    body["payload"]["resp"]["errorCd"] = behavior.error_cd or error_cd
    return _Reply(behavior.status, body)


def _failure(req_msg_id: str, received: Any, code: ErrorCode, detail: str, field: str = "") -> dict[str, Any]:
    return build_reply(
        Kind.REQ_CONFIRM, received, req_msg_id=req_msg_id, code=code, detail=detail, field=field
    )


def _send(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    exchange.status, exchange.reply_body = reply.status, reply.body
    response = data(reply.body, reply.status)
    if behavior.retry_after:
        response.headers["Retry-After"] = behavior.retry_after
    if 300 <= reply.status < 400:
        response.headers["Location"] = "/received.json"
    return response


def _send_slowly(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    time.sleep(behavior.seconds)
    return _send(behavior, exchange, reply)


def _send_nothing(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    return _streamed(_wait_and_close(request.environ, behavior.seconds))


def _close(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    return _streamed(_wait_and_close(request.environ, 0))


def _wait_and_close(environ: Mapping[str, Any], seconds: float) -> Iterator[bytes]:
    time.sleep(seconds)
    raise _reset_connection(environ)
    yield b""


def _close_mid_reply(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    body, environ = dumps(reply.body), request.environ
    half = body[: len(body) // 2]
    exchange.status, exchange.reply_body = reply.status, half.decode("utf-8", "replace")

    def pieces() -> Iterator[bytes]:
        yield half
        raise _reset_connection(environ)

    return _streamed(pieces(), reply.status, len(body))


def _send_byte_by_byte(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    body = dumps(reply.body)
    exchange.status, exchange.reply_body = reply.status, reply.body
    pause = behavior.seconds / len(body)

    def drops() -> Iterator[bytes]:
        for position in range(len(body)):
            time.sleep(pause)
            yield body[position : position + 1]

    return _streamed(drops(), reply.status, len(body))


def _send_huge(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    exchange.status, exchange.reply_body = reply.status, f"{HUGE_BYTES} bytes of padding"

    def pieces() -> Iterator[bytes]:
        yield b'{"response_code":0,"response_message":"'
        padding = b"x" * 65_536
        for _ in range(HUGE_BYTES // len(padding)):
            yield padding
        yield b'"}'

    return _streamed(pieces(), reply.status)


def _send_empty(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    return _text(exchange, "", "application/json", reply.status)


def _send_html(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    page = "<!doctype html><html lang=en><title>Welcome</title><p>It works!</p></html>\n"
    return _text(exchange, page, "text/html", reply.status)


def _send_truncated_json(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    body = dumps(reply.body)
    half = body[: len(body) // 2].decode("utf-8", "ignore")
    return _text(exchange, half, "application/json", reply.status)


def _send_wrong_order(behavior: Behavior, exchange: Exchange, reply: _Reply) -> BaseResponse:
    payload = reply.body["payload"]
    other = payload["poConfirmation"] | {"objectId": new_id("POR")}
    body = reply.body | {"payload": payload | {"poConfirmation": other}}
    return _send(behavior, exchange, _Reply(reply.status, body))


_REPLY_SENDERS: dict[str, Callable[[Behavior, Exchange, _Reply], BaseResponse]] = {
    "slow": _send_slowly,
    "timeout": _send_nothing,
    "reset": _close,
    "cut": _close_mid_reply,
    "drip": _send_byte_by_byte,
    "huge": _send_huge,
    "empty": _send_empty,
    "html": _send_html,
    "broken_json": _send_truncated_json,
    "wrong_object": _send_wrong_order,
}


def _text(exchange: Exchange, body: str, media_type: str, status: int) -> BaseResponse:
    exchange.status, exchange.reply_body = status, body
    return Response(body, status, mimetype=media_type)


def _streamed(pieces: Iterator[bytes], status: int = 200, length: int | None = None) -> BaseResponse:
    response = Response(pieces, status, mimetype="application/json")
    if length is not None:
        response.content_length = length
    return response


def _reset_connection(environ: Mapping[str, Any]) -> ConnectionResetError:
    """Reset the connection if the server exposes it; the error makes every WSGI server close it."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        at_once = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        # The server still owns the descriptor: replace it with a closed socket instead of closing it.
        dead, other = socket.socketpair()
        with dead, other:
            os.dup2(dead.fileno(), connection.fileno())
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
