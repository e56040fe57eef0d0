"""Save, rename and list views. The commands never commit."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.db import advisory_lock
from app.saved_views.models import QUERY_MAX, SavedView

LISTS = {"orders": "/orders", "webhooks": "/webhooks", "inbound": "/inbound"}
"""The lists with views, and their URLs."""
MAX_VIEWS = 40
"""Views per person and list."""


class Problem(StrEnum):
    """Why a view cannot be saved."""

    UNKNOWN_LIST = "unknown_list"
    NO_FILTER = "no_filter"
    TOO_MANY = "too_many"
    NAME_TAKEN = "name_taken"
    TOO_LONG = "too_long"


class CannotSave(ValueError):
    """The view cannot be saved."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.value)
        self.problem = problem


def views_of(session: Session, person_id: int, page: str | None = None) -> Sequence[SavedView]:
    """The views of a person, of one list or all, by list and name."""
    query = select(SavedView).where(SavedView.person_id == person_id)
    if page is not None:
        query = query.where(SavedView.page == page)
    return session.scalars(query.order_by(SavedView.page, func.lower(SavedView.name), SavedView.id)).all()


def find_view(session: Session, person_id: int, view_id: int) -> SavedView | None:
    """One view of this person, locked until the end of the transaction."""
    return session.scalar(
        select(SavedView).where(SavedView.id == view_id, SavedView.person_id == person_id).with_for_update()
    )


def save(session: Session, person_id: int, *, page: str, name: str, query: str) -> SavedView:
    """Save a filter. A view with the same name on the same list gets the new filter.

    Errors: CannotSave.
    """
    if page not in LISTS:
        raise CannotSave(Problem.UNKNOWN_LIST)
    query = normalize_query(query)
    if not query:
        raise CannotSave(Problem.NO_FILTER)
    advisory_lock(session, "views", person_id)
    views = views_of(session, person_id, page)
    for view in views:
        if view.name.casefold() == name.casefold():
            view.query = query
            return view
    if len(views) >= MAX_VIEWS:
        raise CannotSave(Problem.TOO_MANY)
    view = SavedView(person_id=person_id, page=page, name=name, query=query, created_at=clock.now())
    session.add(view)
    session.flush()
    return view


def rename(session: Session, view: SavedView, name: str) -> None:
    """Rename a view.

    Errors: CannotSave if another view of the list has this name.
    """
    advisory_lock(session, "views", view.person_id)
    others = (other for other in views_of(session, view.person_id, view.page) if other.id != view.id)
    if any(other.name.casefold() == name.casefold() for other in others):
        raise CannotSave(Problem.NAME_TAKEN)
    view.name = name
    session.flush()


def normalize_query(query: str) -> str:
    """A query string in one spelling, without the position of its page.

    Errors: CannotSave if it is too long.
    """
    pairs = parse_qsl(query.lstrip("?"), keep_blank_values=False, max_num_fields=None)
    normalized = urlencode([(name, value) for name, value in pairs if name != "after"])
    if len(normalized) > QUERY_MAX:
        raise CannotSave(Problem.TOO_LONG)
    return normalized


def view_url(view: SavedView) -> str:
    """The URL of the list with the view's filter."""
    return f"{LISTS[view.page]}?{view.query}"
