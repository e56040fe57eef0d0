"""Merge jobs, mails and chores into one task table

The downgrade keeps jobs, and drops mails and chore times.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MAIL_STATES = {"waiting": "waiting", "sent": "done", "needless": "cancelled", "failed": "failed"}
CHORES = {
    "seal the audit trail": "seal the audit trail",
    "remove old exports": "remove old exports",
    "prune": "prune old records",
    "ask for digests": "queue deadline digests",
}
UNSENT = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.drop_index("ix_job_next_at", "job")
    op.drop_index("ix_job_person_id_id", "job")
    op.rename_table("job", "task")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX pk_job RENAME TO pk_task")
    with op.batch_alter_table("task") as batch_op:
        batch_op.alter_column("failures", new_column_name="attempts")
        batch_op.alter_column("next_at", new_column_name="run_at")
        batch_op.add_column(sa.Column("error", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("max_attempts", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("lease_until", TIME, nullable=True))
    op.execute("UPDATE task SET error = '', max_attempts = 4")
    op.execute("UPDATE task SET lease_until = run_at WHERE lease_token IS NOT NULL")
    with op.batch_alter_table("task") as batch_op:
        batch_op.alter_column("error", existing_type=sa.Text(), nullable=False)
    op.create_index("ix_task_run_at", "task", ["run_at"])
    op.create_index("ix_task_kind_id", "task", ["kind", "id"])
    op.create_index("ix_task_person_id_id", "task", ["person_id", "id"])
    _split_notes()
    _move_mails()
    _move_chores()
    op.drop_table("mail")
    op.drop_table("chore_run")


def downgrade() -> None:
    op.execute("DELETE FROM task WHERE kind LIKE 'mail:%' OR kind LIKE 'chore:%'")
    for index in ("ix_task_run_at", "ix_task_kind_id", "ix_task_person_id_id"):
        op.drop_index(index, "task")
    with op.batch_alter_table("task") as batch_op:
        for column in ("error", "max_attempts", "lease_until"):
            batch_op.drop_column(column)
        batch_op.alter_column("attempts", new_column_name="failures")
        batch_op.alter_column("run_at", new_column_name="next_at")
    op.rename_table("task", "job")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX pk_task RENAME TO pk_job")
    op.create_index("ix_job_next_at", "job", ["next_at"])
    op.create_index("ix_job_person_id_id", "job", ["person_id", "id"])
    op.create_table(
        "chore_run",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chore_run")),
    )
    op.create_table(
        "mail",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("message_id", sa.String(length=120), nullable=False),
        sa.Column("sent_to", sa.Text(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail")),
    )
    op.create_index("ix_mail_due", "mail", ["next_at"], sqlite_where=UNSENT, postgresql_where=UNSENT)


TASK = sa.table(
    "task",
    *(sa.column(name, sa.Text()) for name in ("id", "kind", "title", "state", "reason", "note", "error")),
    *(sa.column(name, sa.Text()) for name in ("created_by", "cancel_asked_by")),
    *(sa.column(name, sa.Integer()) for name in ("done", "total", "attempts", "max_attempts")),
    *(sa.column(name, DOCUMENT) for name in ("parameters", "cursor")),
    *(sa.column(name, TIME) for name in ("created_at", "run_at", "finished_at")),
)


def _split_notes() -> None:
    """Notes said who canceled a job and what its last error was; both have columns."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(TASK.c.id, TASK.c.note).where(TASK.c.note != "")).all():
        error = re.search(r"Last trouble: (\w+)\.", row.note)
        values: dict[str, Any] = {}
        if row.note.startswith(("Cancelled by ", "It broke off ", "Last trouble: ")):
            values = {"note": "", "error": error[1] if error else ""}
        if values:
            connection.execute(sa.update(TASK).where(TASK.c.id == row.id).values(values))


def _move_mails() -> None:
    mail = sa.table(
        "mail",
        *(sa.column(name, sa.Text()) for name in ("topic", "subject", "body", "state", "message_id")),
        *(sa.column(name, sa.Text()) for name in ("sent_to", "trouble")),
        *(sa.column(name, TIME) for name in ("created_at", "next_at", "finished_at")),
        sa.column("tries", sa.Integer()),
    )
    rows = [
        _task(
            id=f"mail_{row.message_id}",
            kind=f"mail:{row.topic}",
            state=MAIL_STATES[row.state],
            parameters={"subject": row.subject, "body": row.body, "message_id": row.message_id},
            cursor={"finished": row.sent_to.splitlines()},
            error=row.trouble,
            attempts=row.tries,
            max_attempts=8,
            created_at=row.created_at,
            run_at=row.next_at if row.state == "waiting" else None,
            finished_at=row.finished_at,
        )
        for row in op.get_bind().execute(sa.select(mail)).all()
    ]
    if rows:
        op.bulk_insert(TASK, rows)


def _move_chores() -> None:
    chore_run = sa.table(
        "chore_run",
        *(sa.column(name, sa.Text()) for name in ("name", "note")),
        *(sa.column(name, TIME) for name in ("next_at", "ended_at")),
    )
    rows = [
        _task(
            id=f"chore:{CHORES[row.name]}",
            kind=f"chore:{CHORES[row.name]}",
            state="running" if row.ended_at else "waiting",
            error=row.note,
            created_at=row.ended_at or row.next_at,
            run_at=row.next_at,
            finished_at=row.ended_at,
        )
        for row in op.get_bind().execute(sa.select(chore_run)).all()
        if row.name in CHORES
    ]
    if rows:
        op.bulk_insert(TASK, rows)


def _task(**values: Any) -> dict[str, Any]:
    empty = {"title": "", "reason": "", "note": "", "error": "", "created_by": "", "cancel_asked_by": None}
    numbers = {"done": 0, "total": 0, "attempts": 0, "max_attempts": None}
    return {**empty, **numbers, "parameters": {}, "cursor": {}, "finished_at": None, **values}
