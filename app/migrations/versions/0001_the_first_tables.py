"""the first tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "partner",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("base_url", sa.String(length=500), nullable=False),
        sa.Column("headers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "allow_addresses", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("deadline_seconds", sa.Double(), nullable=False),
        sa.Column("retry_schedule", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("success_codes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("accepts_return", sa.Boolean(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_reason", sa.String(length=500), nullable=False),
        sa.Column("credential_failures", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner")),
        sa.UniqueConstraint("name", name=op.f("uq_partner_name")),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("full_name", sa.String(length=120), nullable=False),
        sa.Column(
            "role",
            sa.Enum("supplier", "manager", "support", "admin", name="role", native_enum=False, length=24),
            nullable=False,
        ),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("session_key", sa.String(length=64), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("name", name=op.f("uq_person_name")),
        sa.UniqueConstraint("session_key", name=op.f("uq_person_session_key")),
    )
    op.create_table(
        "inbound_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_inbound_key_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_key")),
        sa.UniqueConstraint("sha256", name=op.f("uq_inbound_key_sha256")),
    )
    with op.batch_alter_table("inbound_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_inbound_key_partner_id"), ["partner_id"], unique=False)

    op.create_table(
        "person_supplier",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("b2b_id", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_person_supplier_person_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "b2b_id", name=op.f("pk_person_supplier")),
    )
    op.create_table(
        "purchase_order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.String(length=100), nullable=False),
        sa.Column("buyer_po_number", sa.String(length=50), nullable=False),
        sa.Column("buyer_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("supplier_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("buyer_name", sa.Text(), nullable=False),
        sa.Column("supplier_name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("order_date", sa.Text(), nullable=False),
        sa.Column("delivery_date", sa.Text(), nullable=False),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("total", sa.String(length=60), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("respond_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "answer",
            sa.Enum(
                "none", "ACCEPT", "REJECT", "RETURN", "changed", name="answer", native_enum=False, length=24
            ),
            nullable=False,
        ),
        sa.Column(
            "delivery",
            sa.Enum(
                "none",
                "pending",
                "sending",
                "delivered",
                "refused",
                "failed",
                "cancelled",
                name="delivery",
                native_enum=False,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("message_id", sa.String(length=40), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_purchase_order_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchase_order")),
        sa.UniqueConstraint("partner_id", "object_id", name=op.f("uq_purchase_order_partner_id_object_id")),
    )
    with op.batch_alter_table("purchase_order", schema=None) as batch_op:
        batch_op.create_index("ix_purchase_order_answer", ["answer", "respond_by", "id"], unique=False)
        batch_op.create_index("ix_purchase_order_delivery", ["delivery", "respond_by", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_purchase_order_message_id"), ["message_id"], unique=False)
        batch_op.create_index("ix_purchase_order_received_at", ["received_at", "id"], unique=False)
        batch_op.create_index("ix_purchase_order_respond_by", ["respond_by", "id"], unique=False)
        batch_op.create_index(
            "ix_purchase_order_supplier", ["supplier_b2b_id", "respond_by", "id"], unique=False
        )

    op.create_table(
        "inbound_message",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=True),
        sa.Column("order_id", sa.Integer(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remote_address", sa.String(length=60), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("headers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("object_id", sa.String(length=100), nullable=False),
        sa.Column("buyer_po_number", sa.String(length=50), nullable=False),
        sa.Column("supplier_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("same_as", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("repeat_of", sa.String(length=40), nullable=True),
        sa.Column(
            "effect",
            sa.Enum(
                "applied",
                "repeated",
                "conflict",
                "refused",
                "no_credentials",
                name="effect",
                native_enum=False,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("error_cd", sa.String(length=40), nullable=False),
        sa.Column("error_field", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("answer_status", sa.Integer(), nullable=False),
        sa.Column("answer_body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["purchase_order.id"], name=op.f("fk_inbound_message_order_id")
        ),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_inbound_message_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_message")),
    )
    with op.batch_alter_table("inbound_message", schema=None) as batch_op:
        batch_op.create_index("ix_inbound_message_effect_id", ["effect", "id"], unique=False)
        batch_op.create_index("ix_inbound_message_order_id", ["order_id"], unique=False)
        batch_op.create_index(
            "uq_inbound_message_same",
            ["partner_id", "same_as"],
            unique=True,
            sqlite_where=sa.text("effect = 'applied'"),
            postgresql_where=sa.text("effect = 'applied'"),
        )

    op.create_table(
        "message",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=True),
        sa.Column("decision_number", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.String(length=100), nullable=False),
        sa.Column("buyer_po_number", sa.String(length=50), nullable=False),
        sa.Column("buyer_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("supplier_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("object_version", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=120), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "sending",
                "delivered",
                "refused",
                "failed",
                "cancelled",
                name="messagestate",
                native_enum=False,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("interruptions", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts_made", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.String(length=200), nullable=True),
        sa.Column("unknown_outcome", sa.Boolean(), nullable=False),
        sa.Column(
            "trigger",
            sa.Enum("auto", "manual", "bulk", "test", name="trigger", native_enum=False, length=24),
            nullable=False,
        ),
        sa.Column("asked_by", sa.String(length=120), nullable=True),
        sa.Column("asked_reason", sa.String(length=200), nullable=True),
        sa.Column(
            "resume_state",
            sa.Enum(
                "pending",
                "sending",
                "delivered",
                "refused",
                "failed",
                "cancelled",
                name="messagestate",
                native_enum=False,
                length=24,
            ),
            nullable=True,
        ),
        sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("response_code", sa.Integer(), nullable=True),
        sa.Column("response_message", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("req_msg_id", sa.Text(), nullable=False),
        sa.Column("error_cd", sa.Text(), nullable=False),
        sa.Column("error_dtl", sa.Text(), nullable=False),
        sa.Column("error_field", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["purchase_order.id"], name=op.f("fk_message_order_id")),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_message_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("order_id", "decision_number", name=op.f("uq_message_order_id_decision_number")),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index("ix_message_buyer_po_number", ["buyer_po_number"], unique=False)
        batch_op.create_index(
            "ix_message_due",
            ["partner_id", "next_at"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            "ix_message_leased",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("state = 'sending'"),
            postgresql_where=sa.text("state = 'sending'"),
        )
        batch_op.create_index("ix_message_partner_id_id", ["partner_id", "id"], unique=False)
        batch_op.create_index("ix_message_state_id", ["state", "id"], unique=False)
        batch_op.create_index("ix_message_supplier_b2b_id_id", ["supplier_b2b_id", "id"], unique=False)
        batch_op.create_index(
            "uq_message_live_order_id",
            ["order_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('pending', 'sending')"),
            postgresql_where=sa.text("state IN ('pending', 'sending')"),
        )

    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("inbound_id", sa.String(length=40), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["purchase_order.id"], name=op.f("fk_revision_order_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
        sa.UniqueConstraint("order_id", "version", name=op.f("uq_revision_order_id_version")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "trigger",
            sa.Enum("auto", "manual", "bulk", "test", name="trigger", native_enum=False, length=24),
            nullable=False,
        ),
        sa.Column("actor", sa.String(length=120), nullable=True),
        sa.Column("asked_reason", sa.String(length=200), nullable=True),
        sa.Column("url", sa.String(length=600), nullable=False),
        sa.Column(
            "request_headers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("remote_address", sa.String(length=60), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column(
            "response_headers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("response_body", sa.LargeBinary(), nullable=False),
        sa.Column("response_size", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_attempt_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("message_id", "number", name=op.f("uq_attempt_message_id_number")),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("response", sa.String(length=24), nullable=False),
        sa.Column("remarks", sa.String(length=100), nullable=False),
        sa.Column("device_tag_name", sa.String(length=100), nullable=False),
        sa.Column("device_tag_value", sa.String(length=200), nullable=False),
        sa.Column("infos", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("status_from", sa.String(length=100), nullable=False),
        sa.Column("status_to", sa.String(length=24), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("person_name", sa.String(length=120), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_decision_message_id")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["purchase_order.id"], name=op.f("fk_decision_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_decision_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
        sa.UniqueConstraint("message_id", name=op.f("uq_decision_message_id")),
        sa.UniqueConstraint("order_id", "number", name=op.f("uq_decision_order_id_number")),
    )


def downgrade() -> None:
    op.drop_table("decision")
    op.drop_table("attempt")
    op.drop_table("revision")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_message_live_order_id",
            sqlite_where=sa.text("state IN ('pending', 'sending')"),
            postgresql_where=sa.text("state IN ('pending', 'sending')"),
        )
        batch_op.drop_index("ix_message_supplier_b2b_id_id")
        batch_op.drop_index("ix_message_state_id")
        batch_op.drop_index("ix_message_partner_id_id")
        batch_op.drop_index(
            "ix_message_leased",
            sqlite_where=sa.text("state = 'sending'"),
            postgresql_where=sa.text("state = 'sending'"),
        )
        batch_op.drop_index(
            "ix_message_due",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.drop_index("ix_message_buyer_po_number")

    op.drop_table("message")
    with op.batch_alter_table("inbound_message", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_inbound_message_same",
            sqlite_where=sa.text("effect = 'applied'"),
            postgresql_where=sa.text("effect = 'applied'"),
        )
        batch_op.drop_index("ix_inbound_message_order_id")
        batch_op.drop_index("ix_inbound_message_effect_id")

    op.drop_table("inbound_message")
    with op.batch_alter_table("purchase_order", schema=None) as batch_op:
        batch_op.drop_index("ix_purchase_order_supplier")
        batch_op.drop_index("ix_purchase_order_respond_by")
        batch_op.drop_index("ix_purchase_order_received_at")
        batch_op.drop_index(batch_op.f("ix_purchase_order_message_id"))
        batch_op.drop_index("ix_purchase_order_delivery")
        batch_op.drop_index("ix_purchase_order_answer")

    op.drop_table("purchase_order")
    op.drop_table("person_supplier")
    with op.batch_alter_table("inbound_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_inbound_key_partner_id"))

    op.drop_table("inbound_key")
    op.drop_table("person")
    op.drop_table("partner")
