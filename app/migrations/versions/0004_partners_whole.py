"""partners whole: credentials of every kind, rotation, limits, contact, incident note"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _json() -> sa.JSON[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("partner", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rate_per_minute", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("contact", sa.String(length=500), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("bearer_token", sa.Text(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("oauth", _json(), nullable=True))
        batch_op.add_column(sa.Column("signing_secrets", _json(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("client_certificate", sa.Text(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("ca_bundle", sa.Text(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("paused_by", sa.String(length=120), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("incident_note", sa.String(length=500), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("incident_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("incident_by", sa.String(length=120), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("last_good", _json(), nullable=True))
        batch_op.add_column(sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("inbound_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ends_in", sa.String(length=8), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "inbound_secret",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_inbound_secret_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_secret")),
    )
    with op.batch_alter_table("inbound_secret", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_inbound_secret_partner_id"), ["partner_id"], unique=False)


def downgrade() -> None:
    op.drop_table("inbound_secret")
    with op.batch_alter_table("inbound_key", schema=None) as batch_op:
        batch_op.drop_column("valid_until")
        batch_op.drop_column("ends_in")
    with op.batch_alter_table("partner", schema=None) as batch_op:
        for name in (
            *("changed_at", "last_good", "incident_by", "incident_at", "incident_note", "paused_by"),
            *("ca_bundle", "client_certificate", "signing_secrets", "oauth", "bearer_token", "contact"),
            "rate_per_minute",
        ):
            batch_op.drop_column(name)
