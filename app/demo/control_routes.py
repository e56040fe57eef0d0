"""POST routes that control the simulator, for browsers and for programs."""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from app.demo.behavior import MODES, InvalidBehavior, read_behavior
from app.demo.buyer import Buyer, NoMatch
from app.demo.pages import behaviour_data, busy_data, data, from_page, missing
from app.demo.payloads import REFUSAL, Change
from app.demo.state import Sent, SimulatorState
from app.demo.traffic import SECONDS, SECONDS_MAX, SECONDS_MIN, TrafficGenerator
from app.network.reader import Unreadable, read_json
from app.network.vocabulary import HTTP_STATUS, BuyerAction, Result

ORDERS_AT_ONCE = 100
_TEXT_MAX = 500
_PAGES = ("/orders/", "/received/")

Choice = TypeVar("Choice", bound=StrEnum)


class BadRequest(ValueError):
    """An invalid value; the text says which and why."""


def init_app(app: Flask, memory: SimulatorState, buyer: Buyer, traffic: TrafficGenerator) -> None:
    """Add the routes to the app."""

    @app.post("/behaviour")
    def behave() -> BaseResponse:
        try:
            memory.set_behavior(read_behavior(_values()))
        except (InvalidBehavior, BadRequest) as unknown:
            return data({"error": str(unknown), "modes": list(MODES)}, 422)
        except Unreadable as unreadable:
            return data({"error": unreadable.detail}, HTTP_STATUS[unreadable.code])
        return redirect("/", 303) if from_page() else data(behaviour_data(memory.behavior()))

    @app.post("/send-orders")
    @_handle_errors
    def send_orders() -> BaseResponse:
        sent = buyer.send_orders(_count(_values().get("count")))
        accepted = sum(message.accepted for message in sent)
        if from_page():
            return redirect(f"/?sent={len(sent)}&accepted={accepted}", 303)
        return data(
            {"sent": len(sent), "accepted": accepted, "answers": [message.as_data() for message in sent]}
        )

    @app.post("/send-edit")
    @_handle_errors
    def send_edit() -> BaseResponse:
        values = _values()
        change = _choice(values, "change", Change, Change.QUANTITY)
        return _sent_response(buyer.send_edit(_text(values, "object_id"), change))

    @app.post("/send-status-change")
    @_handle_errors
    def send_status_change() -> BaseResponse:
        values = _values()
        action = _choice(values, "action", BuyerAction, BuyerAction.CANCEL)
        return _sent_response(
            buyer.send_status_change(_text(values, "object_id"), action, _text(values, "remarks"))
        )

    @app.post("/send-result")
    @_handle_errors
    def send_result() -> BaseResponse:
        values = _values()
        result = _choice(values, "result", Result, Result.SUCCESS)
        names = ("error_cd", "error_dtl", "error_field")
        code, detail, field = (
            _text(values, name) or default for name, default in zip(names, REFUSAL, strict=True)
        )
        return _sent_response(buyer.send_result(_text(values, "object_id"), result, (code, detail, field)))

    @app.post("/busy")
    @_handle_errors
    def busy() -> BaseResponse:
        values = _values()
        if _is_on(values.get("on")):
            traffic.start(_seconds(values.get("seconds")))
        else:
            traffic.stop()
        return redirect("/", 303) if from_page() else data(busy_data(traffic))


def _handle_errors(view: Callable[[], BaseResponse]) -> Callable[[], BaseResponse]:
    """Turn the errors of a view into JSON, or into a page for a browser."""

    @wraps(view)
    def wrapper() -> BaseResponse:
        try:
            return view()
        except NoMatch as nothing:
            return missing(str(nothing)) if from_page() else data({"error": str(nothing)}, 404)
        except BadRequest as bad:
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
    values = read_json(request.get_data())
    if not isinstance(values, dict):
        raise BadRequest("The body must be a JSON object.")
    return values


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    text = "" if value is None else str(value).strip()
    if len(text) > _TEXT_MAX or not text.isprintable():
        raise BadRequest(f"{name} must be one line of at most {_TEXT_MAX} characters.")
    return text


def _choice(values: Mapping[str, Any], name: str, choices: type[Choice], default: Choice) -> Choice:
    value = _text(values, name)
    allowed = {choice.upper(): choice for choice in choices}
    if value and value.upper() not in allowed:
        raise BadRequest(f"{name} must be one of {', '.join(choices)}.")
    return allowed[value.upper()] if value else default


def _count(value: Any) -> int:
    text = str(1 if value is None or value == "" else value).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= ORDERS_AT_ONCE):
        raise BadRequest(f"count must be a whole number from 1 to {ORDERS_AT_ONCE}.")
    return int(text)


def _is_on(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in {"1", "0", "true", "false", "on", "off"}:
        raise BadRequest("on must be true or false.")
    return word in {"1", "true", "on"}


def _seconds(value: Any) -> float:
    text = str(value).strip() if value is not None else ""
    try:
        seconds = float(text) if text else SECONDS
    except ValueError:
        seconds = math.nan
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise BadRequest(f"seconds must be a number from {SECONDS_MIN:g} to {SECONDS_MAX:g}.")
    return seconds
