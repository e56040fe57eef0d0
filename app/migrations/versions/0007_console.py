"""the console: named views, what needs attention, resends of many, and the log's indexes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MESSAGE_NEEDS = (
    "(coalesce(state, '') IN ('refused', 'failed')"
    " OR (coalesce(state, '') = 'cancelled' AND unknown_outcome))"
    " AND (closed_at_attempt IS NULL OR closed_at_attempt < attempts_made)"
)
INBOUND_NEEDS = "coalesce(effect, '') = 'unmatched' AND closed_at IS NULL"


def _index(name: str, table: str, columns: list[str], where: str = "") -> None:
    condition = sa.text(where) if where else None
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


INDEXES: list[tuple[str, str, list[str], str]] = [
    ("ix_message_partner_id_state_id", "message", ["partner_id", "state", "id"], ""),
    ("ix_message_object_id", "message", ["object_id"], ""),
    ("ix_message_req_msg_id", "message", ["req_msg_id"], "req_msg_id <> ''"),
    ("ix_message_retried", "message", ["attempts_made", "id"], "attempts_made > 1"),
    ("ix_message_needing", "message", ["id"], MESSAGE_NEEDS),
    ("ix_attempt_status_message_id", "attempt", ["status", "message_id"], ""),
    ("ix_attempt_by_hand", "attempt", ["trigger", "message_id"], "trigger <> 'auto'"),
    ("ix_attention_case_closed_at", "attention_case", ["closed_at", "id"], ""),
    ("ix_attention_case_assigned_to", "attention_case", ["assigned_to"], ""),
    ("ix_attention_event_case_id", "attention_event", ["case_id"], ""),
    ("ix_inbound_message_partner_id_id", "inbound_message", ["partner_id", "id"], ""),
    ("ix_inbound_message_answer_status_id", "inbound_message", ["answer_status", "id"], ""),
    ("ix_inbound_message_buyer_po_number", "inbound_message", ["buyer_po_number"], ""),
    ("ix_inbound_message_object_id", "inbound_message", ["object_id"], ""),
    ("ix_inbound_message_repeat_of", "inbound_message", ["repeat_of"], ""),
    ("ix_inbound_message_needing", "inbound_message", ["id"], INBOUND_NEEDS),
]


def upgrade() -> None:
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("query", sa.String(length=2000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_saved_view_person_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
        sa.UniqueConstraint("person_id", "page", "name", name=op.f("uq_saved_view_person_id_page_name")),
    )
    op.create_table(
        "attention_case",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("supplier_b2b_id", sa.String(length=100), nullable=False),
        sa.Column("assigned_to", sa.Integer(), nullable=True),
        sa.Column("assigned_name", sa.String(length=120), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=120), nullable=False),
        sa.Column("closed_reason", sa.String(length=200), nullable=False),
        sa.Column("mark", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["assigned_to"], ["person.id"], name=op.f("fk_attention_case_assigned_to"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attention_case")),
        sa.UniqueConstraint("subject", name=op.f("uq_attention_case_subject")),
    )
    op.create_table(
        "attention_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=120), nullable=False),
        sa.Column("what", sa.String(length=24), nullable=False),
        sa.Column("words", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["attention_case.id"],
            name=op.f("fk_attention_event_case_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attention_event")),
    )
    op.create_table(
        "resend_item",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("buyer_po_number", sa.String(length=50), nullable=False),
        sa.Column("was", sa.String(length=24), nullable=False),
        sa.Column("why_not", sa.String(length=200), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_resend_item_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "message_id", name=op.f("pk_resend_item")),
    )
    op.add_column("message", sa.Column("closed_at_attempt", sa.Integer(), nullable=True))
    op.add_column("inbound_message", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    for name, table, columns, where in INDEXES:
        _index(name, table, columns, where)


def downgrade() -> None:
    for name, table, _columns, _where in reversed(INDEXES):
        op.drop_index(name, table_name=table)
    op.drop_column("inbound_message", "closed_at")
    op.drop_column("message", "closed_at_attempt")
    op.drop_table("resend_item")
    op.drop_table("attention_event")
    op.drop_table("attention_case")
    op.drop_table("saved_view")
