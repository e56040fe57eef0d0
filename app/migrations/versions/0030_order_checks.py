"""Index the items of orders, and store dismissed order checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

from app.network.text import read_date, search_key

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BATCH = 200
NUMBER_MAX = Decimal(10) ** 15
order = sa.table(
    "purchase_order", *(sa.column(name) for name in ("id", "version", "supplier_b2b_id", "buyer_b2b_id"))
)
order_revision = sa.table("revision", *(sa.column(name) for name in ("order_id", "version", "body")))
TEXTS = ("quantity", "unit", "unit_price", "hsn_code", "gst_rate")


def upgrade() -> None:
    item = op.create_table(
        "order_item",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("supplier_b2b_id", sa.String(100), nullable=False),
        sa.Column("buyer_b2b_id", sa.String(100), nullable=False),
        sa.Column("item_key", sa.String(32), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(40), nullable=name not in ("unit", "hsn_code")) for name in TEXTS),
        sa.Column("lead_days", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["purchase_order.id"],
            name="fk_order_item_order_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "order_check_dismissal",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("reference", sa.String(100), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("person_name", sa.String(120), nullable=False),
        sa.Column("dismissed_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["purchase_order.id"],
            name="fk_order_check_dismissal_order_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_order_check_dismissal_person_id"),
        sa.UniqueConstraint(
            "order_id",
            "version",
            "kind",
            "reference",
            name="uq_order_check_dismissal_order_id_version_kind_reference",
        ),
    )
    _index_orders(item)
    op.create_index(
        "ix_order_item_history", "order_item", ["supplier_b2b_id", "buyer_b2b_id", "item_key", "order_id"]
    )
    op.create_index("ix_order_item_order_id", "order_item", ["order_id"])


def _index_orders(item: sa.Table) -> None:
    """Index the current version of every order; one that cannot be read has no rows."""
    connection, last = op.get_bind(), 0
    joined = order.join(
        order_revision,
        (order_revision.c.order_id == order.c.id) & (order_revision.c.version == order.c.version),
    )
    while True:
        query = (
            sa.select(order.c.id, order.c.supplier_b2b_id, order.c.buyer_b2b_id, order_revision.c.body)
            .select_from(joined)
            .where(order.c.id > last)
            .order_by(order.c.id)
            .limit(BATCH)
        )
        orders = connection.execute(query).all()
        if not orders:
            return
        rows = [row for known in orders for row in _rows(*known)]
        if rows:
            connection.execute(sa.insert(item), rows)
        last = orders[-1].id


def _rows(order_id: int, supplier: str, buyer: str, body: Any) -> Iterator[dict[str, Any]]:
    try:
        sent = json.loads(bytes(body), parse_float=Decimal)["purchaseOrder"]
        ordered, due = read_date(sent["orderDate"]), read_date(sent["deliveryDate"])
        lines = [(place, line) for place, line in enumerate(sent["itemLists"]) if isinstance(line, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for place, line in lines:
        words = search_key(_text(line.get("productDescription")))
        if not words:
            continue
        yield {
            "order_id": order_id,
            "supplier_b2b_id": supplier,
            "buyer_b2b_id": buyer,
            "item_key": hashlib.sha256(words.encode()).hexdigest()[:32],
            "place": place,
            "quantity": _number(line.get("quantity")),
            "unit": _text(line.get("unit"))[:40],
            "unit_price": _number(line.get("unitPrice")),
            "hsn_code": _text(line.get("hsnCode"))[:40],
            "gst_rate": _number(line.get("gstRate")),
            "lead_days": (due - ordered).days if ordered and due else None,
        }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    text = format(number.normalize(), "f") if abs(number) < NUMBER_MAX else ""
    return text if 0 < len(text) <= 40 else None


def downgrade() -> None:
    op.drop_table("order_check_dismissal")
    op.drop_table("order_item")
