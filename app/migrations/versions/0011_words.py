"""words of orders and of the audit trail in indexes; sorts, and what the rail counts, as well"""

from __future__ import annotations

import logging
from collections.abc import Iterable

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
# Of the audit trail nothing is ever changed, so its index follows what is added and what is pruned.
WORDS = (
    ("order_words", "purchase_order", ("search_text",), "AFTER INSERT OR DELETE OR UPDATE OF search_text"),
    ("audit_words", "audit_entry", ("object_name", "reason", "actor"), "AFTER INSERT OR DELETE"),
)
NO_TRIGRAMS = "no trigrams are to be had here (%s): search reads every row. %s"
PG_TRGM = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
GIN = "CREATE INDEX ix_{0}_words ON {0} USING gin (words gin_trgm_ops)"


def _sqlite(name: str, table: str, columns: tuple[str, ...], _when: str) -> list[str]:
    listed, new, old = (", ".join(f"{row}{column}" for column in columns) for row in ("", "NEW.", "OLD."))
    add = f"INSERT INTO {name} (rowid, {listed}) VALUES (NEW.id, {new});"  # noqa: S608
    remove = f"INSERT INTO {name} ({name}, rowid, {listed}) VALUES ('delete', OLD.id, {old});"  # noqa: S608
    return [
        f"CREATE VIRTUAL TABLE {name} USING fts5({listed}, content='{table}', content_rowid='id',"
        " tokenize='trigram')",
        f"INSERT INTO {name} ({name}) VALUES ('rebuild')",  # noqa: S608
        f"CREATE TRIGGER {name}_added AFTER INSERT ON {table} BEGIN {add} END",
        f"CREATE TRIGGER {name}_gone AFTER DELETE ON {table} BEGIN {remove} END",
        f"CREATE TRIGGER {name}_changed AFTER UPDATE OF {listed} ON {table} BEGIN {remove} {add} END",
    ]


def _postgresql(name: str, table: str, columns: tuple[str, ...], when: str) -> list[str]:
    words, new = (
        "concat_ws(E'\\n', " + ", ".join(f"{row}{column}" for column in columns) + ")" for row in ("", "NEW.")
    )
    return [
        f"CREATE TABLE {name} (id integer PRIMARY KEY, words text NOT NULL)",
        f"INSERT INTO {name} SELECT id, {words} FROM {table}",  # noqa: S608
        f"CREATE FUNCTION {name}_follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"  # noqa: S608
        f" IF TG_OP = 'DELETE' THEN DELETE FROM {name} WHERE id = OLD.id; RETURN NULL; END IF;"
        f" INSERT INTO {name} VALUES (NEW.id, {new})"
        " ON CONFLICT (id) DO UPDATE SET words = EXCLUDED.words; RETURN NULL; END $$",
        f"CREATE TRIGGER {name}_follow {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}_follow()",
    ]


def upgrade() -> None:
    for name, columns in SORTS:
        op.create_index(name, "purchase_order", columns)
    for name, table, condition, columns in COVERING:
        op.drop_index(name, table)
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
    op.create_index("ix_audit_entry_address", "audit_entry", ["address", "id"])
    names = [name for name, *_ in WORDS]
    if op.get_bind().dialect.name == "postgresql":
        _all(statement for one in WORDS for statement in _postgresql(*one))
        trigrams = [PG_TRGM, *map(GIN.format, names)]
        _if_possible(trigrams, "A superuser can have them made: " + "; ".join(trigrams))
    else:
        _if_possible(
            [statement for one in WORDS for statement in _sqlite(*one)], "SQLite 3.34 with FTS5 has them."
        )


def _all(statements: Iterable[str]) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _if_possible(statements: list[str], advice: str) -> None:
    try:
        with op.get_bind().begin_nested():
            _all(statements)
    except DBAPIError as error:
        log.warning(NO_TRIGRAMS, error.orig, advice)


def downgrade() -> None:
    for name, table, *_ in WORDS:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER {name}_follow ON {table}")
            op.execute(f"DROP FUNCTION {name}_follow()")
        else:
            for part in ("added", "gone", "changed"):
                op.execute(f"DROP TRIGGER IF EXISTS {name}_{part}")
        op.execute(f"DROP TABLE IF EXISTS {name}")
    op.drop_index("ix_audit_entry_address", "audit_entry")
    for name, table, condition, _ in COVERING:
        op.drop_index(name, table)
        op.create_index(name, table, ["id"], sqlite_where=condition, postgresql_where=condition)
    for name, _ in SORTS:
        op.drop_index(name, "purchase_order")
