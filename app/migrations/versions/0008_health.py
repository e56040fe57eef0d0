"""attempts counted by time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

# Every minute in which an attempt ended is to be counted; what is too old to be shown, the roll-up drops.
MARKS = {
    "sqlite": r"""
        INSERT INTO mark (minute, shard)
        SELECT DISTINCT substr(ended_at, 1, 16) || '\:00.000000', 0 FROM attempt
        WHERE ended_at IS NOT NULL
    """,
    "postgresql": """
        INSERT INTO mark (minute, shard)
        SELECT DISTINCT date_trunc('minute', ended_at, 'UTC'), 0 FROM attempt
        WHERE ended_at IS NOT NULL
    """,
}


def upgrade() -> None:
    op.create_table(
        "mark",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("minute", "shard", name=op.f("pk_mark")),
    )
    op.create_table(
        "rollup",
        sa.Column("seconds", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("measure", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("status", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("latencies", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_rollup_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "seconds", "starts_at", "partner_id", "measure", "outcome", "status", name=op.f("pk_rollup")
        ),
    )
    op.create_index("ix_attempt_ended_at", "attempt", ["ended_at"], unique=False)
    op.execute(MARKS[op.get_bind().dialect.name])


def downgrade() -> None:
    op.drop_index("ix_attempt_ended_at", "attempt")
    op.drop_table("rollup")
    op.drop_table("mark")
