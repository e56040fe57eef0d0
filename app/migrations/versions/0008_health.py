"""attempts counted by time, answers against their deadline"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
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

SECONDS = {
    "sqlite": "CAST(round((julianday({0}) - julianday({1})) * 86400) AS INTEGER)",
    "postgresql": "CAST(floor(extract(epoch FROM {0} - {1})) AS INTEGER)",
}

WAITS = sa.text(
    "status = 'CREATED' AND (answer IN ('none', 'changed') OR delivery IN ('refused', 'failed', 'cancelled'))"
)


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
    op.create_index(
        "ix_purchase_order_waits",
        "purchase_order",
        ["respond_by", "id", "supplier_b2b_id"],
        unique=False,
        sqlite_where=WAITS,
        postgresql_where=WAITS,
    )
    op.execute(MARKS[op.get_bind().dialect.name])
    with op.batch_alter_table("decision") as batch_op:
        batch_op.add_column(sa.Column("took_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("left_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(
            sa.Column("supplier_b2b_id", sa.String(length=100), nullable=False, server_default="")
        )
    seconds = SECONDS[op.get_bind().dialect.name].format
    received = (
        "coalesce((SELECT received_at FROM revision WHERE revision.order_id = decision.order_id"
        " AND revision.version = decision.version), (SELECT received_at FROM purchase_order"
        " WHERE purchase_order.id = decision.order_id))"
    )
    op.execute(
        f"UPDATE decision SET took_seconds = {seconds('decided_at', received)}, supplier_b2b_id ="  # noqa: S608
        " (SELECT supplier_b2b_id FROM purchase_order WHERE id = decision.order_id)"
    )
    # The time that a supplier has is the same for each version of an order.
    op.execute(
        f"UPDATE decision SET left_seconds = (SELECT {seconds('respond_by', 'revised_at')}"  # noqa: S608
        " FROM purchase_order WHERE purchase_order.id = decision.order_id) - took_seconds"
    )
    op.create_index(
        "ix_decision_report",
        "decision",
        ["decided_at", "supplier_b2b_id", "person_name", "response", "took_seconds", "left_seconds"],
        unique=False,
    )
    op.create_index(
        "ix_decision_reasons",
        "decision",
        ["response", "decided_at", "supplier_b2b_id", "remarks"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_purchase_order_waits", "purchase_order")
    op.drop_index("ix_decision_reasons", "decision")
    op.drop_index("ix_decision_report", "decision")
    with op.batch_alter_table("decision") as batch_op:
        for name in ("supplier_b2b_id", "left_seconds", "took_seconds"):
            batch_op.drop_column(name)
    op.drop_index("ix_attempt_ended_at", "attempt")
    op.drop_table("rollup")
    op.drop_table("mark")
