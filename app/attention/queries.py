"""What needs attention now, and what was closed, by whom and why. ``scope`` is the reader's supplier ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import Session, selectinload

from app.accounts.models import Person, Role
from app.attention.items import (
    Subject,
    held_count,
    held_partners,
    of_held,
    of_inbound,
    of_message,
    unmatched,
)
from app.attention.models import Case
from app.delivery.models import Message
from app.inbound.queries import unmatched_count
from app.webhooks import queries as outbox

PAGE = 50
"""Things a page."""
UNMATCHED_SHOWN = 20
"""Messages that fit nothing, shown here; the log of what was received has the rest."""

Scope = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Item:
    """Something that needs attention, and the case of it, if anybody handled it."""

    subject: Subject
    case: Case | None

    @property
    def assigned_to(self) -> str:
        """Whose it is now, empty if nobody's."""
        return self.case.assigned_name if self.case and self.case.closed_at is None else ""

    @property
    def came_again(self) -> bool:
        """Whether somebody had closed it."""
        return self.case is not None and self.case.closed_at is not None


@dataclass(frozen=True, slots=True)
class Needing:
    """A page of what needs attention; the partners and the unmatched stand on the first page only."""

    held: Sequence[Item]
    messages: Sequence[Item]
    unmatched: Sequence[Item]
    unmatched_count: int
    next_after: str | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be shown."""
        return not (self.held or self.messages or self.unmatched)


@dataclass(frozen=True, slots=True)
class Wanted:
    """``whose`` is empty for all, ``mine`` or ``nobody``; ``after`` is the message before the page."""

    whose: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks: the supplier ids, the person, and whether held partners and unmatched messages are theirs."""

    scope: Scope
    person_id: int
    supports: bool


def needing(session: Session, reader: Reader, wanted: Wanted, *, limit: int = PAGE) -> Needing:
    """What needs attention: held partners, then messages newest first, then what fits nothing."""
    also = _whose(reader, wanted)
    page = outbox.message_page(
        session,
        reader.scope,
        outbox.MessageFilter(state=outbox.ATTENTION, after=wanted.after),
        limit=limit,
        also=also,
    )
    messages = _items(session, [of_message(one) for one in page.messages])
    first = reader.supports and not wanted.after
    held = _items(session, [of_held(one) for one in held_partners(session)]) if first else []
    shown = unmatched(session, most=UNMATCHED_SHOWN) if first else []
    fits_nothing = _items(session, [of_inbound(one) for one in shown])
    return Needing(
        held=[one for one in held if _is_of(one, reader, wanted)],
        messages=messages,
        unmatched=[one for one in fits_nothing if _is_of(one, reader, wanted)],
        unmatched_count=unmatched_count(session, None) if first else 0,
        next_after=page.next_after,
    )


def count(session: Session, scope: Scope, *, supports: bool) -> int:
    """How much needs attention: what ``needing`` would list."""
    messages = outbox.attention_count(session, scope)
    if not supports:
        return messages
    return messages + held_count(session) + unmatched_count(session, None)


def item(session: Session, subject: Subject) -> Item:
    """One thing with its case and all that was done about it."""
    case = session.scalar(
        select(Case)
        .where(Case.subject == subject.key)
        .options(selectinload(Case.events))
        .execution_options(populate_existing=True)
    )
    return Item(subject, case)


@dataclass(frozen=True, slots=True)
class ClosedPage:
    """A page of what was closed, newest first, and the key after which the next one begins."""

    cases: Sequence[Case]
    next_after: int | None


def closed(session: Session, reader: Reader, after: int | None, *, limit: int = PAGE) -> ClosedPage:
    """What was closed, the newest first, also what has come again since."""
    query = select(Case).where(Case.closed_at.is_not(None))
    if reader.scope is not None:
        query = query.where(Case.supplier_b2b_id.in_(reader.scope))
    if not reader.supports:
        query = query.where(Case.subject.startswith("message-"))
    if after is not None:
        last = session.get(Case, after)
        if last and last.closed_at:
            query = query.where(tuple_(Case.closed_at, Case.id) < tuple_(last.closed_at, last.id))
    rows = session.scalars(query.order_by(Case.closed_at.desc(), Case.id.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    return ClosedPage(rows[:limit], rows[limit - 1].id if more else None)


def supporters(session: Session, roles: Iterable[Role]) -> Sequence[Person]:
    """The people to whom something can be handed over, by name."""
    return session.scalars(
        select(Person).where(Person.active, Person.role.in_(list(roles))).order_by(Person.name)
    ).all()


def _items(session: Session, subjects: Sequence[Subject]) -> list[Item]:
    keys = [one.key for one in subjects]
    cases = {case.subject: case for case in session.scalars(select(Case).where(Case.subject.in_(keys)))}
    return [Item(one, cases.get(one.key)) for one in subjects]


def _whose(reader: Reader, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Conditions on messages by whose they are; few are anybody's at a time."""
    if not wanted.whose:
        return []
    prefix = "message-"
    ids = func.substr(Case.subject, len(prefix) + 1)
    taken = select(ids).where(Case.subject.startswith(prefix), Case.closed_at.is_(None))
    if wanted.whose == "mine":
        return [Message.id.in_(taken.where(Case.assigned_to == reader.person_id))]
    return [Message.id.not_in(taken.where(Case.assigned_to.is_not(None)))]


def _is_of(one: Item, reader: Reader, wanted: Wanted) -> bool:
    if wanted.whose == "mine":
        return bool(one.assigned_to) and one.case is not None and one.case.assigned_to == reader.person_id
    return not (wanted.whose == "nobody" and one.assigned_to)
