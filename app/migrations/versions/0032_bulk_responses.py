"""Add plans and results of responses to several orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
FIELDS = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "bulk_response",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("source", sa.String(24), nullable=False),
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column(
            "person_id",
            sa.Integer(),
            sa.ForeignKey("person.id", name="fk_bulk_response_person_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("person_name", sa.String(120), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("job_id", sa.String(40)),
        sa.Column("response", sa.String(24), nullable=False),
        sa.Column("remarks", sa.Text(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("blank", sa.Integer(), nullable=False),
    )
    op.create_index("ix_bulk_response_created_at", "bulk_response", ["created_at"])
    op.create_table(
        "bulk_item",
        sa.Column(
            "bulk_id",
            sa.String(40),
            sa.ForeignKey("bulk_response.id", name="fk_bulk_item_bulk_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column(
            "order_id",
            sa.Integer(),
            sa.ForeignKey("purchase_order.id", name="fk_bulk_item_order_id", ondelete="CASCADE"),
        ),
        sa.Column("version", sa.Integer()),
        sa.Column("entered", FIELDS, nullable=False),
        sa.Column("data", FIELDS, nullable=False),
        sa.Column("result", sa.String(24)),
        sa.Column("result_detail", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(40)),
    )
    op.create_index("ix_bulk_item_order_id", "bulk_item", ["order_id"])


def downgrade() -> None:
    op.drop_table("bulk_item")
    op.drop_table("bulk_response")
