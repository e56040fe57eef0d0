"""A partner on its own address: it takes answers as the source page says, or fails as it is told to.

It speaks only HTTP with PO Confirm. Like a real buyer's platform it may take an answer and then lose its own
reply on the way, which is what the sender's retries have to stand.
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
from random import SystemRandom
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from app.demo import control_routes, pages
from app.demo.behavior import Behaviour
from app.demo.buyer import KEY_HEADER, PATH, Buyer
from app.demo.orders import new_id
from app.demo.pages import data
from app.demo.state import Exchange, Identity, Memory, identity_of
from app.demo.traffic import BusyDay
from app.network.messages import Invalid, ReqConfirm, parse
from app.network.reader import MAX_BYTES, Unreadable, dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind, may_answer, status_after

CONFIRM_PATH = PATH + Kind.REQ_CONFIRM
HUGE_BYTES = 64 * 1_048_576

_ROOT = Path(__file__).resolve().parents[2]
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CODES = {status: code for code, status in reversed(HTTP_STATUS.items())}


class _Refused(ValueError):
    """The partner does not take a well-formed answer."""

    def __init__(self, code: ErrorCode, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class _Reply:
    """What the partner would say if nothing went wrong on the way."""

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
    """The partner as an app of its own.

    `send_to` is PO Confirm's base URL and `inbound_key` the key that orders are sent with. Where
    `partner_key` is given, answers must carry it as X-Partner-Key, X-Api-Key or bearer token. `orders` are
    `req-send` or `req-edit` bodies that this side is taken to have sent already, oldest first; where one has
    another status by now, its `newStatus` says so. Times are shown in `time_zone`. The busy day is at
    `app.extensions["busy_day"]`, and off; what it remembers is at `app.extensions["memory"]`.
    """
    app = Flask("partner", root_path=str(_ROOT), template_folder="templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BYTES
    memory = app.extensions["memory"] = Memory(orders or ())
    product = send_to.rstrip("/")
    buyer = Buyer(memory, product, inbound_key)
    busy_day = app.extensions["busy_day"] = BusyDay(buyer, memory)
    _guard(app)
    _take_answers(app, memory, partner_key)
    pages.init_app(app, memory, busy_day, product, ZoneInfo(time_zone))
    control_routes.init_app(app, memory, buyer, busy_day)
    return app


def _guard(app: Flask) -> None:
    @app.before_request
    def refuse_other_sites() -> BaseResponse | None:
        if request.method in {"GET", "HEAD", "OPTIONS"} or _is_own_site():
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
        said = error.description or "The request cannot be followed."
        if request.path == CONFIRM_PATH:
            code = _CODES.get(status, ErrorCode.INTERNAL)
            response = data(_failure(_fresh_id("REQ"), None, code, said), status)
        else:
            response = data({"error": said}, status)
        for name, value in error.get_headers():
            if name not in {"Content-Type", "Content-Length"}:
                response.headers[name] = value
        return response


def _fresh_id(prefix: str) -> str:
    return new_id(SystemRandom(), prefix)


def _is_own_site() -> bool:
    # A program sends neither header; a browser sends at least one of them with every POST.
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    return request.headers.get("Origin", request.host_url.rstrip("/")) == request.host_url.rstrip("/")


# Taking answers


def _take_answers(app: Flask, memory: Memory, partner_key: str | None) -> None:
    @app.post(CONFIRM_PATH)
    def req_confirm() -> BaseResponse:
        behaviour = memory.next_behaviour()
        exchange = Exchange(
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            headers=dict(request.headers),
            raw=request.get_data(),
            mode=behaviour.mode,
        )
        reply = _reply(memory, exchange, behaviour, partner_key)
        # Kept before anything is sent: whoever looks after the answer finds it here.
        memory.keep(exchange)
        return _PERFORMANCES.get(behaviour.mode, _plainly)(behaviour, exchange, reply)


def _reply(memory: Memory, exchange: Exchange, behaviour: Behaviour, partner_key: str | None) -> _Reply:
    req_msg_id = memory.fresh_id()
    try:
        _check_sender(partner_key)
        exchange.body = read_json(exchange.raw)
        message = parse(Kind.REQ_CONFIRM, exchange.body)
        identity = identity_of(message)
        req_msg_id = memory.req_msg_id(identity)
        _check_sense(message)
        if behaviour.takes:
            req_msg_id = _take(memory, exchange, identity, message)
    except (Unreadable, Invalid, _Refused) as refused:
        field = "" if isinstance(refused, Unreadable) else refused.field
        failure = _failure(req_msg_id, exchange.body, refused.code, refused.detail, field)
        reply = _Reply(HTTP_STATUS[refused.code], failure)
    else:
        reply = _Reply(200, build_reply(Kind.REQ_CONFIRM, exchange.body, req_msg_id=req_msg_id))
    if behaviour.takes:
        return _Reply(behaviour.status if reply.status == 200 else reply.status, reply.body)
    return audit_fields(behaviour, exchange, req_msg_id)


def _check_sender(partner_key: str | None) -> None:
    if partner_key is not None and not any(_same(given, partner_key) for given in _given_keys()):
        raise _Refused(ErrorCode.CREDENTIALS, "", "The partner's key is missing or wrong.")
    if request.mimetype != "application/json":
        raise _Refused(ErrorCode.MEDIA_TYPE, "", "The body must be application/json.")


def _given_keys() -> list[str]:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return [request.headers.get(KEY_HEADER, ""), request.headers.get("X-Api-Key", ""), bearer]


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _check_sense(message: ReqConfirm) -> None:
    confirmation = message.po_confirmation
    statuses = confirmation.po_status_transition
    if confirmation.object_version.new_version != confirmation.object_version.current_version:
        raise _Refused(
            ErrorCode.FIELD_INVALID,
            "poConfirmation.objectVersion.newVersion",
            "A confirmation keeps the version: newVersion must equal currentVersion.",
        )
    if not may_answer(statuses.current_status, confirmation.supplier_response):
        raise _Refused(
            ErrorCode.TRANSITION,
            "poConfirmation.poStatusTransition.currentStatus",
            f"An order that is {statuses.current_status} cannot be answered.",
        )
    if statuses.new_status != status_after(confirmation.supplier_response):
        raise _Refused(
            ErrorCode.TRANSITION,
            "poConfirmation.poStatusTransition.newStatus",
            f"{confirmation.supplier_response} does not lead to {statuses.new_status}.",
        )


def _take(memory: Memory, exchange: Exchange, identity: Identity, message: ReqConfirm) -> str:
    taken = memory.take(identity, exchange.idempotency_key, message)
    exchange.repeat = taken.repeat
    if taken.refused:
        raise _Refused(taken.refused, _FIELDS[taken.refused], taken.detail)
    return taken.req_msg_id


_FIELDS = {
    ErrorCode.CONFLICT: "poConfirmation.objectVersion",
    ErrorCode.STALE_VERSION: "poConfirmation.objectVersion.currentVersion",
    ErrorCode.TRANSITION: "poConfirmation.poStatusTransition.currentStatus",
}


def audit_fields(behaviour: Behaviour, exchange: Exchange, req_msg_id: str) -> _Reply:
    """The refusal that the partner was told to give."""
    code = _CODES.get(behaviour.status, ErrorCode.INTERNAL)
    detail, field = behaviour.error_dtl or f"The partner was told to answer {behaviour.status}.", ""
    if behaviour.mode == "refuse":
        detail, field = behaviour.error_dtl or "Remarks are not acceptable", "poConfirmation.supplierRemarks"
    body = _failure(req_msg_id, exchange.body, code, detail, behaviour.error_field or field)
    body["payload"]["resp"]["errorCd"] = behaviour.error_cd or (
        "BPR012" if behaviour.mode == "refuse" else code
    )
    return _Reply(behaviour.status, body)


def _failure(req_msg_id: str, received: Any, code: ErrorCode, detail: str, field: str = "") -> dict[str, Any]:
    return build_reply(
        Kind.REQ_CONFIRM, received, req_msg_id=req_msg_id, code=code, detail=detail, field=field
    )


# Giving the reply, well or badly


def _plainly(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    exchange.status, exchange.answer = reply.status, reply.body
    response = data(reply.body, reply.status)
    if behaviour.retry_after:
        response.headers["Retry-After"] = behaviour.retry_after
    if 300 <= reply.status < 400:
        response.headers["Location"] = "/received.json"
    return response


def _slowly(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    time.sleep(behaviour.seconds)
    return _plainly(behaviour, exchange, reply)


def _never(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    return _streamed(_silence(request.environ, behaviour.seconds))


def _reset(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    return _streamed(_silence(request.environ, 0))


def _silence(environ: Mapping[str, Any], seconds: float) -> Iterator[bytes]:
    time.sleep(seconds)
    raise _dropped(environ)
    yield b""


def _cut(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    whole, environ = dumps(reply.body), request.environ
    half = whole[: len(whole) // 2]
    exchange.status, exchange.answer = reply.status, half.decode("utf-8", "replace")

    def pieces() -> Iterator[bytes]:
        yield half
        raise _dropped(environ)

    return _streamed(pieces(), reply.status, len(whole))


def _dripping(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    whole = dumps(reply.body)
    exchange.status, exchange.answer = reply.status, reply.body
    pause = behaviour.seconds / len(whole)

    def drops() -> Iterator[bytes]:
        for position in range(len(whole)):
            time.sleep(pause)
            yield whole[position : position + 1]

    return _streamed(drops(), reply.status, len(whole))


def _endlessly(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    exchange.status, exchange.answer = reply.status, f"{HUGE_BYTES} bytes of padding"

    def pieces() -> Iterator[bytes]:
        yield b'{"response_code":0,"response_message":"'
        padding = b"x" * 65_536
        for _ in range(HUGE_BYTES // len(padding)):
            yield padding
        yield b'"}'

    return _streamed(pieces(), reply.status)


def _nothing(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    return _text(exchange, "", "application/json", reply.status)


def _web_page(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    page = "<!doctype html><html lang=en><title>Welcome</title><p>It works!</p></html>\n"
    return _text(exchange, page, "text/html", reply.status)


def _half_json(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    whole = dumps(reply.body)
    half = whole[: len(whole) // 2].decode("utf-8", "ignore")
    return _text(exchange, half, "application/json", reply.status)


def _for_another(behaviour: Behaviour, exchange: Exchange, reply: _Reply) -> BaseResponse:
    payload = reply.body["payload"]
    other = payload["poConfirmation"] | {"objectId": _fresh_id("POR")}
    body = reply.body | {"payload": payload | {"poConfirmation": other}}
    return _plainly(behaviour, exchange, _Reply(reply.status, body))


_PERFORMANCES: dict[str, Callable[[Behaviour, Exchange, _Reply], BaseResponse]] = {
    "slow": _slowly,
    "timeout": _never,
    "reset": _reset,
    "cut": _cut,
    "drip": _dripping,
    "huge": _endlessly,
    "empty": _nothing,
    "html": _web_page,
    "broken_json": _half_json,
    "wrong_object": _for_another,
}


def _text(exchange: Exchange, body: str, media_type: str, status: int) -> BaseResponse:
    exchange.status, exchange.answer = status, body
    return Response(body, status, mimetype=media_type)


def _streamed(pieces: Iterator[bytes], status: int = 200, length: int | None = None) -> BaseResponse:
    response = Response(pieces, status, mimetype="application/json")
    if length is not None:
        response.content_length = length
    return response


def _dropped(environ: Mapping[str, Any]) -> ConnectionResetError:
    """Reset the connection where the server lends it; the error makes every WSGI server give it up."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        at_once = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        # Closing it here would pull the descriptor from under the server: put a dead pair in its place.
        dead, other = socket.socketpair()
        with dead, other:
            os.dup2(dead.fileno(), connection.fileno())
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
