"""the newest responses of one person are found by an index"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_decision_person_id_id", "decision", ["person_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_decision_person_id_id", table_name="decision")
