"""The log of messages and attempts. ``scope`` is the reader's supplier ids; None is all.

Every page is bought by an index. What no index serves is bounded: words in bodies are looked for in the
newest ``WINDOW`` messages that fit the rest of the filter, and the page says how far back that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, union_all
from sqlalchemy.orm import Session, contains_eager, defer, joinedload, selectinload, undefer

from app.db import bytes_contain, id_at, literal_condition
from app.delivery.models import Attempt, Message, MessageState, Trigger
from app.delivery.retry_policy import Reason
from app.partners.models import LISTED, Partner

ATTENTION = "attention"
"""The filter's name for what somebody must look at."""
NO_ANSWER = "none"
"""The filter's name for tries that got no answer at all."""
TAKEN = (Reason.DELIVERED.value, Reason.ALREADY_RECEIVED.value)
"""Ends of tries by which a message arrived."""
PAGE = 50
"""Messages a page."""
WINDOW = 2_000
"""Messages whose bodies are looked through for words at a time."""
FEW = 4_000
"""Up to so many are listed first and sorted then; more are found soon by walking the log."""

Scope = frozenset[str] | None
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """What the log may be narrowed to; an empty field narrows nothing.

    ``code`` is a status of one of the tries, a class of them such as ``4xx``, or ``none``; ``attempts`` is
    how many there were at least; ``order`` is the buyer's PO number.
    """

    q: str = ""
    state: str = ""
    code: str = ""
    kind: str = ""
    partner: str = ""
    order: str = ""
    supplier: str = ""
    trigger: str = ""
    attempts: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class LastTry:
    """The newest try of a message, as the list tells it."""

    trigger: Trigger
    actor: str | None
    duration_ms: float | None


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page of the log, newest first, and the id after which the next one begins.

    ``looked_back_to`` is set where words were looked for and not everything was looked through.
    """

    messages: Sequence[Message]
    next_after: str | None
    tries: Mapping[str, LastTry] = field(default_factory=dict)
    looked_back_to: datetime | None = None


def message_page(
    session: Session,
    scope: Scope,
    wanted: MessageFilter,
    *,
    limit: int = PAGE,
    also: Sequence[ColumnElement[bool]] = (),
) -> MessagePage:
    """The newest messages that fit. Ids sort by time, so pages stay put while new ones arrive.

    ``also`` are further conditions on messages, from rooms above.
    """
    several = scope is not None and len(scope) > 1 and wanted.state != ATTENTION
    conditions, oldest = narrowed(session, scope, wanted, also, scoped=not several)
    if several:
        conditions = [_of_suppliers(scope or (), conditions, limit + 1)]
    query = (
        select(Message)
        .join(Message.partner)
        .options(contains_eager(Message.partner).load_only(*LISTED), defer(Message.body))
        .where(*conditions)
        .order_by(Message.id.desc())
        .limit(limit + 1)
    )
    rows = session.scalars(query).all()
    shown = rows[:limit]
    tries = last_tries(session, [one.id for one in shown])
    if len(rows) > limit:
        return MessagePage(shown, shown[-1].id, tries)
    if oldest:
        return MessagePage(shown, oldest.id, tries, oldest.created_at)
    return MessagePage(shown, None, tries)


def narrowed(
    session: Session,
    scope: Scope,
    wanted: MessageFilter,
    also: Sequence[ColumnElement[bool]] = (),
    *,
    scoped: bool = True,
) -> tuple[list[ColumnElement[bool]], Any]:
    """All conditions of a filter, and the oldest message that is looked through for words, if not all are.

    Without ``scoped`` the caller keeps to the reader's suppliers.
    """
    conditions = [*fitting(session, scope if scoped else None, wanted), *also]
    if wanted.after:
        conditions.append(Message.id < wanted.after)
    if not wanted.q:
        return conditions, None
    named = _named(wanted.q)
    if session.scalar(_visible(select(Message.id), scope).where(named).limit(1)) is not None:
        return [*conditions, named], None
    oldest = _end_of_window(session, scope, conditions)
    conditions.append(_mentions(session, wanted.q))
    if oldest:
        conditions.append(Message.id >= oldest.id)
    return conditions, oldest


def _of_suppliers(
    scope: Iterable[str], conditions: Sequence[ColumnElement[bool]], limit: int
) -> ColumnElement[bool]:
    """The newest of each supplier, merged: neither database takes several from one index in order."""
    newest = [
        select(Message.id)
        .join(Message.partner)
        .where(Message.supplier_b2b_id == supplier, *conditions)
        .order_by(Message.id.desc())
        .limit(limit)
        .subquery()
        for supplier in sorted(scope)
    ]
    return Message.id.in_(union_all(*(select(one.c.id) for one in newest)))


def last_tries(session: Session, ids: Sequence[str]) -> dict[str, LastTry]:
    """The newest try of each of these messages, where there was one."""
    rows = session.execute(
        select(Attempt.message_id, Attempt.trigger, Attempt.actor, Attempt.duration_ms)
        .join(Message, and_(Message.id == Attempt.message_id, Message.attempts_made == Attempt.number))
        .where(Message.id.in_(ids))
    )
    return {row.message_id: LastTry(row.trigger, row.actor, row.duration_ms) for row in rows}


def known_suppliers(session: Session, scope: Scope, *, most: int = 200) -> Sequence[str]:
    """Suppliers of whom there are messages, for choosing one; all that the reader may see.

    Each is one step on an index, however many messages it has.
    """
    if scope is not None:
        return sorted(scope)
    # A loose walk on the index: neither database does it by itself.
    first = select(func.min(Message.supplier_b2b_id).label("b2b_id")).cte(recursive=True)
    following = select(func.min(Message.supplier_b2b_id)).where(Message.supplier_b2b_id > first.c.b2b_id)
    every = first.union_all(
        select(following.correlate(first).scalar_subquery()).where(first.c.b2b_id.is_not(None))
    )
    return session.scalars(select(every.c.b2b_id).where(every.c.b2b_id.is_not(None)).limit(most)).all()


def newest_id(session: Session, scope: Scope, wanted: MessageFilter) -> str:
    """The id of the newest message that fits, on whatever page one is; empty where there is none."""
    return session.scalar(_ids(session, scope, wanted).order_by(Message.id.desc()).limit(1)) or ""


def newer_count(session: Session, scope: Scope, wanted: MessageFilter, than: str) -> int:
    """How many messages that fit came after this id; counting stops beyond a page."""
    newer = _ids(session, scope, wanted).where(Message.id > than).limit(PAGE + 1)
    return len(session.scalars(newer).all())


def _ids(session: Session, scope: Scope, wanted: MessageFilter) -> Select[str]:
    conditions, _ = narrowed(session, scope, replace(wanted, after=""))
    return select(Message.id).join(Message.partner).where(*conditions)


def message(session: Session, scope: Scope, message_id: str) -> Message | None:
    """One message with its attempts, bodies and all, or None where the reader may not see it."""
    return session.scalar(
        _visible(select(Message), scope)
        .where(Message.id == message_id)
        .options(
            joinedload(Message.partner),
            selectinload(Message.attempts).options(undefer(Attempt.response_body)),
        )
    )


def message_for_update(session: Session, scope: Scope, message_id: str) -> Message | None:
    """One message, locked until the transaction ends."""
    return session.scalar(
        _visible(select(Message), scope)
        .where(Message.id == message_id)
        .options(joinedload(Message.partner, innerjoin=True))
        .with_for_update(of=Message)
    )


def messages_of_order(session: Session, order_id: int) -> Sequence[Message]:
    """All messages of one order with their attempts, newest first."""
    return session.scalars(
        select(Message)
        .where(Message.order_id == order_id)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
        .order_by(Message.decision_number.desc())
    ).all()


def attention_count(session: Session, scope: Scope, *, most: int = 1001) -> int:
    """How many messages somebody must look at; counting stops at ``most``."""
    needing = select(Message.id).where(Message.needs_attention).limit(most)
    if scope is not None:
        needing = needing.where(_of_few(scope))
    return session.scalar(select(func.count()).select_from(needing.subquery())) or 0


def retried_count(session: Session, scope: Scope, *, most: int = 1001) -> int:
    """How many messages were tried in vain and will be tried again by themselves; it stops at ``most``."""
    waiting = (
        select(Message.id)
        .join(Message.partner)
        .where(
            Message.state == MessageState.PENDING,
            Message.attempts_made > 0,
            Partner.paused_at.is_(None),  # else they wait until somebody resumes it
        )
    )
    if scope is not None:
        waiting = waiting.where(_of_few(scope))
    return session.scalar(select(func.count()).select_from(waiting.limit(most).subquery())) or 0


def last_good(session: Session, scope: Scope, partner_id: int, *, but: str = "") -> Message | None:
    """The newest message that a partner took, of those that the reader may see, with its attempts' bodies."""
    return session.scalar(
        _visible(select(Message), scope)
        .where(
            Message.partner_id == partner_id,
            Message.state == MessageState.DELIVERED,
            # Of what only a late result settled, no try is known to be good.
            Message.attempts.any(Attempt.outcome.in_(TAKEN)),
            Message.id != but,
        )
        .order_by(Message.id.desc())
        .limit(1)
        .options(
            joinedload(Message.partner),
            selectinload(Message.attempts).options(undefer(Attempt.response_body)),
        )
    )


def good_try(message: Message) -> Attempt | None:
    """The try by which a delivered message arrived; None where only a late result told so."""
    return next((one for one in message.attempts if one.outcome in TAKEN), None)


def _visible(query: Query, scope: Scope) -> Query:
    return query if scope is None else query.where(Message.supplier_b2b_id.in_(scope))


def fitting(session: Session, scope: Scope, wanted: MessageFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter on messages joined with their partner; words and page are the caller's."""
    conditions = _of_scope_and_state(scope, wanted)
    if wanted.kind:
        conditions.append(Message.kind == wanted.kind)
    if wanted.partner:
        named = session.scalar(select(Partner.id).where(Partner.name == wanted.partner))
        # As a number, so that the index on it is seen to fit.
        conditions.append(Message.partner_id == (named if named is not None else -1))
    if wanted.order:
        conditions.append(Message.buyer_po_number.in_({wanted.order, wanted.order.upper()}))
    if wanted.supplier:
        conditions.append(Message.supplier_b2b_id == wanted.supplier)
    if wanted.since:
        conditions += [Message.created_at >= wanted.since, Message.id >= id_at("msg", wanted.since)]
    if wanted.until:
        conditions += [Message.created_at < wanted.until, Message.id <= id_at("msg", wanted.until, last=True)]
    return conditions + _of_tries(session, wanted)


def _of_scope_and_state(scope: Scope, wanted: MessageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope is not None and wanted.state == ATTENTION:
        conditions.append(_of_few(scope))
    elif scope is not None:
        conditions.append(Message.supplier_b2b_id.in_(scope))
    if wanted.state == "held":
        conditions += [Message.state == MessageState.PENDING, Partner.paused_at.is_not(None)]
    elif wanted.state == ATTENTION:
        conditions.append(Message.needs_attention.expression)
    elif wanted.state == MessageState.DELIVERED and (scope or wanted.supplier):
        # Most are delivered: not by the state's index, of which SQLite thinks as well as of the supplier's.
        conditions.append(func.coalesce(Message.state, "") == MessageState.DELIVERED)
    elif wanted.state:
        conditions.append(Message.state == MessageState(wanted.state))
        if wanted.state == MessageState.PENDING:
            conditions.append(Partner.paused_at.is_(None))
    return conditions


def _of_few(scope: frozenset[str]) -> ColumnElement[bool]:
    """The reader's suppliers, where few messages are looked at: not by the index on all of a supplier's."""
    return func.coalesce(Message.supplier_b2b_id, "").in_(scope)


def _of_tries(session: Session, wanted: MessageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.code:
        conditions.append(_some_try(session, _has_code(wanted.code)))
    if wanted.trigger == Trigger.AUTO:
        conditions.append(_some_attempt(Attempt.trigger == Trigger.AUTO))
    elif wanted.trigger:
        is_manual = and_(Attempt.trigger == Trigger(wanted.trigger), literal_condition("trigger <> 'auto'"))
        conditions.append(Message.id.in_(select(Attempt.message_id).where(is_manual)))
    if wanted.attempts and wanted.attempts > 1:
        enough = and_(Message.attempts_made >= wanted.attempts, literal_condition("attempts_made > 1"))
        ids = select(Message.id).where(enough)
        conditions.append(_among(ids) if _are_few(session, ids) else enough)
    elif wanted.attempts:
        conditions.append(Message.attempts_made >= wanted.attempts)
    return conditions


def _has_code(code: str) -> ColumnElement[bool]:
    """Of attempts that have ended, which are all that the index of codes holds."""
    return and_(_status_is(code), Attempt.outcome.is_not(None))


def _status_is(code: str) -> ColumnElement[bool]:
    if code == NO_ANSWER:
        return Attempt.status.is_(None)
    if code.endswith("xx"):
        first = int(code[0]) * 100
        return Attempt.status.between(first, first + 99)
    return Attempt.status == int(code)


def _some_try(session: Session, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Messages with such a try: a few are listed, of many the newest are met soon."""
    ids = select(Attempt.message_id).where(condition)
    return _among(ids) if _are_few(session, ids) else _some_attempt(condition)


def _are_few(session: Session, ids: Select[str]) -> bool:
    counted = session.scalar(select(func.count()).select_from(ids.limit(FEW + 1).subquery()))
    return (counted or 0) <= FEW


def _some_attempt(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Not EXISTS: of that PostgreSQL may look through all attempts first, and hash what it found."""
    of_it = select(Attempt.id).where(Attempt.message_id == Message.id, condition).limit(1)
    return of_it.correlate(Message).scalar_subquery().is_not(None)


def _among(ids: Select[str]) -> ColumnElement[bool]:
    """Messages of a short list, which is made first and looked up then."""
    listed = ids.cte().prefix_with("MATERIALIZED", dialect="postgresql")
    return Message.id.in_(select(listed.c[0]))


def _end_of_window(session: Session, scope: Scope, conditions: Sequence[ColumnElement[bool]]) -> Any:
    """The oldest message whose body is looked through, by id and time; None where all are."""
    ids = _visible(select(Message.id), scope).join(Message.partner).where(*conditions)
    found = session.scalars(ids.order_by(Message.id.desc()).offset(WINDOW - 1).limit(2)).all()
    if len(found) < 2:
        return None
    return session.execute(select(Message.id, Message.created_at).where(Message.id == found[0])).one()


def _named(words: str) -> ColumnElement[bool]:
    """Whether the words are an id, a PO number, the order's id or the network's reference, in full."""
    return or_(
        Message.id == words,
        Message.buyer_po_number.in_({words, words.upper()}),
        Message.object_id == words,
        and_(Message.req_msg_id == words, literal_condition("req_msg_id <> ''")),
    )


def _mentions(session: Session, words: str) -> ColumnElement[bool]:
    """Whether the words stand in the PO number, or a body that was sent or received."""
    return or_(
        Message.buyer_po_number.icontains(words, autoescape=True),
        bytes_contain(session, Message.body, words),
        _some_attempt(bytes_contain(session, Attempt.response_body, words)),
    )
