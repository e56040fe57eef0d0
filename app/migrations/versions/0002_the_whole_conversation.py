"""the whole conversation: status changes, sights, late results, inbound messages applied again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EFFECTS = ("applied", "repeated", "conflict", "refused", "unmatched", "no_credentials")


def upgrade() -> None:
    op.create_table(
        "status_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=24), nullable=False),
        sa.Column("remarks", sa.Text(), nullable=False),
        sa.Column("status_from", sa.String(length=100), nullable=False),
        sa.Column("status_to", sa.String(length=24), nullable=False),
        sa.Column("inbound_id", sa.String(length=40), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["purchase_order.id"], name=op.f("fk_status_change_order_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_change")),
    )
    op.create_index("ix_status_change_order_id", "status_change", ["order_id"], unique=False)
    op.create_table(
        "order_view",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("person_name", sa.String(length=120), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["purchase_order.id"], name=op.f("fk_order_view_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_order_view_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_view")),
        sa.UniqueConstraint(
            "order_id", "version", "person_id", name=op.f("uq_order_view_order_id_version_person_id")
        ),
    )
    # All new columns may be empty: both databases add them without writing a row anew.
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "result_from",
                sa.Enum("answer", "resp-confirm", name="resultfrom", native_enum=False, length=24),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("result_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("result_inbound_id", sa.String(length=40), nullable=True))
    # Until now a message could end so only by the answer to one of our tries.
    op.execute("UPDATE message SET result_from = 'answer' WHERE state IN ('delivered', 'refused')")
    with op.batch_alter_table("inbound_message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("again_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("again_by", sa.String(length=120), nullable=True))
        batch_op.add_column(sa.Column("again_reason", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("again_detail", sa.Text(), nullable=True))
        batch_op.add_column(
            sa.Column(
                "first_effect",
                sa.Enum(*EFFECTS, name="effect", native_enum=False, length=24),
                nullable=True,
            )
        )
        batch_op.create_index(
            "ix_inbound_message_supplier_b2b_id_id", ["supplier_b2b_id", "id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("inbound_message", schema=None) as batch_op:
        batch_op.drop_index("ix_inbound_message_supplier_b2b_id_id")
        for name in ("first_effect", "again_detail", "again_reason", "again_by", "again_at"):
            batch_op.drop_column(name)
    with op.batch_alter_table("message", schema=None) as batch_op:
        for name in ("result_inbound_id", "result_at", "result_from"):
            batch_op.drop_column(name)
    op.drop_table("order_view")
    op.drop_index("ix_status_change_order_id", table_name="status_change")
    op.drop_table("status_change")
