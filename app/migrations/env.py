"""Alembic's entry: runs the migrations on the connection that ``Database.upgrade`` hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON

from app.db import Base, UtcDateTime


def _plain(kind: str, item: Any, _autogenerate: Any) -> str | Literal[False]:
    """Migrations name plain types: they must not change when the app's own types do."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    render_item=_plain,
)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
