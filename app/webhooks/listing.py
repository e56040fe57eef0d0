"""The list of webhooks: its filters, columns and rows."""

from __future__ import annotations

from sqlalchemy import Select

from app.accounts import access
from app.accounts.access import Permission
from app.delivery.models import Message
from app.partners.queries import partner_choices
from app.ui import web
from app.ui.listing import Choices, Column, Listing, ListPage, ListRequest
from app.webhooks import log_presenters, queries
from app.webhooks.forms import MessageFilterForm


def _load(list_request: ListRequest) -> ListPage:
    scope = access.visible_suppliers()
    filters = queries.MessageFilter(**list_request.values)
    page = queries.message_page(web.db(), scope, filters)
    ids = [message.id for message in page.rows]
    attempts, outcomes = queries.last_attempts(web.db(), ids), queries.attempt_outcomes(web.db(), ids)
    summary = list_request.shown(len(page.rows), is_last=not page.next_after)
    return ListPage(
        groups=log_presenters.log_groups(page.rows, attempts, outcomes),
        next_after=page.next_after,
        title=log_presenters.log_title(filters.state),
        summary=f"{summary}, newest first" if page.rows else "",
        active_page="attention" if filters.state == queries.ATTENTION else "sent",
        newest=list_request.newest(page.rows, lambda: _ids(list_request)),
        empty=log_presenters.empty_log(filters, list_request.filters, page.searched_back_to),
        can_select=access.can(Permission.RESEND),
        hidden=frozenset() if len(list_request.options["partner"]) > 1 else frozenset({"partner"}),
        searched_back_to=page.searched_back_to,
        context={
            "mark_labels": log_presenters.MARK_LABELS,
            "state_tabs": log_presenters.tabs(queries.state_counts(web.db(), scope)),
        },
    )


def _ids(list_request: ListRequest) -> Select[str]:
    filters = queries.MessageFilter(**list_request.filters)
    return queries.ids_of(web.db(), access.visible_suppliers(), filters)


def _newer_ids(list_request: ListRequest, than: str) -> Select[str]:
    return _ids(list_request).where(Message.id > than)


def _suppliers() -> Choices:
    suppliers = queries.known_suppliers(web.db(), access.visible_suppliers())
    return [(supplier, supplier) for supplier in suppliers]


WEBHOOKS = Listing(
    name="webhooks",
    title="Outgoing",
    noun=("webhook", "webhooks"),
    endpoint="webhooks.log",
    form=MessageFilterForm,
    bar=("state", "partner"),
    search_hint="PO, message ID or body",
    columns=(
        Column("order", "Order", is_optional=False),
        Column("partner", "Partner"),
        Column("supplier", "Supplier", is_default=False, is_extra=True),
        Column("state", "State", is_optional=False),
        Column("code", "HTTP"),
        Column("attempts", "Attempts"),
        Column("duration", "Duration", is_number=True),
        Column("when", "Created"),
        Column("person", "Response by", is_default=False, is_extra=True),
        Column("why", "Reason"),
    ),
    load=_load,
    newer_ids=_newer_ids,
    options={
        "partner": lambda: partner_choices(web.db()),
        "supplier": _suppliers,
        "code": lambda: log_presenters.CODE_LABELS,
    },
)
