"""responses are counted from the decisions; undone ones are marked"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

REPORT = ["decided_at", "supplier_b2b_id", "undone", "person_name", "response", "remarks"]


def upgrade() -> None:
    op.add_column("decision", sa.Column("undone", sa.Boolean(), nullable=False, server_default=sa.false()))
    connection = op.get_bind()
    entries = connection.execute(sa.text("SELECT before FROM audit_entry WHERE deed = 'took an answer back'"))
    undone = [{"message_id": json.loads(before).get("message")} for (before,) in entries if before]
    if undone:
        connection.execute(
            sa.text("UPDATE decision SET undone = true WHERE message_id = :message_id"), undone
        )
    op.create_index("ix_decision_report", "decision", [*REPORT, "took_seconds", "left_seconds"])
    op.drop_table("answers_counted")
    op.drop_table("answer_count")


def downgrade() -> None:
    op.create_table(
        "answer_count",
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("supplier_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("person_name", sa.String(length=120), nullable=False),
        sa.Column("response", sa.String(length=24), nullable=False),
        sa.Column("remarks", sa.String(length=100), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("early", sa.Integer(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("zone", "day", "supplier_b2b_id", "person_name", "response", "remarks"),
            name=op.f("pk_answer_count"),
        ),
    )
    op.create_table(
        "answers_counted",
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.Column("up_to", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("zone", name=op.f("pk_answers_counted")),
    )
    op.drop_index("ix_decision_report", "decision")
    with op.batch_alter_table("decision") as batch_op:
        batch_op.drop_column("undone")
