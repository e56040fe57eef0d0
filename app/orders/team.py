"""The team's work on an order: its assignee, one of the supplier's staff, and comments with mentions.

None of this is ever sent to the partner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.accounts.queries import people_who_see
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.notifications.models import Event
from app.notifications.queries import people_of_supplier
from app.notifications.service import notify
from app.orders.models import Comment, PurchaseOrder

ASSIGNED_TO = "assigned to"
"""The name of the assignee in an audit entry."""
NO_ASSIGNEE = "nobody"
"""The assignee of an unassigned order or item in an audit entry."""
COMMENT_MAX = 2000
"""Maximum length of a comment, in characters."""
MENTION = re.compile(r"(?<![\w@.])@(\w[\w.@-]{0,79})")
"""An @ and what may be a username; the full stop that ends a sentence may follow it."""


# --- The assignee


def assignable_people(session: Session, orders: Sequence[PurchaseOrder]) -> list[Person]:
    """The people who can respond to at least one of these orders, by name."""
    people = people_of_supplier(session, *{order.supplier_b2b_id for order in orders})
    return sorted(people, key=lambda person: person.display_name.casefold())


def assign(session: Session, orders: Sequence[PurchaseOrder], person: Person | None, *, by: Person) -> None:
    """Assign those of the locked orders that the person may see, or unassign them, with one notification."""
    changed = [order for order in orders if _assign(session, order, person)]
    if not changed or person is None or person.id == by.id:
        return
    title, path = f"{len(changed)} orders", "/orders?answer=open&assigned=me"
    if len(changed) == 1:
        title, path = changed[0].buyer_po_number, f"/orders/{changed[0].id}"
    notify(session, [person], Event.ASSIGNED, title=title, path=path, by=by.display_name)


def _assign(session: Session, order: PurchaseOrder, person: Person | None) -> bool:
    """Assign one order; False if the person may not see it, or is the assignee already."""
    if person and order.supplier_b2b_id not in person.supplier_ids:
        return False
    if order.assignee_id == (person.id if person else None):
        return False
    before = session.get(Person, order.assignee_id) if order.assignee_id else None
    order.assignee = person
    session.flush()
    _record(
        session,
        AuditAction.ASSIGNED,
        order,
        before={ASSIGNED_TO: before.display_name if before else None},
        after={ASSIGNED_TO: person.display_name if person else NO_ASSIGNEE},
    )
    return True


# --- Comments


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a comment: plain text, or the mention of a person by ``username``."""

    text: str
    username: str = ""


def comments_of(session: Session, order_id: int) -> Sequence[Comment]:
    """The comments on an order, oldest first."""
    return session.scalars(select(Comment).where(Comment.order_id == order_id).order_by(Comment.id)).all()


def find_comment(session: Session, order_id: int, comment_id: int) -> Comment | None:
    """The comment with this id, if it is on this order."""
    comment = session.get(Comment, comment_id)
    return comment if comment and comment.order_id == order_id else None


def add_comment(session: Session, order: PurchaseOrder, text: str, *, by: Person) -> Comment:
    """Add a comment, and notify the people it mentions who may see the order."""
    by_name = {person.username: person for person in people_who_see(session, order.supplier_b2b_id)}
    mentioned = {part.username for part in split_mentions(text, by_name) if part.username}
    comment = Comment(
        order_id=order.id,
        person_id=by.id,
        person_name=by.display_name,
        text=text,
        mentions=sorted(mentioned),
        created_at=clock.now(),
    )
    session.add(comment)
    session.flush()
    others = [by_name[name] for name in comment.mentions if by_name[name].id != by.id]
    notify(
        session,
        others,
        Event.MENTIONED,
        title=order.buyer_po_number,
        path=f"/orders/{order.id}",
        by=by.display_name,
    )
    _record(session, AuditAction.COMMENTED, order, after={"comment": text})
    return comment


def delete_comment(session: Session, order: PurchaseOrder, comment: Comment) -> None:
    """Delete a comment; the audit trail keeps its text."""
    _record(session, AuditAction.COMMENT_DELETED, order, before={"comment": comment.text})
    session.delete(comment)
    session.flush()


def parts_of(comment: Comment) -> list[Part]:
    """The text of a comment, with the mentions of people who were notified."""
    return list(split_mentions(comment.text, comment.mentions))


def unknown_mentions(comment: Comment) -> list[str]:
    """The names after an @ in a comment that notified no one, without duplicates."""
    plain = (part.text for part in parts_of(comment) if not part.username)
    return list(dict.fromkeys(match[0].rstrip(".@-") for text in plain for match in MENTION.finditer(text)))


def split_mentions(text: str, usernames: Sequence[str] | dict[str, Person]) -> Iterator[Part]:
    """The text in pieces, with the mentions of these people; other names stay plain text."""
    end = 0
    for match in MENTION.finditer(text):
        name = match[1]
        while name and name.lower() not in usernames and name[-1] in ".@-":
            name = name[:-1]
        if name.lower() not in usernames:
            continue
        stop = match.start() + 1 + len(name)
        yield Part(text[end : match.start()])
        yield Part(text[match.start() : stop], name.lower())
        end = stop
    yield Part(text[end:])


def _record(session: Session, action: AuditAction, order: PurchaseOrder, **values: Any) -> None:
    name = order.buyer_po_number
    trail.record(session, action, AuditObject.ORDER, order.id, name=name, **values)
