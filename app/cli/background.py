"""``flask work`` and ``flask alerts``: background jobs, scheduled tasks and email."""

from __future__ import annotations

import click
from flask.cli import AppGroup, with_appcontext

from app.background import worker
from app.cli import context
from app.tasks.mail_sender import send_test
from app.ui import web

alerts = AppGroup("alerts", help="Manage email alerts.")


@click.command()
@click.option("--once", is_flag=True, help="Run everything that is due, then exit.")
@with_appcontext
def work(once: bool) -> None:
    """Run background jobs and scheduled tasks. On SIGTERM, finish the current step and exit."""
    context.check_encryption_keys()
    task_worker = worker(web.database(), web.settings())
    if not once:
        task_worker.run(context.stop_event())
        return
    with context.database_errors():
        while task_worker.run_next():
            pass


@alerts.command()
def test() -> None:
    """Send a test email to all recipients now and print the result."""
    settings = web.settings()
    if not settings.smtp_url:
        context.fail("Email is off. Set PO_SMTP_URL, PO_MAIL_FROM and PO_MAIL_TO.")
    result = send_test(settings)
    for address in settings.mail_to:
        click.echo(f"{address}: {'sent' if address in result.accepted else 'not sent'}")
    if result.error:
        context.fail(result.error)
