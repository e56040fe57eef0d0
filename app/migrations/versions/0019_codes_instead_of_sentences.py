"""codes instead of sentences for messages, bulk resends and paused partners"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BATCH = 1000
PARAMS = sa.JSON().with_variant(JSONB(), "postgresql")
message = sa.table(
    "message",
    *(sa.column(name) for name in ("id", "state", "reason", "note", "note_code", "cancel_requested")),
    sa.column("note_params", PARAMS),
    sa.column("cancel_params", PARAMS),
)
resend_item = sa.table("resend_item", sa.column("why_not"))
partner = sa.table(
    "partner",
    *(sa.column(name) for name in ("id", "paused_reason", "pause_code")),
    sa.column("pause_params", PARAMS),
)

MAYBE_RECEIVED = "The partner may have received it."
MAYBE_CANCELED = (
    " An earlier try of it may have reached the partner.",
    " It was withdrawn while it was being sent; it may have reached the partner.",
)
NEXT_STEP = re.compile(
    r" (It is not sent again by itself|No try is left; it can be sent again by hand"
    r"|It waits until the partner is resumed|It is tried again by itself|The next try is [^.]*)\.$"
)
FAILED_RESEND = "Sent again by hand, in vain. "
REPEATEDLY_INTERRUPTED = re.compile(r"Its deliverer was lost (\d+) times in a row\.")
LATE_DELIVERY = "The network reported later that it took the answer."
# Reasons whose sentence is made of the message's other columns.
KNOWN_REASONS = {
    *("delivered", "already_received", "refused_by_partner", "refused_status", "unreadable_answer"),
    *("wrong_object", "redirect", "credentials", "gone", "busy", "server_error", "interrupted"),
}
CANCEL_REASONS = (
    (r"The buyer changed the order to version (?P<version>\d+)\.", "order_changed"),
    (r"The buyer has cancelled the order\.", "order_canceled"),
    (r"The buyer has closed the order\.", "order_closed"),
    (r"(?P<name>.+?) withdrew it: (?P<why>.+)\.", "person"),
    (r"(?P<name>.+) took it back before it left\.", "undo"),
)
BLOCKERS = {
    "It is being sent right now.": "sending",
    "The network has it already.": "delivered",
    "It was withdrawn.": "canceled",
    "It was withdrawn: it must not leave any more.": "canceled",
    "Its content is not kept any more: its time was over.": "content_deleted",
    "The network looked at exactly this message and refused it later. Answer the order again.": (
        "refused_later"
    ),
    "Somebody has asked for it already.": "requested",
    "Somebody has asked for it already; it leaves as soon as it can.": "requested",
    "An answer to its order is still under way.": "in_flight",
    "An answer to this order is still under way. Wait until that try has ended.": "in_flight",
    "The order has been answered again since.": "superseded",
    "The buyer cancelled or closed the order.": "order_ended",
    "Sending to the network is paused. Let it go on first.": "partner_paused",
    "It is not kept any more.": "deleted",
}


def upgrade() -> None:
    op.add_column("message", sa.Column("note_code", sa.String(24), nullable=False, server_default=""))
    op.add_column("message", sa.Column("note_params", PARAMS, nullable=False, server_default="{}"))
    op.add_column("message", sa.Column("cancel_params", PARAMS, nullable=False, server_default="{}"))
    op.add_column("partner", sa.Column("pause_code", sa.String(24), nullable=False, server_default=""))
    op.add_column("partner", sa.Column("pause_params", PARAMS, nullable=False, server_default="{}"))
    _convert_messages()
    _convert_blockers()
    _convert_partners()
    op.drop_column("message", "note")


def downgrade() -> None:
    """Codes become the text that an older version shows."""
    op.add_column("message", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.execute(sa.update(message).values(note=message.c.note_code))
    op.drop_column("partner", "pause_params")
    op.drop_column("partner", "pause_code")
    op.drop_column("message", "cancel_params")
    op.drop_column("message", "note_params")
    op.drop_column("message", "note_code")


def cancel_code(sentence: str) -> tuple[str, dict[str, Any]]:
    """The code and the parameters of a stored reason to cancel."""
    for pattern, code in CANCEL_REASONS:
        if match := re.fullmatch(pattern, sentence):
            params: dict[str, Any] = match.groupdict()
            if "version" in params:
                params["version"] = int(params["version"])
            return code, params
    return "text", {"text": sentence}


def note_code(note: str, state: str, reason: str, cancel_requested: str | None) -> tuple[str, dict[str, Any]]:
    """The code and the parameters of a stored note."""
    if not note:
        return "", {}
    if state == "cancelled" and cancel_requested and note.startswith(cancel_requested):
        rest = note.removeprefix(cancel_requested)
        if not rest or rest in MAYBE_CANCELED:
            return "canceled", {"maybe_received": bool(rest)}
    if note == LATE_DELIVERY:
        return "late_delivery", {}
    if match := REPEATEDLY_INTERRUPTED.match(note):
        return "repeatedly_interrupted", {"count": int(match[1])}
    if reason in KNOWN_REASONS and state != "cancelled" and not note.startswith(FAILED_RESEND):
        return "attempt", {"maybe_received": MAYBE_RECEIVED in note}
    return "text", {"text": NEXT_STEP.sub("", note)}


def _convert_messages() -> None:
    bind = op.get_bind()
    change = (
        sa.update(message)
        .where(message.c.id == sa.bindparam("of_message"))
        .values(
            note_code=sa.bindparam("new_note"),
            note_params=sa.bindparam("new_note_params", type_=PARAMS),
            cancel_requested=sa.bindparam("new_cancel_requested"),
            cancel_params=sa.bindparam("new_cancel_params", type_=PARAMS),
        )
    )
    for rows in _messages():
        changes = []
        for row in rows:
            note, note_params = note_code(row.note, row.state, row.reason, row.cancel_requested)
            code, params = cancel_code(row.cancel_requested) if row.cancel_requested else (None, {})
            changes.append(
                {
                    "of_message": row.id,
                    "new_note": note,
                    "new_note_params": note_params,
                    "new_cancel_requested": code,
                    "new_cancel_params": params,
                }
            )
        bind.execute(change, changes)


def _messages() -> Iterator[Any]:
    """All messages with a sentence, in batches by id."""
    after = ""
    has_sentence = sa.or_(message.c.note != "", message.c.cancel_requested.is_not(None))
    while True:
        rows = (
            op.get_bind()
            .execute(
                sa.select(message)
                .where(message.c.id > after, has_sentence)
                .order_by(message.c.id)
                .limit(BATCH)
            )
            .all()
        )
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _convert_blockers() -> None:
    for sentence, code in BLOCKERS.items():
        op.execute(sa.update(resend_item).where(resend_item.c.why_not == sentence).values(why_not=code))
    # A sentence that named why the message was canceled.
    op.execute(
        sa.update(resend_item)
        .where(resend_item.c.why_not.like("It must not leave any more.%"))
        .values(why_not="canceled")
    )


def pause_code(sentence: str) -> tuple[str, dict[str, Any]]:
    """The code and the parameters of a pause by the app; empty for a person's reason."""
    if match := re.fullmatch(r"(.+) answered 410: it says that it is gone for good\.", sentence):
        return "gone", {"url": match[1]}
    pattern = r"(\d+) answers in a row were (\d+) or alike: the key or the address is wrong\."
    if match := re.fullmatch(pattern, sentence):
        return "credentials", {"count": int(match[1]), "status": int(match[2])}
    return "", {}


def _convert_partners() -> None:
    bind = op.get_bind()
    rows = bind.execute(
        sa.select(partner.c.id, partner.c.paused_reason).where(partner.c.paused_reason != "")
    ).all()
    for row in rows:
        code, params = pause_code(row.paused_reason)
        if code:
            bind.execute(
                sa.update(partner)
                .where(partner.c.id == row.id)
                .values(paused_reason="", pause_code=code, pause_params=params)
            )
