"""Routes for monitoring: liveness, readiness and metrics."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import DBAPIError

from app import clock
from app.accounts import access, throttle
from app.delivery.queue_metrics import queues
from app.delivery.statistics import outcome_counts
from app.reports import metrics
from app.ui import web

blueprint = Blueprint("monitoring", __name__)


@blueprint.get("/healthz")
@access.public
def alive() -> Response:
    """Whether the process responds."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@access.public
def ready() -> tuple[Response, int]:
    """Whether the database has the schema of this version and accepts writes."""
    try:
        is_current = web.database().is_current()
        if is_current:
            web.database().probe_write()
    except DBAPIError:
        return jsonify(status="database not available"), 503
    if not is_current:
        return jsonify(status="the database needs `flask init`"), 503
    return jsonify(status="ready"), 200


@blueprint.get("/metrics")
@access.public
def prometheus() -> Response:
    """Metrics for Prometheus, for the bearer token or the networks of the settings only."""
    if not _may_read_metrics():
        text = "Not allowed. Set PO_METRICS_TOKEN or PO_METRICS_ALLOW.\n"
        return Response(text, 403, mimetype="text/plain")
    content = metrics.as_text(
        queues(web.db(), clock.now()),
        outcome_counts(web.db()),
        failed_attempts=throttle.recent_failures(web.db()),
        blocked=throttle.blocked(web.db()),
    )
    return Response(content, content_type=CONTENT_TYPE_LATEST)


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
    return any(address in network for network in settings.metrics_allow)
