"""Add columns and indexes for filters of orders by amount and buyer, and views of the team."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

BATCH = 1_000
PAISE_MAX = 2**63 - 1
ORDERS = sa.table(
    "purchase_order",
    sa.column("id", sa.Integer),
    sa.column("total", sa.String),
    sa.column("total_paise", sa.BigInteger),
)


def upgrade() -> None:
    paise = sa.Column("total_paise", sa.BigInteger(), nullable=False, server_default="-1")
    op.add_column("purchase_order", paise)
    _fill(op.get_bind())
    op.create_index("ix_purchase_order_total", "purchase_order", ["total_paise", "id"])
    op.create_index("ix_purchase_order_buyer", "purchase_order", ["buyer_b2b_id", "respond_by", "id"])
    op.add_column(
        "saved_view", sa.Column("is_shared", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("saved_view", "is_shared")
    op.drop_index("ix_purchase_order_buyer", "purchase_order")
    op.drop_index("ix_purchase_order_total", "purchase_order")
    op.drop_column("purchase_order", "total_paise")


def _fill(connection: sa.Connection) -> None:
    query = sa.select(ORDERS.c.id, ORDERS.c.total).where(ORDERS.c.total.is_not(None)).order_by(ORDERS.c.id)
    update = (
        sa.update(ORDERS)
        .where(ORDERS.c.id == sa.bindparam("of_id"))
        .values(total_paise=sa.bindparam("paise"))
    )
    last = 0
    while rows := connection.execute(query.where(ORDERS.c.id > last).limit(BATCH)).all():
        connection.execute(update, [{"of_id": row.id, "paise": _paise(row.total)} for row in rows])
        last = rows[-1].id


def _paise(total: str) -> int:
    rupees = Decimal(total).min(Decimal(PAISE_MAX))
    return min(max(int((rupees * 100).to_integral_value(ROUND_HALF_UP)), 0), PAISE_MAX)
