"""Example comments and assignees, so that a new user sees how colleagues work together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.accounts.queries import person_by_username
from app.audit import trail
from app.orders import team
from app.orders.models import PurchaseOrder


@dataclass(frozen=True, slots=True)
class Teamwork:
    """Who assigned an order to whom, and its comments as minutes ago, username and text."""

    po_number: str
    assignee: str = ""
    by: str = ""
    comments: tuple[tuple[int, str, str], ...] = ()


TEAMWORK = (
    Teamwork(
        "KAV/2611/45024",
        "asha",
        "meera",
        (
            (
                52,
                "meera",
                "@asha the buyer called: 12 of the 24 drums now, 12 in two weeks is fine.",
            ),
            (47, "asha", "Thanks @meera. I’ll split line 2 into two deliveries."),
        ),
    ),
    Teamwork(
        "BRA/2611/45028",
        "omar",
        "omar",
        ((38, "omar", "Only 5 boxes? I asked the buyer whether they mean 500. Waiting for a call back."),),
    ),
    Teamwork(
        "SAH/2611/45061",
        comments=(
            (31, "asha", "Same items as SAH/2611/45051. @ravi, did the network send one order twice?"),
            (24, "ravi", "No, two orders with different IDs. Ask the buyer before you confirm both."),
        ),
    ),
    Teamwork("ARA/2611/45041", "asha", "asha"),
    Teamwork("ARA/2611/45021", "asha", "asha"),
    Teamwork("SAT/2611/45040", "omar", "asha"),
    Teamwork("VIN/2611/45055", "omar", "meera"),
)


def add_teamwork(session: Session) -> None:
    """Add the comments and assignees of the example people to the example orders that exist."""
    for example in TEAMWORK:
        query = select(PurchaseOrder).where(PurchaseOrder.buyer_po_number == example.po_number)
        order = session.scalar(query)
        if order is None:
            continue
        if example.assignee:
            by = _person(session, example.by)
            with trail.acting(_actor(by)):
                team.assign(session, [order], _person(session, example.assignee), by=by)
        for minutes, username, text in example.comments:
            author = _person(session, username)
            with trail.acting(_actor(author)):
                comment = team.add_comment(session, order, text, by=author)
            comment.created_at = clock.now() - timedelta(minutes=minutes)


def _person(session: Session, username: str) -> Person:
    person = person_by_username(session, username)
    assert person
    return person


def _actor(person: Person) -> trail.Actor:
    return trail.Actor(person.display_name, person.id, person.role.value)
