"""What the partner remembers: what came, which answers it took, how it is to behave. Capped, thread-safe."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import SystemRandom
from typing import Any, TypeVar

from app.contract.messages import ReqConfirm
from app.contract.reader import canonical_sha256
from app.demo.behaviour import Behaviour
from app.demo.orders import new_id

K = TypeVar("K")
V = TypeVar("V")

EXCHANGES_MAX = 20_000
EXCHANGES_BYTES_MAX = 64 * 1_048_576
TAKEN_MAX = 50_000
ORDERS_MAX = 5_000


@dataclass(slots=True)
class Exchange:
    """One request as it came, and what was answered; an answer of None means that nothing was sent."""

    idempotency_key: str
    headers: dict[str, str]
    raw: bytes
    mode: str
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    body: Any = None
    status: int | None = None
    answer: Any = None
    repeat: bool = False

    @property
    def object_id(self) -> str:
        """The objectId that the body names, empty where it names none."""
        return self._text("objectId")

    @property
    def po_number(self) -> str:
        """The buyer's number that the body names, empty where it names none."""
        return self._text("buyerPONumber")

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.raw.decode("utf-8", "replace")

    def _text(self, name: str) -> str:
        confirmation = self.body.get("poConfirmation") if isinstance(self.body, dict) else None
        value = confirmation.get(name) if isinstance(confirmation, dict) else None
        return value if isinstance(value, str) else ""

    def as_data(self) -> dict[str, Any]:
        """The exchange as `GET /received.json` lists it; times in UTC, ISO 8601."""
        return {
            "idempotency_key": self.idempotency_key,
            "received_at": self.received_at.isoformat(timespec="milliseconds"),
            "headers": self.headers,
            "body": self.body,
            "raw": self.text,
            "sha256": sha256(self.raw).hexdigest(),
            "answer": {"status": self.status, "body": self.answer},
            "mode": self.mode,
            "repeat": self.repeat,
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two answers the same message: the order's version and the content."""

    object_id: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether an answer is taken (anew or again) or contradicts the one that was, under which id of ours."""

    req_msg_id: str
    repeat: bool = False
    conflict: bool = False


def identity_of(message: ReqConfirm) -> Identity:
    """The identity of a confirmation."""
    confirmation = message.po_confirmation
    return Identity(
        confirmation.object_id, confirmation.object_version.current_version, canonical_sha256(message.wire())
    )


class Memory:
    """The state of one partner process."""

    def __init__(self, orders: Iterable[dict[str, Any]] = ()) -> None:
        self._lock = threading.Lock()
        self._rng = SystemRandom()
        self._behaviour = Behaviour()
        self._exchanges: deque[Exchange] = deque()
        self._exchanges_bytes = 0
        self._taken: OrderedDict[tuple[str, int], Identity] = OrderedDict()
        self._keys: OrderedDict[str, Identity] = OrderedDict()
        self._req_msg_ids: OrderedDict[Identity, str] = OrderedDict()
        self._orders: OrderedDict[str, dict[str, Any]] = OrderedDict()
        for order in orders:
            self.remember_order(order)

    def behaviour(self) -> Behaviour:
        """How the next answer will be treated."""
        with self._lock:
            return self._behaviour

    def behave(self, behaviour: Behaviour) -> None:
        """Treat the next answers so."""
        with self._lock:
            self._behaviour = behaviour

    def next_behaviour(self) -> Behaviour:
        """How to treat this answer; counts it."""
        with self._lock:
            behaviour = self._behaviour
            self._behaviour = behaviour.after_one()
            return behaviour

    def keep(self, exchange: Exchange) -> None:
        """Remember what came, forgetting the oldest beyond the caps."""
        with self._lock:
            self._exchanges.append(exchange)
            self._exchanges_bytes += len(exchange.raw)
            while len(self._exchanges) > EXCHANGES_MAX or self._exchanges_bytes > EXCHANGES_BYTES_MAX:
                self._exchanges_bytes -= len(self._exchanges.popleft().raw)

    def exchanges(self) -> list[Exchange]:
        """What came, newest last."""
        with self._lock:
            return list(self._exchanges)

    def fresh_id(self) -> str:
        """An id for a message that has no identity, because it could not be read."""
        return new_id(self._rng, "REQ")

    def req_msg_id(self, identity: Identity) -> str:
        """This side's id of a message, the same each time that it comes."""
        with self._lock:
            return self._req_msg_id(identity)

    def take(self, identity: Identity, key: str) -> Taken:
        """Take an answer: the first for its version and the same again, but no other content or key."""
        with self._lock:
            req_msg_id = self._req_msg_id(identity)
            version = (identity.object_id, identity.version)
            if self._taken.get(version) == identity:
                return Taken(req_msg_id, repeat=True)
            if version in self._taken or (key and key in self._keys):
                return Taken(req_msg_id, conflict=True)
            _put(self._taken, version, identity, TAKEN_MAX)
            if key:
                _put(self._keys, key, identity, TAKEN_MAX)
            return Taken(req_msg_id)

    def remember_order(self, order: dict[str, Any]) -> None:
        """Remember an order that this side sent."""
        with self._lock:
            _put(self._orders, order["purchaseOrder"]["objectId"], order, ORDERS_MAX)

    def orders(self) -> list[dict[str, Any]]:
        """The orders that this side sent, newest last."""
        with self._lock:
            return list(self._orders.values())

    def _req_msg_id(self, identity: Identity) -> str:
        found = self._req_msg_ids.get(identity)
        if found is None:
            found = self.fresh_id()
            _put(self._req_msg_ids, identity, found, TAKEN_MAX)
        return found


def _put(entries: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    entries[key] = value
    while len(entries) > most:
        entries.popitem(last=False)
