"""When example orders are received, and how their webhooks end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.delivery.models import LIVE, MessageState

PERIOD = timedelta(days=30)
ATTEMPTS_MAX = 7
WITHOUT_RESPONSE = 0.05
"""Orders without a response to add, as a share of the messages."""
STATES = (
    (MessageState.DELIVERED, 0.945),
    (MessageState.REFUSED, 0.02),
    (MessageState.FAILED, 0.015),
    (MessageState.CANCELED, 0.012),
    (MessageState.PENDING, 0.007),
    (MessageState.SENDING, 0.001),
)


class PlannedOrder(NamedTuple):
    """An order, the state of its message, None without a response, and the number of attempts."""

    received_at: datetime
    state: MessageState | None
    attempts: int


def make_plan(rng: random.Random, now: datetime, messages: int, attempts: int) -> list[PlannedOrder]:
    """The orders, oldest first, with this many messages and attempts in total.

    Queued messages are new. Retried messages come in groups of several hours, as in an outage.
    Errors: ValueError for too few or too many attempts.
    """
    counts = [round(messages * part) for _, part in STATES[1:]]
    states: list[MessageState] = [MessageState.DELIVERED] * (messages - sum(counts))
    waiting: list[MessageState] = []
    for (state, _), count in zip(STATES[1:], counts, strict=True):
        (waiting if state in LIVE else states).extend([state] * count)
    rng.shuffle(states)
    sent = len(states) - states.count(MessageState.CANCELED)
    ended = attempts - waiting.count(MessageState.SENDING)
    if not sent <= ended <= sent * ATTEMPTS_MAX:
        raise ValueError(f"{messages} messages take {sent} to {sent * ATTEMPTS_MAX} attempts")
    counts_of_attempts = _spread(rng, states, ended)
    span = PERIOD - timedelta(hours=12)
    moments = sorted(now - PERIOD + span * _working_time(rng) for _ in states)
    plan = [PlannedOrder(*row) for row in zip(moments, states, counts_of_attempts, strict=True)]
    plan += [
        PlannedOrder(now - timedelta(minutes=rng.uniform(5, 600)), state, int(state is MessageState.SENDING))
        for state in waiting
    ]
    plan += [
        PlannedOrder(now - timedelta(hours=rng.uniform(0, 30)), None, 0)
        for _ in range(round(messages * WITHOUT_RESPONSE))
    ]
    return sorted(plan, key=lambda order: order.received_at)


def _spread(rng: random.Random, states: Sequence[MessageState], attempts: int) -> list[int]:
    """The number of attempts of each message; ``attempts`` in total."""
    counts = [0 if state is MessageState.CANCELED else 1 for state in states]
    left = attempts - sum(counts)
    retried = [index for index, count in enumerate(counts) if count]
    # Outages: parts of the month in which most messages needed several attempts.
    outages = [rng.random() for _ in range(9)]
    size = max(len(states), 1)
    near = [index for index in retried if any(abs(index / size - outage) < 0.012 for outage in outages)]

    def add(index: int, count: int) -> None:
        nonlocal left
        more = min(left, ATTEMPTS_MAX - counts[index], count)
        counts[index] += more
        left -= more

    rng.shuffle(near)
    for index in near:
        add(index, 4)
    rng.shuffle(retried)
    for index in retried:
        add(index, rng.choice((0, 1, 2, 3, 6)))
    for index in retried:
        add(index, left)
    return counts


def _working_time(rng: random.Random) -> float:
    """A random moment as a share of the month, mostly during the day."""
    day, hour = rng.randrange(60), rng.gauss(0.35, 0.18) % 1
    return min((day // 2 + (hour if rng.random() < 0.9 else rng.random())) / 30, 1.0)
