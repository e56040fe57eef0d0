"""orders: search text is normalized, delivery dates sort as dates"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa
from alembic import op

from app.network.text import read_date, search_key

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BATCH = 1_000
ORDERS = sa.table(
    "purchase_order",
    sa.column("id", sa.Integer),
    sa.column("delivery_date", sa.Text),
    sa.column("delivery_day", sa.Date),
    sa.column("search_text", sa.Text),
)


def upgrade() -> None:
    day = sa.Column("delivery_day", sa.Date(), nullable=False, server_default="9999-12-31")
    op.add_column("purchase_order", day)
    op.drop_index("ix_purchase_order_delivery_date", "purchase_order")
    _rewrite(op.get_bind())
    op.create_index("ix_purchase_order_delivery_day", "purchase_order", ["delivery_day", "id"])


def downgrade() -> None:
    op.drop_index("ix_purchase_order_delivery_day", "purchase_order")
    op.drop_column("purchase_order", "delivery_day")
    op.create_index("ix_purchase_order_delivery_date", "purchase_order", ["delivery_date", "id"])


def _rewrite(connection: sa.Connection) -> None:
    query = sa.select(ORDERS.c.id, ORDERS.c.delivery_date, ORDERS.c.search_text).order_by(ORDERS.c.id)
    update = (
        sa.update(ORDERS)
        .where(ORDERS.c.id == sa.bindparam("of_id"))
        .values(delivery_day=sa.bindparam("day"), search_text=sa.bindparam("words"))
    )
    last = 0
    while rows := connection.execute(query.where(ORDERS.c.id > last).limit(BATCH)).all():
        values = [
            {
                "of_id": order_id,
                "day": read_date(delivery_date) or date.max,
                "words": "\n".join(filter(None, map(search_key, search_text.split("\n")))),
            }
            for order_id, delivery_date, search_text in rows
        ]
        connection.execute(update, values)
        last = rows[-1].id
