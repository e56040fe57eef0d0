"""Home, the two reports, and the style guide, which shows what all packages define."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response, redirect, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.accounts.queries import supplier_ids
from app.attention.queries import Reader, attention_page
from app.inbound.presenters import inbound_chips
from app.orders.forms import ResponseForm
from app.orders.presenters import order_chips, urgency
from app.orders.queries import queue_counts
from app.partners.queries import all_partners
from app.reports import presenters
from app.reports.delivery_health import DEFAULT_RANGE, RANGES
from app.reports.delivery_health import delivery_health as health_of
from app.reports.forms import DeliveryHealthForm, ResponseReportForm
from app.reports.home import home as home_of
from app.reports.response_report import DAYS_MAX, DEFAULT_DAYS
from app.reports.response_report import response_report as report_of
from app.saved_views.service import start_view, view_url
from app.ui import web
from app.ui.listing import read_filter
from app.ui.numbers import percent
from app.ui.sidebar import current_sidebar
from app.webhooks.partner_status import partner_statuses
from app.webhooks.presenters import webhook_chips

blueprint = Blueprint("reports", __name__)
ITEMS_SHOWN = 4
"""Items that need attention on the home page."""
PRESETS = ((7, "7 days"), (30, "30 days"), (90, "90 days"))
"""Periods of the response report: days and label."""


@blueprint.get("/")
@access.requires(Permission.VIEW)
def home() -> AnyResponse:
    """The view that the reader starts with, or Home."""
    view = start_view(web.db(), access.current_person())
    return redirect(view_url(view), 303) if view else home_page()


@blueprint.get("/home")
@access.requires(Permission.VIEW)
def home_page() -> Response:
    """What to do next, today's progress, and the state of the partners."""
    person, sidebar, now = access.current_person(), current_sidebar(), clock.now()
    scope = access.visible_suppliers()
    sees_all = access.can(Permission.VIEW_ALL)
    may_triage = access.can(Permission.TRIAGE)
    with web.database().snapshot() as session:
        data = home_of(session, scope, person.id, now, web.zone())
    reader = Reader(scope, person.id, may_triage)
    problems = attention_page(web.db(), reader, limit=ITEMS_SHOWN)
    return web.page(
        "reports/home.html",
        home=data,
        greeting=presenters.greeting(person.display_name, now.astimezone(web.zone())),
        summary=presenters.home_summary(data.queues),
        urgency=lambda order: urgency(order, now),
        progress=presenters.progress_parts(data.today),
        trend=presenters.trend_bars(data.week),
        changes=presenters.recent_changes(data),
        time_trend=presenters.time_trend(data),
        problems=[*problems.partners, *problems.messages, *problems.orders][:ITEMS_SHOWN],
        queues=presenters.webhook_cards(sidebar, sees_all=sees_all, sees_unmatched=may_triage),
        partner_summary=presenters.partner_summary,
        percent=percent,
        # Support and managers start with deliveries, supplier staff with orders.
        webhooks_first=sees_all,
    )


@blueprint.get("/health")
@access.requires(Permission.VIEW_ALL)
def delivery_health() -> Response:
    """Attempts, latency, failures and backlog, as charts with their data."""
    form = DeliveryHealthForm(request.args)
    values, notices = read_filter(form, web.zone())
    partners = all_partners(web.db())
    selected = [partner for partner in partners if partner.name == values.get("partner")]
    if values.get("partner") and not selected:
        notices.append("Unknown partner. Showing all partners.")
        form.partner.data = ""
    time_range = RANGES[values.get("range", DEFAULT_RANGE)]
    statuses = partner_statuses(web.db(), selected or partners)
    with web.database().snapshot() as session:
        health = health_of(session, time_range, clock.now(), statuses)
    return web.page(
        "reports/delivery_health.html",
        "reports/_delivery_health.html",
        health=health,
        charts=presenters.health_charts(health, web.zone()),
        percent=percent,
        failure_class=presenters.failure_class,
        failure_summary=presenters.failure_summary(health.failures),
        most_failures=max((failure.count for failure in health.failures), default=0),
        ranges=RANGES.values(),
        form=form,
        partners=partners,
        partner=selected[0] if selected else None,
        notices=notices,
    )


@blueprint.get("/reports/answers")
@access.requires(Permission.VIEW)
def response_report() -> Response:
    """Responses by day and person; supplier staff see those of their own supplier ids."""
    form = ResponseReportForm(request.args)
    values, notices = read_filter(form, web.zone())
    today = clock.now().astimezone(web.zone()).date()
    first, last, notice = _period(values, today)
    suppliers = supplier_ids(web.db(), access.visible_suppliers())
    supplier = values.get("supplier", "")
    notices += [notice] if notice else []
    if supplier and supplier not in suppliers:
        notices.append("Unknown supplier. Showing all suppliers.")
        supplier = ""
    scope = frozenset({supplier}) if supplier else access.visible_suppliers()
    with web.database().snapshot() as session:
        report = report_of(session, scope, first, last, web.zone())
    presets = [(label, today - timedelta(days=days - 1)) for days, label in PRESETS]
    return web.page(
        "reports/response_report.html",
        report=report,
        charts=presenters.report_charts(report),
        percent=percent,
        overdue=queue_counts(web.db(), scope, clock.now()).overdue,
        notices=notices,
        suppliers=suppliers,
        supplier=supplier,
        today=today,
        presets=[(label, start, (start, today) == (first, last)) for label, start in presets],
    )


def _period(values: Mapping[str, Any], today: date) -> tuple[date, date, str]:
    """The first and the last day, and a notice if they are not what was requested."""
    last = min(values.get("until", today), today)
    first = values.get("since", last - timedelta(days=DEFAULT_DAYS - 1))
    if first > last:
        return last, last, f"The first day is after the last. Showing {last:%-d %B}."
    if (last - first).days >= DAYS_MAX:
        return last - timedelta(days=DAYS_MAX - 1), last, f"Showing the last {DAYS_MAX} days of this period."
    return first, last, ""


@blueprint.get("/look")
@access.requires(Permission.MANAGE_USERS)
def style_guide() -> Response:
    """Every component in every state."""
    return web.page(
        "ui/style_guide.html",
        form=_style_guide_form(),
        states={**order_chips(), **webhook_chips(), **inbound_chips()},
    )


def _style_guide_form() -> ResponseForm:
    """A response form with errors."""
    values = MultiDict({"supplier_response": "REJECT", "supplier_remarks": 'He said "no"', "version": "1"})
    form = ResponseForm(accepts_return=True, formdata=values, meta={"csrf": False})
    form.validate()
    return form
