"""The traffic generator: sends orders, edits, cancellations and late results from one thread."""

import logging
import threading
from collections.abc import Callable
from random import Random, SystemRandom

from app.demo.buyer import Buyer, NoMatch
from app.demo.payloads import Change
from app.demo.state import Order, Sent, SimulatorState
from app.network.vocabulary import BuyerAction, Result, Status, may_edit, may_move

log = logging.getLogger(__name__)

SECONDS = 20.0
"""The average interval between two messages."""
SECONDS_MIN, SECONDS_MAX = 1.0, 3600.0
BACKOFF_SECONDS_MAX = 300.0
"""The longest interval, in seconds, while PO Confirm does not respond."""
OPEN_ORDERS_MAX = 150
"""With this many open orders, no new ones are sent."""
NEWEST = 100
"""Updates are sent for the newest orders only."""
FAILURES = 0.15
"""The share of late results that are failures."""
STOP_SECONDS = 3.0

Action = Callable[[], Sent]


class TrafficGenerator:
    """Sends messages at random intervals until it is stopped."""

    def __init__(self, buyer: Buyer, state: SimulatorState, rng: Random | None = None) -> None:
        self._buyer = buyer
        self._state = state
        self._rng = rng or SystemRandom()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.seconds = SECONDS
        self.sent = 0

    @property
    def on(self) -> bool:
        """Whether it is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, seconds: float = SECONDS) -> None:
        """Send a message about every ``seconds``; starting again only changes the interval."""
        with self._lock:
            self._stop_thread()
            self.seconds = min(max(seconds, SECONDS_MIN), SECONDS_MAX)
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name="traffic generator", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop; waits a few seconds for a message in progress."""
        with self._lock:
            self._stop_thread()

    def _stop_thread(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)
            self._thread = None

    def send_one(self) -> Sent:
        """Send one random message."""
        for action in self._actions():
            try:
                return action()
            except NoMatch:
                continue
        return self._new_order()

    def _run(self, stop: threading.Event) -> None:
        no_responses = 0
        while not stop.wait(self._interval(no_responses)):
            try:
                no_responses = 0 if self.send_one().status is not None else no_responses + 1
                self.sent += 1
            except Exception:
                log.exception("the traffic generator could not send a message")
                no_responses += 1

    def _interval(self, no_responses: int) -> float:
        mean = max(self.seconds, BACKOFF_SECONDS_MAX * min(1, no_responses / 8))
        return mean * self._rng.uniform(0.5, 1.5)

    def _actions(self) -> list[Action]:
        """A random action first, then all others, for when it is not possible."""
        open_orders = sum(order.status == Status.CREATED for order in self._state.orders())
        weights: dict[Action, int] = {self._new_order: 10} if open_orders < OPEN_ORDERS_MAX else {}
        weights |= {self._edit: 5, self._result: 5, self._close: 2, self._cancel: 2}
        first = self._rng.choices(list(weights), list(weights.values()))[0]
        return [first, *(action for action in weights if action != first)]

    def _new_order(self) -> Sent:
        return self._buyer.send_orders(1)[0]

    def _edit(self) -> Sent:
        change = self._rng.choice(list(Change))
        return self._buyer.send_edit(self._random_order(lambda order: may_edit(order.status)), change)

    def _cancel(self) -> Sent:
        return self._change_status(BuyerAction.CANCEL)

    def _close(self) -> Sent:
        return self._change_status(BuyerAction.CLOSE)

    def _change_status(self, action: BuyerAction) -> Sent:
        object_id = self._random_order(lambda order: may_move(order.status, action))
        return self._buyer.send_status_change(object_id, action)

    def _result(self) -> Sent:
        waiting = [response for response in self._state.responses() if response.result is None]
        if not waiting:
            raise NoMatch("Every response has its result.")
        response = self._rng.choice(waiting)
        result = Result.FAILURE if self._rng.random() < FAILURES else Result.SUCCESS
        return self._buyer.send_result(response.identity.object_id, result)

    def _random_order(self, matches: Callable[[Order], bool]) -> str:
        """The id of a random matching order. Raises NoMatch."""
        object_ids = [order.object_id for order in self._state.orders()[-NEWEST:] if matches(order)]
        if not object_ids:
            raise NoMatch("No matching order.")
        return self._rng.choice(object_ids)
