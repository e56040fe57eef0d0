"""Add notifications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "notification",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "person_id",
            sa.Integer(),
            sa.ForeignKey("person.id", name="fk_notification_person_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("event", sa.String(24), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("caused_by", sa.String(120), nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("read_at", TIME, nullable=True),
        sa.Column("in_digest", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_notification_person_id_id", "notification", ["person_id", "id"])
    op.create_index("ix_notification_created_at", "notification", ["created_at"])
    for name, condition in (("unread", "read_at IS NULL"), ("digest", "in_digest")):
        where = sa.text(condition)
        op.create_index(
            f"ix_notification_{name}",
            "notification",
            ["person_id"],
            sqlite_where=where,
            postgresql_where=where,
        )


def downgrade() -> None:
    op.drop_table("notification")
