"""The lists that can be exported, each with its filter form, its query and its columns.

A source uses the query of its page, so a file has exactly the rows of the list. Each batch is a short
transaction, so that a large export blocks no one and needs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from app.accounts.permissions import Permission
from app.audit import queries as audit_queries
from app.audit.forms import AuditFilterForm
from app.audit.models import AuditEntry
from app.db import Database
from app.db.filters import Page, Scope
from app.delivery.models import Message
from app.inbound import queries as inbound_queries
from app.inbound.forms import InboundFilterForm
from app.inbound.models import InboundMessage
from app.orders import inbox_queries
from app.orders import queries as order_queries
from app.orders.forms import OrderFilterForm
from app.orders.line_responses import encode, from_json
from app.orders.models import PurchaseOrder
from app.orders.spreadsheet import SheetColumn
from app.partners.masking import Masker, masker, secrets_of
from app.partners.models import Partner
from app.ui.listing import read_filter
from app.webhooks import queries as webhook_queries
from app.webhooks.forms import MessageFilterForm
from app.webhooks.presenters import message_sentence

BATCH = 500
"""Rows per transaction."""
Rows = Iterator[list[tuple[Any, ...]]]


class CellType(StrEnum):
    """How a column's values are written."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"  # Exact; written as text if a number would be rounded.
    TIME = "time"


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column: its name in the file, and the attribute or function that gives its value."""

    name: str
    kind: CellType = CellType.TEXT
    of: str | Callable[[Any], Any] = ""
    # The choices that a workbook offers in the cells of this column.
    choices: Sequence[str] = ()

    def value(self, row: Any) -> Any:
        """The value of a row: text, a number, a time, or None."""
        value = self.of(row) if callable(self.of) else getattr(row, self.of or self.name)
        return value.value if isinstance(value, StrEnum) else value


@dataclass(frozen=True, slots=True)
class Source:
    """A list, its columns, and the function that reads one page of it."""

    title: str
    needs: Permission
    form: Callable[..., Any]
    columns: Sequence[ExportColumn]
    page: Callable[[Session, Scope, Mapping[str, Any]], Page[Any]]


class BadFilter(ValueError):
    """An invalid filter. Ignoring it would export too much."""


def read_query(source: Source, query: Mapping[str, str], zone: ZoneInfo) -> dict[str, Any]:
    """The filter values of a query string; times without an offset are in ``zone``.

    Errors: BadFilter with a sentence for each invalid value.
    """
    values, notices = read_filter(source.form(MultiDict(query)), zone)
    if notices:
        raise BadFilter(" ".join(notices))
    values.pop("after", None)  # An export always starts with the first page.
    return values


def batches(database: Database, source: Source, scope: Scope, values: Mapping[str, Any]) -> Rows:
    """All matching rows in batches, each read in a separate transaction; secrets are masked."""
    with database.reading() as session:
        partners = session.scalars(select(Partner))
        mask = masker(tuple(secret for partner in partners for secret in secrets_of(partner)))
    after: Any = None
    while True:
        with database.reading() as session:
            page_values = values if after is None else {**values, "after": after}
            page = source.page(session, scope, page_values)
            after, rows = page.next_after, [_row(source, row, mask) for row in page.rows]
        # Yield empty batches too: a slow search still reports progress.
        yield rows
        if after is None:
            return


def _row(source: Source, row: Any, mask: Masker) -> tuple[Any, ...]:
    values = (column.value(row) for column in source.columns)
    return tuple(mask.text(value) if isinstance(value, str) else value for value in values)


def _orders(session: Session, scope: Scope, values: Mapping[str, Any]) -> Page[PurchaseOrder]:
    filters = inbox_queries.OrderFilter(**values)
    page = inbox_queries.order_page(session, scope, filters, limit=BATCH)
    order_queries.load_newest_decisions(session, page.rows)
    return page


def _webhooks(session: Session, scope: Scope, values: Mapping[str, Any]) -> Page[Message]:
    return webhook_queries.message_page(session, scope, webhook_queries.MessageFilter(**values), limit=BATCH)


def _inbound(session: Session, scope: Scope, values: Mapping[str, Any]) -> Page[InboundMessage]:
    return inbound_queries.message_page(session, scope, inbound_queries.InboundFilter(**values), limit=BATCH)


def _audit(session: Session, _scope: Scope, values: Mapping[str, Any]) -> Page[AuditEntry]:
    return audit_queries.entry_page(session, audit_queries.AuditFilter(**values), limit=BATCH)


def _partner_name(row: Any) -> str:
    return row.partner.name if row.partner else ""


def _line_responses(order: Any) -> str:
    """The lines that differ from the order in the last response, as they are sent."""
    decision = order.newest_decision
    lines = (from_json(line) for line in (decision.line_responses if decision else ()))
    return "; ".join(f"{name}: {value}" for name, value in encode(lines))


NUMBER, MONEY, TIME = CellType.NUMBER, CellType.MONEY, CellType.TIME


def _columns(names: str, kind: CellType = CellType.TEXT) -> list[ExportColumn]:
    """Columns named as their attributes; ``names`` are separated by spaces."""
    return [ExportColumn(name, kind) for name in names.split()]


SOURCES: dict[str, Source] = {
    "orders": Source(
        "Orders",
        Permission.VIEW,
        OrderFilterForm,
        (
            ExportColumn("id", NUMBER),
            *_columns("buyer_po_number object_id"),
            ExportColumn("version", NUMBER),
            ExportColumn("status"),
            ExportColumn("answer", of="response"),
            ExportColumn("answered_by", of="responded_by"),
            ExportColumn("answered_at", TIME, of="responded_at"),
            ExportColumn("delivery", of="delivery_shown"),
            *_columns("subject buyer_name buyer_b2b_id supplier_name supplier_b2b_id"),
            ExportColumn("line_count", NUMBER),
            ExportColumn("total", MONEY),
            ExportColumn("currency", of=lambda _: "INR"),
            *_columns("order_date delivery_date"),
            *_columns("received_at revised_at respond_by", TIME),
            ExportColumn("partner", of=_partner_name),
            ExportColumn("message_id"),
            ExportColumn("line_responses", of=_line_responses),
        ),
        _orders,
    ),
    "webhooks": Source(
        "Webhooks",
        Permission.VIEW,
        MessageFilterForm,
        (
            ExportColumn("id"),
            ExportColumn("created_at", TIME),
            *_columns("created_by kind"),
            ExportColumn("partner", of=_partner_name),
            ExportColumn("state", of="state_shown"),
            ExportColumn("order_id", NUMBER),
            *_columns("buyer_po_number object_id"),
            ExportColumn("object_version", NUMBER),
            *_columns("buyer_b2b_id supplier_b2b_id"),
            ExportColumn("attempts", NUMBER, "attempts_made"),
            ExportColumn("http_status", NUMBER, "status_code"),
            ExportColumn("response_code", NUMBER),
            *_columns("response_message result error_cd error_dtl error_field req_msg_id reason"),
            ExportColumn("note", of=message_sentence),
            ExportColumn("result_from"),
            ExportColumn("asked_by", of="requested_by"),
            ExportColumn("asked_reason", of="request_reason"),
            ExportColumn("request_id"),
            ExportColumn("finished_at", TIME),
            ExportColumn("body_sha256"),
            ExportColumn("next_at", TIME, lambda row: None if row.is_final else row.next_at),
        ),
        _webhooks,
    ),
    "inbound": Source(
        "Incoming messages",
        Permission.VIEW,
        InboundFilterForm,
        (
            ExportColumn("id"),
            ExportColumn("received_at", TIME),
            ExportColumn("kind"),
            ExportColumn("partner", of=_partner_name),
            *_columns("remote_address path"),
            ExportColumn("size", NUMBER),
            ExportColumn("effect"),
            ExportColumn("answer_status", NUMBER, "response_status"),
            *_columns("error_cd error_field detail"),
            ExportColumn("order_id", NUMBER),
            *_columns("buyer_po_number object_id supplier_b2b_id content_sha256 repeat_of"),
            ExportColumn("again_at", TIME, "reprocessed_at"),
            ExportColumn("again_by", of="reprocessed_by"),
            ExportColumn("again_reason", of="reprocess_reason"),
            ExportColumn("again_detail", of="reprocess_error"),
        ),
        _inbound,
    ),
    "audit": Source(
        "Audit trail",
        Permission.VIEW_AUDIT_TRAIL,
        AuditFilterForm,
        (
            ExportColumn("id", NUMBER),
            ExportColumn("at", TIME),
            *_columns("actor role address user_agent action object_kind object_id object_name"),
            *_columns("reason before after"),
        ),
        _audit,
    ),
}
"""The lists by their name in the URL."""


def _open_orders(session: Session, scope: Scope, values: Mapping[str, Any]) -> Page[PurchaseOrder]:
    """The orders of a list that need a response."""
    page = _orders(session, scope, values)
    return replace(page, rows=[order for order in page.rows if order.needs_response])


RESPONSE_SHEET = Source(
    "Responses",
    Permission.RESPOND,
    OrderFilterForm,
    (
        ExportColumn(SheetColumn.ORDER, NUMBER, "id"),
        ExportColumn(SheetColumn.VERSION, NUMBER, "version"),
        ExportColumn(SheetColumn.PO_NUMBER, of="buyer_po_number"),
        ExportColumn("Buyer", of="buyer_name"),
        ExportColumn("Subject", of="subject"),
        ExportColumn("Lines", NUMBER, "line_count"),
        ExportColumn("Total", MONEY, "total"),
        ExportColumn("Deliver by", of="delivery_date"),
        ExportColumn("Respond by", TIME, "respond_by"),
        ExportColumn(SheetColumn.RESPONSE, of=lambda _: "", choices=("Confirm", "Reject", "Return")),
        ExportColumn(SheetColumn.REMARKS, of=lambda _: ""),
        ExportColumn(SheetColumn.OWN_NUMBER, of=lambda _: ""),
        ExportColumn(SheetColumn.PROMISED_DATE, of=lambda _: ""),
    ),
    _open_orders,
)
"""The orders to respond to, with empty columns for the responses; see ``orders.spreadsheet``."""
