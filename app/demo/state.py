"""The simulator's state: received and sent messages, orders, responses. Capped and thread-safe."""

import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeVar

from app.demo.behavior import Behavior
from app.demo.orders import new_id
from app.network.messages import ReqConfirm
from app.network.reader import canonical_sha256
from app.network.replies import OBJECT_NAMES
from app.network.vocabulary import ErrorCode, Kind, Result, Status, status_after

K = TypeVar("K")
V = TypeVar("V")

EXCHANGES_MAX = 20_000
EXCHANGES_BYTES_MAX = 64 * 1_048_576
ACCEPTED_MAX = 50_000
ORDERS_MAX = 5_000
SENT_MAX = 5_000

_ENDED = frozenset({Status.CANCELLED, Status.CLOSED})


@dataclass(slots=True)
class Exchange:
    """A received request and its reply. ``reply_body`` is None if no reply was sent."""

    idempotency_key: str
    headers: dict[str, str]
    raw: bytes
    mode: str
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    body: Any = None
    status: int | None = None
    reply_body: Any = None
    repeat: bool = False

    @property
    def object_id(self) -> str:
        """The objectId in the body, empty if it has none."""
        return self._text("objectId")

    @property
    def po_number(self) -> str:
        """The buyer's number in the body, empty if it has none."""
        return self._text("buyerPONumber")

    @property
    def text(self) -> str:
        """The body as text; invalid bytes are replaced."""
        return self.raw.decode("utf-8", "replace")

    @property
    def confirmation(self) -> dict[str, Any]:
        """The confirmation in the body; empty if it has none."""
        confirmation = self.body.get("poConfirmation") if isinstance(self.body, dict) else None
        return confirmation if isinstance(confirmation, dict) else {}

    def _text(self, name: str) -> str:
        value = self.confirmation.get(name)
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
            "answer": {"status": self.status, "body": self.reply_body},
            "mode": self.mode,
            "repeat": self.repeat,
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """Two responses with the same order version and content are the same message."""

    object_id: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a response is accepted, new or repeated, and the simulator's id for it."""

    req_msg_id: str
    repeat: bool = False
    refused: ErrorCode | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the simulator knows it: its newest content, version and status.

    The version is newer than the content if a response was for a version from another sender.
    """

    body: dict[str, Any]
    version: int
    status: str

    @property
    def sent(self) -> dict[str, Any]:
        """The purchase order itself."""
        content: dict[str, Any] = self.body["purchaseOrder"]
        return content

    @property
    def object_id(self) -> str:
        """The order's id, unique in the network."""
        return str(self.sent["objectId"])

    @property
    def po_number(self) -> str:
        """The buyer's number."""
        return str(self.sent["buyerPONumber"])


@dataclass(frozen=True, slots=True)
class AcceptedResponse:
    """A response that the simulator accepted, and its late result, if one was sent."""

    identity: Identity
    message: dict[str, Any]
    req_msg_id: str
    idempotency_key: str
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the simulator sent, and the reply; a status of None means no reply."""

    number: int
    kind: Kind
    object_id: str
    po_number: str
    summary: str
    body: dict[str, Any]
    status: int | None
    accepted: bool
    reply_body: Any
    sent_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def version(self) -> int:
        """The version that the message creates or refers to."""
        return int(self.body[OBJECT_NAMES[self.kind]]["objectVersion"]["newVersion"])

    def as_data(self) -> dict[str, Any]:
        """The message as the replies of `POST /send-…` list it."""
        return {
            "message": self.kind.value,
            "objectId": self.object_id,
            "buyerPONumber": self.po_number,
            "version": self.version,
            "what": self.summary,
            "status": self.status,
            "accepted": self.accepted,
            "answer": self.reply_body,
        }


@dataclass(slots=True)
class SavedState:
    """The state that is saved for a restart, oldest first. Orders come from the app instead."""

    exchanges: list[Exchange] = field(default_factory=list)
    accepted: list[AcceptedResponse] = field(default_factory=list)
    last: list[AcceptedResponse] = field(default_factory=list)
    keys: list[tuple[str, Identity]] = field(default_factory=list)
    req_msg_ids: list[tuple[Identity, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)


def identity_of(message: ReqConfirm) -> Identity:
    """The identity of a confirmation."""
    confirmation = message.po_confirmation
    return Identity(
        confirmation.object_id, confirmation.object_version.current_version, canonical_sha256(message.wire())
    )


class SimulatorState:
    """The state of one partner process."""

    def __init__(self, orders: Iterable[dict[str, Any]] = ()) -> None:
        self._lock = threading.Lock()
        self._behavior = Behavior()
        self._exchanges: deque[Exchange] = deque()
        self._exchanges_bytes = 0
        self._accepted: OrderedDict[tuple[str, int], AcceptedResponse] = OrderedDict()
        self._keys: OrderedDict[str, Identity] = OrderedDict()
        self._req_msg_ids: OrderedDict[Identity, str] = OrderedDict()
        self._newest: OrderedDict[str, AcceptedResponse] = OrderedDict()
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._sent: deque[Sent] = deque(maxlen=SENT_MAX)
        self._numbers = itertools.count(1)
        for order in orders:
            self.remember_order(order)

    def saved_state(self) -> SavedState:
        """The state to save for a restart."""
        with self._lock:
            return SavedState(
                exchanges=list(self._exchanges),
                accepted=list(self._accepted.values()),
                last=list(self._newest.values()),
                keys=list(self._keys.items()),
                req_msg_ids=list(self._req_msg_ids.items()),
                sent=list(self._sent),
            )

    def restore(self, saved: SavedState) -> None:
        """Restore the state of an earlier run; call it before anything is received."""
        for exchange in saved.exchanges:
            self.add_exchange(exchange)
        with self._lock:
            self._accepted.update(
                ((entry.identity.object_id, entry.identity.version), entry) for entry in saved.accepted
            )
            self._newest.update((entry.identity.object_id, entry) for entry in saved.last)
            self._keys.update(saved.keys)
            self._req_msg_ids.update(saved.req_msg_ids)
            self._sent.extend(saved.sent)
            self._numbers = itertools.count(1 + max((entry.number for entry in saved.sent), default=0))

    def behavior(self) -> Behavior:
        """The behavior for the next response."""
        with self._lock:
            return self._behavior

    def set_behavior(self, behavior: Behavior) -> None:
        """Set how the next responses are handled."""
        with self._lock:
            self._behavior = behavior

    def take_behavior(self) -> Behavior:
        """How to handle this response; counts it."""
        with self._lock:
            behavior = self._behavior
            self._behavior = behavior.after_one()
            return behavior

    def add_exchange(self, exchange: Exchange) -> None:
        """Store an exchange, and drop the oldest ones beyond the limits."""
        with self._lock:
            self._exchanges.append(exchange)
            self._exchanges_bytes += len(exchange.raw)
            while len(self._exchanges) > EXCHANGES_MAX or self._exchanges_bytes > EXCHANGES_BYTES_MAX:
                self._exchanges_bytes -= len(self._exchanges.popleft().raw)

    def exchanges(self) -> list[Exchange]:
        """The exchanges, newest last."""
        with self._lock:
            return list(self._exchanges)

    def req_msg_id(self, identity: Identity) -> str:
        """The simulator's id of a message, the same for each repeat."""
        with self._lock:
            return self._req_msg_id(identity)

    def accept(self, identity: Identity, key: str, message: ReqConfirm) -> Acceptance:
        """Accept the first response to a version and its repeats, but no other content or key."""
        with self._lock:
            earlier = self._accepted.get((identity.object_id, identity.version))
            if earlier and earlier.identity == identity:
                return Acceptance(earlier.req_msg_id, repeat=True)
            refusal = self._refusal(identity, key, earlier)
            req_msg_id = self._req_msg_id(identity)
            if refusal:
                return Acceptance(req_msg_id, refused=refusal[0], detail=refusal[1])
            accepted = AcceptedResponse(identity, message.wire(), req_msg_id, key)
            _put(self._accepted, (identity.object_id, identity.version), accepted, ACCEPTED_MAX)
            _put(self._newest, identity.object_id, accepted, ACCEPTED_MAX)
            self._newest.move_to_end(identity.object_id)
            if key:
                _put(self._keys, key, identity, ACCEPTED_MAX)
            self._follow(identity, status_after(message.po_confirmation.supplier_response))
            return Acceptance(req_msg_id)

    def record_result(self, response: AcceptedResponse, result: Result) -> None:
        """Record a late result. After FAILURE the version accepts another response, with a new id."""
        identity = response.identity
        with self._lock:
            last = self._newest.get(identity.object_id)
            if last and last.req_msg_id == response.req_msg_id:
                self._newest[identity.object_id] = replace(last, result=result)
            accepted = self._accepted.get((identity.object_id, identity.version))
            if result is Result.FAILURE and accepted and accepted.req_msg_id == response.req_msg_id:
                del self._accepted[identity.object_id, identity.version]
                self._req_msg_ids.pop(identity, None)
                self._follow(identity, Status.CREATED)

    def response_to(self, object_id: str) -> AcceptedResponse | None:
        """The last accepted response to an order, whatever its late result."""
        with self._lock:
            return self._newest.get(object_id)

    def responses(self) -> list[AcceptedResponse]:
        """The last accepted response to each order, newest last."""
        with self._lock:
            return list(self._newest.values())

    def remember_order(self, order: dict[str, Any]) -> None:
        """Store a `req-send` or `req-edit` that PO Confirm accepted, as the newest order."""
        sent = order["purchaseOrder"]
        known = Order(order, sent["objectVersion"]["newVersion"], sent["poStatusTransition"]["newStatus"])
        with self._lock:
            _put(self._orders, known.object_id, known, ORDERS_MAX)
            self._orders.move_to_end(known.object_id)

    def set_order_status(self, object_id: str, status: str) -> None:
        """Record that an order was canceled or closed."""
        with self._lock:
            if known := self._orders.get(object_id):
                self._orders[object_id] = replace(known, status=status)
                self._orders.move_to_end(object_id)

    def order(self, object_id: str) -> Order | None:
        """The order with this id, if it is known."""
        with self._lock:
            return self._orders.get(object_id)

    def orders(self) -> list[Order]:
        """The known orders, the last changed one last."""
        with self._lock:
            return list(self._orders.values())

    def newest_order(self, matches: Callable[[Order], bool]) -> Order | None:
        """The last changed order that matches."""
        return next((order for order in reversed(self.orders()) if matches(order)), None)

    def next_number(self) -> int:
        """A number for the next message to send."""
        return next(self._numbers)

    def add_sent(self, sent: Sent) -> None:
        """Store a sent message."""
        with self._lock:
            self._sent.append(sent)

    def sent(self, object_id: str | None = None) -> list[Sent]:
        """The sent messages, of one order or all, newest last."""
        with self._lock:
            return [sent for sent in self._sent if object_id in (None, sent.object_id)]

    def _refusal(
        self, identity: Identity, key: str, earlier: AcceptedResponse | None
    ) -> tuple[ErrorCode, str] | None:
        if earlier or (key and key in self._keys):
            return (
                ErrorCode.CONFLICT,
                "This version of the order, or this Idempotency-Key, already has another response.",
            )
        known = self._orders.get(identity.object_id)
        if known and known.status in _ENDED:
            return ErrorCode.TRANSITION, f"The order is {known.status}."
        if known and identity.version < known.version:
            return ErrorCode.STALE_VERSION, f"The order is at version {known.version} now."
        return None

    def _follow(self, identity: Identity, status: Status) -> None:
        known = self._orders.get(identity.object_id)
        # A response may be for a version from another sender; one to an old version changes nothing.
        if known and identity.version >= known.version and known.status not in _ENDED:
            self._orders[identity.object_id] = replace(known, version=identity.version, status=status)

    def _req_msg_id(self, identity: Identity) -> str:
        req_msg_id = self._req_msg_ids.get(identity)
        if req_msg_id is None:
            req_msg_id = new_id("REQ")
            _put(self._req_msg_ids, identity, req_msg_id, ACCEPTED_MAX)
        return req_msg_id


def _put(entries: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    entries[key] = value
    while len(entries) > most:
        entries.popitem(last=False)
