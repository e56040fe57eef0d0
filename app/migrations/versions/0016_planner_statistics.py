"""Drop hand-written planner statistics

Earlier versions wrote fixed numbers into sqlite_stat1. ``Database.optimize`` now collects real ones.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ANALYZE alembic_version")  # creates sqlite_stat1 if it does not exist
        op.execute("DELETE FROM sqlite_stat1")


def downgrade() -> None:
    pass
