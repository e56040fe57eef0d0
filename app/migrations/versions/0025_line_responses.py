"""Store the responses to single lines, and the partners that accept them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json_type = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("decision", sa.Column("lines", json_type, nullable=False, server_default=sa.text("'[]'")))
    op.add_column(
        "partner", sa.Column("line_responses", sa.Boolean(), nullable=False, server_default=sa.true())
    )


def downgrade() -> None:
    with op.batch_alter_table("partner") as batch_op:
        batch_op.drop_column("line_responses")
    with op.batch_alter_table("decision") as batch_op:
        batch_op.drop_column("lines")
