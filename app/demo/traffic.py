"""A busy day: a gentle stream of orders, edits, ends and late results, in one thread that stops cleanly."""

import logging
import threading
from collections.abc import Callable
from random import Random, SystemRandom

from app.demo.buyer import Buyer, NothingFits
from app.demo.payloads import Change
from app.demo.state import Memory, Order, Sent
from app.network.vocabulary import BuyerAction, Result, Status, may_edit, may_move

log = logging.getLogger(__name__)

SECONDS = 20.0
"""The mean pause between two messages."""
SECONDS_MIN, SECONDS_MAX = 1.0, 3600.0
SULK_SECONDS_MAX = 300.0
"""The longest pause, in seconds, while PO Confirm does not answer."""
OPEN_ORDERS_MAX = 150
"""With so many orders unanswered, the buyer sends no further ones."""
NEWEST = 100
"""Edits and ends fall on one of so many of the newest orders."""
FAILURES = 0.15
"""The part of the late results that are bad news."""
STOP_SECONDS = 3.0

AuditAction = Callable[[], Sent]


class BusyDay:
    """The stream: started and stopped as often as one likes."""

    def __init__(self, buyer: Buyer, memory: Memory, rng: Random | None = None) -> None:
        self._buyer = buyer
        self._memory = memory
        self._rng = rng or SystemRandom()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.seconds = SECONDS
        self.sent = 0

    @property
    def on(self) -> bool:
        """Whether it goes on."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, seconds: float = SECONDS) -> None:
        """Send a message every so many seconds, more or less; a second start only changes the pace."""
        with self._lock:
            self._halt()
            self.seconds = min(max(seconds, SECONDS_MIN), SECONDS_MAX)
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._go_on, args=(self._stop,), name="busy day", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Send nothing more; waits some seconds for a message that is under way."""
        with self._lock:
            self._halt()

    def _halt(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)
            self._thread = None

    def send_one(self) -> Sent:
        """One message of such a day."""
        for deed in self._deeds():
            try:
                return deed()
            except NothingFits:
                continue
        return self._new_order()

    def _go_on(self, stop: threading.Event) -> None:
        unanswered = 0
        while not stop.wait(self._pause(unanswered)):
            try:
                unanswered = 0 if self.send_one().status is not None else unanswered + 1
                self.sent += 1
            except Exception:
                log.exception("a message of the busy day failed")
                unanswered += 1

    def _pause(self, unanswered: int) -> float:
        mean = (
            self.seconds if not unanswered else max(self.seconds, SULK_SECONDS_MAX * min(1, unanswered / 8))
        )
        return mean * self._rng.uniform(0.5, 1.5)

    def _deeds(self) -> list[AuditAction]:
        """What to try, in order: one by chance, then whatever else is possible."""
        open_orders = sum(order.status == Status.CREATED for order in self._memory.orders())
        weights: dict[AuditAction, int] = {
            self._new_order: 10 if open_orders < OPEN_ORDERS_MAX else 0,
            self._edit: 5,
            self._result: 5,
            self._close: 2,
            self._cancel: 2,
        }
        possible = [deed for deed, weight in weights.items() if weight]
        first = self._rng.choices(list(weights), list(weights.values()))[0]
        return [first, *(deed for deed in possible if deed != first)]

    def _new_order(self) -> Sent:
        return self._buyer.send_orders(1)[0]

    def _edit(self) -> Sent:
        change = self._rng.choice(list(Change))
        return self._buyer.send_edit(self._some(lambda order: may_edit(order.status)), change)

    def _cancel(self) -> Sent:
        return self._end(BuyerAction.CANCEL)

    def _close(self) -> Sent:
        return self._end(BuyerAction.CLOSE)

    def _end(self, action: BuyerAction) -> Sent:
        found = self._some(lambda order: may_move(order.status, action))
        return self._buyer.send_status_change(found, action)

    def _result(self) -> Sent:
        waiting = [answer for answer in self._memory.answers() if answer.result is None]
        if not waiting:
            raise NothingFits("Every answer has its result.")
        answer = self._rng.choice(waiting)
        result = Result.FAILURE if self._rng.random() < FAILURES else Result.SUCCESS
        return self._buyer.send_result(answer.identity.object_id, result)

    def _some(self, fits: Callable[[Order], bool]) -> str:
        """The id of any of the newest orders that fit. Raises NothingFits."""
        found = [order.object_id for order in self._memory.orders()[-NEWEST:] if fits(order)]
        if not found:
            raise NothingFits("No order is like this.")
        return self._rng.choice(found)
