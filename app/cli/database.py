"""``flask init`` and ``flask prune``."""

from __future__ import annotations

from math import isnan

import click
from flask.cli import with_appcontext

from app.audit import trail
from app.cli import context
from app.config import DAYS_MAX
from app.retention import Ages, prune_old
from app.ui import web


@click.command()
@with_appcontext
def init() -> None:
    """Create the database, or upgrade it to this version."""
    with context.database_errors(hint="Check PO_DATABASE_URL."):
        web.database().upgrade()
    click.echo("The database is ready.")


def _finite(_context: click.Context, _parameter: click.Parameter, days: float | None) -> float | None:
    if days is not None and isnan(days):  # which no range excludes
        raise click.BadParameter("nan is not a number of days.")
    return days


@click.command()
@click.option(
    "--older-than",
    callback=_finite,
    type=click.FloatRange(min=1, max=DAYS_MAX),
    metavar="DAYS",
    help="Default: the PO_KEEP_*_DAYS settings.",
)
@with_appcontext
def prune(older_than: float | None) -> None:
    """Remove old message content, incoming messages and sealed audit entries."""
    ages = Ages(older_than, older_than, older_than) if older_than else Ages.of(web.settings())
    if ages == Ages():
        context.fail(
            "Pass --older-than, or set PO_KEEP_MESSAGES_DAYS, PO_KEEP_INBOUND_DAYS or PO_KEEP_AUDIT_DAYS."
        )
    with context.database_errors(), trail.acting(trail.COMMAND_LINE):
        removed = prune_old(web.database(), ages)
    click.echo(context.counts_line(removed))
