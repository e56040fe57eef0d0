"""Fixtures for the tests of the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.audit.models import AuditEntry
from app.db import Database


@pytest.fixture
def entries(session: Session) -> Callable[[], Sequence[AuditEntry]]:
    """The whole trail, oldest first, as it stands now."""

    def entries() -> Sequence[AuditEntry]:
        session.rollback()
        return session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()

    return entries


@pytest.fixture
def by_force(database: Database) -> Callable[[str], None]:
    """Somebody with the rights of the database's owner, who puts its triggers out of the way."""

    def by_force(statement: str) -> None:
        with database.engine.begin() as connection:
            if database.is_postgresql:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            else:
                triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit%'"
                for (name,) in connection.execute(text(triggers)).all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
            done = connection.execute(text(statement))
            assert done.rowcount > 0, "nothing was touched"

    return by_force
