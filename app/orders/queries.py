"""Queries for orders. ``scope`` is the reader's supplier ids; None is all."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Date,
    Integer,
    ScalarSelect,
    Select,
    String,
    bindparam,
    column,
    func,
    literal,
    select,
    tuple_,
    values,
)
from sqlalchemy.orm import Session, contains_eager, joinedload, lazyload, selectinload, undefer
from sqlalchemy.orm.attributes import set_committed_value

from app import clock
from app.accounts.models import Person, PersonSupplier
from app.db import UtcDateTime, advisory_lock
from app.db.filters import (
    COUNT_MAX,
    PAGE,
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
    without_index,
)
from app.db.text_search import TextIndex, matching_ids
from app.delivery.models import PAUSED
from app.delivery.service import lock_messages_of
from app.network.text import search_key
from app.orders.models import (
    NO_DAY,
    Decision,
    Delivery,
    PurchaseOrder,
    ResponseState,
    Revision,
    to_paise,
)
from app.partners.models import LISTED, Partner

SOON_HOURS = 4
SOON = timedelta(hours=SOON_HOURS)
"""An order whose deadline is this near is due soon."""
SORTED_MAX = 2_000
"""Up to this many text matches are looked up by index; above that, the list is scanned in its order."""
SUPPLIERS_MAX = 50
ASSIGNEES_MAX = 100
"""Suppliers and assignees that the filters of the list offer."""
ME = "me"
"""The ``assigned`` filter for the reader's own orders; pages replace it by the username."""
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


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many orders each work queue has."""

    needs_response: int
    overdue: int
    soon: int
    changed: int


class InvalidCursor(ValueError):
    """The page key is not from this list."""


def order_page(
    session: Session, scope: Scope, filters: OrderFilter, *, limit: int = PAGE
) -> Page[PurchaseOrder]:
    """The matching orders, paged by keyset, so that any page is equally fast.

    Errors: InvalidCursor for an ``after`` that is not from this list and sort.
    """
    column = SORTS[filters.sort][0]
    query = (
        matching(session, select(PurchaseOrder), scope, filters)
        .options(
            contains_eager(PurchaseOrder.partner).load_only(*LISTED),
            _with_assignee(),
            undefer(PurchaseOrder.is_retrying),
        )
        .order_by(*sort_keys(filters))
        .limit(limit + 1)
    )
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
    return session.scalar(select(func.max(Revision.id))) or 0


def newer_ids(session: Session, scope: Scope, filters: OrderFilter, than: int) -> Select[int]:
    """The query for the ids of the orders of the list that are new or changed since this version."""
    newer = select(PurchaseOrder.id).where(
        PurchaseOrder.id.in_(select(Revision.order_id).where(Revision.id > than))
    )
    return matching(session, newer, scope, filters)


def order(session: Session, scope: Scope, order_id: int) -> PurchaseOrder | None:
    """One order with its revisions and decisions; None if the reader may not see it."""
    return session.scalar(
        in_scope(select(PurchaseOrder), PurchaseOrder.supplier_b2b_id, scope)
        .where(PurchaseOrder.id == order_id)
        .options(joinedload(PurchaseOrder.partner), *_with_history())
        # After a POST the same session shows the page; its loaded objects are outdated.
        .execution_options(populate_existing=True)
    )


def load_newest_decisions(session: Session, orders: Sequence[PurchaseOrder]) -> None:
    """Load ``newest_decision`` of the orders with one query."""
    ids = [order.message_id for order in orders if order.message_id]
    decisions = session.scalars(select(Decision).where(Decision.message_id.in_(ids)))
    by_message = {decision.message_id: decision for decision in decisions}
    for order in orders:
        set_committed_value(order, "newest_decision", by_message.get(order.message_id or ""))


def orders_by_id(session: Session, scope: Scope, ids: Sequence[int]) -> Sequence[PurchaseOrder]:
    """Those of the orders that the reader may see, soonest due first."""
    return session.scalars(
        in_scope(select(PurchaseOrder), PurchaseOrder.supplier_b2b_id, scope)
        .where(PurchaseOrder.id.in_(ids))
        .options(joinedload(PurchaseOrder.partner, innerjoin=True), _with_assignee())
        .order_by(PurchaseOrder.respond_by, PurchaseOrder.id)
    ).all()


_LOCKED_BY = select(PurchaseOrder.id, PurchaseOrder.partner_id, PurchaseOrder.object_id)
"""What the locks of an order are named by."""


def orders_for_update(session: Session, scope: Scope, ids: Iterable[int]) -> Sequence[PurchaseOrder]:
    """Those of the orders that the reader may see, by id, locked until the transaction ends.

    So concurrent responses to an order run one after the other.
    """
    keys = _LOCKED_BY.where(PurchaseOrder.id.in_(set(ids)))
    return _locked(session, in_scope(keys, PurchaseOrder.supplier_b2b_id, scope))


def order_for_update(session: Session, scope: Scope, order_id: int) -> PurchaseOrder | None:
    """One order, locked as by ``orders_for_update``."""
    return next(iter(orders_for_update(session, scope, [order_id])), None)


def partners_order_for_update(session: Session, partner_id: int, object_id: str) -> PurchaseOrder | None:
    """The partner's order with this objectId, locked as by ``orders_for_update``."""
    keys = _LOCKED_BY.where(PurchaseOrder.partner_id == partner_id, PurchaseOrder.object_id == object_id)
    return next(iter(_locked(session, keys)), None)


def _locked(session: Session, keys: Select[int, int, str]) -> Sequence[PurchaseOrder]:
    """Lock the orders of a ``_LOCKED_BY`` query.

    First their advisory locks, so that no message is added, then messages, then rows: the last two in the
    order of the delivery worker, and orders by id. A consistent lock order prevents deadlock.
    """
    rows = session.execute(keys.order_by(PurchaseOrder.id)).all()
    if not rows:
        return []
    for _, partner_id, object_id in rows:
        advisory_lock(session, partner_id, object_id)
    ids = [order_id for order_id, _, _ in rows]
    lock_messages_of(session, *ids)
    return session.scalars(
        select(PurchaseOrder)
        .where(PurchaseOrder.id.in_(ids))
        .order_by(PurchaseOrder.id)
        .options(joinedload(PurchaseOrder.partner, innerjoin=True), *_with_history())
        .with_for_update(of=PurchaseOrder, key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def queue_counts(session: Session, scope: Scope, now: datetime) -> QueueCounts:
    """The counts of the work queues, each counted up to ``COUNT_MAX``."""
    parameters = {"now": now, "soon": now + SOON, "scope": scope}
    return QueueCounts(*session.execute(_counting(scoped=scope is not None), parameters).one())


@cache
def _counting(*, scoped: bool) -> Select[*tuple[int, ...]]:
    """The statement of ``queue_counts``, built once, since building it takes longer than running it."""

    def count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
        open_orders = (
            select(PurchaseOrder.id).where(PurchaseOrder.needs_response, *conditions).limit(COUNT_MAX)
        )
        if scoped:
            # Few orders are open: keep the planner off the index on all orders of a supplier.
            of_supplier = without_index(PurchaseOrder.supplier_b2b_id)
            open_orders = open_orders.where(of_supplier.in_(bindparam("scope", expanding=True)))
        return select(func.count()).select_from(open_orders.subquery()).scalar_subquery()

    return select(
        count(),
        count(PurchaseOrder.respond_by < bindparam("now")),
        count(PurchaseOrder.respond_by.between(bindparam("now"), bindparam("soon"))),
        count(PurchaseOrder.response == ResponseState.CHANGED),
    )


def ordered_supplier_ids(session: Session) -> Sequence[str]:
    """The supplier ids to which orders were sent."""
    return distinct_values(session, PurchaseOrder.supplier_b2b_id, most=10_000)


def supplier_choices(session: Session, scope: Scope) -> list[tuple[str, str]]:
    """The ids and names of suppliers with orders that the reader may see, to choose from."""
    ids: Sequence[str] = sorted(scope or ())
    if scope is None:
        ids = distinct_values(session, PurchaseOrder.supplier_b2b_id, most=SUPPLIERS_MAX)
    names = supplier_names(session, ids)
    return [(b2b_id, names.get(b2b_id, b2b_id)) for b2b_id in ids]


def supplier_names(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The name of each supplier as its newest order spells it; without those that have no order."""
    rows = [(b2b_id,) for b2b_id in ids]
    if not rows:
        return {}
    supplier = values(column("b2b_id", String), name="supplier").data(rows).cte()
    newest_name = (
        select(PurchaseOrder.supplier_name)
        .where(PurchaseOrder.supplier_b2b_id == supplier.c.b2b_id)
        .order_by(PurchaseOrder.respond_by.desc(), PurchaseOrder.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    names = session.execute(select(supplier.c.b2b_id, newest_name))
    return {b2b_id: name for b2b_id, name in names if name}


def assignees(session: Session, scope: Scope) -> Sequence[Person]:
    """The people who have orders that the reader may see, by name."""
    ids = select_distinct(PurchaseOrder.assignee_id, most=ASSIGNEES_MAX)
    people = select(Person).where(Person.id.in_(ids)).options(lazyload(Person.suppliers))
    if scope is not None:
        # Staff of other suppliers stay unknown.
        people = people.where(Person.suppliers.any(PersonSupplier.b2b_id.in_(scope)))
    return session.scalars(people.order_by(Person.username)).all()


def _with_history() -> tuple[Any, ...]:
    """Load the assignee, versions, responses and status changes along with an order."""
    return (
        _with_assignee(),
        selectinload(PurchaseOrder.revisions),
        selectinload(PurchaseOrder.decisions),
        selectinload(PurchaseOrder.status_changes),
    )


def _with_assignee() -> Any:
    """Load the assignee's name along with an order."""
    return joinedload(PurchaseOrder.assignee).options(lazyload(Person.suppliers))


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

    The text index lists few orders, and the name decides.
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
