"""Alembic's entry: runs the migrations on the connection that ``Database.upgrade`` hands over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, Connection

from app.db import Base, UtcDateTime


def _plain(kind: str, item: Any, _autogenerate: Any) -> str | Literal[False]:
    """Migrations name plain types: they must not change when the app's own types do."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


@contextmanager
def _unwatched(connection: Connection) -> Iterator[None]:
    """On SQLite, let tables be rebuilt: with foreign keys watched, dropping one takes its children along.

    Errors: RuntimeError where a row then points to nothing; nothing is committed.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys = OFF")  # heeded only outside of a transaction
    try:
        yield
    finally:
        connection.rollback()
        driver.execute("PRAGMA foreign_keys = ON")


def _check(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if lost:
        raise RuntimeError(f"the migration left rows that point to nothing: {lost[:5]}")


connection = context.config.attributes["connection"]
with _unwatched(connection):
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=_plain,
    )
    with context.begin_transaction():
        context.run_migrations()
        _check(connection)
    connection.commit()
