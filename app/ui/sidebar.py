"""The rail: the work queues with their counts, on every page of somebody who is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import Flask
from flask_login import current_user

from app import clock
from app.accounts import access
from app.attention import queries as attention
from app.inbound.queries import unmatched_count
from app.orders.queries import QueueCounts, queue_counts
from app.ui import web
from app.webhooks.queries import retried_count


@dataclass
class Rail:
    """The counts, asked for only by pages that show them."""

    @cached_property
    def queues(self) -> QueueCounts:
        """The orders' work queues."""
        return queue_counts(web.db(), access.visible_suppliers(), clock.now())

    @cached_property
    def attention(self) -> int:
        """What somebody must look at, of what the reader may see."""
        supports = access.can(access.current_person(), access.Permission.IMPORT)
        return attention.count(web.db(), access.visible_suppliers(), is_support=supports)

    @cached_property
    def retried(self) -> int:
        """Messages that were tried in vain and are tried again by themselves: many at once are an outage."""
        return retried_count(web.db(), access.visible_suppliers())

    @cached_property
    def unmatched(self) -> int:
        """Messages of the network that fit nothing we know."""
        return unmatched_count(web.db(), access.visible_suppliers())


def init_app(app: Flask) -> None:
    """Give ``rail`` to the templates."""
    app.context_processor(_rail)


def _rail() -> dict[str, Any]:
    return {"rail": Rail() if current_user.is_authenticated else None}
