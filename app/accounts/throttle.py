"""Growing delays after failed sign-ins and wrong partner keys.

The counts are in the database, so that all processes agree. A count is kept per account and per address.
The first few failures cause no delay; each further one doubles it. Unknown usernames count like all others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Throttle
from app.db import advisory_lock

FORGET_AFTER = timedelta(hours=1)
"""A count starts again after this time without a failure."""
FIRST_DELAY = timedelta(seconds=5)


class ThrottleKind(StrEnum):
    """What is counted."""

    ACCOUNT = "account"
    ADDRESS = "address"
    PARTNER_KEY = "partner_key"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures cause no delay, and the longest delay."""

    free_failures: int
    longest_delay: timedelta


LIMITS = {
    ThrottleKind.ACCOUNT: Limit(5, timedelta(minutes=5)),
    # Colleagues share an address, so it has a higher limit and shorter delays.
    ThrottleKind.ADDRESS: Limit(20, timedelta(minutes=1)),
    ThrottleKind.PARTNER_KEY: Limit(20, timedelta(minutes=1)),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One account or one address."""

    kind: ThrottleKind
    value: str

    @property
    def stored(self) -> str:
        """The primary key. Usernames are hashed: people type passwords into the wrong field."""
        is_account = self.kind is ThrottleKind.ACCOUNT
        text = hashlib.sha256(self.value.encode()).hexdigest() if is_account else self.value
        return f"{self.kind}:{text}"


def of_account(username: str) -> Key:
    """The key of an account, whether or not it exists."""
    return Key(ThrottleKind.ACCOUNT, username.strip().lower())


def of_address(kind: ThrottleKind, address: str | None) -> Key:
    """The key of an address; one IPv6 network of 64 bits counts as one address."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return Key(kind, "unknown")
    if isinstance(parsed, IPv6Address):
        return Key(kind, str(ip_network((parsed, 64), strict=False)))
    return Key(kind, str(parsed))


class TooManyAttempts(Exception):
    """There were too many failures: the next attempt is allowed in ``seconds`` seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def check(session: Session, keys: Sequence[Key]) -> None:
    """Check that an attempt is allowed now. Errors: TooManyAttempts."""
    seconds = seconds_left(session, keys)
    if seconds:
        raise TooManyAttempts(seconds)


def seconds_left(session: Session, keys: Sequence[Key]) -> int:
    """How long to wait, rounded up; 0 if an attempt is allowed now."""
    now = clock.now()
    blocked_until = session.scalar(
        select(func.max(Throttle.blocked_until)).where(Throttle.key.in_([key.stored for key in keys]))
    )
    return max(0, math.ceil((blocked_until - now).total_seconds())) if blocked_until else 0


def begin_attempt(session: Session, keys: Sequence[Key]) -> set[ThrottleKind]:
    """Count an attempt as a failure, which the caller clears if it succeeds. Returns as ``count_failure``.

    Attempts are allowed one after the other, so that parallel ones cannot pass the limit.
    Errors: TooManyAttempts if none is allowed now.
    """
    advisory_lock(session, "throttle")
    check(session, keys)
    return count_failure(session, keys)


def count_failure(session: Session, keys: Sequence[Key]) -> set[ThrottleKind]:
    """Count a failure and set the next delay. Returns the kinds that it delays for the first time."""
    now, newly_delayed = clock.now(), set()
    advisory_lock(session, "throttle")
    session.execute(delete(Throttle).where(Throttle.last_failure_at < now - FORGET_AFTER))
    for key in keys:
        limit = LIMITS[key.kind]
        row = session.get(Throttle, key.stored)
        if row is None:
            row = Throttle(key=key.stored, kind=key.kind.value, failures=0)
            session.add(row)
        row.failures += 1
        row.last_failure_at = row.blocked_until = now
        delays = row.failures - limit.free_failures
        if delays > 0:
            row.blocked_until = now + min(FIRST_DELAY * 2 ** min(delays - 1, 16), limit.longest_delay)
        if delays == 1:
            newly_delayed.add(key.kind)
    session.flush()
    return newly_delayed


def clear_failures(session: Session, account: Key, address: Key | None = None) -> None:
    """After the correct password, clear the failures of the account and this attempt of the address."""
    advisory_lock(session, "throttle")
    session.execute(delete(Throttle).where(Throttle.key == account.stored))
    row = session.get(Throttle, address.stored) if address else None
    if row and row.failures > 0:
        row.failures -= 1
        row.blocked_until = clock.now()


def recent_failures(session: Session) -> dict[ThrottleKind, int]:
    """Failures that still count, by kind."""
    counts = dict.fromkeys(ThrottleKind, 0)
    since = clock.now() - FORGET_AFTER
    query = (
        select(Throttle.kind, func.sum(Throttle.failures))
        .where(Throttle.last_failure_at > since)
        .group_by(Throttle.kind)
    )
    return counts | {ThrottleKind(kind): int(count) for kind, count in session.execute(query)}


def blocked(session: Session) -> dict[ThrottleKind, int]:
    """Accounts and addresses that have to wait now, by kind."""
    query = (
        select(Throttle.kind, func.count())
        .where(Throttle.blocked_until > clock.now())
        .group_by(Throttle.kind)
    )
    return dict.fromkeys(ThrottleKind, 0) | {
        ThrottleKind(kind): count for kind, count in session.execute(query)
    }
