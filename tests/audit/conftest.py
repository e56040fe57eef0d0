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
    """The current audit entries, oldest first."""

    def entries() -> Sequence[AuditEntry]:
        session.rollback()
        return session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()

    return entries


@pytest.fixture
def as_owner(database: Database) -> Callable[[str], None]:
    """Run a statement as the database's owner, without the triggers that protect the trail."""

    def as_owner(statement: str) -> None:
        with database.engine.begin() as connection:
            if database.is_postgresql:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            else:
                triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit%'"
                for (name,) in connection.execute(text(triggers)).all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
            done = connection.execute(text(statement))
            assert done.rowcount > 0, "nothing was touched"

    return as_owner
