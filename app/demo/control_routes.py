"""POST routes that control the simulator, for browsers and scripts."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from app.demo import values
from app.demo.behavior import MODES, read_behavior
from app.demo.buyer import Buyer, NoMatch
from app.demo.pages import busy_data, data, from_page, missing
from app.demo.payloads import REFUSAL, Change
from app.demo.state import Sent, SimulatorState
from app.demo.traffic import SECONDS, SECONDS_MAX, SECONDS_MIN, TrafficGenerator
from app.demo.values import BadValue
from app.network.reader import Unreadable, read_json
from app.network.vocabulary import HTTP_STATUS, BuyerAction, Result

ORDERS_AT_ONCE = 100
_PAGES = ("/orders/", "/received/")


def init_app(app: Flask, state: SimulatorState, buyer: Buyer, traffic: TrafficGenerator) -> None:
    """Add the routes to the app."""
    _add_settings(app, state, traffic)
    _add_sends(app, buyer)


def _add_settings(app: Flask, state: SimulatorState, traffic: TrafficGenerator) -> None:
    @app.post("/behaviour")
    def behave() -> BaseResponse:
        try:
            state.set_behavior(read_behavior(_values()))
        except BadValue as bad:
            return data({"error": str(bad), "modes": list(MODES)}, 422)
        except Unreadable as unreadable:
            return data({"error": unreadable.detail}, HTTP_STATUS[unreadable.code])
        return redirect("/", 303) if from_page() else data(asdict(state.behavior()))

    @app.post("/busy")
    @_handle_errors
    def busy() -> BaseResponse:
        posted = _values()
        if values.is_on(posted):
            traffic.start(values.seconds(posted, SECONDS_MIN, SECONDS_MAX, SECONDS))
        else:
            traffic.stop()
        return redirect("/", 303) if from_page() else data(busy_data(traffic))


def _add_sends(app: Flask, buyer: Buyer) -> None:
    @app.post("/send-orders")
    @_handle_errors
    def send_orders() -> BaseResponse:
        sent = buyer.send_orders(values.whole_number(_values(), "count", 1, ORDERS_AT_ONCE) or 1)
        accepted = sum(message.accepted for message in sent)
        if from_page():
            return redirect(f"/?sent={len(sent)}&accepted={accepted}", 303)
        return data(
            {"sent": len(sent), "accepted": accepted, "answers": [message.as_data() for message in sent]}
        )

    @app.post("/send-edit")
    @_handle_errors
    def send_edit() -> BaseResponse:
        posted = _values()
        change = values.choice(posted, "change", Change, Change.QUANTITY)
        return _sent_response(buyer.send_edit(values.text(posted, "object_id"), change))

    @app.post("/send-status-change")
    @_handle_errors
    def send_status_change() -> BaseResponse:
        posted = _values()
        action = values.choice(posted, "action", BuyerAction, BuyerAction.CANCEL)
        object_id, remarks = values.text(posted, "object_id"), values.text(posted, "remarks")
        return _sent_response(buyer.send_status_change(object_id, action, remarks))

    @app.post("/send-result")
    @_handle_errors
    def send_result() -> BaseResponse:
        posted = _values()
        result = values.choice(posted, "result", Result, Result.SUCCESS)
        code, detail, field = (
            values.text(posted, name) or default
            for name, default in zip(("error_cd", "error_dtl", "error_field"), REFUSAL, strict=True)
        )
        return _sent_response(
            buyer.send_result(values.text(posted, "object_id"), result, (code, detail, field))
        )


def _handle_errors(view: Callable[[], BaseResponse]) -> Callable[[], BaseResponse]:
    """Turn the errors of a view into JSON, or into a page for a browser."""

    @wraps(view)
    def wrapper() -> BaseResponse:
        try:
            return view()
        except NoMatch as nothing:
            return missing(str(nothing)) if from_page() else data({"error": str(nothing)}, 404)
        except BadValue as bad:
            return data({"error": str(bad)}, 422)
        except Unreadable as unreadable:
            return data({"error": unreadable.detail}, HTTP_STATUS[unreadable.code])

    return wrapper


def _sent_response(sent: Sent) -> BaseResponse:
    """The result of sending a message, as JSON; a browser returns to the page it came from."""
    if not from_page():
        return data(sent.as_data())
    return redirect(f"{_page_before()}?message={sent.number}", 303)


def _page_before() -> str:
    before = urlsplit(request.referrer or "")
    own = before.netloc == request.host and before.path.startswith(_PAGES)
    return before.path if own else "/"


def _values() -> Mapping[str, Any]:
    if not request.is_json:
        return request.form
    posted = read_json(request.get_data())
    if not isinstance(posted, dict):
        raise BadValue("The body must be a JSON object.")
    return posted
