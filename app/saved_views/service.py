"""Keeping a filter under a name, giving it another name, forgetting it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.db import advisory_lock
from app.saved_views.models import QUERY_MAX, SavedView

PAGES = {"orders": "/orders", "webhooks": "/webhooks", "inbound": "/inbound"}
"""The lists whose filters can be kept, and where they are."""
NAMES = {"orders": "Orders", "webhooks": "Outgoing", "inbound": "Incoming"}
MOST = 40
"""Views that one person may keep of one list."""


class CannotKeep(ValueError):
    """A view cannot be kept like this; the text is the sentence for the form."""


def views_of(session: Session, person_id: int, page: str | None = None) -> Sequence[SavedView]:
    """A person's views, of one list or of all, by list and name."""
    query = select(SavedView).where(SavedView.person_id == person_id)
    if page is not None:
        query = query.where(SavedView.page == page)
    return session.scalars(query.order_by(SavedView.page, func.lower(SavedView.name), SavedView.id)).all()


def view(session: Session, person_id: int, view_id: int) -> SavedView | None:
    """One view, if it is this person's."""
    return session.scalar(
        select(SavedView).where(SavedView.id == view_id, SavedView.person_id == person_id).with_for_update()
    )


def keep(session: Session, person_id: int, *, page: str, name: str, query: str) -> SavedView:
    """Keep a filter; one of the same name on the same list gets the new filter.

    Errors: CannotKeep.
    """
    if page not in PAGES:
        raise CannotKeep("There is no such list.")
    written = as_written(query)
    if not written:
        raise CannotKeep("Nothing narrows the list: choose a filter first.")
    advisory_lock(session, "views", person_id)
    mine = views_of(session, person_id, page)
    same = next((one for one in mine if one.name.casefold() == name.casefold()), None)
    if same:
        same.query = written
        return same
    if len(mine) >= MOST:
        raise CannotKeep(f"You keep {MOST} views of this list already. Delete one first.")
    kept = SavedView(person_id=person_id, page=page, name=name, query=written, created_at=clock.now())
    session.add(kept)
    session.flush()
    return kept


def rename(session: Session, kept: SavedView, name: str) -> None:
    """Give a view another name.

    Errors: CannotKeep where another view of the list has it.
    """
    advisory_lock(session, "views", kept.person_id)
    others = (one for one in views_of(session, kept.person_id, kept.page) if one.id != kept.id)
    if any(one.name.casefold() == name.casefold() for one in others):
        raise CannotKeep(f"“{name}” is the name of another view.")
    kept.name = name
    session.flush()


def as_written(query: str) -> str:
    """A filter's query in one spelling, without the place on which its page begins.

    Errors: CannotKeep where it is too long.
    """
    pairs = parse_qsl(query.lstrip("?"), keep_blank_values=False, max_num_fields=None)
    written = urlencode([(name, value) for name, value in pairs if name != "after"])
    if len(written) > QUERY_MAX:
        raise CannotKeep("This filter is too long to be kept.")
    return written


def where(kept: SavedView) -> str:
    """The address of the list as this view narrows it."""
    return f"{PAGES[kept.page]}?{kept.query}"
