"""Queries that tests of several packages need."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def count_rows(session: Session, model: Any) -> int:
    """The current number of rows."""
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0
