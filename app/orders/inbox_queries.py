"""Queries for the inbox: filters, sorts and pages. ``scope`` is the reader's supplier ids; None is all."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import ColumnExpressionArgument, Date, Integer, Select, func, literal, select, tuple_
from sqlalchemy.orm import Session, contains_eager, lazyload, undefer

from app import clock
from app.accounts.models import Person, PersonSupplier
from app.db import UtcDateTime
from app.db.filters import (
    PAGE,
    SCOPE_PARAMETER,
    FilterContext,
    Page,
    Query,
    Scope,
    conditions_of,
    distinct_values,
    in_scope,
    page_of,
    select_distinct,
    where,
)
from app.db.text_search import TextIndex, matching_ids
from app.delivery.models import PAUSED
from app.network.text import search_key
from app.orders.models import NO_DAY, Delivery, PurchaseOrder, ResponseState, Revision, to_paise
from app.orders.queries import SOON, supplier_names, with_assignee
from app.partners.models import LISTED, Partner

SORTED_MAX = 2_000
"""Up to this many text matches are looked up by index; above that, the list is scanned in its order."""
SUPPLIERS_MAX = 50
ASSIGNEES_MAX = 100
"""Suppliers and assignees that the filters of the list offer."""
ME = "me"
"""The ``assigned`` filter for the reader's own orders; pages replace it with the username."""
UNASSIGNED = "none"
"""The ``assigned`` filter for orders without an assignee."""

SORTS: dict[str, tuple[Any, bool]] = {
    "respond_by": (PurchaseOrder.respond_by, False),
    "-respond_by": (PurchaseOrder.respond_by, True),
    "received_at": (PurchaseOrder.received_at, False),
    "-received_at": (PurchaseOrder.received_at, True),
    "delivery_date": (PurchaseOrder.delivery_day, False),
    "-delivery_date": (PurchaseOrder.delivery_day, True),
    "amount": (PurchaseOrder.total_paise, False),
    "-amount": (PurchaseOrder.total_paise, True),
    "buyer_po_number": (PurchaseOrder.buyer_po_number, False),
    "-buyer_po_number": (PurchaseOrder.buyer_po_number, True),
}
"""The sort options: the column, and whether it is descending. The id breaks ties."""


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """The filters of the list, each with its condition; an empty one matches everything.

    ``buyer`` and ``supplier`` are a B2B id or a part of a name. ``assigned`` is a username, or ``none``.
    Amounts are in rupees. ``received_until`` is exclusive, ``deliver_by_until`` inclusive.
    """

    q: str = where(lambda text, context: _mentioning(context.session, search_key(text)))
    status: str = where(lambda status, _: PurchaseOrder.status == status)
    answer: str = where(lambda response, _: _has_response(response))
    delivery: str = where(lambda delivery, _: _has_delivery(delivery))
    partner: str = where(lambda name, _: Partner.name == name)
    due: str = where(lambda due, _: _is_due(due))
    buyer: str = where(lambda text, context: _is_party(context.session, "buyer", text))
    supplier: str = where(lambda text, context: _is_party(context.session, "supplier", text))
    amount_min: Decimal | None = where(lambda rupees, _: PurchaseOrder.total_paise >= to_paise(rupees), None)
    amount_max: Decimal | None = where(lambda rupees, _: _amount_at_most(rupees), None)
    received_since: datetime | None = where(lambda at, _: PurchaseOrder.received_at >= at, None)
    received_until: datetime | None = where(lambda at, _: PurchaseOrder.received_at < at, None)
    deliver_by_since: date | None = where(lambda day, _: _is_due_from(day), None)
    deliver_by_until: date | None = where(lambda day, _: PurchaseOrder.delivery_day <= day, None)
    assigned: str = where(lambda username, context: _is_assigned(context.session, username))
    sort: str = "respond_by"
    after: str = ""


class InvalidCursor(ValueError):
    """The page key is not from this list."""


# Built once, since building them takes longer than running them.
_LISTED = select(PurchaseOrder).options(
    contains_eager(PurchaseOrder.partner).load_only(*LISTED),
    with_assignee().load_only(Person.username, Person.full_name),
    undefer(PurchaseOrder.is_retrying),
)
_NEWEST_REVISION_ID = select(func.max(Revision.id))


def order_page(
    session: Session, scope: Scope, filters: OrderFilter, *, limit: int = PAGE
) -> Page[PurchaseOrder]:
    """The matching orders, paged by keyset, so that any page is equally fast.

    Errors: InvalidCursor for an ``after`` that is not from this list and sort.
    """
    column = SORTS[filters.sort][0]
    query = matching(session, _LISTED, scope, filters).order_by(*sort_keys(filters)).limit(limit + 1)
    if filters.after:
        query = query.where(is_after(filters, _read_key(filters.after, column)))
    return page_of(session.scalars(query).all(), limit, key=lambda row: _write_key(row, column))


def matching(session: Session, query: Query, scope: Scope, filters: OrderFilter) -> Query:
    """The query, limited to the orders that match the filter, regardless of page and sort."""
    return (
        in_scope(query, PurchaseOrder.supplier_b2b_id, scope)
        .join(PurchaseOrder.partner)
        .where(*conditions_of(FilterContext(session, filters, scope)))
    )


def sort_keys(filters: OrderFilter, *, backwards: bool = False) -> list[Any]:
    """The sort of the list, or the reverse one."""
    column, descending = SORTS[filters.sort]
    keys = (column, PurchaseOrder.id)
    return [key.desc() if descending != backwards else key.asc() for key in keys]


def is_after(filters: OrderFilter, key: Any, *, backwards: bool = False) -> Any:
    """Whether an order comes after the one with this key in the list, or before it.

    A key is a tuple of the sort column and the id.
    """
    column, descending = SORTS[filters.sort]
    position = tuple_(column, PurchaseOrder.id)
    return position < key if descending != backwards else position > key


def newest_revision_id(session: Session) -> int:
    """The id of the newest version of any order; 0 if there is none."""
    return session.scalar(_NEWEST_REVISION_ID) or 0


def newer_ids(session: Session, scope: Scope, filters: OrderFilter, than: int) -> Select[int]:
    """The query for the ids of the orders of the list that are new or changed since this version."""
    newer = select(PurchaseOrder.id).where(
        PurchaseOrder.id.in_(select(Revision.order_id).where(Revision.id > than))
    )
    return matching(session, newer, scope, filters)


def supplier_choices(session: Session, scope: Scope) -> list[tuple[str, str]]:
    """The ids and names of suppliers with orders that the reader may see, to choose from."""
    ids: Sequence[str] = sorted(scope or ())
    if scope is None:
        ids = distinct_values(session, PurchaseOrder.supplier_b2b_id, most=SUPPLIERS_MAX)
    names = supplier_names(session, ids)
    return [(b2b_id, names.get(b2b_id, b2b_id)) for b2b_id in ids]


def assignees(session: Session, scope: Scope) -> Sequence[Person]:
    """The people who have orders that the reader may see, by name."""
    return session.scalars(_assignees(scoped=scope is not None), {"scope": scope}).all()


@cache
def _assignees(*, scoped: bool) -> Select[Person]:
    """The query of ``assignees``, built once."""
    ids = select_distinct(PurchaseOrder.assignee_id, most=ASSIGNEES_MAX)
    people = select(Person).where(Person.id.in_(ids)).options(lazyload(Person.suppliers))
    if scoped:
        # Staff of other suppliers stay unknown.
        people = people.where(Person.suppliers.any(PersonSupplier.b2b_id.in_(SCOPE_PARAMETER)))
    return people.order_by(Person.username)


def _has_response(response: str) -> Any:
    if response == "open":
        return PurchaseOrder.needs_response
    return PurchaseOrder.response == ResponseState(response)


def _has_delivery(delivery: str) -> list[ColumnExpressionArgument[bool]]:
    if delivery == PAUSED:
        return [PurchaseOrder.is_delivery_paused]
    is_in_state = PurchaseOrder.delivery == Delivery(delivery)
    return [is_in_state, Partner.paused_at.is_(None)] if delivery == Delivery.PENDING else [is_in_state]


def _is_due(due: str) -> list[ColumnExpressionArgument[bool]]:
    now = clock.now()
    if due == "overdue":
        return [PurchaseOrder.needs_response, PurchaseOrder.respond_by < now]
    return [PurchaseOrder.needs_response, PurchaseOrder.respond_by.between(now, now + SOON)]


def _is_party(session: Session, party: str, text: str) -> Any:
    """Orders of the buyer or supplier with this B2B id, else of those whose name contains the text.

    The text index finds a few candidates, and the name decides.
    """
    b2b_id = getattr(PurchaseOrder, f"{party}_b2b_id")
    if session.scalar(select(PurchaseOrder.id).where(b2b_id == text).limit(1)) is not None:
        return b2b_id == text
    name = getattr(PurchaseOrder, f"{party}_name")
    return [*_mentioning(session, search_key(text)), name.icontains(text, autoescape=True)]


def _amount_at_most(rupees: Decimal) -> Any:
    return PurchaseOrder.total_paise.between(0, to_paise(rupees))


def _is_due_from(day: date) -> Any:
    return PurchaseOrder.delivery_day.between(day, NO_DAY - timedelta(days=1))


def _is_assigned(session: Session, username: str) -> Any:
    if username == UNASSIGNED:
        return PurchaseOrder.assignee_id.is_(None)
    person_id = session.scalar(select(Person.id).where(Person.username == username.lower()))
    return PurchaseOrder.assignee_id == (person_id if person_id is not None else -1)


def _mentioning(session: Session, words: str) -> list[ColumnExpressionArgument[bool]]:
    """Orders that contain the words.

    Few matches come from the index; with many, scanning the list finds the first ones quickly.
    """
    contains = PurchaseOrder.search_text.contains(words, autoescape=True)
    listed = matching_ids(session, TextIndex.ORDERS, words, limit=SORTED_MAX)
    return [contains] if listed is None else [PurchaseOrder.id.in_(listed), contains]


def _write_key(last: PurchaseOrder, column: Any) -> str:
    """The key of the next page, encoded so that URLs keep it unchanged."""
    value = getattr(last, column.key)
    text = f"{value.isoformat() if isinstance(value, date) else value}~{last.id}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_key(after: str, column: Any) -> Any:
    """The column's value and the id of the last row of the page before. Errors: InvalidCursor."""
    try:
        text = urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4)).decode()
        value, _, number = text.rpartition("~")
        if "\0" in text or not number.isdecimal() or len(number) > 18:
            raise InvalidCursor(after)
        return tuple_(literal(_read_value(value, column), column.type), int(number))
    except ValueError as error:
        raise InvalidCursor(after) from error


def _read_value(text: str, column: Any) -> object:
    """The text as a value of the column. Errors: InvalidCursor, ValueError."""
    if isinstance(column.type, Date):
        return date.fromisoformat(text)
    if isinstance(column.type, Integer):
        if not text.removeprefix("-").isdecimal() or len(text) > 20 or abs(int(text)) >= 2**63:
            raise InvalidCursor(text)
        return int(text)
    if not isinstance(column.type, UtcDateTime):
        return text
    when = datetime.fromisoformat(text)
    if when.tzinfo is None or not 1970 <= when.year < 9999:
        raise InvalidCursor(text)
    return when
