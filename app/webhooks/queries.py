"""Lists of messages and attempts. ``scope`` is the reader's supplier ids; None is all.

Every list uses an index. The search in bodies has none and covers only the newest ``SEARCH_WINDOW`` messages
that match the other filters; the page says how far back that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, or_, select, union_all
from sqlalchemy.orm import Session, contains_eager, defer, joinedload, load_only, selectinload, undefer

from app.db import bytes_contain, id_at, literal_condition
from app.db.filters import (
    PAGE,
    SCOPE_PARAMETER,
    FilterContext,
    Page,
    Scope,
    WindowEnd,
    conditions_of,
    count_rows,
    distinct_values,
    has_status,
    in_scope,
    page_of,
    row_count,
    search_bodies,
    where,
    without_index,
)
from app.delivery.models import PAUSED, Attempt, Message, MessageState, Trigger
from app.delivery.retry_policy import ACCEPTED_OUTCOMES
from app.partners.models import LISTED, Partner
from app.partners.queries import partner_id_of

ATTENTION = "attention"
"""The state filter for messages that need attention."""
NO_RESPONSE = "none"
"""The code filter for attempts without a response."""
OUTCOMES_SHOWN = 10
"""Newest attempts of each message in the list."""
SUPPLIERS_MAX = 200
"""Suppliers that the filter of the list offers."""
SORTED_MAX = 4_000
"""Up to this many ids are collected and then sorted; for more, walking the list is faster."""


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """A filter of the list; an empty field matches everything.

    ``code`` is the status of any attempt, a class such as ``4xx``, or ``none``; ``attempts`` is a minimum;
    ``order`` is the buyer's PO number.
    """

    q: str = ""
    state: str = where(lambda state, context: _is_in_state(state, context.scope, context.filters))
    code: str = where(lambda code, context: _has_attempt_among(context.session, _has_code(code)))
    kind: str = where(lambda kind, _: Message.kind == kind)
    partner: str = where(lambda name, context: Message.partner_id == partner_id_of(context.session, name))
    order: str = where(lambda number, _: Message.buyer_po_number.in_({number, number.upper()}))
    supplier: str = where(lambda b2b_id, _: Message.supplier_b2b_id == b2b_id)
    trigger: str = where(lambda trigger, _: _was_triggered(trigger))
    attempts: int | None = where(lambda number, context: _has_attempts(context.session, number), None)
    since: datetime | None = where(
        lambda at, _: [Message.created_at >= at, Message.id >= id_at("msg", at)], None
    )
    until: datetime | None = where(
        lambda at, _: [Message.created_at < at, Message.id <= id_at("msg", at, last=True)], None
    )
    after: str = ""


def message_page(
    session: Session,
    scope: Scope,
    filters: MessageFilter,
    *,
    limit: int = PAGE,
    extra_conditions: Sequence[ColumnElement[bool]] = (),
) -> Page[Message]:
    """The newest messages that match. Ids sort by time, so pages are stable while new messages arrive.

    ``extra_conditions`` are conditions from other packages.
    """
    has_several_suppliers = scope is not None and len(scope) > 1 and filters.state != ATTENTION
    conditions, oldest = filter_conditions(
        session, scope, filters, extra_conditions, scoped=not has_several_suppliers
    )
    if has_several_suppliers:
        conditions = [_newest_of_suppliers(scope or (), conditions, limit + 1)]
    # The conditions include the scope.
    rows = session.scalars(_listed(None, limit + 1).where(*conditions)).all()
    return page_of(rows, limit, oldest=oldest)


def filter_conditions(
    session: Session,
    scope: Scope,
    filters: MessageFilter,
    extra_conditions: Sequence[ColumnElement[bool]] = (),
    *,
    scoped: bool = True,
) -> tuple[list[ColumnElement[bool]], WindowEnd | None]:
    """All conditions of a filter, and the oldest message that a body search covers, if not all.

    Without ``scoped`` the caller adds the condition on the reader's suppliers.
    """
    conditions = [*_column_conditions(session, scope if scoped else None, filters), *extra_conditions]
    if filters.after:
        conditions.append(Message.id < filters.after)
    if not filters.q:
        return conditions, None
    return search_bodies(
        session,
        in_scope(select(Message.id).join(Message.partner), Message.supplier_b2b_id, scope),
        Message.id,
        Message.created_at,
        conditions,
        is_reference=_is_reference(filters.q),
        mentions=_mentions(session, filters.q),
    )


def _newest_of_suppliers(
    scope: Iterable[str], conditions: Sequence[ColumnElement[bool]], limit: int
) -> ColumnElement[bool]:
    """The newest of each supplier, merged: neither database reads several index ranges in order."""
    newest = [
        select(Message.id)
        .join(Message.partner)
        .where(Message.supplier_b2b_id == supplier, *conditions)
        .order_by(Message.id.desc())
        .limit(limit)
        .subquery()
        for supplier in sorted(scope)
    ]
    return Message.id.in_(union_all(*(select(ids.c.id) for ids in newest)))


# Built once, since building them takes longer than running them.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LAST_ATTEMPTS = (
    select(Attempt)
    .join(Message, and_(Message.id == Attempt.message_id, Message.attempts_made == Attempt.number))
    .where(Message.id.in_(_IDS))
    .options(
        load_only(Attempt.message_id, Attempt.trigger, Attempt.actor, Attempt.duration_ms, raiseload=True)
    )
)
_NEWEST_OUTCOMES = (
    select(Attempt.message_id, Attempt.outcome)
    .join(Message, Message.id == Attempt.message_id)
    .where(Message.id.in_(_IDS), Attempt.number > Message.attempts_made - OUTCOMES_SHOWN)
    .order_by(Attempt.message_id, Attempt.number)
)


def last_attempts(session: Session, ids: Sequence[str]) -> dict[str, Attempt]:
    """The newest attempt of each of these messages, if any, with the columns that the list shows."""
    return {attempt.message_id: attempt for attempt in session.scalars(_LAST_ATTEMPTS, {"ids": ids})}


def attempt_outcomes(session: Session, ids: Sequence[str]) -> dict[str, list[str | None]]:
    """The outcomes of the newest ``OUTCOMES_SHOWN`` attempts of each message, oldest first.

    None is an attempt that has not ended.
    """
    outcomes: dict[str, list[str | None]] = {}
    for message_id, outcome in session.execute(_NEWEST_OUTCOMES, {"ids": ids}):
        outcomes.setdefault(message_id, []).append(outcome)
    return outcomes


def known_suppliers(session: Session, scope: Scope) -> Sequence[str]:
    """The suppliers with messages that the reader may see, for a list of suggestions.

    Reads one index entry per supplier, however many messages it has.
    """
    if scope is not None:
        return sorted(scope)
    return distinct_values(session, Message.supplier_b2b_id, most=SUPPLIERS_MAX)


def ids_of(session: Session, scope: Scope, filters: MessageFilter) -> Select[str]:
    """The query for the ids of the messages that match."""
    conditions, _ = filter_conditions(session, scope, filters)
    return select(Message.id).join(Message.partner).where(*conditions)


def message(
    session: Session, scope: Scope, message_id: str, *, with_response_bodies: bool = False
) -> Message | None:
    """One message with its attempts; None if the reader may not see it.

    Its page shows few of the response bodies, and polls, so these are loaded on access unless requested.
    """
    bodies = [undefer(Attempt.response_body)] if with_response_bodies else []
    return session.scalar(
        in_scope(select(Message), Message.supplier_b2b_id, scope)
        .where(Message.id == message_id)
        .options(joinedload(Message.partner), selectinload(Message.attempts).options(*bodies))
    )


def message_for_update(session: Session, scope: Scope, message_id: str) -> Message | None:
    """One message, locked until the end of the transaction."""
    return session.scalar(
        in_scope(select(Message), Message.supplier_b2b_id, scope)
        .where(Message.id == message_id)
        .options(joinedload(Message.partner, innerjoin=True))
        .with_for_update(of=Message, key_share=True)
    )


def messages_of_order(session: Session, order_id: int) -> Sequence[Message]:
    """All messages of one order with their attempts, newest first."""
    return session.scalars(
        select(Message)
        .where(Message.order_id == order_id)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
        .order_by(Message.decision_number.desc())
    ).all()


def messages_by_reference(session: Session, scope: Scope, text: str, *, limit: int) -> Sequence[Message]:
    """The newest messages with exactly this id, PO number, order id or partner reference."""
    return session.scalars(_listed(scope, limit).where(_is_reference(text))).all()


def messages_of_orders(
    session: Session, scope: Scope, order_ids: Sequence[int], *, limit: int
) -> Sequence[Message]:
    """The newest messages of these orders."""
    return session.scalars(_listed(scope, limit).where(Message.order_id.in_(order_ids))).all()


_NEWEST = (
    select(Message)
    .join(Message.partner)
    .options(contains_eager(Message.partner).load_only(*LISTED), defer(Message.body))
    .order_by(Message.id.desc())
)
"""Built once, since building its options takes long."""


def _listed(scope: Scope, limit: int) -> Select[Message]:
    """The newest messages with their partners, without bodies."""
    return in_scope(_NEWEST, Message.supplier_b2b_id, scope).limit(limit)


def attention_count(session: Session, scope: Scope) -> int:
    """How many messages need attention; counting stops at ``COUNT_MAX``."""
    return session.scalar(_attention_count(scoped=scope is not None), {"scope": scope}) or 0


@cache
def _attention_count(*, scoped: bool) -> Select[int]:
    """The query of ``attention_count``, built once, since every page runs it."""
    return _count(select(Message.id).where(Message.needs_attention), scoped=scoped)


def state_counts(session: Session, scope: Scope) -> dict[str, int]:
    """How many messages are on their way or were not delivered, by state; counting stops at ``COUNT_MAX``."""
    row = session.execute(_state_counts(scoped=scope is not None), {"scope": scope}).one()
    return dict(row._mapping)


@cache
def _state_counts(*, scoped: bool) -> Select[Any]:
    """The query of ``state_counts``, built once."""
    counts = []
    for state in ("pending", PAUSED, "refused", "failed"):
        ids = select(Message.id).join(Message.partner).where(*_is_in_state(state, None, MessageFilter()))
        counts.append(_count(ids, scoped=scoped).scalar_subquery().label(state))
    return select(*counts)


def retried_count(session: Session, scope: Scope) -> int:
    """How many messages have failed and will be retried; counting stops at ``COUNT_MAX``."""
    return session.scalar(_retried_count(scoped=scope is not None), {"scope": scope}) or 0


@cache
def _retried_count(*, scoped: bool) -> Select[int]:
    """The query of ``retried_count``, built once."""
    waiting = (
        select(Message.id)
        .join(Message.partner)
        .where(
            Message.state == MessageState.PENDING,
            Message.attempts_made > 0,
            Partner.paused_at.is_(None),  # otherwise they wait until the partner is resumed
        )
    )
    return _count(waiting, scoped=scoped)


def _count(ids: Select[str], *, scoped: bool) -> Select[int]:
    """The query for how many of these few messages there are; with ``scoped``, those the reader may see."""
    scope = SCOPE_PARAMETER if scoped else None
    return row_count(in_scope(ids, without_index(Message.supplier_b2b_id), scope))


def last_delivered(session: Session, scope: Scope, partner_id: int, *, except_id: str = "") -> Message | None:
    """The newest delivered message to a partner that the reader may see, with all its attempts."""
    return session.scalar(
        in_scope(select(Message), Message.supplier_b2b_id, scope)
        .where(
            Message.partner_id == partner_id,
            Message.state == MessageState.DELIVERED,
            # One that only a late result confirmed has no successful attempt.
            Message.attempts.any(Attempt.outcome.in_(ACCEPTED_OUTCOMES)),
            Message.id != except_id,
        )
        .order_by(Message.id.desc())
        .limit(1)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
    )


def successful_attempt(message: Message) -> Attempt | None:
    """The attempt that delivered a message; None if only a late result confirmed it."""
    return next((attempt for attempt in message.attempts if attempt.outcome in ACCEPTED_OUTCOMES), None)


def _column_conditions(session: Session, scope: Scope, filters: MessageFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter without its search text and page; on messages joined with partners."""
    conditions = conditions_of(FilterContext(session, filters, scope))
    if scope is None:
        return conditions
    supplier = Message.supplier_b2b_id
    column = without_index(supplier) if filters.state == ATTENTION else supplier
    return [column.in_(scope), *conditions]


def _is_in_state(state: str, scope: Scope, filters: MessageFilter) -> list[ColumnElement[bool]]:
    if state == PAUSED:
        return [Message.is_paused.expression]
    if state == ATTENTION:
        return [Message.needs_attention.expression]
    if state == MessageState.DELIVERED and (scope or filters.supplier):
        # Most are delivered: keep SQLite from using the index on the state.
        return [without_index(Message.state) == MessageState.DELIVERED]
    is_in_state = Message.state == MessageState(state)
    return [is_in_state, Partner.paused_at.is_(None)] if state == MessageState.PENDING else [is_in_state]


def _was_triggered(trigger: str) -> ColumnElement[bool]:
    if trigger == Trigger.AUTO:
        return _some_attempt(Attempt.trigger == Trigger.AUTO)
    is_manual = and_(Attempt.trigger == Trigger(trigger), literal_condition("trigger <> 'auto'"))
    return Message.id.in_(select(Attempt.message_id).where(is_manual))


def _has_attempts(session: Session, number: int) -> ColumnElement[bool]:
    if number <= 1:
        return Message.attempts_made >= number
    has_enough = and_(Message.attempts_made >= number, literal_condition("attempts_made > 1"))
    ids = select(Message.id).where(has_enough)
    return _among(ids) if count_rows(session, ids, most=SORTED_MAX + 1) <= SORTED_MAX else has_enough


def _has_code(code: str) -> ColumnElement[bool]:
    """Of ended attempts only: the index on status holds no others."""
    is_code = Attempt.status.is_(None) if code == NO_RESPONSE else has_status(Attempt.status, code)
    return and_(is_code, Attempt.outcome.is_not(None))


def _has_attempt_among(session: Session, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Messages with such an attempt. The best query depends on how many there are."""
    ids = select(Attempt.message_id).where(condition)
    if count_rows(session, ids, most=SORTED_MAX + 1) <= SORTED_MAX:
        return _among(ids)
    return _some_attempt(condition)


def _some_attempt(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Not EXISTS: PostgreSQL may hash all attempts for that."""
    attempt_ids = select(Attempt.id).where(Attempt.message_id == Message.id, condition).limit(1)
    return attempt_ids.correlate(Message).scalar_subquery().is_not(None)


def _among(ids: Select[str]) -> ColumnElement[bool]:
    """Messages of a short list of ids, which is collected first."""
    listed = ids.cte().prefix_with("MATERIALIZED", dialect="postgresql")
    return Message.id.in_(select(listed.c[0]))


def _is_reference(text: str) -> ColumnElement[bool]:
    """Whether the text is exactly an id, a PO number, the order's id or the partner's reference."""
    return or_(
        Message.id == text,
        Message.buyer_po_number.in_({text, text.upper()}),
        Message.object_id == text,
        and_(Message.req_msg_id == text, literal_condition("req_msg_id <> ''")),
    )


def _mentions(session: Session, text: str) -> ColumnElement[bool]:
    """Whether the PO number, or a sent or received body, contains the text."""
    return or_(
        Message.buyer_po_number.icontains(text, autoescape=True),
        bytes_contain(session, Message.body, text),
        _some_attempt(bytes_contain(session, Attempt.response_body, text)),
    )
