"""codes instead of sentences in the history of attention items"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SYSTEM = "PO Confirm"
SUPERSEDED_PREFIX = "The order was answered again by "
RECURRED_PREFIX = "After it was closed by "
ACTIONS = {"let go": "unassigned", "closed": "resolved", "opened again": "reopened", "came again": "recurred"}

case = sa.table(
    "attention_case", sa.column("id"), sa.column("closed_by"), sa.column("closed_reason"), sa.column("mark")
)
event = sa.table("attention_event", sa.column("id"), sa.column("by"), sa.column("what"), sa.column("words"))


def upgrade() -> None:
    connection = op.get_bind()
    automatic = sa.select(case.c.id, case.c.closed_reason).where(case.c.closed_by == SYSTEM)
    for case_id, sentence in connection.execute(automatic).all():
        connection.execute(
            sa.update(case)
            .where(case.c.id == case_id)
            .values(closed_by=_name(sentence, SUPERSEDED_PREFIX), closed_reason="")
        )
    by_app = sa.select(event.c.id, event.c.what, event.c.words).where(event.c.by == SYSTEM)
    for event_id, action, sentence in connection.execute(by_app).all():
        if action == "closed":
            values = {"what": "superseded", "by": _name(sentence, SUPERSEDED_PREFIX), "words": ""}
        else:
            values = {"by": "", "words": _name(sentence, RECURRED_PREFIX)}
        connection.execute(sa.update(event).where(event.c.id == event_id).values(**values))
    for old, new in ACTIONS.items():
        connection.execute(sa.update(event).where(event.c.what == old).values(what=new))
    op.drop_column("attention_case", "mark")


def downgrade() -> None:
    op.add_column("attention_case", sa.Column("mark", sa.String(80), nullable=False, server_default=""))
    connection = op.get_bind()
    connection.execute(
        sa.update(case)
        .where(case.c.closed_by != "", case.c.closed_reason == "")
        .values(closed_by=SYSTEM, closed_reason=sa.literal(SUPERSEDED_PREFIX) + case.c.closed_by + ".")
    )
    connection.execute(
        sa.update(event)
        .where(event.c.what == "superseded")
        .values(what="closed", words=sa.literal(SUPERSEDED_PREFIX) + event.c.by + ".", by=SYSTEM)
    )
    connection.execute(
        sa.update(event)
        .where(event.c.what == "recurred")
        .values(by=SYSTEM, words=sa.literal(RECURRED_PREFIX) + event.c.words + ".")
    )
    for old, new in ACTIONS.items():
        connection.execute(sa.update(event).where(event.c.what == new).values(what=old))


def _name(sentence: str, prefix: str) -> str:
    return sentence.removeprefix(prefix).removesuffix(".")
