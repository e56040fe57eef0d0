"""What the partner shows: what came, what it knows and sent, and how it treats answers. Pages and data."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flask import Flask, Response, abort, render_template, request

from app.demo.behavior import GROUPS, MODES, Behaviour
from app.demo.buyer import PATH
from app.demo.payloads import Change
from app.demo.state import AnswerTaken, Exchange, Memory, Order, Sent
from app.demo.traffic import BusyDay
from app.network.reader import dumps
from app.network.vocabulary import (
    BuyerAction,
    Kind,
    Result,
    Status,
    SupplierResponse,
    may_edit,
    may_move,
)
from app.ui.bodies import coloured
from app.ui.numbers import money

EXCHANGES_SHOWN = 25
ORDERS_SHOWN = 12

# Partners' texts may hold control characters and noncharacters, which HTML forbids.
_NOT_IN_HTML = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")

_ANSWERS = {
    SupplierResponse.ACCEPT: ("ok", "Confirmed"),
    SupplierResponse.REJECT: ("quiet", "Rejected"),
    SupplierResponse.RETURN: ("warn", "Returned"),
}
_STATUSES = {
    Status.CREATED: ("waiting", "Open"),
    Status.ACCEPTED: ("ok", "Confirmed"),
    Status.REJECTED: ("quiet", "Rejected"),
    Status.RETURNED: ("warn", "Returned"),
    Status.CANCELLED: ("quiet", "Cancelled"),
    Status.CLOSED: ("quiet", "Closed"),
}


class AuditAction(NamedTuple):
    """What a buyer may do to an order: where to post, a field with its value, the words on the button."""

    url: str
    name: str
    value: str
    words: str


DEEDS = (
    AuditAction("/send-edit", "change", Change.QUANTITY, "Change a quantity"),
    AuditAction("/send-edit", "change", Change.LINES, "Swap a line"),
    AuditAction("/send-edit", "change", Change.DATES, "Move the date"),
    AuditAction("/send-status-change", "action", BuyerAction.CANCEL, "Cancel"),
    AuditAction("/send-status-change", "action", BuyerAction.CLOSE, "Close"),
    AuditAction("/send-result", "result", Result.SUCCESS, "Late success"),
    AuditAction("/send-result", "result", Result.FAILURE, "Late failure"),
)


def init_app(app: Flask, memory: Memory, busy_day: BusyDay, product: str, zone: ZoneInfo) -> None:
    """Join the pages and their data to the app; `product` is PO Confirm's base URL."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        at=lambda when: _at(when, zone),
        coloured=_coloured,
        money=money,
        answer_chip=_answer_chip,
        status_chip=_status_chip,
        outcome_chip=_outcome_chip,
        sent_chip=_sent_chip,
    )
    app.jinja_env.globals.update(
        product=product, modes=MODES, deeds=_deeds, confirm_path=PATH + Kind.REQ_CONFIRM
    )
    app.jinja_env.globals.update(answer_of=memory.answer_of, order_of=memory.order)
    _add_pages(app, memory, busy_day)
    _add_data(app, memory, busy_day)


def _add_pages(app: Flask, memory: Memory, busy_day: BusyDay) -> None:
    @app.get("/")
    def page() -> str:
        exchanges, orders = memory.exchanges(), memory.orders()
        return _rendered(
            "simulator.html",
            exchanges=exchanges[: -EXCHANGES_SHOWN - 1 : -1],
            count=len(exchanges),
            orders=orders[: -ORDERS_SHOWN - 1 : -1],
            orders_count=len(orders),
            behaviour=memory.behaviour(),
            groups=GROUPS,
            busy_day=busy_day,
            sent=request.args.get("sent", type=int),
            accepted=request.args.get("accepted", type=int),
            told=audit_fields(memory),
        )

    @app.get("/received/<path:idempotency_key>")
    def message_page(idempotency_key: str) -> str | Response:
        found = [one for one in memory.exchanges() if one.idempotency_key == idempotency_key]
        if not found:
            return missing("No message with this key came, or it is not known here any more.")
        return _rendered(
            "received.html", key=idempotency_key, exchanges=found[::-1], told=audit_fields(memory)
        )

    @app.get("/orders/<path:object_id>")
    def order_page(object_id: str) -> str | Response:
        known = memory.order(object_id)
        if known is None:
            return missing("This buyer does not know such an order.")
        came = [one for one in memory.exchanges() if one.object_id == object_id]
        events: list[Exchange | Sent] = [*came, *memory.sent(object_id)]
        events.sort(key=_happened_at, reverse=True)
        return _rendered("order.html", order=known, events=events, told=audit_fields(memory))

    @app.get("/simulator.css")
    def style() -> Response:
        return Response(render_template("demo/simulator.css"), mimetype="text/css")


def _add_data(app: Flask, memory: Memory, busy_day: BusyDay) -> None:
    @app.get("/received.json")
    def received() -> Response:
        key, object_id = request.args.get("idempotency_key"), request.args.get("object_id")
        found = [
            exchange.as_data()
            for exchange in memory.exchanges()
            if (key is None or exchange.idempotency_key == key)
            and (object_id is None or exchange.object_id == object_id)
        ]
        return data({"received": found, "count": len(found)})

    @app.get("/orders.json")
    def orders_known() -> Response:
        found = [_order_data(order, memory.answer_of(order.object_id)) for order in memory.orders()]
        return data({"orders": found, "count": len(found)})

    @app.get("/behaviour.json")
    def behaviour_state() -> Response:
        return data(behaviour_data(memory.behaviour()))

    @app.get("/busy.json")
    def busy_state() -> Response:
        return data(busy_data(busy_day))


def data(value: Any, status: int = 200) -> Response:
    """JSON with exact numbers."""
    # A 204 or a 304 has no body, whatever one would like to say.
    return Response(b"" if status in {204, 304} else dumps(value), status, mimetype="application/json")


def missing(words: str) -> Response:
    """404 as a page for a browser, else as data."""
    if not from_page():
        abort(404, words)
    return Response(_rendered("missing.html", words=words), 404)


def from_page() -> bool:
    """Whether a browser asks, rather than a program."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def behaviour_data(behaviour: Behaviour) -> dict[str, Any]:
    """A behaviour as `GET /behaviour.json` gives it."""
    return {
        "mode": behaviour.mode,
        "times": behaviour.times,
        "seconds": behaviour.seconds,
        "status": behaviour.status,
        "retry_after": behaviour.retry_after,
        "error_cd": behaviour.error_cd,
        "error_dtl": behaviour.error_dtl,
        "error_field": behaviour.error_field,
    }


def busy_data(busy_day: BusyDay) -> dict[str, Any]:
    """The busy day as `GET /busy.json` gives it; `seconds` is the mean pause."""
    return {"on": busy_day.on, "seconds": busy_day.seconds, "sent": busy_day.sent}


def _order_data(order: Order, answer: AnswerTaken | None) -> dict[str, Any]:
    return {
        "objectId": order.object_id,
        "buyerPONumber": order.po_number,
        "version": order.version,
        "status": order.status,
        "answer": answer and answer.message["poConfirmation"]["supplierResponse"],
        "reqMsgId": answer and answer.req_msg_id,
        "result": answer and answer.result,
    }


def _rendered(name: str, **values: Any) -> str:
    return _NOT_IN_HTML.sub("\ufffd", render_template(f"demo/{name}", **values))


def audit_fields(memory: Memory) -> Sent | None:
    """The message whose button was just pressed."""
    number = request.args.get("message", type=int)
    return next((sent for sent in reversed(memory.sent()) if sent.number == number), None)


def _happened_at(event: Exchange | Sent) -> datetime:
    return event.received_at if isinstance(event, Exchange) else event.sent_at


def _at(when: datetime, zone: ZoneInfo) -> str:
    return when.astimezone(zone).strftime("%d %b, %H:%M:%S %Z")


def _coloured(value: Any) -> Any:
    return coloured(dumps(value))


def _chip(known: Mapping[Any, tuple[str, str]], word: object) -> tuple[str, str]:
    return known.get(word, ("quiet", str(word or "")))


def _answer_chip(response: object) -> tuple[str, str]:
    return _chip(_ANSWERS, response)


def _status_chip(status: object) -> tuple[str, str]:
    return _chip(_STATUSES, status)


def _outcome_chip(exchange: Exchange) -> tuple[str, str]:
    """Tone and words of what the sender got to hear."""
    if exchange.status is None:
        return "bad", "no answer given"
    if exchange.status >= 300:
        return "bad", f"answered {exchange.status}"
    if exchange.mode in {"ok", "slow"}:
        return "ok", f"answered {exchange.status}"
    return "warn", f"{exchange.status}, but: {MODES.get(exchange.mode, exchange.mode).lower()}"


def _sent_chip(sent: Sent) -> tuple[str, str]:
    """Tone and words of what PO Confirm said to a message of ours."""
    if sent.accepted:
        return "ok", "taken"
    return "bad", "no answer" if sent.status is None else f"refused, {sent.status}"


def _deeds(order: Order, answer: AnswerTaken | None) -> list[AuditAction]:
    """What may be done to the order now, by the table that PO Confirm goes by too."""
    return [deed for deed in DEEDS if _may(deed, order, answer)]


def _may(deed: AuditAction, order: Order, answer: AnswerTaken | None) -> bool:
    if deed.name == "change":
        return may_edit(order.status)
    if deed.name == "action":
        return may_move(order.status, deed.value)
    return answer is not None
