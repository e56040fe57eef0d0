"""Messages that were claimed and that nobody sends any more: found at once where it is certain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from app import clock
from app.delivery.circuit_breaker import IS_SENDING
from app.delivery.claiming import Claimed, messages
from app.delivery.presence import Presence, Standing

JUMP_SECONDS = 2.0
"""If the clock and the machine's stopwatch part by more than this, the clock was set."""
GRACE_SECONDS = 5.0
"""How long a lease must be seen to be over while its holder lives, who renews it if only the clock jumped."""
LONGEST_LEASE = timedelta(minutes=15)
"""No lease is this long: one that ends later was made before the clock was set back."""


_SENDING = select(messages.c.id, messages.c.lease_token, messages.c.lease_until).where(IS_SENDING)
_RENEW = (
    update(messages)
    .where(
        messages.c.id == bindparam("of_message"),
        messages.c.lease_token == bindparam("of_token"),
        IS_SENDING,
    )
    .values(lease_until=bindparam("until"))
)


class Search:
    """Looks for the lost, and keeps what it needs to remember between two looks."""

    def __init__(self, presence: Presence, *, grace: float = GRACE_SECONDS) -> None:
        self._presence = presence
        self._grace = grace
        self._looked: tuple[datetime, float] | None = None
        self._distrust_until = 0.0
        self._over_since: dict[tuple[str, str | None], float] = {}
        self._swept = False

    def look(
        self, session: Session, now: datetime, in_hand: Mapping[tuple[str, str], Claimed], *, margin: float
    ) -> dict[str, str | None]:
        """The lost, their lease tokens by message id.

        ``in_hand`` is what this deliverer sends itself, by message id and lease. Where the clock was set, the
        leases in hand are renewed first, by ``margin`` seconds beyond the deadline; others get time for it.
        """
        if self._has_jumped(now) and in_hand:
            session.execute(_RENEW, [_renewed(claimed, now, margin) for claimed in in_hand.values()])
        rows = session.execute(_SENDING).all()
        others = [row for row in rows if not _is_in(in_hand, row)]
        self._over_since = {
            (row.id, row.lease_token): self._over_since.get((row.id, row.lease_token), clock.ticks())
            for row in others
            if _is_over(row, now)
        }
        lost = {row.id: row.lease_token for row in others if self._is_lost(row)}
        if lost or not self._swept:
            self._presence.sweep([row.lease_token for row in rows])
            self._swept = True
        return lost

    def _has_jumped(self, now: datetime) -> bool:
        ticks = clock.ticks()
        before, self._looked = self._looked, (now, ticks)
        if before is None or abs((now - before[0]).total_seconds() - (ticks - before[1])) < JUMP_SECONDS:
            return False
        self._distrust_until = ticks + 2 * self._grace
        return True

    def _is_lost(self, row: Any) -> bool:
        if self._presence.is_mine(row.lease_token):
            return True  # claimed by a commit whose answer never came, so never sent
        standing = self._presence.standing(row.lease_token)
        since = self._over_since.get((row.id, row.lease_token))
        if standing is Standing.DEAD or since is None:
            return standing is Standing.DEAD
        if standing is Standing.ALIVE:
            return clock.ticks() - since >= self._grace
        return clock.ticks() >= self._distrust_until


def _is_over(row: Any, now: datetime) -> bool:
    return not (row.lease_until and now <= row.lease_until <= now + LONGEST_LEASE)


def _is_in(in_hand: Mapping[tuple[str, str], Claimed], row: Any) -> bool:
    return (row.id, row.lease_token) in in_hand


def _renewed(claimed: Claimed, now: datetime, margin: float) -> dict[str, Any]:
    until = now + timedelta(seconds=claimed.target.deadline + margin)
    return {"of_message": claimed.id, "of_token": claimed.token, "until": until}
