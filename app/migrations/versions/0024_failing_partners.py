"""Count consecutive failed attempts of each partner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lane", sa.Column("failed_attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("lane", sa.Column("failed_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    with op.batch_alter_table("lane") as lane:
        lane.drop_column("failed_since")
        lane.drop_column("failed_attempts")
