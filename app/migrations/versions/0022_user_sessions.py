"""server-side sessions, throttling, kept forms and preferences; everyone has to sign in again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "user_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("confirmed_at", TIME, nullable=False),
        sa.Column("address", sa.String(length=60), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_user_session_person_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_session")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_user_session_token_sha256")),
    )
    op.create_index("ix_user_session_person_id", "user_session", ["person_id"])
    op.create_index("ix_user_session_expires_at", "user_session", ["expires_at"])
    op.create_table(
        "throttle",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failure_at", TIME, nullable=False),
        sa.Column("blocked_until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle")),
    )
    op.create_index("ix_throttle_last_failure_at", "throttle", ["last_failure_at"])
    op.create_table(
        "kept_form",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("address", sa.String(length=60), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_kept_form")),
    )
    op.create_index("ix_kept_form_expires_at", "kept_form", ["expires_at"])
    with op.batch_alter_table("person") as batch_op:
        batch_op.drop_constraint("uq_person_session_key", type_="unique")
        batch_op.drop_column("session_key")
        batch_op.add_column(
            sa.Column("must_change_password", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(
            sa.Column("mail_address", sa.String(length=200), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("time_zone", sa.String(length=60), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("preferences", DOCUMENT, nullable=False, server_default="{}"))


def downgrade() -> None:
    with op.batch_alter_table("person") as batch_op:
        for column in ("must_change_password", "mail_address", "time_zone", "preferences"):
            batch_op.drop_column(column)
        batch_op.add_column(sa.Column("session_key", sa.String(length=64), nullable=True))
    op.execute("UPDATE person SET session_key = 'ended ' || id")
    with op.batch_alter_table("person") as batch_op:
        batch_op.alter_column("session_key", existing_type=sa.String(length=64), nullable=False)
        batch_op.create_unique_constraint("uq_person_session_key", ["session_key"])
    for table in ("kept_form", "throttle", "user_session"):
        op.drop_table(table)
