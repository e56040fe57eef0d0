"""Forms sent after their session ended: kept for a short time, to be shown again after sign-in."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import KeptForm
from app.accounts.sessions import digest

KEEP_FOR = timedelta(hours=1)
KEPT_PER_ADDRESS = 20
KEPT_TOTAL = 500
"""Anyone can send a form, so new ones replace the oldest."""


def keep(session: Session, path: str, fields: list[tuple[str, str]], *, address: str) -> str:
    """Keep a form and return its token."""
    now = clock.now()
    session.execute(delete(KeptForm).where(KeptForm.expires_at <= now))
    _delete_oldest(session, KEPT_PER_ADDRESS - 1, address)
    _delete_oldest(session, KEPT_TOTAL - 1)
    token = secrets.token_urlsafe(32)
    session.add(
        KeptForm(
            token_sha256=digest(token),
            path=path,
            fields=[list(pair) for pair in fields],
            address=address[:60],
            expires_at=now + KEEP_FOR,
        )
    )
    session.flush()
    return token


def find(session: Session, token: str) -> KeptForm | None:
    """The form of this token, unless it has expired."""
    return session.scalar(
        select(KeptForm).where(KeptForm.token_sha256 == digest(token), KeptForm.expires_at > clock.now())
    )


def _delete_oldest(session: Session, count: int, address: str | None = None) -> None:
    conditions = [] if address is None else [KeptForm.address == address[:60]]
    total = session.scalar(select(func.count()).select_from(KeptForm).where(*conditions)) or 0
    if total > count:
        oldest = (
            select(KeptForm.token_sha256)
            .where(*conditions)
            .order_by(KeptForm.expires_at)
            .limit(total - count)
        )
        session.execute(delete(KeptForm).where(KeptForm.token_sha256.in_(oldest)))
