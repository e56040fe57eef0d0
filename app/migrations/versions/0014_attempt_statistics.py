"""attempt statistics in one table of plain rows

It is filled from the attempts. Those older than two hours are counted by the half-hour; the chore that folds
statistics merges them further.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from app import clock

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BUCKETS = {
    "le_5ms": 5,
    "le_10ms": 10,
    "le_25ms": 25,
    "le_50ms": 50,
    "le_100ms": 100,
    "le_250ms": 250,
    "le_500ms": 500,
    "le_1s": 1_000,
    "le_2500ms": 2_500,
    "le_5s": 5_000,
    "le_10s": 10_000,
    "le_30s": 30_000,
    "le_1min": 60_000,
    "le_5min": 300_000,
    "le_30min": 1_800_000,
    "le_2h": 7_200_000,
    "le_8h": 28_800_000,
    "le_1d": 86_400_000,
    "le_3d": 259_200_000,
}
MINUTE = {
    "sqlite": "CAST(strftime('%s', ended_at) AS INTEGER) / 60",
    "postgresql": "CAST(floor(extract(epoch FROM ended_at) / 60) AS INTEGER)",
}
MILLISECONDS_SINCE_CREATED = {
    "sqlite": "(julianday(ended_at) - julianday(created_at)) * 86400000",
    "postgresql": "extract(epoch FROM ended_at - created_at) * 1000",
}
ATTEMPTS = """
    SELECT partner_id, 'attempt' AS measure, outcome, coalesce(status, 0) AS status,
        {minute} AS minute, duration_ms AS duration
    FROM attempt JOIN message ON message.id = attempt.message_id
    WHERE ended_at IS NOT NULL AND outcome IS NOT NULL
"""
DELIVERIES = """
    SELECT partner_id, 'delivery' AS measure, '' AS outcome, 0 AS status,
        {minute} AS minute, {duration} AS duration
    FROM message JOIN (
        SELECT message_id, min(ended_at) AS ended_at FROM attempt
        WHERE outcome IN ('delivered', 'already_received') GROUP BY message_id
    ) AS delivered ON delivered.message_id = message.id
"""
FILL = """
    INSERT INTO attempt_statistics (
        minute, partner_id, measure, outcome, status, count, milliseconds, {columns}, le_inf
    )
    SELECT minute - minute % CASE WHEN minute < :recent THEN 30 ELSE 1 END AS period,
        partner_id, measure, outcome, status,
        count(*), coalesce(sum(CAST(round(duration) AS BIGINT)), 0), {counts}, count(duration)
    FROM ({source}) AS ended
    GROUP BY period, partner_id, measure, outcome, status
"""


def upgrade() -> None:
    op.create_table(
        "attempt_statistics",
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("measure", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("status", sa.Integer(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("count", "milliseconds", *BUCKETS, "le_inf")
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_attempt_statistics_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "minute", "partner_id", "measure", "outcome", "status", name=op.f("pk_attempt_statistics")
        ),
    )
    dialect = op.get_bind().dialect.name
    _fill(ATTEMPTS.format(minute=MINUTE[dialect]))
    _fill(DELIVERIES.format(minute=MINUTE[dialect], duration=MILLISECONDS_SINCE_CREATED[dialect]))
    op.drop_table("rollup")
    op.drop_table("mark")
    op.drop_table("tally")


def _fill(source: str) -> None:
    statement = FILL.format(
        columns=", ".join(BUCKETS),
        counts=", ".join(
            f"coalesce(sum(CASE WHEN duration <= {bound} THEN 1 ELSE 0 END), 0)" for bound in BUCKETS.values()
        ),
        source=source,
    )
    recent = int((clock.now() - timedelta(hours=2)).timestamp()) // 60
    op.get_bind().execute(sa.text(statement), {"recent": recent})


def downgrade() -> None:
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
    op.drop_table("attempt_statistics")
