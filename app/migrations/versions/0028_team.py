"""Add assignees, comments and open forms of orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NAMES = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    # In SQL, since batch mode would copy the whole table on SQLite.
    op.execute(
        "ALTER TABLE purchase_order ADD COLUMN assignee_id INTEGER"
        " CONSTRAINT fk_purchase_order_assignee_id REFERENCES person (id)"
    )
    op.create_index("ix_purchase_order_assignee", "purchase_order", ["assignee_id", "respond_by", "id"])
    op.create_table(
        "order_comment",
        sa.Column("id", sa.Integer(), primary_key=True),
        _order("order_comment"),
        _person("order_comment"),
        sa.Column("person_name", sa.String(120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("mentions", NAMES, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_index("ix_order_comment_order_id", "order_comment", ["order_id"])
    op.create_table(
        "open_form",
        _order("open_form", primary_key=True),
        _person("open_form", primary_key=True),
        sa.Column("seen_at", TIME, nullable=False),
    )
    op.create_index("ix_open_form_seen_at", "open_form", ["seen_at"])


def downgrade() -> None:
    op.drop_table("open_form")
    op.drop_table("order_comment")
    op.drop_index("ix_purchase_order_assignee", "purchase_order")
    with op.batch_alter_table("purchase_order") as orders:
        orders.drop_column("assignee_id")


def _order(table: str, *, primary_key: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("purchase_order.id", name=f"fk_{table}_order_id", ondelete="CASCADE")
    return sa.Column("order_id", sa.Integer(), key, nullable=False, primary_key=primary_key)


def _person(table: str, *, primary_key: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("person.id", name=f"fk_{table}_person_id", ondelete="CASCADE")
    return sa.Column("person_id", sa.Integer(), key, nullable=False, primary_key=primary_key)
