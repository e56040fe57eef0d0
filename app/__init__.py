"""PO Confirm. ``create_app`` is the only place that joins the packages."""

from __future__ import annotations

from contextlib import suppress
from shutil import rmtree

from flask import Flask
from flask_bootstrap import Bootstrap5
from flask_compress import Compress
from sqlalchemy import Engine
from werkzeug.middleware.proxy_fix import ProxyFix

from app import cli, logs
from app.accounts import access
from app.accounts import routes as accounts_routes
from app.attention import presenters as attention_presenters
from app.attention import routes as attention_routes
from app.attention.service import resolve_superseded
from app.audit import routes as audit_routes
from app.config import ROOT, Settings, SettingsError
from app.db import Database, SessionSettings, encryption
from app.delivery.events import message_events
from app.delivery.notifications import notify_unsuccessful
from app.exports import routes as exports_routes
from app.inbound import api_routes as inbound_api_routes
from app.inbound import docs_routes as inbound_docs_routes
from app.inbound import presenters as inbound_presenters
from app.inbound import routes as inbound_routes
from app.notifications import routes as notifications_routes
from app.orders import (
    activity_presenters,
    bulk_presenters,
    bulk_routes,
    inbox_presenters,
    line_presenters,
    response_presenters,
    response_routes,
    team_routes,
)
from app.orders import presenters as orders_presenters
from app.orders import routes as orders_routes
from app.orders.projection import update_orders
from app.partners import routes as partners_routes
from app.reports import monitoring_routes
from app.reports import routes as reports_routes
from app.saved_views import routes as saved_views_routes
from app.search import routes as search_routes
from app.tasks import presenters as tasks_presenters
from app.tasks import routes as tasks_routes
from app.ui import filters, request_log, sidebar, web
from app.ui.trusted_hosts import TrustedHosts, trusted_names
from app.webhooks import bulk_routes as webhooks_bulk_routes
from app.webhooks import partner_presenters, resend_presenters
from app.webhooks import presenters as webhook_presenters
from app.webhooks import routes as webhooks_routes

PRESENTERS = (
    orders_presenters,
    inbox_presenters,
    line_presenters,
    response_presenters,
    activity_presenters,
    bulk_presenters,
    webhook_presenters,
    resend_presenters,
    partner_presenters,
    inbound_presenters,
    attention_presenters,
    tasks_presenters,
)
"""The modules with template filters and functions."""
ROUTES = (
    accounts_routes,
    saved_views_routes,
    notifications_routes,
    partners_routes,
    orders_routes,
    response_routes,
    team_routes,
    bulk_routes,
    webhooks_routes,
    inbound_api_routes,
    inbound_routes,
    inbound_docs_routes,
    tasks_routes,
    webhooks_bulk_routes,
    attention_routes,
    reports_routes,
    monitoring_routes,
    audit_routes,
    exports_routes,
    search_routes,
)
"""The modules with a blueprint."""


def create_app(settings: Settings | None = None, *, engine: Engine | None = None) -> Flask:
    """Create the app; without ``settings`` read them from the file and the environment.

    ``engine`` is used instead of a new one for the database URL.

    Errors: SystemExit with one line for an unknown or invalid setting.
    """
    try:
        settings = settings or Settings.load()
    except SettingsError as error:
        raise SystemExit(f"PO Confirm cannot start: {error}") from None
    app = Flask(__name__, root_path=str(ROOT), instance_path=str(settings.instance.resolve()))
    logs.configure(settings)
    _configure(app, settings)
    _create_instance_folder(settings)
    encryption.configure(settings.encryption_keys)
    app.extensions["settings"] = settings
    app.extensions["database"] = Database(
        settings.database_url,
        settings=SessionSettings(
            failing_after=settings.failing_after,
            mail_base_url=settings.public_url if settings.smtp_url else None,
            time_zone=settings.time_zone,
        ),
        engine=engine,
    )
    message_events.connect(update_orders, resolve_superseded, notify_unsuccessful)
    Bootstrap5(app)
    Compress(app)
    for module in (request_log, web, access, filters, *PRESENTERS, sidebar):
        module.init_app(app)
    for routes in ROUTES:
        app.register_blueprint(routes.blueprint)
    cli.init_app(app)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    """Set the configuration of Flask, and what handles a request before it."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=None,  # ``web`` sets it for each view
        MAX_FORM_MEMORY_SIZE=512 * 1024,
        MAX_FORM_PARTS=1000,
        # The prefix makes browsers insist on Secure, this host and the whole site.
        SESSION_COOKIE_NAME="__Host-po_confirm" if settings.is_https else "po_confirm",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies or settings.is_https,
        # A form that stays open for hours must still work; the token is bound to the session.
        WTF_CSRF_TIME_LIMIT=None,
        BOOTSTRAP_SERVE_LOCAL=True,
        SEND_FILE_MAX_AGE_DEFAULT=365 * 86_400,
        # Static files only: the length of a compressed page could reveal secrets in it (BREACH).
        COMPRESS_MIMETYPES=["text/css", "text/javascript", "application/javascript", "image/svg+xml"],
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.wsgi_app = TrustedHosts(app.wsgi_app, trusted_names(settings))  # type: ignore[method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _create_instance_folder(settings: Settings) -> None:
    settings.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(OSError):  # it may belong to someone else
        settings.instance.chmod(0o700)
    # Earlier versions kept the private keys of client certificates there.
    rmtree(settings.instance / "certificates", ignore_errors=True)
