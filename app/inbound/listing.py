"""The list of incoming messages: its filters, columns and rows."""

from __future__ import annotations

from sqlalchemy import Select

from app.accounts import access
from app.accounts.access import Permission
from app.inbound import presenters, queries
from app.inbound.forms import InboundFilterForm
from app.inbound.models import Effect, InboundMessage
from app.partners.queries import partner_choices
from app.ui import web
from app.ui.listing import Column, Group, Listing, ListPage, ListRequest


def _load(list_request: ListRequest) -> ListPage:
    scope = access.visible_suppliers()
    filters = queries.InboundFilter(**list_request.values)
    page = queries.message_page(web.db(), scope, filters)
    summary = list_request.shown(len(page.rows), is_last=not page.next_after)
    unmatched = 0
    if filters.effect != Effect.UNMATCHED and access.can(Permission.TRIAGE):
        unmatched = queries.unmatched_count(web.db(), scope)
    return ListPage(
        groups=[Group(page.rows)],
        next_after=page.next_after,
        title=presenters.log_title(filters.effect),
        summary=f"{summary}, newest first" if page.rows else "",
        active_page="received",
        newest=list_request.newest(page.rows, lambda: _ids(list_request)),
        empty=presenters.empty_log(filters, list_request.filters, page.searched_back_to),
        searched_back_to=page.searched_back_to,
        context={"unmatched": unmatched},
    )


def _ids(list_request: ListRequest) -> Select[str]:
    filters = queries.InboundFilter(**list_request.filters)
    return queries.ids_of(web.db(), access.visible_suppliers(), filters)


def _newer_ids(list_request: ListRequest, than: str) -> Select[str]:
    return _ids(list_request).where(InboundMessage.id > than)


INBOUND = Listing(
    name="inbound",
    title="Incoming",
    noun=("message", "messages"),
    endpoint="inbound.log",
    form=InboundFilterForm,
    bar=("effect", "kind", "partner"),
    search_hint="PO, message ID or body",
    columns=(
        Column("order", "Order", is_optional=False),
        Column("kind", "Message"),
        Column("state", "Result", is_optional=False),
        Column("code", "HTTP"),
        Column("when", "Received"),
        Column("partner", "Partner"),
        Column("supplier", "Supplier", is_default=False, is_extra=True),
        Column("size", "Size", is_default=False, is_extra=True, is_number=True),
        Column("why", "Reason"),
    ),
    load=_load,
    newer_ids=_newer_ids,
    options={"partner": lambda: partner_choices(web.db())},
)
