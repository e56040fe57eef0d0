"""The sidebar's counts, for every page of a signed-in user."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from flask import Flask, g
from flask_login import current_user

from app import clock
from app.accounts import access
from app.accounts.permissions import Permission
from app.attention import queries as attention
from app.inbound.queries import unmatched_count
from app.orders.queries import QueueCounts, queue_counts
from app.ui import web
from app.webhooks.queries import retried_count


class Sidebar:
    """Counts of the work queues. Each is queried only when a page shows it."""

    @cached_property
    def queues(self) -> QueueCounts:
        """Orders in each work queue."""
        return queue_counts(web.db(), access.visible_suppliers(), clock.now())

    @cached_property
    def attention(self) -> int:
        """Open items that need attention and that the reader may see."""
        may_triage = access.can(Permission.TRIAGE)
        return attention.count(web.db(), access.visible_suppliers(), may_triage=may_triage)

    @cached_property
    def retried(self) -> int:
        """Webhooks that are retrying. A spike usually means an outage."""
        return retried_count(web.db(), access.visible_suppliers())

    @cached_property
    def unmatched(self) -> int:
        """Incoming messages for unknown orders."""
        return unmatched_count(web.db(), access.visible_suppliers())


def current_sidebar() -> Sidebar:
    """The sidebar of this request; its counts are queried once."""
    if "sidebar" not in g:
        g.sidebar = Sidebar()
    return cast(Sidebar, g.sidebar)


def init_app(app: Flask) -> None:
    """Add ``sidebar`` to the templates."""
    app.context_processor(_sidebar)


def _sidebar() -> dict[str, Any]:
    return {"sidebar": current_sidebar() if current_user.is_authenticated else None}
