"""``flask demo`` and ``flask seed``. The demo package is imported only here, and only when needed."""

# ruff: noqa: PLC0415
from __future__ import annotations

import sys

import click
from flask.cli import with_appcontext

from app.cli import context
from app.delivery.statistics import fold
from app.ui import web

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--port", envvar="PORT", type=PORT, default=8000, show_default=True, show_envvar=True)
@click.option(
    "--partner-port", envvar="PARTNER_PORT", type=PORT, default=8001, show_default=True, show_envvar=True
)
@click.option("--busy", is_flag=True, envvar="BUSY", help="Send orders, edits and results continuously.")
@with_appcontext
def demo(port: int, partner_port: int, busy: bool) -> None:
    """Run the app with example data and a partner simulator."""
    from app.demo.start import run_demo

    with context.database_errors():
        exit_code = run_demo(
            web.settings(),
            web.database(),
            port=port,
            partner_port=partner_port,
            busy=busy,
        )
    sys.exit(exit_code)


@click.command()
@click.option("--messages", type=click.IntRange(1), default=200_000, show_default=True)
@click.option("--attempts", type=click.IntRange(1), default=600_000, show_default=True)
@click.option("--yes", "force", is_flag=True, help="Fill the database even if it is in use.")
@with_appcontext
def seed(messages: int, attempts: int, force: bool) -> None:
    """Fill an empty or demo database with a month of generated orders, responses and webhooks."""
    from app.demo import seed as generator

    database = web.database()
    progress_bar = click.progressbar(length=messages, file=sys.stderr, hidden=not sys.stderr.isatty())
    with context.database_errors():
        try:
            with progress_bar as progress:
                counts = generator.seed(
                    database, messages=messages, attempts=attempts, on_progress=progress.update, force=force
                )
        except generator.NotADemo as error:
            context.fail(f"{error} Use --yes to continue anyway.")
        except ValueError as error:
            context.fail(str(error))
        fold(database)
    click.echo(context.counts_line(counts))
