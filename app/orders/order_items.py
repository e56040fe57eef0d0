"""An index of the items of all orders, to compare an order with earlier ones of the same buyer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, delete, insert, select
from sqlalchemy.orm import Session

from app.network.messages import ItemLine, PurchaseOrderBody
from app.network.text import read_date, search_key
from app.orders.models import OrderItem, PurchaseOrder

TEXT_MAX = 40
"""Characters of a unit or HSN code in the index."""


def index_items(session: Session, order: PurchaseOrder, body: PurchaseOrderBody) -> None:
    """Add the lines of the order's current version to the index."""
    if rows := item_rows(order.id, order.supplier_b2b_id, order.buyer_b2b_id, body):
        table: Any = OrderItem.__table__
        assert isinstance(table, Table)
        session.execute(insert(table), rows)


def remove_items(session: Session, order: PurchaseOrder) -> None:
    """Remove the order's lines from the index."""
    session.execute(delete(OrderItem).where(OrderItem.order_id == order.id))


def item_rows(
    order_id: int, supplier_b2b_id: str, buyer_b2b_id: str, body: PurchaseOrderBody
) -> list[dict[str, Any]]:
    """The rows of an order's lines; a line without a description has none."""
    ordered, due = read_date(body.order_date), read_date(body.delivery_date)
    lead_days = (due - ordered).days if ordered and due else None
    return [
        {
            "order_id": order_id,
            "supplier_b2b_id": supplier_b2b_id,
            "buyer_b2b_id": buyer_b2b_id,
            "item_key": key,
            "place": index,
            "quantity": _text(line.quantity),
            "unit": (line.unit or "")[:TEXT_MAX],
            "unit_price": _text(line.unit_price),
            "hsn_code": (line.hsn_code or "")[:TEXT_MAX],
            "gst_rate": _text(line.gst_rate),
            "lead_days": lead_days,
        }
        for index, line in enumerate(body.item_lists)
        if (key := item_key(line))
    ]


def item_key(line: ItemLine) -> str:
    """A digest of the description, since lines have no item code; empty without a description."""
    words = search_key(line.product_description or "")
    return hashlib.sha256(words.encode()).hexdigest()[:32] if words else ""


def items_of(session: Session, order_id: int, limit: int) -> Sequence[OrderItem]:
    """The first lines of an order in the index."""
    query = select(OrderItem).where(OrderItem.order_id == order_id).order_by(OrderItem.line_index)
    return session.scalars(query.limit(limit)).all()


def earlier_items(session: Session, item: OrderItem, limit: int) -> Sequence[tuple[OrderItem, PurchaseOrder]]:
    """The same item in earlier orders of the same buyer, newest first."""
    query = (
        select(OrderItem, PurchaseOrder)
        .join(PurchaseOrder, PurchaseOrder.id == OrderItem.order_id)
        .where(*_same_item(item), OrderItem.order_id < item.order_id)
        .order_by(OrderItem.order_id.desc(), OrderItem.line_index)
        .limit(limit)
    )
    return session.execute(query).all()


def orders_with_item(session: Session, item: OrderItem, limit: int) -> Sequence[PurchaseOrder]:
    """The newest other orders of the same buyer that have this item."""
    ids = (
        select(OrderItem.order_id)
        .where(*_same_item(item), OrderItem.order_id != item.order_id)
        .order_by(OrderItem.order_id.desc())
        .limit(limit)
    )
    query = (
        select(PurchaseOrder)
        .where(PurchaseOrder.id.in_(session.scalars(ids).all()))
        .order_by(PurchaseOrder.id.desc())
    )
    return session.scalars(query).all()


def _same_item(item: OrderItem) -> tuple[Any, ...]:
    return (
        OrderItem.supplier_b2b_id == item.supplier_b2b_id,
        OrderItem.buyer_b2b_id == item.buyer_b2b_id,
        OrderItem.item_key == item.item_key,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value.normalize(), "f")
