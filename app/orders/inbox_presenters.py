"""Labels and sentences of the inbox: its work queues, its rows, and the position of an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Flask

from app import clock
from app.db.filters import COUNT_MAX
from app.network.text import pluralize
from app.orders.list_navigation import ListPosition
from app.orders.models import PurchaseOrder, ResponseState
from app.orders.presenters import delivery_chip, is_superseded, order_chip, urgency
from app.orders.queries import SOON_HOURS, QueueCounts
from app.ui.chips import Chip
from app.ui.listing import EmptyList
from app.ui.numbers import pluralize_capped

PAGE_GONE = "That page no longer exists. Showing page 1."


@dataclass(frozen=True, slots=True)
class Queue:
    """The work queue that a filter selects; ``is_exact`` if nothing else narrows the list."""

    name: str
    title: str
    is_exact: bool

    def count(self, counts: QueueCounts) -> int | None:
        """How many orders of the list need a response, counted up to ``COUNT_MAX``; None if not counted."""
        if not self.is_exact:
            return None
        return int(getattr(counts, "needs_response" if self.name == "all" else self.name))


QUEUE_TITLES = {
    "overdue": "Overdue",
    "soon": "Due soon",
    "needs_response": "Needs response",
    "changed": "Changed since response",
    "all": "All orders",
}
_EMPTY_QUEUES = {
    "overdue": "No orders are overdue.",
    "soon": f"No orders are due in the next {SOON_HOURS} hours.",
    "needs_response": "Every order has a response.",
    "changed": "No order was changed after a response.",
}


def order_queue(values: Mapping[str, Any]) -> Queue:
    """The work queue of the list's filter values."""
    due, response = values.get("due"), values.get("answer")
    by_response = {"open": "needs_response", "changed": "changed"}
    name = due or by_response.get(response or "", "all")
    narrowing = set(values) - {"due", "answer", "sort", "after"}
    return Queue(name, QUEUE_TITLES[name], is_exact=not narrowing and not (due and response))


def list_query(filters: Mapping[str, Any]) -> str:
    """The query string of a list, which its orders carry in their URLs; it is never empty."""
    return urlencode(filters) or "sort=respond_by"


def position_label(list_position: ListPosition) -> str:
    """Where an order is in its list, such as ``1 of 47``."""
    total = "1,000+" if list_position.total >= COUNT_MAX else str(list_position.total)
    if list_position.position is None:
        return f"{total} in this list"
    if list_position.position >= COUNT_MAX:
        return "after the first 1,000"
    return f"{list_position.position} of {total}"


def end_of_list(remaining: int) -> tuple[str, str]:
    """The title and the sentence after the last order of a list."""
    if not remaining:
        return "All done", "Every order in this list has a response."
    verb = "needs" if remaining == 1 else "need"
    return (
        "End of the list",
        f"{pluralize_capped(remaining, 'order')} that you skipped still {verb} a response.",
    )


def queue_summary(queue: Queue, counts: QueueCounts | None, shown: int, *, first: bool, last: bool) -> str:
    """How many orders the list has: exact for a work queue, else as many as the page shows.

    ``counts`` is None if they were not queried; ``first`` and ``last`` say which page is shown.
    """
    total = queue.count(counts) if counts and queue.name != "all" else None
    if counts and total is not None:
        late = f", {counts.overdue} overdue" if queue.name == "needs_response" and counts.overdue else ""
        return pluralize_capped(total, "order") + (late if total < COUNT_MAX else "")
    if not first:
        return f"{pluralize(shown, 'order')} on this page"
    return pluralize(shown, "order") if last else f"{shown}+ orders"


SHOW_ALL = "Show all orders"


def empty_list(queue: Queue, values: Mapping[str, Any]) -> EmptyList:
    """Why the list is empty: no match, a queue that is done, or no orders at all."""
    if query := values.get("q"):
        return EmptyList("nothing", "No matches", f"No orders match “{query}”.", SHOW_ALL)
    if queue.is_exact and queue.name != "all":
        return EmptyList("done", "All done", _EMPTY_QUEUES[queue.name], SHOW_ALL)
    if set(values) - {"sort", "after"}:
        return EmptyList("nothing", "No matches", "No orders match these filters.", SHOW_ALL)
    return EmptyList("empty", "No orders yet", "Orders appear here when a partner sends one.")


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in the list. It is plain if nothing happened since it was received."""

    order: PurchaseOrder
    chip: Chip
    delivery: Chip | None
    delivery_prefix: str
    urgency: str
    can_select: bool
    is_plain: bool


def order_row(order: PurchaseOrder, *, can_assign: bool) -> OrderRow:
    """An order in the list. ``can_assign``: everyone who can respond has this permission."""
    return OrderRow(
        order=order,
        chip=order_chip(order),
        delivery=delivery_chip(order),
        delivery_prefix="previous response: " if is_superseded(order) else "",
        urgency=urgency(order, clock.now()),
        can_select=can_assign and order.needs_response,
        is_plain=order.response is ResponseState.NONE and order.needs_response,
    )


def init_app(app: Flask) -> None:
    """Register the template functions of lists of orders."""
    app.jinja_env.globals.update(end_of_list=end_of_list, position_label=position_label)
