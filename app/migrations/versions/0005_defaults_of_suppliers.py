"""defaults of suppliers: the device tag of their answers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "supplier",
        sa.Column("b2b_id", sa.String(length=100), nullable=False),
        sa.Column("device_tag_name", sa.String(length=100), nullable=False),
        sa.Column("device_tag_value", sa.String(length=100), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("b2b_id", name=op.f("pk_supplier")),
    )


def downgrade() -> None:
    op.drop_table("supplier")
