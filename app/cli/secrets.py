"""``flask secrets``: the encryption of stored secrets."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.cli import context
from app.db.encryption import rotate_secrets

secrets = AppGroup("secrets", help="Manage the encryption of stored secrets.")


@secrets.command("rotate")
def rotate() -> None:
    """Re-encrypt all stored secrets with the first key of PO_ENCRYPTION_KEYS."""
    with context.writing() as session:
        count = rotate_secrets(session)
        session.commit()
    click.echo(f"rotated={count}")
