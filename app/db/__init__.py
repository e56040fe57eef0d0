"""Engine, sessions, column types, and everything that differs between SQLite and PostgreSQL."""

from app.db.base import Base, UtcDateTime, enum_type
from app.db.dialects import (
    advisory_lock,
    bytes_contain,
    id_at,
    literal_condition,
    new_id,
    notify,
    text_rows,
)
from app.db.engine import Database, follow_clock
from app.db.migrations import NewerDatabase, newest_revision
from app.db.session_settings import SessionSettings

__all__ = [
    "Base",
    "Database",
    "NewerDatabase",
    "SessionSettings",
    "UtcDateTime",
    "advisory_lock",
    "bytes_contain",
    "enum_type",
    "follow_clock",
    "id_at",
    "literal_condition",
    "new_id",
    "newest_revision",
    "notify",
    "text_rows",
]
