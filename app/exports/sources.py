"""What can be exported: each list of the app with its own filter, its own pages and its columns.

A source is read by the very query of its page, so that a file holds exactly what the list shows, filters that
are added later included. Each page of it is a short transaction of its own: however long a file takes, nobody
waits for it, and memory stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from app import clock
from app.accounts.access import Permission
from app.audit import queries as audit_queries
from app.audit.forms import AuditFilterForm
from app.db import Database
from app.inbound import queries as inbound_queries
from app.inbound.forms import InboundFilterForm
from app.orders import queries as order_queries
from app.orders.forms import OrderFilterForm
from app.partners.masking import masker, secrets_of
from app.partners.models import Partner
from app.ui.fields import read_filter
from app.webhooks import queries as outbox_queries
from app.webhooks.forms import MessageFilterForm

BATCH = 500
"""Rows a transaction."""
Scope = frozenset[str] | None
Rows = Iterator[list[tuple[Any, ...]]]


class Kind(StrEnum):
    """How a column's values are written."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"  # exact, as text where a program's own numbers would round it
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in the file, and where its value stands in a row."""

    name: str
    kind: Kind = Kind.TEXT
    of: str | Callable[[Any], Any] = ""

    def value(self, row: Any) -> Any:
        """The value of a row: text, a number, a time, or None."""
        found = self.of(row) if callable(self.of) else getattr(row, self.of or self.name)
        return found.value if isinstance(found, StrEnum) else found


@dataclass(frozen=True, slots=True)
class Source:
    """One list. ``page`` gives the rows of a page and the key after which the next one begins."""

    title: str
    needs: Permission
    form: Callable[..., Any]
    columns: Sequence[Column]
    page: Callable[[Session, Scope, Mapping[str, Any]], tuple[Sequence[Any], Any]]


class BadFilter(ValueError):
    """A filter that makes no sense: a file of everything would not be what was asked for."""


def read_query(source: Source, query: Mapping[str, str], zone: ZoneInfo) -> dict[str, Any]:
    """The values of a filter as they stand in a URL; times without a zone are the reader's.

    Errors: BadFilter with a sentence for each value that makes no sense.
    """
    values, notices = read_filter(source.form(MultiDict(query)), zone)
    if notices:
        raise BadFilter(" ".join(notices))
    values.pop("after", None)  # a file begins at the beginning
    return values


def batches(database: Database, source: Source, scope: Scope, values: Mapping[str, Any]) -> Rows:
    """All rows that fit, a batch at a time, each in a transaction of its own; secrets are masked."""
    with database.reading() as session:
        mask = masker(secret for one in session.scalars(select(Partner)) for secret in secrets_of(one))
    after: Any = None
    while True:
        with database.reading() as session:
            wanted = values if after is None else {**values, "after": after}
            found, after = source.page(session, scope, wanted)
            rows = [_row(source, one, mask) for one in found]
        # Empty ones too: where words are looked for piece by piece, whoever waits sees that it goes on.
        yield rows
        if after is None:
            return


def _row(source: Source, row: Any, mask: Callable[[str], str]) -> tuple[Any, ...]:
    values = (column.value(row) for column in source.columns)
    return tuple(mask(value) if isinstance(value, str) else value for value in values)


def _orders(session: Session, scope: Scope, values: Mapping[str, Any]) -> tuple[Sequence[Any], Any]:
    wanted = order_queries.OrderFilter(**values)
    found = order_queries.order_page(session, scope, wanted, clock.now(), limit=BATCH)
    return found.orders, found.next_after


def _webhooks(session: Session, scope: Scope, values: Mapping[str, Any]) -> tuple[Sequence[Any], Any]:
    wanted = outbox_queries.MessageFilter(**values)
    found = outbox_queries.message_page(session, scope, wanted, limit=BATCH)
    return found.messages, found.next_after


def _inbound(session: Session, scope: Scope, values: Mapping[str, Any]) -> tuple[Sequence[Any], Any]:
    wanted = inbound_queries.InboundFilter(**values)
    found = inbound_queries.message_page(session, scope, wanted, limit=BATCH)
    return found.messages, found.next_after


def _audit(session: Session, _scope: Scope, values: Mapping[str, Any]) -> tuple[Sequence[Any], Any]:
    found = audit_queries.entry_page(session, audit_queries.AuditFilter(**values), limit=BATCH)
    return found.entries, found.next_after


def _partner(row: Any) -> str:
    return row.partner.name if row.partner else ""


NUMBER, MONEY, TIME = Kind.NUMBER, Kind.MONEY, Kind.TIME
SOURCES: dict[str, Source] = {
    "orders": Source(
        "Orders",
        Permission.VIEW,
        OrderFilterForm,
        (
            *(
                Column("id", NUMBER),
                Column("buyer_po_number"),
                Column("object_id"),
                Column("version", NUMBER),
            ),
            *(Column("status"), Column("answer", of="response")),
            *(Column("answered_by", of="responded_by"), Column("answered_at", TIME, of="responded_at")),
            Column("delivery", of=lambda row: "held" if _is_held(row) else row.delivery.value),
            *(Column("subject"), Column("buyer_name"), Column("buyer_b2b_id"), Column("supplier_name")),
            *(Column("supplier_b2b_id"), Column("line_count", NUMBER), Column("total", MONEY)),
            *(Column("currency", of=lambda _: "INR"), Column("order_date"), Column("delivery_date")),
            *(Column("received_at", TIME), Column("revised_at", TIME), Column("respond_by", TIME)),
            *(Column("partner", of=_partner), Column("message_id")),
        ),
        _orders,
    ),
    "webhooks": Source(
        "Webhooks",
        Permission.VIEW,
        MessageFilterForm,
        (
            *(Column("id"), Column("created_at", TIME), Column("created_by"), Column("kind")),
            *(Column("partner", of=_partner), Column("state", of="state_shown")),
            *(Column("order_id", NUMBER), Column("buyer_po_number"), Column("object_id")),
            *(Column("object_version", NUMBER), Column("buyer_b2b_id"), Column("supplier_b2b_id")),
            *(Column("attempts", NUMBER, "attempts_made"), Column("http_status", NUMBER, "status_code")),
            *(Column("response_code", NUMBER), Column("response_message"), Column("result")),
            *(Column("error_cd"), Column("error_dtl"), Column("error_field"), Column("req_msg_id")),
            *(Column("reason"), Column("note"), Column("result_from"), Column("asked_by")),
            *(Column("asked_reason"), Column("finished_at", TIME), Column("body_sha256")),
            Column("next_at", TIME, lambda row: None if row.is_final else row.next_at),
        ),
        _webhooks,
    ),
    "inbound": Source(
        "Received messages",
        Permission.VIEW,
        InboundFilterForm,
        (
            *(Column("id"), Column("received_at", TIME), Column("kind"), Column("partner", of=_partner)),
            *(Column("remote_address"), Column("path"), Column("size", NUMBER), Column("effect")),
            *(Column("answer_status", NUMBER), Column("error_cd"), Column("error_field"), Column("detail")),
            *(Column("order_id", NUMBER), Column("buyer_po_number"), Column("object_id")),
            *(Column("supplier_b2b_id"), Column("content_sha256"), Column("repeat_of")),
            *(Column("again_at", TIME), Column("again_by"), Column("again_reason"), Column("again_detail")),
        ),
        _inbound,
    ),
    "audit": Source(
        "Audit trail",
        Permission.VIEW_AUDIT_TRAIL,
        AuditFilterForm,
        (
            *(Column("id", NUMBER), Column("at", TIME), Column("actor"), Column("role"), Column("address")),
            *(Column("user_agent"), Column("deed", of="action"), Column("object_kind"), Column("object_id")),
            *(Column("object_name"), Column("reason"), Column("before"), Column("after")),
        ),
        _audit,
    ),
}
"""The lists, by the word that stands in the address."""


def _is_held(order: Any) -> bool:
    return bool(order.delivery == "pending" and order.partner.paused)
