"""Home, and whether the app is alive and ready."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict

from app import web
from app.accounts import access
from app.accounts.access import Verb
from app.orders.forms import AnswerForm
from app.shown.states import every_chip

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
    return web.page("reports/look.html", form=_look_form(), states=every_chip())


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
