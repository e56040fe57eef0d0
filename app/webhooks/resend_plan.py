"""What a bulk resend would send, and what it would skip and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from app.db.filters import Scope
from app.delivery.models import Attempt, Message, MessageState
from app.delivery.resend_blocker import ResendBlocker, blocker_case
from app.network.vocabulary import Status
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from app.webhooks import queries
from app.webhooks.queries import MessageFilter

MESSAGES_MAX = 20_000
"""Messages in one bulk resend."""
SELECTED_MAX = 500
"""Messages that can be selected one by one."""
UNDELIVERED = (MessageState.PENDING, MessageState.FAILED)
"""The states of messages after an outage."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The messages of a bulk resend: those with these ``ids``, or all that match ``filter``.

    ``tried_since`` adds a condition: created, attempted or ended since then, and in one of ``states``.
    """

    ids: tuple[str, ...] = ()
    filter: MessageFilter = field(default_factory=MessageFilter)
    tried_since: datetime | None = None
    states: tuple[MessageState, ...] = ()
    include_delivered: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was selected; an empty filter does not select everything."""
        return not (self.ids or self.tried_since or self.filter != MessageFilter())


@dataclass(frozen=True, slots=True)
class Plan:
    """The number and age of the messages to resend, and of those to skip.

    Messages are counted by ``state:reason``, by partner, and by blocker, most first.
    """

    count: int
    oldest: datetime | None
    newest: datetime | None
    by_reason: dict[str, int]
    by_partner: dict[str, int]
    skipped: dict[str, int]
    has_more: bool
    searched_back_to: datetime | None

    @property
    def skipped_count(self) -> int:
        """How many messages are skipped."""
        return sum(self.skipped.values())


def plan(session: Session, scope: Scope, selection: Selection) -> Plan:
    """What a bulk resend of this selection would do now."""
    selected, searched_back_to = candidates(session, scope, selection)
    rows = session.execute(
        select(
            selected.c.blocker,
            selected.c.partner,
            selected.c.labeled_state,
            selected.c.reason,
            func.count().label("how_many"),
            func.min(selected.c.created_at).label("oldest"),
            func.max(selected.c.created_at).label("newest"),
        ).group_by(selected.c.blocker, selected.c.partner, selected.c.labeled_state, selected.c.reason)
    ).all()
    to_send = [row for row in rows if not row.blocker]
    return Plan(
        count=sum(row.how_many for row in to_send),
        oldest=min((row.oldest for row in to_send), default=None),
        newest=max((row.newest for row in to_send), default=None),
        by_reason=_counted((f"{row.labeled_state}:{row.reason}", row.how_many) for row in to_send),
        by_partner=_counted((row.partner, row.how_many) for row in to_send),
        skipped=_counted((row.blocker, row.how_many) for row in rows if row.blocker),
        has_more=sum(row.how_many for row in rows) > MESSAGES_MAX,
        searched_back_to=searched_back_to,
    )


def candidates(session: Session, scope: Scope, selection: Selection) -> tuple[Subquery, datetime | None]:
    """The selected messages with their blockers, newest first and at most one more than ``MESSAGES_MAX``.

    The time is how far back bodies were searched, if not all were.
    """
    conditions, searched_back_to = _conditions(session, scope, selection)
    query = (
        select(
            Message.id,
            Message.buyer_po_number,
            Message.labeled_state.label("labeled_state"),
            Message.reason,
            Message.created_at,
            Partner.name.label("partner"),
            _blocker(selection.include_delivered).label("blocker"),
        )
        .join(Message.partner)
        .outerjoin(PurchaseOrder, PurchaseOrder.id == Message.order_id)
        .where(*conditions)
        .order_by(Message.id.desc())
        .limit(MESSAGES_MAX + 1)
    )
    return query.subquery(), searched_back_to


def read_selection(values: Mapping[str, Any], ids: Sequence[str]) -> Selection:
    """The selection of a query; ``values`` are the checked values of ``SelectionForm``."""
    names = {column.name for column in fields(MessageFilter)} - {"after"}
    return Selection(
        ids=tuple(dict.fromkeys(ids))[:SELECTED_MAX],
        filter=MessageFilter(**{name: value for name, value in values.items() if name in names}),
        tried_since=values.get("tried_since"),
        states=UNDELIVERED if values.get("tried_since") and not values.get("state") else (),
        include_delivered=bool(values.get("delivered")),
    )


def _conditions(
    session: Session, scope: Scope, selection: Selection
) -> tuple[list[ColumnElement[bool]], datetime | None]:
    if selection.ids:
        conditions: list[ColumnElement[bool]] = [Message.id.in_(selection.ids)]
        if scope is not None:
            conditions.append(Message.supplier_b2b_id.in_(scope))
        return conditions, None
    conditions, oldest = queries.filter_conditions(session, scope, selection.filter)
    if selection.states:
        conditions.append(Message.state.in_(selection.states))
    if selection.tried_since:
        conditions.append(_active_since(selection.tried_since))
    return conditions, oldest.at if oldest else None


def _active_since(when: datetime) -> ColumnElement[bool]:
    """Created, attempted or ended since then; messages created before an outage may fail during it."""
    attempted = exists().where(Attempt.message_id == Message.id, Attempt.started_at >= when)
    return or_(Message.created_at >= when, Message.finished_at >= when, attempted)


def _blocker(include_delivered: bool) -> ColumnElement[str]:
    """Why a message is skipped: the rule for one message, and what applies to a bulk resend only."""
    blocker = blocker_case(include_delivered=include_delivered)
    order_ended = PurchaseOrder.status.in_((Status.CANCELLED.value, Status.CLOSED.value))
    states = [MessageState.PENDING, MessageState.REFUSED, MessageState.FAILED]
    states += [MessageState.DELIVERED] if include_delivered else []
    return case(
        (and_(order_ended, Message.state.in_(states)), ResendBlocker.ORDER_ENDED.value),
        (blocker.is_not(None), blocker),
        (Partner.paused_at.is_not(None), ResendBlocker.PARTNER_PAUSED.value),
        else_="",
    )


def _counted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for key, count in sorted(pairs):
        counts[key] += count
    return dict(counts.most_common())
