"""indexes of ended attempts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_attempt_status_message_id": (["status", "message_id"], "outcome IS NOT NULL"),
    "ix_attempt_ended_at": (["ended_at"], "ended_at IS NOT NULL"),
}


def upgrade() -> None:
    # An attempt under way has no status and no end: it need not enter these indexes only to leave them.
    for name, (columns, where) in INDEXES.items():
        op.drop_index(name, "attempt")
        op.create_index(
            name, "attempt", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def downgrade() -> None:
    for name, (columns, _) in INDEXES.items():
        op.drop_index(name, "attempt")
        op.create_index(name, "attempt", columns, unique=False)
