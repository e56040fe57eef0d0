"""The pages of the app, and search results as groups of links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import url_for

from app.accounts import access
from app.accounts.access import Permission
from app.audit import presenters as audit
from app.inbound.presenters import effect_chip, inbound_kind
from app.network.text import search_key
from app.orders.presenters import order_chip
from app.saved_views.models import SavedView
from app.saved_views.service import view_url
from app.search.queries import LIMIT, SearchResults
from app.ui.chips import Chip
from app.ui.numbers import money
from app.webhooks.presenters import message_chip


@dataclass(frozen=True, slots=True)
class Page:
    """A page with its title. ``key`` is the letter that opens it after G; empty if there is none."""

    title: str
    endpoint: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    permission: Permission = Permission.VIEW

    @property
    def url(self) -> str:
        """The URL of the page."""
        return url_for(self.endpoint, **self.arguments)


PAGES = (
    Page("Home", "reports.home_page", key="h"),
    Page("Needs response", "orders.inbox", {"answer": "open"}, key="n"),
    Page("Overdue", "orders.inbox", {"due": "overdue"}, key="v"),
    Page("Due soon", "orders.inbox", {"due": "soon"}, key="s"),
    Page("Changed", "orders.inbox", {"answer": "changed"}, key="c"),
    Page("All orders", "orders.inbox", key="l"),
    Page("Response report", "reports.response_report", key="r"),
    Page("Needs attention", "attention.index", key="a"),
    Page("Outgoing", "webhooks.log", key="o"),
    Page("Incoming", "inbound.log", key="i"),
    Page("Background jobs", "tasks.index", key="j"),
    Page("Delivery health", "reports.delivery_health", key="d", permission=Permission.VIEW_ALL),
    Page("Audit trail", "audit.trail", key="t", permission=Permission.VIEW_AUDIT_TRAIL),
    Page("Partners", "partners.index", key="p", permission=Permission.VIEW_ALL),
    Page("Users", "accounts.users", key="u", permission=Permission.MANAGE_USERS),
    Page("Suppliers", "accounts.suppliers", permission=Permission.MANAGE_USERS),
    Page("Notifications", "notifications.index", key="m"),
    Page("Account", "accounts.account"),
    Page("Saved views", "saved_views.index"),
)


def open_pages() -> list[Page]:
    """The pages that the signed-in person may open."""
    return [page for page in PAGES if access.can(page.permission)]


@dataclass(frozen=True, slots=True)
class Result:
    """A link with a title, a second line and, where the object has a state, its chip."""

    url: str
    title: str
    text: str = ""
    chip: Chip | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Results of one kind. ``more_url`` lists all of them, if there may be more."""

    name: str
    title: str
    results: Sequence[Result]
    more_url: str = ""


def groups(results: SearchResults, text: str, views: Iterable[SavedView]) -> list[Group]:
    """All groups that have results, orders first. Without a text only pages and views have any."""
    parts = [
        Group("orders", "Orders", _orders(results), _more("orders.inbox", text, results.orders)),
        Group("buyers", "Buyers", _buyers(results, text)),
        Group("pages", "Pages", _pages(text)),
        Group("views", "Views", _views(views, text)),
        Group("webhooks", "Outgoing", _webhooks(results), _more("webhooks.log", text, results.webhooks)),
        Group("inbound", "Incoming", _inbound(results), _more("inbound.log", text, results.inbound)),
        Group("audit", "Audit trail", _entries(results), _more("audit.trail", text, results.entries)),
    ]
    return [part for part in parts if part.results]


def _more(endpoint: str, text: str, shown: Sequence[object]) -> str:
    return url_for(endpoint, q=text) if len(shown) == LIMIT else ""


def _orders(results: SearchResults) -> list[Result]:
    return [
        Result(
            url_for("orders.order", order_id=order.id),
            order.buyer_po_number,
            " · ".join(filter(None, (order.buyer_name, order.total and money(order.total)))),
            order_chip(order),
        )
        for order in results.orders
    ]


def _buyers(results: SearchResults, text: str) -> list[Result]:
    names = dict.fromkeys(order.buyer_name for order in results.orders)
    return [
        Result(url_for("orders.inbox", q=name), name, "Orders of this buyer")
        for name in names
        if text and _matches(name, text)
    ]


def _pages(text: str) -> list[Result]:
    return [Result(page.url, page.title) for page in open_pages() if _matches(page.title, text)]


def _views(views: Iterable[SavedView], text: str) -> list[Result]:
    return [Result(view_url(view), view.name) for view in views if _matches(view.name, text)]


def _webhooks(results: SearchResults) -> list[Result]:
    return [
        Result(
            url_for("webhooks.message", message_id=message.id),
            message.buyer_po_number or message.id,
            f"{message.partner.name} · {message.created_by}",
            message_chip(message),
        )
        for message in results.webhooks
    ]


def _inbound(results: SearchResults) -> list[Result]:
    return [
        Result(
            url_for("inbound.message", inbound_id=message.id),
            message.buyer_po_number or "No PO number",
            inbound_kind(message.kind),
            effect_chip(message),
        )
        for message in results.inbound
    ]


def _entries(results: SearchResults) -> list[Result]:
    return [
        Result(
            url_for("audit.trail", after=entry.id + 1),
            f"{audit.action_label(entry)}: {audit.object_label(entry)}",
            audit.actor_label(entry),
        )
        for entry in results.entries
    ]


def _matches(title: str, text: str) -> bool:
    return search_key(text) in search_key(title)
