"""Save, change, share and list views, and the view that a person starts with. The commands never commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, true
from sqlalchemy.orm import Session, joinedload, lazyload

from app import clock
from app.accounts.models import Person, Role
from app.accounts.permissions import ROLE_PERMISSIONS, Permission, can
from app.accounts.queries import in_team_of_role
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import advisory_lock
from app.saved_views.models import QUERY_MAX, SavedView

START_VIEW = "start_view"
"""The name of the preference for the view that a person starts with."""
VIEWS_MAX = 40
"""Maximum number of views per person and list."""


@dataclass(frozen=True, slots=True)
class ViewedList:
    """A list with views: its URL, and the permission that it requires."""

    path: str
    permission: Permission = Permission.VIEW


LISTS = {
    "orders": ViewedList("/orders"),
    "webhooks": ViewedList("/webhooks"),
    "inbound": ViewedList("/inbound"),
    "audit": ViewedList("/audit", Permission.VIEW_AUDIT_TRAIL),
}
"""The lists with views by their names."""


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


def views_of(session: Session, person: Person, page: str | None = None) -> Sequence[SavedView]:
    """The views that a person sees, of one list or all: own ones first, then those of the team, by name."""
    query = _visible_views(person.role, of_page=page is not None)
    return session.scalars(query, {**_reader(person), "page": page}).all()


def find_view(session: Session, person: Person, view_id: int, *, locked: bool = False) -> SavedView | None:
    """A view that this person sees; ``locked`` until the end of the transaction."""
    query = select(SavedView).where(SavedView.id == view_id, _is_visible(person.role))
    query = query.with_for_update(of=SavedView, key_share=True) if locked else query
    return session.scalar(query, _reader(person))


def may_edit(person: Person, view: SavedView) -> bool:
    """Whether the person may change or delete the view."""
    return view.person_id == person.id or (view.is_shared and can(person, Permission.MANAGE_USERS))


@cache
def _visible_views(role: Role, *, of_page: bool) -> Select[SavedView]:
    """The query of ``views_of`` for people of a role, built once, since every list runs it."""
    query = (
        select(SavedView)
        .where(_is_visible(role))
        .options(joinedload(SavedView.owner).options(lazyload(Person.suppliers)))
        .order_by(~_IS_OWN, SavedView.page, func.lower(SavedView.name), SavedView.id)
    )
    return query.where(SavedView.page == bindparam("page")) if of_page else query


_IS_OWN = SavedView.person_id == bindparam("reader_id")


def _is_visible(role: Role) -> ColumnElement[bool]:
    """Own views of the ``_reader``, and those that the team shares, of lists that the role may open.

    Administrators see all shared views, so that they can delete those of people who left.
    """
    allowed = ROLE_PERMISSIONS[role]
    pages = [name for name, viewed in LISTS.items() if viewed.permission in allowed]
    sees_all = Permission.MANAGE_USERS in allowed
    is_of_team = true() if sees_all else SavedView.owner.has(in_team_of_role(role))
    return and_(SavedView.page.in_(pages), or_(_IS_OWN, and_(SavedView.is_shared, is_of_team)))


def _reader(person: Person) -> dict[str, Any]:
    """The parameters of ``_is_visible``."""
    return {"reader_id": person.id, "scope": person.supplier_ids}


def save(
    session: Session, person: Person, *, page: str, name: str, query: str, is_shared: bool = False
) -> SavedView:
    """Save a filter. An own view with the same name on the same list gets the new filter.

    Errors: CannotSave.
    """
    if page not in LISTS or not can(person, LISTS[page].permission):
        raise CannotSave(Problem.UNKNOWN_LIST)
    query = normalize_query(query)
    if not query:
        raise CannotSave(Problem.NO_FILTER)
    advisory_lock(session, "views", person.id)
    views = _own_views(session, person.id, page)
    view = next((view for view in views if view.name.casefold() == name.casefold()), None)
    if view is None:
        if len(views) >= VIEWS_MAX:
            raise CannotSave(Problem.TOO_MANY)
        view = SavedView(person_id=person.id, page=page, name=name, created_at=clock.now())
        session.add(view)
    view.query, view.is_shared = query, is_shared
    session.flush()
    _record(session, AuditAction.VIEW_SAVED, view, after=_audit_fields(view))
    return view


def change(session: Session, view: SavedView, *, name: str, is_shared: bool) -> None:
    """Rename a view, and share it or stop sharing it.

    Errors: CannotSave if another view of its owner on the list has this name.
    """
    advisory_lock(session, "views", view.person_id)
    others = (other for other in _own_views(session, view.person_id, view.page) if other.id != view.id)
    if any(other.name.casefold() == name.casefold() for other in others):
        raise CannotSave(Problem.NAME_TAKEN)
    before = _audit_fields(view)
    view.name, view.is_shared = name, is_shared
    session.flush()
    old, new = trail.differences(before, _audit_fields(view))
    if new:
        _record(session, AuditAction.VIEW_CHANGED, view, before=old, after=new)


def delete(session: Session, view: SavedView) -> None:
    """Delete a view. Those who start with it start with Home again."""
    _record(session, AuditAction.VIEW_DELETED, view, before=_audit_fields(view))
    session.delete(view)
    session.flush()


def set_start_view(session: Session, person: Person, view: SavedView | None) -> None:
    """Start with a view after sign-in and at ``/``; None for Home."""
    before = start_view(session, person)
    start = None if view is None else {"id": view.id, "created_at": view.created_at.isoformat()}
    person.preferences = {**person.preferences, START_VIEW: start}
    session.flush()
    if before != view:
        trail.record(
            session,
            AuditAction.PERSON_CHANGED,
            AuditObject.PERSON,
            person.id,
            name=person.username,
            before={START_VIEW: before.name if before else None},
            after={START_VIEW: view.name if view else None},
        )


def start_view(session: Session, person: Person) -> SavedView | None:
    """The view that a person starts with; None for Home, or if the view is gone or no longer shared."""
    stored = person.preferences.get(START_VIEW)
    if not isinstance(stored, dict):
        return None
    view_id = stored.get("id")
    if type(view_id) is not int or not 0 < view_id < 2**31:
        return None
    view = find_view(session, person, view_id)
    # SQLite gives the id of a deleted view to a new one.
    return view if view and view.created_at.isoformat() == stored.get("created_at") else None


def _own_views(session: Session, person_id: int, page: str) -> Sequence[SavedView]:
    return session.scalars(
        select(SavedView).where(SavedView.person_id == person_id, SavedView.page == page)
    ).all()


def _record(session: Session, action: AuditAction, view: SavedView, **values: Any) -> None:
    trail.record(session, action, AuditObject.VIEW, view.id, name=view.name, **values)


def _audit_fields(view: SavedView) -> dict[str, Any]:
    return {"name": view.name, "list": view.page, "filter": view.query, "shared": view.is_shared}


def normalize_query(query: str) -> str:
    """A query string in normal form, without the page position and without NUL, which no page accepts.

    Errors: CannotSave if it is too long.
    """
    pairs = parse_qsl(query.lstrip("?"))
    normalized = urlencode(
        [(name, value) for name, value in pairs if name != "after" and "\0" not in name + value]
    )
    if len(normalized) > QUERY_MAX:
        raise CannotSave(Problem.TOO_LONG)
    return normalized


def view_url(view: SavedView) -> str:
    """The URL of the list with the view's filter."""
    return f"{LISTS[view.page].path}?{view.query}"
