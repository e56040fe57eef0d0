"""What a resend would take in, and what it leaves out and why: told before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from app import clock
from app.delivery.models import Attempt, Message, MessageState, ResultFrom, Trigger
from app.delivery.service import under_way
from app.network.vocabulary import Status
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from app.webhooks import queries as outbox

MOST = 20_000
"""Messages that one resend takes in."""
MOST_CHOSEN = 500
"""Messages that can be chosen one by one."""
UNDELIVERED = (MessageState.PENDING, MessageState.FAILED)
"""What an outage leaves behind: what waits for its next try, and what has no try left."""

SENDING, DELIVERED, WITHDRAWN, ENDED, SETTLED, ASKED, UNDER_WAY, PAUSED, SUPERSEDED = (
    "It is being sent right now.",
    "The network has it already.",
    "It was withdrawn: it must not leave any more.",
    "The buyer cancelled or closed the order.",
    "The network looked at exactly this message and refused it later. Answer the order again.",
    "Somebody has asked for it already.",
    "An answer to its order is still under way.",
    "Sending to the network is paused. Let it go on first.",
    "The order has been answered again since.",
)

Scope = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be sent again: chosen ``ids``, or all that fit ``filter``.

    ``tried_since`` narrows to what was made, tried or ended since then, and is in one of ``states``.
    ``delivered_too`` is the stronger press: it takes in what the network has already.
    """

    ids: tuple[str, ...] = ()
    filter: outbox.MessageFilter = field(default_factory=outbox.MessageFilter)
    tried_since: datetime | None = None
    states: tuple[MessageState, ...] = ()
    delivered_too: bool = False

    def as_parameters(self) -> dict[str, Any]:
        """As a job keeps it."""
        narrowed = {one.name: getattr(self.filter, one.name) for one in fields(self.filter)}
        return {
            "ids": len(self.ids),
            "filter": {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in narrowed.items()
                if value not in (None, "")
            },
            "tried_since": self.tried_since.isoformat() if self.tried_since else None,
            "states": [state.value for state in self.states],
            "delivered_too": self.delivered_too,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that are alike: why they stand where they stand, or why they are left out."""

    words: str
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How much would be sent again, from when to when, by what became of it; and what would not, and why."""

    count: int
    oldest: datetime | None
    newest: datetime | None
    by_reason: Sequence[Group]
    by_partner: Sequence[Group]
    left_out: Sequence[Group]
    more: bool
    looked_back_to: datetime | None

    @property
    def left_out_count(self) -> int:
        """How many are left out."""
        return sum(group.count for group in self.left_out)


def plan(session: Session, scope: Scope, selection: Selection) -> Plan:
    """What a resend of this selection would do now; nothing is changed."""
    taken, looked_back_to = candidates(session, scope, selection)
    rows = session.execute(
        select(
            taken.c.blocker,
            taken.c.partner,
            taken.c.state,
            taken.c.reason,
            func.count().label("how_many"),
            func.min(taken.c.created_at).label("oldest"),
            func.max(taken.c.created_at).label("newest"),
        ).group_by(taken.c.blocker, taken.c.partner, taken.c.state, taken.c.reason)
    ).all()
    sent = [row for row in rows if not row.blocker]
    return Plan(
        count=sum(row.how_many for row in sent),
        oldest=min((row.oldest for row in sent), default=None),
        newest=max((row.newest for row in sent), default=None),
        by_reason=_summed((_reason_key(row), row.how_many) for row in sent),
        by_partner=_summed((row.partner, row.how_many) for row in sent),
        left_out=_summed((row.blocker, row.how_many) for row in rows if row.blocker),
        more=sum(row.how_many for row in rows) > MOST,
        looked_back_to=looked_back_to,
    )


def candidates(session: Session, scope: Scope, selection: Selection) -> tuple[Subquery, datetime | None]:
    """The messages of a selection, newest first and one more than ``MOST``, each with why it is left out.

    The time is how far back words were looked for, where not everything was looked through.
    """
    conditions, looked_back_to = _chosen(session, scope, selection)
    query = (
        select(
            Message.id,
            Message.buyer_po_number,
            Message.state,
            Message.reason,
            Message.created_at,
            Partner.name.label("partner"),
            _why_not(selection.delivered_too).label("blocker"),
        )
        .join(Message.partner)
        .outerjoin(PurchaseOrder, PurchaseOrder.id == Message.order_id)
        .where(*conditions)
        .order_by(Message.id.desc())
        .limit(MOST + 1)
    )
    return query.subquery(), looked_back_to


def _chosen(
    session: Session, scope: Scope, selection: Selection
) -> tuple[list[ColumnElement[bool]], datetime | None]:
    if selection.ids:
        conditions: list[ColumnElement[bool]] = [Message.id.in_(selection.ids)]
        if scope is not None:
            conditions.append(Message.supplier_b2b_id.in_(scope))
        return conditions, None
    conditions, oldest = outbox.narrowed(session, scope, selection.filter)
    if selection.states:
        conditions.append(Message.state.in_(selection.states))
    if selection.tried_since:
        conditions.append(_touched_since(selection.tried_since))
    return conditions, oldest.created_at if oldest else None


def _touched_since(when: datetime) -> ColumnElement[bool]:
    """Made, tried or ended since then: an outage leaves behind also what was made before it."""
    tried = exists().where(Attempt.message_id == Message.id, Attempt.started_at >= when)
    return or_(Message.created_at >= when, Message.finished_at >= when, tried)


def _why_not(delivered_too: bool) -> ColumnElement[str]:
    """The rule of ``outbox.messages.resend_blocker``, and what only many need, for all rows at once."""
    newer = aliased(Message)
    superseded = exists().where(
        newer.order_id == Message.order_id, newer.decision_number > Message.decision_number
    )
    whens: list[tuple[ColumnElement[bool], str]] = [
        (Message.state == MessageState.SENDING, SENDING),
        (Message.state == MessageState.CANCELLED, WITHDRAWN),
        (PurchaseOrder.status.in_((Status.CANCELLED.value, Status.CLOSED.value)), ENDED),
        (
            and_(
                Message.result_from == ResultFrom.RESP_CONFIRM,
                Message.state != MessageState.DELIVERED,
            ),
            SETTLED,
        ),
        (Message.cancel_requested.is_not(None), WITHDRAWN),
        (Message.trigger != Trigger.AUTO, ASKED),
        (under_way(Message.order_id, clock.now()), UNDER_WAY),
        (superseded, SUPERSEDED),
        (Partner.paused_at.is_not(None), PAUSED),
    ]
    if not delivered_too:
        whens.insert(0, (Message.state == MessageState.DELIVERED, DELIVERED))
    return case(*whens, else_="")


def _reason_key(row: Any) -> str:
    return f"{row.state.value}:{row.reason}"


def _summed(pairs: Any) -> list[Group]:
    sums: dict[str, int] = {}
    for words, count in pairs:
        sums[words] = sums.get(words, 0) + count
    return [Group(words, count) for words, count in sorted(sums.items(), key=lambda one: (-one[1], one[0]))]


def selection_of(values: Mapping[str, Any], ids: Sequence[str]) -> Selection:
    """The selection that a page's address means: chosen ids, else the log's filter and what an outage adds.

    ``values`` are the checked values of ``ResendForm``.
    """
    known = {one.name for one in fields(outbox.MessageFilter)} - {"after"}
    return Selection(
        ids=tuple(dict.fromkeys(ids))[:MOST_CHOSEN],
        filter=outbox.MessageFilter(**{name: value for name, value in values.items() if name in known}),
        tried_since=values.get("tried_since"),
        states=UNDELIVERED if values.get("tried_since") and not values.get("state") else (),
        delivered_too=bool(values.get("delivered")),
    )
