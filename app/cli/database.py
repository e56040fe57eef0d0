"""``flask init`` and ``flask prune``."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.audit import trail
from app.cli import context
from app.config import DAYS_MAX
from app.retention import Ages, prune_old


@click.command()
@with_appcontext
def init() -> None:
    """Create the database, or upgrade it to this version."""
    with context.database_errors(hint="Check PO_DATABASE_URL."):
        context.database().upgrade()
    click.echo("The database is ready.")


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(min=1, max=DAYS_MAX),
    metavar="DAYS",
    help="Default: the retention settings.",
)
@with_appcontext
def prune(older_than: float | None) -> None:
    """Remove old message contents, incoming messages and sealed audit entries."""
    ages = Ages(older_than, older_than, older_than) if older_than else Ages.of(context.settings())
    if ages == Ages():
        context.fail(
            "Pass --older-than, or set PO_KEEP_MESSAGES_DAYS, PO_KEEP_INBOUND_DAYS or PO_KEEP_AUDIT_DAYS."
        )
    with context.database_errors(), trail.acting(trail.COMMAND_LINE):
        removed = prune_old(context.database(), ages)
    click.echo(context.counts_line(removed))
