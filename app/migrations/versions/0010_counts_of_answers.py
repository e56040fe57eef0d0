"""answers counted by day"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
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
    # Nothing is counted yet: until the first chore has run, the report reads the decisions themselves.
    op.create_table(
        "answers_counted",
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.Column("up_to", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("zone", name=op.f("pk_answers_counted")),
    )
    op.drop_index("ix_decision_report", "decision")
    op.drop_index("ix_decision_reasons", "decision")


def downgrade() -> None:
    op.create_index(
        "ix_decision_reasons",
        "decision",
        ["response", "decided_at", "supplier_b2b_id", "remarks"],
        unique=False,
    )
    op.create_index(
        "ix_decision_report",
        "decision",
        ["decided_at", "supplier_b2b_id", "person_name", "response", "took_seconds", "left_seconds"],
        unique=False,
    )
    op.drop_table("answers_counted")
    op.drop_table("answer_count")
