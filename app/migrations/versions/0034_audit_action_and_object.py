"""Rename the column of an audit entry's action, and the audit filters in saved views."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

FILTERS = {"deed": "action", "thing": "object"}


def upgrade() -> None:
    _rename("deed", "action")
    _rename_filters(FILTERS)


def downgrade() -> None:
    _rename("action", "deed")
    _rename_filters({new: old for old, new in FILTERS.items()})


def _rename(old: str, new: str) -> None:
    op.drop_index(f"ix_audit_entry_{old}_id", "audit_entry")
    # Not a batch: on SQLite that would copy the table and drop its triggers.
    op.execute(f"ALTER TABLE audit_entry RENAME COLUMN {old} TO {new}")
    op.create_index(f"ix_audit_entry_{new}_id", "audit_entry", [new, "id"])


def _rename_filters(names: dict[str, str]) -> None:
    connection = op.get_bind()
    views = connection.execute(sa.text("SELECT id, query FROM saved_view WHERE page = 'audit'")).all()
    for view_id, query in views:
        renamed = urlencode([(names.get(name, name), value) for name, value in parse_qsl(query)])
        connection.execute(
            sa.text("UPDATE saved_view SET query = :query WHERE id = :id"), {"query": renamed, "id": view_id}
        )
