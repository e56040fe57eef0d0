"""the words of orders in an index; indexes for sorting, and for what the rail counts of a supplier"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

log = logging.getLogger(__name__)

MESSAGE_NEEDS = sa.text(
    "(coalesce(state, '') IN ('refused', 'failed')"
    " OR (coalesce(state, '') = 'cancelled' AND unknown_outcome))"
    " AND (closed_at_attempt IS NULL OR closed_at_attempt < attempts_made)"
)
INBOUND_NEEDS = sa.text("coalesce(effect, '') = 'unmatched' AND closed_at IS NULL")
# SQLite looks into the row for what a partial index's own condition names, unless the index has it too.
COVERING = (
    (
        *("ix_message_needing", "message", MESSAGE_NEEDS),
        ["id", "supplier_b2b_id", "state", "unknown_outcome", "closed_at_attempt", "attempts_made"],
    ),
    (
        *("ix_inbound_message_needing", "inbound_message", INBOUND_NEEDS),
        ["id", "supplier_b2b_id", "effect", "closed_at"],
    ),
)
SORTS = (
    ("ix_purchase_order_delivery_date", ["delivery_date", "id"]),
    ("ix_purchase_order_buyer_po_number", ["buyer_po_number", "id"]),
)
SQLITE = (
    # "case_sensitive": the words are casefolded already, by rules that SQLite does not know.
    "CREATE VIRTUAL TABLE order_words USING fts5(search_text, content='purchase_order', content_rowid='id',"
    " tokenize='trigram case_sensitive 1')",
    "INSERT INTO order_words (order_words) VALUES ('rebuild')",
    "CREATE TRIGGER order_words_added AFTER INSERT ON purchase_order BEGIN"
    " INSERT INTO order_words (rowid, search_text) VALUES (NEW.id, NEW.search_text); END",
    "CREATE TRIGGER order_words_gone AFTER DELETE ON purchase_order BEGIN"
    " INSERT INTO order_words (order_words, rowid, search_text) VALUES ('delete', OLD.id, OLD.search_text);"
    " END",
    "CREATE TRIGGER order_words_changed AFTER UPDATE OF search_text ON purchase_order BEGIN"
    " INSERT INTO order_words (order_words, rowid, search_text) VALUES ('delete', OLD.id, OLD.search_text);"
    " INSERT INTO order_words (rowid, search_text) VALUES (NEW.id, NEW.search_text); END",
)
POSTGRESQL = (
    "CREATE TABLE order_words (order_id integer PRIMARY KEY REFERENCES purchase_order ON DELETE CASCADE,"
    " words text NOT NULL)",
    "INSERT INTO order_words SELECT id, search_text FROM purchase_order",
    "CREATE FUNCTION order_words_follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO order_words VALUES (NEW.id, NEW.search_text)"
    " ON CONFLICT (order_id) DO UPDATE SET words = EXCLUDED.words; RETURN NULL; END $$",
    "CREATE TRIGGER order_words_follow AFTER INSERT OR UPDATE OF search_text ON purchase_order"
    " FOR EACH ROW EXECUTE FUNCTION order_words_follow()",
)
TRIGRAMS = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX ix_order_words_words ON order_words USING gin (words gin_trgm_ops)",
)


def upgrade() -> None:
    for name, columns in SORTS:
        op.create_index(name, "purchase_order", columns)
    for name, table, condition, columns in COVERING:
        op.drop_index(name, table)
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
    if op.get_bind().dialect.name == "postgresql":
        _all(POSTGRESQL)
        _if_possible(
            TRIGRAMS,
            "the extension pg_trgm is not to be had: search reads all orders. Let a superuser run"
            f" {TRIGRAMS[0]!r} and then {TRIGRAMS[1]!r}",
        )
    else:
        _if_possible(SQLITE, "this SQLite has no trigrams (3.34, FTS5): orders are searched without an index")


def _all(statements: tuple[str, ...]) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _if_possible(statements: tuple[str, ...], otherwise: str) -> None:
    try:
        with op.get_bind().begin_nested():
            _all(statements)
    except DBAPIError as error:
        log.warning("%s (%s)", otherwise, error.orig)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER order_words_follow ON purchase_order")
        op.execute("DROP FUNCTION order_words_follow()")
    else:
        for name in ("added", "gone", "changed"):
            op.execute(f"DROP TRIGGER IF EXISTS order_words_{name}")
    op.execute("DROP TABLE IF EXISTS order_words")
    for name, table, condition, _ in COVERING:
        op.drop_index(name, table)
        op.create_index(name, table, ["id"], sqlite_where=condition, postgresql_where=condition)
    for name, _ in SORTS:
        op.drop_index(name, "purchase_order")
