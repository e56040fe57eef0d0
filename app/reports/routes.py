"""Home, how deliveries go, and whether the app is alive and ready."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import date, timedelta
from ipaddress import ip_address
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, request
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.accounts.queries import supplier_ids
from app.delivery.queue_metrics import queues
from app.delivery.statistics import failure_counts, outcome_counts, totals
from app.inbound.presenters import inbound_chips
from app.orders.forms import ResponseForm
from app.orders.presenters import order_chips
from app.orders.queries import queue_counts
from app.partners.queries import all_partners
from app.reports import metrics
from app.reports.delivery_health import RANGES, USUAL, share
from app.reports.delivery_health import health as health_of
from app.reports.forms import AnswersForm, HealthForm
from app.reports.response_report import LONGEST, report
from app.reports.response_report import USUAL as USUAL_DAYS
from app.ui import web
from app.ui.fields import read_filter
from app.webhooks.partner_status import waiting
from app.webhooks.presenters import webhook_chips

blueprint = Blueprint("reports", __name__)


@blueprint.get("/")
@access.requires(Permission.VIEW)
def home() -> Response:
    """The work queues, each with what is in it."""
    return web.page("reports/home.html")


@blueprint.get("/health")
@access.requires(Permission.VIEW_ALL)
def health() -> Response:
    """How deliveries go: counts, percentiles and what waits, as pictures with their numbers."""
    form = HealthForm(request.args)
    values, notices = read_filter(form, web.zone())
    known = all_partners(web.db())
    chosen = [one for one in known if one.name == values.get("partner")]
    if values.get("partner") and not chosen:
        notices.append("There is no such network; all of them are shown.")
        form.partner.data = ""
    wanted, now = RANGES[values.get("range", USUAL)], clock.now()
    with web.database().snapshot() as session:
        since, until = wanted.since(now), wanted.until(now)
        by_step = totals(session, since, until, timedelta(seconds=wanted.seconds))
        failures = failure_counts(session, since, until)
    return web.page(
        "reports/health.html",
        "reports/_health.html",
        health=health_of(by_step, failures, wanted, now, web.zone(), chosen or known, waiting(web.db())),
        ranges=RANGES.values(),
        share=share,
        form=form,
        partners=known,
        partner=chosen[0] if chosen else None,
        notices=notices,
    )


@blueprint.get("/reports/answers")
@access.requires(Permission.VIEW)
def answers() -> Response:
    """How orders are answered; supplier staff see it of their own supplier ids."""
    form = AnswersForm(request.args)
    values, notices = read_filter(form, web.zone())
    today = clock.now().astimezone(web.zone()).date()
    first, last, said = _days(values, today)
    known = supplier_ids(web.db(), access.visible_suppliers())
    chosen = values.get("supplier", "")
    if chosen and chosen not in known:
        said = [*said, "There is no such supplier here; all of them are shown."]
        chosen = ""
    scope = frozenset({chosen}) if chosen else access.visible_suppliers()
    with web.database().snapshot() as session:
        told = report(session, scope, first, last, web.zone())
    return web.page(
        "reports/answers.html",
        report=told,
        overdue=queue_counts(web.db(), scope, clock.now()).overdue,
        notices=[*notices, *said],
        suppliers=known,
        supplier=chosen,
        today=today,
        spans=[(words, today - timedelta(days=days - 1)) for words, days in SPANS],
    )


SPANS = (("7 days", 7), ("30 days", 30), ("90 days", 90))


def _days(values: Mapping[str, Any], today: date) -> tuple[date, date, list[str]]:
    """From which day to which, and what had to be said about that."""
    last = min(values.get("until", today), today)
    first = values.get("since", last - timedelta(days=USUAL_DAYS - 1))
    if first > last:
        return last, last, [f"The first day is after the last: only {last:%-d %B} is shown."]
    if (last - first).days >= LONGEST:
        return last - timedelta(days=LONGEST - 1), last, [f"Only the last {LONGEST} of these days are shown."]
    return first, last, []


@blueprint.get("/look")
@access.requires(Permission.MANAGE_USERS)
def look() -> Response:
    """Every component in every state, for who works on the look."""
    return web.page(
        "ui/style_guide.html",
        form=_look_form(),
        states={**order_chips(), **webhook_chips(), **inbound_chips()},
    )


def _look_form() -> ResponseForm:
    """An answer form in which something is wrong."""
    given = MultiDict({"supplier_response": "REJECT", "supplier_remarks": 'He said "no"', "version": "1"})
    form = ResponseForm(accepts_return=True, formdata=given, meta={"csrf": False})
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
    """The database has this version's schema and takes writes."""
    try:
        current = web.database().is_current()
        if current:
            web.database().probe_write()
    except DBAPIError:
        return jsonify(status="database not available"), 503
    if not current:
        return jsonify(status="the database needs `flask init`"), 503
    return jsonify(status="ready"), 200


@blueprint.get("/metrics")
@access.public
def numbers() -> Response:
    """The queues in numbers, for Prometheus: for the bearer token or the networks of the settings only."""
    if not _may_read_metrics():
        response = make_response("Not allowed. Set PO_METRICS_TOKEN or PO_METRICS_ALLOW.\n", 403)
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        return response
    response = make_response(metrics.as_text(queues(web.db(), clock.now()), outcome_counts(web.db())))
    response.headers["Content-Type"] = metrics.CONTENT_TYPE
    return response


def _may_read_metrics() -> bool:
    settings = web.settings()
    if settings.metrics_token:
        return hmac.compare_digest(
            request.headers.get("Authorization", "").encode(), f"Bearer {settings.metrics_token}".encode()
        )
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return any(address in network for network in settings.metrics_networks)
