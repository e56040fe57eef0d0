"""Running the Alembic migrations in ``app/migrations``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

SCRIPTS = Path(__file__).parent.parent / "migrations"


class NewerDatabase(Exception):
    """The database has a revision that this code does not know."""


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Migrate up to ``revision``. Errors: NewerDatabase."""
    current = current_revision(connection)
    connection.rollback()
    if current not in (None, *_known_revisions()):
        raise NewerDatabase(f"The database is newer than this version of PO Confirm (revision {current}).")
    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Migrate down to ``revision``."""
    command.downgrade(_config(connection), revision)


def current_revision(connection: Connection) -> str | None:
    """The revision of the database."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _known_revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config
