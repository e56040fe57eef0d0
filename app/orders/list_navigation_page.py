"""Working through a list of orders: the list in the URL, the position of an order, and what comes next."""

from __future__ import annotations

from typing import Any

from flask import request, url_for

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.orders import decisions, list_navigation, queries
from app.orders.listing import filter_values, opened_list, order_filter
from app.orders.models import PurchaseOrder
from app.ui import web
from app.webhooks.queries import messages_of_order


def current_list() -> str:
    """The query string of the list that the reader works through; by default, all to respond to."""
    return opened_list() or "answer=open"


def list_filter(query: str) -> queries.OrderFilter:
    """The filter of a list by its query string."""
    return order_filter(filter_values(query))


def order_url(order_id: int, anchor: str | None = None) -> str:
    """The page of an order, in the list that the reader works through."""
    return url_for("orders.order", order_id=order_id, list=opened_list() or None, _anchor=anchor)


def next_url(query: str, responded: PurchaseOrder | None) -> str:
    """The page of the next order of the list that needs a response, or the end of the list."""
    next_id = list_navigation.next_open(
        web.db(), access.visible_suppliers(), list_filter(query), clock.now(), responded
    )
    responded_id = responded.id if responded else None
    if next_id is None:
        return url_for("orders.done", list=query, responded=responded_id)
    return url_for("orders.order", order_id=next_id, list=query, responded=responded_id)


def list_position(order: PurchaseOrder) -> list_navigation.ListPosition | None:
    """Where the order is in the list that was opened; None without a list."""
    query = opened_list()
    if not query or web.wants_fragment():
        return None
    return list_navigation.list_position(
        web.db(), access.visible_suppliers(), list_filter(query), order, clock.now()
    )


def responded_order() -> dict[str, Any] | None:
    """The order that was responded to just before, for the notice on the next page; None without one."""
    order_id = request.args.get("responded", type=int)
    if order_id is None or not 0 < order_id < 2**31:
        return None
    order = queries.order(web.db(), access.visible_suppliers(), order_id)
    last = decisions.last_decision(web.db(), order) if order else None
    if order is None or last is None:
        return None
    messages = messages_of_order(web.db(), order.id)
    message = messages[0] if messages else None
    return {
        "order": order,
        "decision": last,
        "message": message,
        "can_undo": message is not None and message.is_undoable and access.can(Permission.RESPOND),
    }
