"""How much there is of what in a month of much work: by that SQLite chooses among indexes.

PostgreSQL looks by itself, SQLite never does: it would guess, or go by what somebody's ANALYZE saw once, and
with a hundred thousand orders a wrong guess is the difference between a millisecond and half a second. To
look at all of it keeps writers waiting for seconds. What is right for much is right for little as well, so
each database is told the same.

The numbers are those of ANALYZE over what ``flask seed`` makes: how many rows an index has, then how many
there are of each value of its first column, of its first two, and so on.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

TYPICAL = {
    "attempt": {
        "ix_attempt_by_hand": "6000 2000 1",
        "ix_attempt_ended_at": "600000 1",
        "ix_attempt_status_message_id": "600000 85715 2",
        "sqlite_autoindex_attempt_1": "600000 4 1",
    },
    "audit_entry": {
        "ix_audit_entry_actor_id": "200000 40000 1",
        "ix_audit_entry_address": "200000 20000 1",
        "ix_audit_entry_at": "200000 1",
        "ix_audit_entry_deed_id": "200000 33334 1",
        "ix_audit_entry_object": "200000 66680 1 1",
    },
    "decision": {
        "ix_decision_report": "200000 1 1 1 1 1 1 1 1",
        "sqlite_autoindex_decision_1": "200000 1",
        "sqlite_autoindex_decision_2": "200000 1 1",
    },
    "inbound_message": {
        "ix_inbound_message_answer_status_id": "212938 106469 1",
        "ix_inbound_message_buyer_po_number": "212938 1",
        "ix_inbound_message_effect_id": "212938 70980 1",
        "ix_inbound_message_needing": "835 1 1 1 1",
        "ix_inbound_message_object_id": "212938 1",
        "ix_inbound_message_order_id": "212938 1",
        "ix_inbound_message_partner_id_id": "212938 70980 1",
        "ix_inbound_message_repeat_of": "212938 102",
        "ix_inbound_message_supplier_b2b_id_id": "212938 106469 1",
        "sqlite_autoindex_inbound_message_1": "212938 1",
        "uq_inbound_message_same": "210000 70000 1",
    },
    "message": {
        "ix_message_asked": "20 10 1",
        "ix_message_buyer_po_number": "200000 1",
        "ix_message_due": "1400 467 1",
        "ix_message_leased": "200 1",
        "ix_message_needing": "7000 1 1 1 1 1 1",
        "ix_message_object_id": "200000 1",
        "ix_message_partner_id_id": "200000 66667 1",
        "ix_message_partner_id_state_id": "200000 66667 14286 1",
        "ix_message_req_msg_id": "180000 1",
        "ix_message_retried": "109618 18270 1",
        "ix_message_state_id": "200000 33334 1",
        "ix_message_supplier_b2b_id_id": "200000 100000 1",
        "sqlite_autoindex_message_1": "200000 1",
        "sqlite_autoindex_message_2": "200000 1 1",
        "uq_message_live_order_id": "1600 1",
    },
    "purchase_order": {
        "ix_purchase_order_answer": "210000 52500 1 1",
        "ix_purchase_order_buyer_po_number": "210000 1 1",
        "ix_purchase_order_delivery": "210000 30000 1 1",
        "ix_purchase_order_delivery_date": "210000 26250 1",
        "ix_purchase_order_message_id": "210000 1",
        "ix_purchase_order_received_at": "210000 1 1",
        "ix_purchase_order_respond_by": "210000 1 1",
        "ix_purchase_order_supplier": "210000 105000 1 1",
        "ix_purchase_order_waits": "19400 1 1 1",
        "sqlite_autoindex_purchase_order_1": "210000 70000 1",
    },
    "revision": {"sqlite_autoindex_revision_1": "210000 1 1"},
}
"""By table and index."""


OURS = "as-told"
"""Follows each of our numbers. SQLite passes over words there that it does not know; ANALYZE writes none."""


def tell(connection: Connection) -> None:
    """Tell an SQLite database; connections that are made from then on heed it.

    Tables for which somebody's own ANALYZE has numbers keep them: whoever looked knows better, or meant to.
    """
    # This makes the table of these numbers, and looks at one index of hardly a row.
    connection.exec_driver_sql("ANALYZE alembic_version")
    found = connection.execute(text("SELECT tbl, idx, stat FROM sqlite_stat1")).all()
    theirs = {row.tbl for row in found if not _is_ours(*row)}
    for table, indexes in TYPICAL.items():
        if table in theirs:
            continue
        connection.execute(text("DELETE FROM sqlite_stat1 WHERE tbl = :tbl"), {"tbl": table})
        connection.execute(
            text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:tbl, :idx, :stat)"),
            [{"tbl": table, "idx": index, "stat": f"{stat} {OURS}"} for index, stat in indexes.items()],
        )
    connection.execute(text("DELETE FROM sqlite_stat1 WHERE tbl = 'alembic_version'"))


def _is_ours(table: str, index: str | None, stat: str) -> bool:
    # Earlier versions of this code told the same without a mark.
    return stat.endswith(f" {OURS}") or TYPICAL.get(table, {}).get(index or "") == stat
