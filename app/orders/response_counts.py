"""How many responses were given, by day, person and kind: what the response report reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.db.filters import Scope, in_scope
from app.network.vocabulary import SupplierResponse
from app.orders.models import Decision

NEGATIVE_RESPONSES = (SupplierResponse.REJECT.value, SupplierResponse.RETURN.value)
"""Responses whose remarks are reasons."""


@dataclass(frozen=True, slots=True)
class ResponseCount:
    """Responses of one day, person and kind. ``remarks`` are empty for confirmations.

    ``early`` were given in the first half of the time to respond, ``late`` after the deadline. ``seconds`` is
    the sum of the times from the receipt of an order's version to its response.
    """

    day: date
    person: str
    response: str
    remarks: str
    count: int
    early: int
    late: int
    seconds: int


def response_counts(
    session: Session, scope: Scope, first: date, last: date, zone: ZoneInfo
) -> Iterator[ResponseCount]:
    """The responses from the day ``first`` to the day ``last`` of the zone, without those that were undone.

    ``scope`` limits them to these supplier ids; None is all. Each day is one query, since SQLite knows no
    time zones.
    """
    remarks = case((Decision.response.in_(NEGATIVE_RESPONSES), Decision.remarks), else_="")
    key = (Decision.person_name, Decision.response, remarks)
    query = select(
        *key,
        func.count(),
        func.sum(case((Decision.took_seconds <= Decision.left_seconds, 1), else_=0)),
        func.sum(case((Decision.left_seconds < 0, 1), else_=0)),
        func.sum(Decision.took_seconds),
    ).group_by(*key)
    query = in_scope(query.where(Decision.undone.is_(False)), Decision.supplier_b2b_id, scope)
    for days in range((last - first).days + 1):
        day = first + timedelta(days=days)
        start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        rows = session.execute(query.where(Decision.decided_at >= start, Decision.decided_at < end))
        for person, response, reason, *sums in rows:
            yield ResponseCount(day, person, response, reason, *map(int, sums))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
