"""Encrypt the secrets of partners."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.db import encryption

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

JSON_COLUMNS = ("headers", "oauth", "signing_secrets")
TEXT_COLUMNS = ("bearer_token", "client_certificate")
NULLABLE = frozenset({"oauth"})


def _json() -> sa.JSON[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _partners(json_type: sa.types.TypeEngine[Any]) -> sa.TableClause:
    columns = [sa.column(name, json_type) for name in JSON_COLUMNS]
    columns += [sa.column(name, sa.Text()) for name in TEXT_COLUMNS]
    return sa.table("partner", sa.column("id"), *columns)


_SECRETS = sa.table("inbound_secret", sa.column("id"), sa.column("secret", sa.Text()))


def upgrade() -> None:
    connection = op.get_bind()
    plain = connection.execute(sa.select(_partners(_json()))).mappings().all()
    secrets = connection.execute(sa.select(_SECRETS)).mappings().all()
    _alter("partner", {name: (_json(), sa.Text()) for name in JSON_COLUMNS})
    _alter("inbound_secret", {"secret": (sa.String(120), sa.Text())})
    partners = _partners(sa.Text())
    for row in plain:
        # A column without a value can hold the JSON null, which must become NULL.
        values: dict[str, Any] = dict.fromkeys(JSON_COLUMNS)
        values |= {
            name: encryption.encrypt(json.dumps(row[name])) for name in JSON_COLUMNS if row[name] is not None
        }
        values |= {name: encryption.encrypt(row[name]) if row[name] else "" for name in TEXT_COLUMNS}
        connection.execute(sa.update(partners).where(partners.c.id == row["id"]).values(values))
    for row in secrets:
        token = encryption.encrypt(row["secret"])
        connection.execute(sa.update(_SECRETS).where(_SECRETS.c.id == row["id"]).values(secret=token))


def downgrade() -> None:
    connection = op.get_bind()
    encrypted = connection.execute(sa.select(_partners(sa.Text()))).mappings().all()
    secrets = connection.execute(sa.select(_SECRETS)).mappings().all()
    decrypted: dict[Any, dict[str, Any]] = {
        row["id"]: {name: encryption.decrypt(row[name]) for name in JSON_COLUMNS + TEXT_COLUMNS if row[name]}
        for row in encrypted
    }
    partners = _partners(sa.Text())
    for row_id, values in decrypted.items():
        connection.execute(sa.update(partners).where(partners.c.id == row_id).values(values))
    for row in secrets:
        text = encryption.decrypt(row["secret"])
        connection.execute(sa.update(_SECRETS).where(_SECRETS.c.id == row["id"]).values(secret=text))
    _alter("partner", {name: (sa.Text(), _json()) for name in JSON_COLUMNS})
    _alter("inbound_secret", {"secret": (sa.Text(), sa.String(120))})


def _alter(table: str, types: dict[str, tuple[Any, Any]]) -> None:
    with op.batch_alter_table(table, schema=None) as batch_op:
        for name, (before, after) in types.items():
            batch_op.alter_column(
                name,
                existing_type=before,
                type_=after,
                existing_nullable=name in NULLABLE,
                server_default=None,
                postgresql_using=f"{name}::{'jsonb' if isinstance(after, sa.JSON) else 'text'}",
            )
