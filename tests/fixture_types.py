"""The types of the fixtures in ``conftest.py`` that are functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from app.delivery.claiming import ClaimedMessage

Arrive = Callable[..., list[int]]
ChangePartner = Callable[..., None]
ClaimOne = Callable[[], ClaimedMessage]
Confirm = Callable[..., str]
ConfirmOrders = Callable[[int], list[str]]
Deliver = Callable[[], Counter[str]]
DeliverWith = Callable[..., None]
MoveClock = Callable[..., None]
PausePartner = Callable[..., None]
Reclaim = Callable[[], None]
Resend = Callable[..., None]
RunJobs = Callable[[], bool]
