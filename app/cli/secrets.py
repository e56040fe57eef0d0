"""``flask secrets``: the encryption of stored secrets."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.cli import context
from app.db.encryption import WrongKey
from app.partners import secrets as partner_secrets

secrets = AppGroup("secrets", help="Encryption of stored secrets.")


@secrets.command("rotate")
def rotate() -> None:
    """Encrypt all stored secrets again with the first key of PO_ENCRYPTION_KEYS."""
    with context.writing() as session:
        try:
            count = partner_secrets.rotate(session)
        except WrongKey as error:
            context.fail(str(error))
        session.commit()
    click.echo(f"rotated={count}")
