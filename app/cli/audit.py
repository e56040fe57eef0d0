"""``flask audit``."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.audit import seals
from app.cli import context
from app.ui import web

audit = AppGroup("audit", help="Seal and verify the audit trail.")


@audit.command()
def seal() -> None:
    """Seal the entries added since the last seal."""
    with context.database_errors():
        click.echo(f"sealed={seals.seal(web.database())}")


@audit.command()
@click.option("--expect", default="", metavar="SHA256", help="A digest that an earlier run printed.")
def verify(expect: str) -> None:
    """Check every seal and entry. Exit with code 1 at the first mismatch."""
    with context.database_errors(), web.database().reading() as session:
        result = seals.verify(session, expect.strip().lower())
    click.echo(
        f"seals={result.seals} entries={result.entries} pruned={result.pruned} unsealed={result.unsealed}"
        f" last={result.last_sha256 or 'none'}"
    )
    if result.fault:
        context.fail(result.fault)
    click.echo("The audit trail is intact.")
