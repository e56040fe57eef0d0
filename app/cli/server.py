"""``flask serve``: the web server, with a delivery worker and a background worker."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError

from app import web_server
from app.cli import context
from app.supervisor import Child, Command, Forked, flask_command, supervise
from app.ui import web
from app.ui.trusted_hosts import LOOPBACK

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@with_appcontext
def serve(host: str, port: int) -> None:
    """Serve the web pages, and run a delivery and a background worker unless the settings turn them off."""
    context.check_encryption_keys()
    settings = web.settings()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        listener = web_server.listen(host, port)
    except web_server.PortInUse as error:
        context.fail(str(error))
    if host not in LOOPBACK and not settings.is_https:
        click.echo(
            "Warning: PO_PUBLIC_URL is not https, so passwords and cookies are sent unencrypted.", err=True
        )
    _warn_unless_ready()
    log.info("listening on %s port %d", host, port)
    run_web = partial(web_server.serve_app, app, settings, listener)
    children: list[Child] = [
        Forked(f"web {number}", run_web, restart=True) for number in range(1, settings.web_processes + 1)
    ]
    if settings.serve_delivers:
        children.append(Command("delivery", flask_command("deliver"), os.environ, restart=True))
    if settings.serve_works:
        children.append(Command("worker", flask_command("work"), os.environ, restart=True))
    sys.exit(supervise(children))


def _warn_unless_ready() -> None:
    """Warn of a database that pages cannot use. The server starts all the same: it may become ready later."""
    try:
        is_current = web.database().is_current()
    except DBAPIError as error:
        click.echo(f"Warning: the database is not available: {' '.join(str(error.orig).split())}", err=True)
    else:
        if not is_current:
            click.echo("Warning: the database needs `flask init`.", err=True)
    finally:
        web.database().engine.dispose()  # web processes are forked and must not share a connection
