"""``flask orders``."""

from __future__ import annotations

import sys
from typing import Any

import click
from flask.cli import AppGroup

from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.cli import context
from app.inbound.file_import import ImportResult, import_body, split_bodies
from app.inbound.processing import Rules
from app.ui import web

orders = AppGroup("orders", help="Manage purchase orders.")


@orders.command("import")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
@click.option("--partner", "partner_name", metavar="NAME", help="Required if there are several partners.")
def import_orders(files: tuple[Any, ...], partner_name: str | None) -> None:
    """Import `req-send` bodies: one object, an array, or JSON lines. Use - for standard input."""
    rules = Rules.of(web.settings())
    summary = ImportResult()
    for file in files:
        name = str(getattr(file, "name", "<stdin>"))
        bodies = list(split_bodies(file.read()))
        progress_bar = click.progressbar(bodies, label=name, file=sys.stderr, hidden=not sys.stderr.isatty())
        with context.writing() as session, progress_bar as progress:
            partner = context.find_partner(session, partner_name)
            for number, body in progress:
                import_body(
                    session, partner.id, body, location=f"{name}:{number}", rules=rules, result=summary
                )
                session.commit()
            trail.record(
                session,
                AuditAction.IMPORTED,
                AuditObject.PARTNER,
                partner.id,
                name=partner.name,
                after={"file": name, "orders": len(bodies)},
            )
            session.commit()
    for error in summary.errors:
        click.echo(error, err=True)
    click.echo(f"taken={summary.imported} repeated={summary.repeated} refused={len(summary.errors)}")
    if summary.errors:
        sys.exit(1)
