"""The list of orders: its filters, columns and rows, and moving through it one order at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from flask import request, url_for
from sqlalchemy import Select
from werkzeug.datastructures import MultiDict

from app.accounts import access
from app.accounts.access import Permission
from app.db.filters import COUNT_MAX, Page
from app.network.text import whole_number
from app.orders import bulk_response, inbox_presenters, inbox_queries, list_navigation, queries
from app.orders.forms import OrderFilterForm
from app.orders.models import PurchaseOrder
from app.partners.queries import partner_choices
from app.ui import web
from app.ui.listing import Choices, Column, Group, Listing, ListPage, ListRequest, read_filter
from app.ui.sidebar import current_sidebar
from app.webhooks.queries import messages_of_order

LIST_QUERY_MAX = 2000
"""Characters of a list's query string in the URL of an order."""


def order_filter(values: Mapping[str, Any]) -> inbox_queries.OrderFilter:
    """The filter of the query for the values of the form."""
    return inbox_queries.OrderFilter(**with_own_name(values))


def with_own_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the form with the reader's username for ``me``."""
    if values.get("assigned") == inbox_queries.ME:
        return {**values, "assigned": access.current_person().username}
    return dict(values)


def filter_values(query: str) -> dict[str, Any]:
    """The valid filters of a list's query string. Invalid ones are ignored, since anyone can edit the URL."""
    try:
        pairs = parse_qsl(query, max_num_fields=50)
    except ValueError:
        return {}
    form = OrderFilterForm(MultiDict([pair for pair in pairs if "\0" not in pair[1]]))
    values, _ = read_filter(form, web.zone())
    values.pop("after", None)
    return values


def opened_list() -> str:
    """The query string of the list that the reader opened the order from; empty without one."""
    text = request.values.get("list") or request.values.get("next") or ""
    return text if len(text) <= LIST_QUERY_MAX else ""


def _load(list_request: ListRequest) -> ListPage:
    try:
        page = _page(list_request)
    except inbox_queries.InvalidCursor:
        list_request.drop_page(inbox_presenters.PAGE_GONE)
        page = _page(list_request)
    can_assign, can_respond = (access.can(needed) for needed in (Permission.ASSIGN, Permission.RESPOND))
    rows = [inbox_presenters.order_row(order, can_assign=can_assign) for order in page.rows]
    work_queue = inbox_presenters.order_queue(list_request.values)
    has_more = page.next_after is not None or not list_request.is_first_page
    counts = current_sidebar().queues if not web.wants_fragment() else None
    return ListPage(
        groups=[Group(rows)],
        next_after=page.next_after,
        title=work_queue.title,
        summary=inbox_presenters.queue_summary(
            work_queue, counts, len(rows), first=list_request.is_first_page, last=not page.next_after
        ),
        active_page=work_queue.name,
        newest=str(inbox_queries.newest_revision_id(web.db())),
        empty=inbox_presenters.empty_list(work_queue, list_request.values),
        can_select=any(row.can_select for row in rows),
        context={
            "list_query": inbox_presenters.list_query(list_request.query),
            "matching": _matching(list_request, work_queue, counts) if can_respond and has_more else 0,
            "matching_max": bulk_response.ORDERS_MAX,
        },
    )


def _matching(
    list_request: ListRequest, work_queue: inbox_presenters.Queue, counts: queries.QueueCounts | None
) -> int:
    """How many orders of the whole list need a response, for the button that selects all of them."""
    known = work_queue.count(counts) if counts else None
    if known is not None and known < COUNT_MAX:
        return known
    filters, most = order_filter(list_request.filters), bulk_response.ORDERS_MAX + 1
    return list_navigation.open_count(web.db(), access.visible_suppliers(), filters, most=most)


def _page(list_request: ListRequest) -> Page[PurchaseOrder]:
    filters = order_filter(list_request.values)
    return inbox_queries.order_page(web.db(), access.visible_suppliers(), filters)


def _newer_ids(list_request: ListRequest, than: str) -> Select[int]:
    filters, newest = order_filter(list_request.filters), whole_number(than) or 0
    return inbox_queries.newer_ids(web.db(), access.visible_suppliers(), filters, newest)


def _suppliers() -> Choices:
    return inbox_queries.supplier_choices(web.db(), access.visible_suppliers())


def _assignees() -> Choices:
    people = inbox_queries.assignees(web.db(), access.visible_suppliers())
    names = [(person.username, person.display_name) for person in people]
    return [(inbox_queries.ME, "Me"), (inbox_queries.UNASSIGNED, "Unassigned"), *names]


ORDERS = Listing(
    name="orders",
    title="Orders",
    noun=("order", "orders"),
    endpoint="orders.inbox",
    form=OrderFilterForm,
    bar=("answer", "due", "assigned", "sort"),
    search_hint="PO, buyer, item, remark",
    columns=(
        Column("order", "Order", sort="buyer_po_number", is_optional=False),
        Column("subject", "Subject"),
        Column("due", "Respond by", sort="respond_by"),
        Column("date", "Deliver by", sort="delivery_date"),
        Column("received", "Received", sort="received_at", is_default=False, is_extra=True),
        Column("supplier", "Supplier", is_default=False, is_extra=True),
        Column("partner", "Partner", is_default=False, is_extra=True),
        Column("assignee", "Assignee", is_default=False, is_extra=True),
        Column("total", "Total", sort="amount", is_number=True),
        Column("state", "Status", is_optional=False),
    ),
    load=_load,
    newer_ids=_newer_ids,
    options={"partner": lambda: partner_choices(web.db()), "supplier": _suppliers, "assigned": _assignees},
    counts_queues=True,
)


# --- Moving through a list: its query string is in the URL of each order


def current_list() -> str:
    """The query string of the reader's list; by default, the list of all orders that need a response."""
    return opened_list() or "answer=open"


def list_filter(query: str) -> inbox_queries.OrderFilter:
    """The filter of a list by its query string."""
    return order_filter(filter_values(query))


def order_url(order_id: int, anchor: str | None = None) -> str:
    """The URL of an order within the reader's list."""
    return url_for("orders.order", order_id=order_id, list=opened_list() or None, _anchor=anchor)


def next_url(responded: PurchaseOrder | None = None) -> str:
    """The page of the next order of the list that needs a response, or the end of the list."""
    query = current_list()
    next_id = list_navigation.next_open(web.db(), access.visible_suppliers(), list_filter(query), responded)
    responded_id = responded.id if responded else None
    if next_id is None:
        return url_for("orders.done", list=query, responded=responded_id)
    return url_for("orders.order", order_id=next_id, list=query, responded=responded_id)


def list_position(order: PurchaseOrder) -> list_navigation.ListPosition | None:
    """Where the order is in the list that was opened; None without a list."""
    query = opened_list()
    if not query or web.wants_fragment():
        return None
    return list_navigation.list_position(web.db(), access.visible_suppliers(), list_filter(query), order)


def responded_order() -> dict[str, Any] | None:
    """The order that was responded to just before, for the notice on the next page; None without one."""
    order_id = request.args.get("responded", type=int)
    if order_id is None or not 0 < order_id < 2**31:
        return None
    order = queries.order(web.db(), access.visible_suppliers(), order_id)
    last = order.last_decision if order else None
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
