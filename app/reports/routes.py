"""Home, and whether the app is alive and ready."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict

from app import clock, shown, web
from app.accounts import access
from app.accounts.access import Verb
from app.orders.forms import AnswerForm
from app.outbox.standing import ended_attempts, queues
from app.reports import metrics

blueprint = Blueprint("reports", __name__)


@blueprint.get("/")
@access.needs(Verb.SEE)
def home() -> Response:
    """The work queues, each with what is in it."""
    return web.page("reports/home.html")


@blueprint.get("/look")
@access.needs(Verb.EDIT_PEOPLE)
def look() -> Response:
    """Every component in every state, for who works on the look."""
    return web.page("reports/look.html", form=_look_form(), states=shown.every_chip())


def _look_form() -> AnswerForm:
    """An answer form in which something is wrong."""
    given = MultiDict({"supplier_response": "REJECT", "supplier_remarks": 'He said "no"', "version": "1"})
    form = AnswerForm(accepts_return=True, formdata=given, meta={"csrf": False})
    form.validate()
    return form


@blueprint.get("/healthz")
@access.public
def alive() -> Response:
    """The process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@access.public
def ready() -> tuple[Response, int]:
    """The database answers and has this version's schema."""
    try:
        current = web.database().is_current()
    except DBAPIError:
        return jsonify(status="no database"), 503
    if not current:
        return jsonify(status="the database needs `flask init`"), 503
    return jsonify(status="ready"), 200


@blueprint.get("/metrics")
@access.public
def numbers() -> Response:
    """The outbox in numbers, for Prometheus: open to whoever reaches the port, and without secrets."""
    response = make_response(metrics.as_text(queues(web.db(), clock.now()), ended_attempts(web.db())))
    response.headers["Content-Type"] = metrics.CONTENT_TYPE
    return response
