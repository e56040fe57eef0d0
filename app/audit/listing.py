"""The audit trail as a list: its filters, columns and rows."""

from __future__ import annotations

from sqlalchemy import Select

from app.accounts.access import Permission
from app.audit import presenters, queries
from app.audit.forms import AuditFilterForm
from app.audit.models import AuditEntry
from app.network.text import whole_number
from app.ui import web
from app.ui.listing import Choices, Column, Group, Listing, ListPage, ListRequest


def _load(list_request: ListRequest) -> ListPage:
    filters = queries.AuditFilter(**list_request.values)
    page = queries.entry_page(web.db(), filters)
    summary = list_request.shown(len(page.rows), is_last=not page.next_after)
    return ListPage(
        groups=[Group(page.rows)],
        next_after=page.next_after,
        title="Audit trail",
        summary=f"{summary}, newest first",
        active_page="audit",
        newest=list_request.newest(page.rows, lambda: _ids(list_request)),
        empty=presenters.empty_trail(list_request.filters),
        context={"seal_status": queries.seal_status(web.db())},
    )


def _ids(list_request: ListRequest) -> Select[int]:
    return queries.ids_of(web.db(), queries.AuditFilter(**list_request.filters))


def _newer_ids(list_request: ListRequest, than: str) -> Select[int]:
    return _ids(list_request).where(AuditEntry.id > (whole_number(than) or 0))


def _actors() -> Choices:
    return [(name, name) for name in queries.actors(web.db())]


AUDIT = Listing(
    name="audit",
    title="Audit trail",
    noun=("entry", "entries"),
    endpoint="audit.trail",
    form=AuditFilterForm,
    bar=("who", "action", "object"),
    search_hint="PO, name, reason, IP address",
    columns=(
        Column("time", "Time", is_optional=False),
        Column("actor", "User", is_optional=False),
        Column("action", "Action", is_optional=False),
        Column("role", "Role", is_default=False, is_extra=True),
        Column("changes", "Changes"),
    ),
    load=_load,
    newer_ids=_newer_ids,
    options={"who": _actors},
    permission=Permission.VIEW_AUDIT_TRAIL,
)
