"""Store the note of a task as a code with its parameters, instead of as a sentence."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

PARAMS = sa.JSON().with_variant(JSONB(), "postgresql")
TASK = sa.table(
    "task",
    *(sa.column(name, sa.Text()) for name in ("id", "note", "note_code")),
    sa.column("note_params", PARAMS),
)
FILE = re.compile(r"([\d,]+) bytes?, SHA-256 ([0-9a-f]{64})\.?")


def upgrade() -> None:
    op.add_column("task", sa.Column("note_code", sa.String(24), nullable=False, server_default=""))
    op.add_column("task", sa.Column("note_params", PARAMS, nullable=False, server_default="{}"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(TASK.c.id, TASK.c.note).where(TASK.c.note != "")).all():
        code, params = _code_of(row.note)
        connection.execute(
            sa.update(TASK).where(TASK.c.id == row.id).values(note_code=code, note_params=params)
        )
    with op.batch_alter_table("task") as table:
        table.alter_column("note_code", server_default=None)
        table.alter_column("note_params", server_default=None)
        table.drop_column("note")


def _code_of(note: str) -> tuple[str, dict[str, Any]]:
    file = FILE.fullmatch(note)
    if file:
        return "file_written", {"bytes": int(file[1].replace(",", "")), "sha256": file[2]}
    if note.startswith(("Waiting until", "It waits:")):
        return "waiting", {}
    return "impossible", {"cause": note}


def downgrade() -> None:
    op.add_column("task", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("task") as table:
        table.alter_column("note", server_default=None)
        table.drop_column("note_params")
        table.drop_column("note_code")
