"""Drop the titles of background jobs: the pages make them from a job's kind and parameters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("task") as table:
        table.drop_column("title")


def downgrade() -> None:
    op.add_column("task", sa.Column("title", sa.String(200), nullable=False, server_default=""))
    with op.batch_alter_table("task") as table:
        table.alter_column("title", server_default=None)
