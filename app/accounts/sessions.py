"""Server-side sessions: one row per sign-in, so that a sign-in can be ended from anywhere."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session, contains_eager

from app import clock
from app.accounts.models import Person, UserSession

ACTIVITY_PRECISION = timedelta(minutes=1)
"""Activity is written at most this often, or four times per idle limit if that is shorter."""

_BY_TOKEN = (
    select(UserSession)
    .join(UserSession.person)
    .options(contains_eager(UserSession.person).joinedload(Person.suppliers))
    .where(
        UserSession.token_sha256 == bindparam("token_sha256"),
        UserSession.expires_at > bindparam("now"),
        UserSession.last_seen_at > bindparam("active_since"),
        Person.active,
    )
)
"""Built once, since every request runs it."""


def digest(token: str) -> str:
    """The SHA-256 under which a token is stored. Tokens are long and random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(
    session: Session,
    person: Person,
    *,
    idle: timedelta,
    lifetime: timedelta,
    address: str = "",
    user_agent: str = "",
) -> str:
    """Begin a session and return its token. Ended sessions of everyone are deleted."""
    now = clock.now()
    session.execute(
        delete(UserSession).where(or_(UserSession.expires_at <= now, UserSession.last_seen_at <= now - idle))
    )
    token = secrets.token_urlsafe(32)
    session.add(
        UserSession(
            token_sha256=digest(token),
            person_id=person.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + lifetime,
            confirmed_at=now,
            address=address[:60],
            user_agent=user_agent[:300],
        )
    )
    session.flush()
    return token


def find(session: Session, token: str, *, idle: timedelta) -> UserSession | None:
    """The session of this token with its person, unless it has ended or the person is deactivated."""
    now = clock.now()
    parameters = {"token_sha256": digest(token), "now": now, "active_since": now - idle}
    return session.scalars(_BY_TOKEN, parameters).unique().one_or_none()


def needs_activity(user_session: UserSession, now: datetime, *, idle: timedelta) -> bool:
    """Whether the recorded activity is too old."""
    return now - user_session.last_seen_at >= min(ACTIVITY_PRECISION, idle / 4)


def record_activity(session: Session, session_id: int, now: datetime) -> None:
    """Postpone the idle limit."""
    session.execute(
        update(UserSession)
        .where(UserSession.id == session_id, UserSession.last_seen_at < now)
        .values(last_seen_at=now)
    )


def confirm(session: Session, session_id: int) -> None:
    """Record that the person has just entered the password again."""
    session.execute(update(UserSession).where(UserSession.id == session_id).values(confirmed_at=clock.now()))


def sessions_of(session: Session, person_id: int, *, idle: timedelta) -> Sequence[UserSession]:
    """The sessions of a person that have not ended, the latest activity first."""
    now = clock.now()
    return session.scalars(
        select(UserSession)
        .where(
            UserSession.person_id == person_id,
            UserSession.expires_at > now,
            UserSession.last_seen_at > now - idle,
        )
        .order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())
    ).all()


def end(session: Session, person_id: int, session_id: int) -> int:
    """End one session of a person. Returns the number of ended sessions."""
    return _delete(session, UserSession.person_id == person_id, UserSession.id == session_id)


def end_all(session: Session, person_id: int, *, keep: int | None = None) -> int:
    """End all sessions of a person, except ``keep``. Returns the number of ended sessions."""
    others = [] if keep is None else [UserSession.id != keep]
    return _delete(session, UserSession.person_id == person_id, *others)


def _delete(session: Session, *conditions: ColumnElement[bool]) -> int:
    deleted = session.scalars(delete(UserSession).where(*conditions).returning(UserSession.id))
    return len(deleted.all())
