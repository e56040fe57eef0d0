"""Queries for the audit trail, newest first, paged by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from app.audit.models import AuditAction, AuditEntry, AuditObject, AuditSeal
from app.audit.seals import last_seal
from app.db.filters import (
    PAGE,
    FilterContext,
    Page,
    conditions_of,
    distinct_values,
    page_of,
    row_count,
    where,
)
from app.db.text_search import TextIndex, matching_ids

SORTED_MAX = 2_000
"""A search with at most this many matches loads their ids first and sorts them."""
ACTORS_MAX = 200
"""Actors that the filter of the trail offers."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The filter of the trail; an empty field does not filter."""

    who: str = where(lambda name, _: AuditEntry.actor == name)
    action: str = where(lambda action, _: AuditEntry.action == action)
    object: str = where(lambda kind, _: AuditEntry.object_kind == kind)
    since: datetime | None = where(lambda at, _: AuditEntry.at >= at, None)
    until: datetime | None = where(lambda at, _: AuditEntry.at < at, None)
    after: int | None = where(lambda entry_id, _: AuditEntry.id < entry_id, None)
    q: str = where(lambda text, context: _containing(context.session, text))


@dataclass(frozen=True, slots=True)
class SealStatus:
    """The newest seal, if any, and the number of entries since."""

    seal: AuditSeal | None
    since: int


def entry_page(session: Session, filters: AuditFilter, *, limit: int = PAGE) -> Page[AuditEntry]:
    """The newest entries that match."""
    query = (
        select(AuditEntry)
        .where(*conditions_of(FilterContext(session, filters)))
        .order_by(AuditEntry.id.desc())
        .limit(limit + 1)
    )
    return page_of(session.scalars(query).all(), limit)


def ids_of(session: Session, filters: AuditFilter) -> Select[int]:
    """The query for the ids of the entries that match."""
    return select(AuditEntry.id).where(*conditions_of(FilterContext(session, filters)))


def entries_of(session: Session, kind: AuditObject, object_ids: Sequence[str]) -> Sequence[AuditEntry]:
    """All entries on these objects, oldest first."""
    return session.scalars(
        select(AuditEntry)
        .where(AuditEntry.object_kind == kind.value, AuditEntry.object_id.in_(object_ids))
        .order_by(AuditEntry.id)
    ).all()


def newest_of(
    session: Session,
    kind: AuditObject,
    object_ids: Sequence[str],
    *,
    limit: int,
    actions: Sequence[AuditAction] = (),
) -> Sequence[AuditEntry]:
    """The newest entries on these objects, newest first; only those with these actions, if any are given."""
    query = select(AuditEntry).where(
        AuditEntry.object_kind == kind.value, AuditEntry.object_id.in_(object_ids)
    )
    if actions:
        query = query.where(AuditEntry.action.in_([action.value for action in actions]))
    return session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)).all()


def actors(session: Session) -> list[str]:
    """The names of the actors, sorted."""
    return [name for name in distinct_values(session, AuditEntry.actor, most=ACTORS_MAX) if name]


_NEWER_COUNT = row_count(select(AuditEntry.id).where(AuditEntry.id > bindparam("last_id")))
"""Built once, since every page of the trail runs it."""


def seal_status(session: Session) -> SealStatus:
    """How far the trail is sealed; counts at most ``COUNT_MAX`` newer entries."""
    newest = last_seal(session)
    since = session.scalar(_NEWER_COUNT, {"last_id": newest.last_id if newest else 0})
    return SealStatus(newest, since or 0)


def _containing(session: Session, text: str) -> list[ColumnElement[bool]]:
    """Entries that contain the text.

    Few matches are listed from the indexes; with many, a scan from the newest soon fills a page.
    """
    exact = (
        # Name all kinds, since the index on objects begins with the kind.
        and_(AuditEntry.object_kind.in_([kind.value for kind in AuditObject]), AuditEntry.object_id == text),
        AuditEntry.address == text,
    )
    within = (
        column.icontains(text, autoescape=True)
        for column in (AuditEntry.object_name, AuditEntry.reason, AuditEntry.actor)
    )
    conditions = [or_(*exact, *within)]
    listed = [
        matching_ids(session, TextIndex.AUDIT, text, limit=SORTED_MAX),
        *(
            session.scalars(select(AuditEntry.id).where(condition).limit(SORTED_MAX + 1)).all()
            for condition in exact
        ),
    ]
    if any(ids is None or len(ids) > SORTED_MAX for ids in listed):
        return conditions
    return [AuditEntry.id.in_({entry_id for ids in listed for entry_id in ids or ()}), *conditions]
