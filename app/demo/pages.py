"""Pages and JSON of the simulator: received responses, orders, sent messages, response mode."""

from collections.abc import Mapping, Sized
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flask import Flask, Response, abort, render_template, request

from app.demo.behavior import GROUPS, MODES, Behavior
from app.demo.payloads import Change
from app.demo.state import AcceptedResponse, Exchange, Order, Sent, SimulatorState
from app.demo.traffic import TrafficGenerator
from app.network.messages import parse
from app.network.paths import API_PATH
from app.network.reader import dumps
from app.network.reference_codes import unit_name
from app.network.text import pluralize
from app.network.vocabulary import (
    BuyerAction,
    Kind,
    Result,
    Status,
    SupplierResponse,
    may_edit,
    may_move,
)
from app.orders.line_responses import LineAction, decode
from app.orders.lines import ordered_lines
from app.ui.bodies import colored
from app.ui.numbers import money, number
from app.ui.times import day
from app.ui.web import replace_control_characters

EXCHANGES_SHOWN = 10
ORDERS_SHOWN = 12
DURATIONS = (1, 2, 3, 5, 10)
"""The numbers of responses for which a response mode can be set."""

_RESPONSES = {
    SupplierResponse.ACCEPT: ("ok", "Confirmed"),
    SupplierResponse.REJECT: ("quiet", "Rejected"),
    SupplierResponse.RETURN: ("warn", "Returned"),
}
_LINES = {
    LineAction.AS_ORDERED: ("ok", "As ordered"),
    LineAction.CHANGED: ("warn", "Changed"),
    LineAction.REJECTED: ("quiet", "Rejected"),
}
_STATUSES = {
    Status.CREATED: ("waiting", "Open"),
    Status.ACCEPTED: ("ok", "Accepted"),
    Status.REJECTED: ("quiet", "Rejected"),
    Status.RETURNED: ("warn", "Returned"),
    Status.CANCELLED: ("quiet", "Canceled"),
    Status.CLOSED: ("quiet", "Closed"),
}


class Update(NamedTuple):
    """An update that the buyer can send: URL, form field with value, and button label."""

    url: str
    name: str
    value: str
    label: str


UPDATE_GROUPS = {
    "/send-edit": "Edit order",
    "/send-result": "Late result",
    "/send-status-change": "Cancel or close",
}
"""The heading of the updates that are sent to each URL."""
UPDATES = (
    Update("/send-edit", "change", Change.QUANTITY, "Change quantity"),
    Update("/send-edit", "change", Change.LINES, "Replace line"),
    Update("/send-edit", "change", Change.DATES, "Change delivery date"),
    Update("/send-status-change", "action", BuyerAction.CANCEL, "Cancel"),
    Update("/send-status-change", "action", BuyerAction.CLOSE, "Close"),
    Update("/send-result", "result", Result.SUCCESS, "Late success"),
    Update("/send-result", "result", Result.FAILURE, "Late failure"),
)


def init_app(
    app: Flask, state: SimulatorState, traffic: TrafficGenerator, app_url: str, zone: ZoneInfo
) -> None:
    """Add the pages and JSON routes to the app; `app_url` is PO Confirm's base URL."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.finalize = replace_control_characters
    app.jinja_env.filters.update(
        at=lambda when: _at(when, zone),
        colored=_colored,
        money=money,
        response_chip=_response_chip,
        status_chip=_status_chip,
        reply_chip=_reply_chip,
        sent_chip=_sent_chip,
        mode_chip=_mode_chip,
        mode_duration=_mode_duration,
        duration_choices=_duration_choices,
        line_responses=_line_responses,
        unit_name=unit_name,
        number=number,
        day=_day,
        iso_time=lambda when: when.isoformat(timespec="milliseconds"),
        sent_result=_sent_result,
        mode_of_reply=_mode_of_reply,
        order_facts=_order_facts,
        order_summary=_order_summary,
        total=_total,
        shown_of=_shown_of,
    )
    app.jinja_env.globals.update(
        app_url=app_url,
        updates=_possible_updates,
        update_groups=UPDATE_GROUPS,
        confirm_path=API_PATH + Kind.REQ_CONFIRM,
        response_to=state.response_to,
        order_of=state.order,
    )
    _add_pages(app, state, traffic)
    _add_assets(app)
    _add_data(app, state, traffic)


def _add_pages(app: Flask, state: SimulatorState, traffic: TrafficGenerator) -> None:
    @app.get("/")
    def page() -> str:
        exchanges, orders = state.exchanges(), state.orders()
        return render_template(
            "demo/simulator.html",
            exchanges=exchanges[: -EXCHANGES_SHOWN - 1 : -1],
            count=len(exchanges),
            orders=orders[: -ORDERS_SHOWN - 1 : -1],
            orders_count=len(orders),
            behavior=state.behavior(),
            groups=GROUPS,
            traffic=traffic,
            sent=request.args.get("sent", type=int),
            accepted=request.args.get("accepted", type=int),
            just_sent=_just_sent(state),
        )

    @app.get("/received/<path:idempotency_key>")
    def message_page(idempotency_key: str) -> str | Response:
        exchanges = [item for item in state.exchanges() if item.idempotency_key == idempotency_key]
        if not exchanges:
            return missing("No message with this key was received, or it is no longer stored.")
        return render_template(
            "demo/received.html", key=idempotency_key, exchanges=exchanges[::-1], just_sent=_just_sent(state)
        )

    @app.get("/orders/<path:object_id>")
    def order_page(object_id: str) -> str | Response:
        known = state.order(object_id)
        if known is None:
            return missing("Order not found.")
        received = [item for item in state.exchanges() if item.object_id == object_id]
        events: list[Exchange | Sent] = [*received, *state.sent(object_id)]
        events.sort(key=_happened_at, reverse=True)
        return render_template("demo/order.html", order=known, events=events, just_sent=_just_sent(state))


def _add_assets(app: Flask) -> None:
    @app.get("/simulator.css")
    def style() -> Response:
        return Response(render_template("demo/simulator.css"), mimetype="text/css")

    @app.get("/icon.svg")
    def icon() -> Response:
        return Response(render_template("demo/icon.svg"), mimetype="image/svg+xml")


def _add_data(app: Flask, state: SimulatorState, traffic: TrafficGenerator) -> None:
    @app.get("/received.json")
    def received() -> Response:
        key, object_id = request.args.get("idempotency_key"), request.args.get("object_id")
        entries = [
            exchange.as_data()
            for exchange in state.exchanges()
            if (key is None or exchange.idempotency_key == key)
            and (object_id is None or exchange.object_id == object_id)
        ]
        return data({"received": entries, "count": len(entries)})

    @app.get("/orders.json")
    def orders_known() -> Response:
        entries = [_order_data(order, state.response_to(order.object_id)) for order in state.orders()]
        return data({"orders": entries, "count": len(entries)})

    @app.get("/behaviour.json")
    def behavior_state() -> Response:
        return data(asdict(state.behavior()))

    @app.get("/busy.json")
    def busy_state() -> Response:
        return data(busy_data(traffic))


def data(value: Any, status: int = 200) -> Response:
    """JSON with exact numbers."""
    # A 204 or a 304 has no body.
    return Response(b"" if status in {204, 304} else dumps(value), status, mimetype="application/json")


def missing(text: str) -> Response:
    """404 as a page for a browser, else as data."""
    if not from_page():
        abort(404, text)
    return Response(render_template("demo/missing.html", text=text), 404)


def from_page() -> bool:
    """Whether the client is a browser rather than a program."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def busy_data(traffic: TrafficGenerator) -> dict[str, Any]:
    """The body of `GET /busy.json`; `seconds` is the average interval."""
    return {"on": traffic.on, "seconds": traffic.seconds, "sent": traffic.sent}


def _order_data(order: Order, response: AcceptedResponse | None) -> dict[str, Any]:
    return {
        "objectId": order.object_id,
        "buyerPONumber": order.po_number,
        "version": order.version,
        "status": order.status,
        "answer": response and response.message["poConfirmation"]["supplierResponse"],
        "reqMsgId": response and response.req_msg_id,
        "result": response and response.result,
    }


def _just_sent(state: SimulatorState) -> Sent | None:
    """The message that was sent before the redirect to this page."""
    number = request.args.get("message", type=int)
    return next((sent for sent in reversed(state.sent()) if sent.number == number), None)


def _happened_at(event: Exchange | Sent) -> datetime:
    return event.received_at if isinstance(event, Exchange) else event.sent_at


def _at(when: datetime, zone: ZoneInfo) -> str:
    return when.astimezone(zone).strftime("%d %b, %H:%M:%S %Z")


def _day(text: object) -> str:
    """A date of a message, for people; other text unchanged."""
    return day(str(text or ""), datetime.now(UTC), year=True)


def _total(order: Order) -> Any:
    values = order.sent.get("poValueDetails")
    return values.get("totalPOValue") if isinstance(values, dict) else None


def _order_summary(order: Order) -> str:
    """The subject, the number of lines and the delivery date of an order."""
    lines = len(order.sent["itemLists"])
    delivery = _day(order.sent.get("deliveryDate"))
    return f"{order.sent['subject']} · {pluralize(lines, 'line')} · deliver by {delivery}"


def _order_facts(order: Order) -> list[tuple[str, str]]:
    """Labels and values of the head of an order."""
    ids = order.body["b2bIds"]
    return [
        ("Buyer", _party_name(order.sent.get("buyerDetails")) or ids["buyerB2BId"]),
        ("Supplier", _party_name(order.sent.get("supplierDetails")) or ids["supplierB2BId"]),
        ("Order date", _day(order.sent.get("orderDate"))),
        ("Deliver by", _day(order.sent.get("deliveryDate"))),
        ("Order ID", order.object_id),
    ]


def _party_name(details: Any) -> str:
    return (
        str(details.get("tradeName") or details.get("legalName") or "") if isinstance(details, dict) else ""
    )


def _shown_of(rows: Sized, count: int) -> str:
    return f"{count} total, showing the newest {len(rows)}" if count > len(rows) else f"{count} total"


def _sent_result(sent: Sent) -> str:
    """How PO Confirm responded to a message, as a sentence."""
    if sent.accepted:
        return "PO Confirm accepted it."
    if sent.status is None:
        return "PO Confirm did not respond. Check that it is running."
    detail = ""
    if isinstance(sent.reply_body, dict):
        resp = (sent.reply_body.get("payload") or {}).get("resp") or {}
        detail = resp.get("errorDtl") or sent.reply_body.get("response_message") or ""
    return f"PO Confirm rejected it with {sent.status}{f': {detail}' if detail else '.'}"


def _mode_of_reply(exchange: Exchange) -> str:
    """The response mode of a reply, with its status if there was one."""
    mode = MODES.get(exchange.mode, exchange.mode)
    return mode if exchange.status is None else f"{mode} · {exchange.status}"


def _colored(value: Any) -> Any:
    return colored(dumps(value))


def _line_responses(body: Any, order: Order | None) -> list[dict[str, Any]]:
    """The line responses in a message, each beside the line of the order that it names."""
    infos = body.get("additionalInfos") if isinstance(body, dict) else None
    pairs = [
        (str(info.get("name", "")), str(info.get("value", "")))
        for info in (infos if isinstance(infos, list) else [])
        if isinstance(info, dict)
    ]
    lines = {}
    if order:
        ordered = parse(Kind.REQ_SEND, order.body).purchase_order
        lines = {line.reference: line.item for line in ordered_lines(ordered)}
    return [
        {"line": response, "item": lines.get(response.reference), "chip": _LINES[response.response]}
        for response in decode(pairs)[0]
    ]


def _chip(known: Mapping[Any, tuple[str, str]], value: object) -> tuple[str, str]:
    return known.get(value, ("quiet", str(value or "")))


def _response_chip(response: object) -> tuple[str, str]:
    return _chip(_RESPONSES, response)


def _status_chip(status: object) -> tuple[str, str]:
    return _chip(_STATUSES, status)


def _reply_chip(exchange: Exchange) -> tuple[str, str]:
    """Tone and label of the reply."""
    if exchange.status is None:
        return "bad", "no reply"
    if exchange.status >= 300:
        return "bad", f"replied {exchange.status}"
    if exchange.mode in {"ok", "slow"}:
        return "ok", f"replied {exchange.status}"
    return "warn", f"{exchange.status}, {MODES.get(exchange.mode, exchange.mode).lower()}"


def _sent_chip(sent: Sent) -> tuple[str, str]:
    """Tone and label of PO Confirm's response to a message."""
    if sent.accepted:
        return "ok", "accepted"
    return "bad", "no response" if sent.status is None else f"rejected, {sent.status}"


def _mode_chip(behavior: Behavior) -> tuple[str, str]:
    """Tone and label of the response mode."""
    return "ok" if behavior.mode == "ok" else "warn", MODES.get(behavior.mode, behavior.mode)


def _mode_duration(behavior: Behavior) -> str:
    """How long the response mode lasts."""
    if behavior.mode == "ok":
        return "Healthy"
    return f"For the next {behavior.times}, then healthy again" if behavior.times else "Until changed"


def _duration_choices(behavior: Behavior) -> list[tuple[int | None, str, bool]]:
    """The values and labels of durations, and which one is selected: a failure keeps its own."""
    selected = 1 if behavior.mode == "ok" else behavior.times
    counts = sorted({*DURATIONS, selected or 1})
    labels = [(times, f"Next {times} responses" if times > 1 else "Next response") for times in counts]
    choices: list[tuple[int | None, str]] = [*labels, (None, "Until changed")]
    return [(times, label, times == selected) for times, label in choices]


def _possible_updates(order: Order, response: AcceptedResponse | None) -> list[Update]:
    """The updates that the network allows for the order now."""
    return [update for update in UPDATES if _is_possible(update, order, response)]


def _is_possible(update: Update, order: Order, response: AcceptedResponse | None) -> bool:
    if update.name == "change":
        return may_edit(order.status)
    if update.name == "action":
        return may_move(order.status, update.value)
    return response is not None
