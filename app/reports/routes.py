"""Home, how deliveries go, and whether the app is alive and ready."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response, request
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict

from app import clock, shown, web
from app.accounts import access
from app.accounts.access import Verb
from app.fields import read_filter
from app.orders.forms import AnswerForm
from app.outbox.rollup import measured
from app.outbox.standing import ended_attempts, queues
from app.partners.queries import all_partners
from app.partners.standing import waiting
from app.reports import metrics
from app.reports.forms import HealthForm
from app.reports.health import RANGES, USUAL
from app.reports.health import health as health_of

blueprint = Blueprint("reports", __name__)


@blueprint.get("/")
@access.needs(Verb.SEE)
def home() -> Response:
    """The work queues, each with what is in it."""
    return web.page("reports/home.html")


@blueprint.get("/health")
@access.needs(Verb.SEE_ALL)
def health() -> Response:
    """How deliveries go: counts, percentiles and what waits, as pictures with their numbers."""
    form = HealthForm(request.args)
    values, notices = read_filter(form)
    known = all_partners(web.db())
    chosen = [one for one in known if one.name == values.get("partner")]
    if values.get("partner") and not chosen:
        notices.append("There is no such network; all of them are shown.")
        form.partner.data = ""
    wanted, now = RANGES[values.get("range", USUAL)], clock.now()
    with web.database().snapshot() as session:
        found = measured(session, wanted.since(now), wanted.until(now), wanted.seconds)
    return web.page(
        "reports/health.html",
        "reports/_health.html",
        health=health_of(found, wanted, now, web.zone(), chosen or known, waiting(web.db())),
        ranges=RANGES.values(),
        form=form,
        partners=known,
        partner=chosen[0] if chosen else None,
        notices=notices,
    )


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
