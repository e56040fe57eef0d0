"""The trail, as it is asked for: newest first, by keyset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from app.audit.models import AuditAction, AuditEntry, AuditObject, AuditSeal
from app.db.text_search import TextIndex, matching_ids

PAGE = 50
"""Entries a page."""
FEW = 2_000
"""Up to so many entries with some words are listed first and sorted then."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the trail may be narrowed to; an empty field narrows nothing."""

    q: str = ""
    who: str = ""
    deed: str = ""
    thing: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of the trail, and the id after which the next one begins."""

    entries: Sequence[AuditEntry]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """How far the trail is sealed: the newest seal, if there is one, and how many entries came since."""

    seal: AuditSeal | None
    since: int


def entry_page(session: Session, wanted: AuditFilter, *, limit: int = PAGE) -> AuditPage:
    """The newest entries that fit."""
    query = (
        select(AuditEntry)
        .where(*_conditions(session, wanted))
        .order_by(AuditEntry.id.desc())
        .limit(limit + 1)
    )
    rows = session.scalars(query).all()
    return AuditPage(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def entries_of(session: Session, thing: AuditObject, object_ids: Sequence[str]) -> Sequence[AuditEntry]:
    """All entries on these objects, oldest first."""
    return session.scalars(
        select(AuditEntry)
        .where(AuditEntry.object_kind == thing.value, AuditEntry.object_id.in_(object_ids))
        .order_by(AuditEntry.id)
    ).all()


def newest_of(
    session: Session, thing: AuditObject, object_id: str, deeds: Sequence[AuditAction], *, limit: int
) -> Sequence[AuditEntry]:
    """The newest entries of these deeds on one object, newest first."""
    return session.scalars(
        select(AuditEntry)
        .where(
            AuditEntry.object_kind == thing.value,
            AuditEntry.object_id == object_id,
            AuditEntry.action.in_([deed.value for deed in deeds]),
        )
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    ).all()


def actors(session: Session, *, most: int = 200) -> list[str]:
    """The names of those who did anything, in their order."""
    # One look at the index for each name, whatever the number of entries.
    names: list[str] = []
    name = session.scalar(select(func.min(AuditEntry.actor)))
    while name is not None and len(names) < most:
        names.append(name)
        name = session.scalar(select(func.min(AuditEntry.actor)).where(AuditEntry.actor > name))
    return [name for name in names if name]


def sealed(session: Session, *, most: int = 1001) -> Sealed:
    """How far the trail is sealed; counting stops at ``most``."""
    newest = session.scalar(select(AuditSeal).order_by(AuditSeal.number.desc()).limit(1))
    some = select(AuditEntry.id).where(AuditEntry.id > (newest.last_id if newest else 0)).limit(most)
    return Sealed(newest, session.scalar(select(func.count()).select_from(some.subquery())) or 0)


def _conditions(session: Session, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.who:
        conditions.append(AuditEntry.actor == wanted.who)
    if wanted.deed:
        conditions.append(AuditEntry.action == wanted.deed)
    if wanted.thing:
        conditions.append(AuditEntry.object_kind == wanted.thing)
    if wanted.since:
        conditions.append(AuditEntry.at >= wanted.since)
    if wanted.until:
        conditions.append(AuditEntry.at < wanted.until)
    if wanted.after is not None:
        conditions.append(AuditEntry.id < wanted.after)
    if wanted.q:
        conditions += _mentioning(session, wanted.q)
    return conditions


def _mentioning(session: Session, words: str) -> list[ColumnElement[bool]]:
    """Entries with these words: few are looked up by their indexes, of many the newest are met soon."""
    exact = (
        # All kinds by their names: the index on objects begins with them.
        and_(
            AuditEntry.object_kind.in_([thing.value for thing in AuditObject]), AuditEntry.object_id == words
        ),
        AuditEntry.address == words,
    )
    within = (
        column.icontains(words, autoescape=True)
        for column in (AuditEntry.object_name, AuditEntry.reason, AuditEntry.actor)
    )
    conditions = [or_(*exact, *within)]
    listed = [
        matching_ids(session, TextIndex.AUDIT, words, limit=FEW),
        *(session.scalars(select(AuditEntry.id).where(one).limit(FEW + 1)).all() for one in exact),
    ]
    if any(ids is None or len(ids) > FEW for ids in listed):
        return conditions
    return [AuditEntry.id.in_({one for ids in listed for one in ids or ()}), *conditions]
