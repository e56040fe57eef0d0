"""lanes and tallies"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ASKED = sa.text("state = 'pending' AND trigger <> 'auto'")


def upgrade() -> None:
    op.create_table(
        "lane",
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("allowance", sa.Double(), nullable=False),
        sa.Column("allowance_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_lane_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_lane")),
    )
    op.create_table(
        "tally",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("milliseconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_tally_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shard", "partner_id", "outcome", "bucket", name=op.f("pk_tally")),
    )
    op.create_index(
        "ix_message_asked",
        "message",
        ["partner_id", "next_at"],
        unique=False,
        sqlite_where=ASKED,
        postgresql_where=ASKED,
    )


def downgrade() -> None:
    op.drop_index("ix_message_asked", "message", sqlite_where=ASKED, postgresql_where=ASKED)
    op.drop_table("tally")
    op.drop_table("lane")
