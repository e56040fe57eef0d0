"""The things that may need attention: messages of ours, partners, messages of partners.

``key`` is how an address names one: ``message-msg_…``, ``partner-3``, ``inbound-in_…``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, joinedload

from app.db import word_for_word
from app.delivery.circuit_breaker import IS_PENDING
from app.delivery.models import CircuitBreaker, Message, MessageState
from app.inbound.models import NEEDS_A_PERSON, Effect, InboundMessage
from app.partners.models import Partner
from app.webhooks.partner_status import Waiting, waiting

Scope = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing, and how it stands. Of ``message``, ``inbound`` and ``held`` one is set.

    ``needs`` if somebody must look; ``stands`` if its cause is still there, even where it was closed.
    """

    key: str
    title: str
    supplier_b2b_id: str
    needs: bool
    stands: bool
    mark: str
    message: Message | None = None
    inbound: InboundMessage | None = None
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A partner to whom nothing leaves, since when, and what waits for it. ``opened_at`` is the breaker's."""

    partner: Partner
    opened_at: datetime | None
    waiting: Waiting

    @property
    def since(self) -> datetime | None:
        """Since when nothing leaves."""
        return self.partner.paused_at or self.opened_at

    @property
    def mark(self) -> str:
        """What makes this hold another than an earlier one."""
        return self.since.isoformat() if self.since else ""


def _is_held() -> ColumnElement[bool]:
    """Paused, or held by the breaker with something that waits: without, no probe would ever close it."""
    waits = exists().where(Message.partner_id == Partner.id, IS_PENDING).correlate(Partner)
    return Partner.paused_at.is_not(None) | (CircuitBreaker.opened_at.is_not(None) & waits)


def held_count(session: Session) -> int:
    """How many partners nothing leaves to."""
    held = (
        select(func.count())
        .select_from(Partner)
        .outerjoin(CircuitBreaker, CircuitBreaker.partner_id == Partner.id)
        .where(_is_held())
    )
    return session.scalar(held) or 0


def held_partners(session: Session) -> list[Held]:
    """The partners that a person or the app paused, or whose breaker is open, by name."""
    rows = session.execute(
        select(Partner, CircuitBreaker.opened_at)
        .outerjoin(CircuitBreaker, CircuitBreaker.partner_id == Partner.id)
        .where(_is_held())
        .order_by(Partner.name)
    ).all()
    if not rows:
        return []
    waits = waiting(session)
    return [Held(partner, opened_at, waits.get(partner.id, Waiting())) for partner, opened_at in rows]


def of_message(message: Message) -> Subject:
    """A message of ours."""
    unknown = message.state is MessageState.CANCELLED and message.unknown_outcome
    failed = message.state in (MessageState.REFUSED, MessageState.FAILED) or unknown
    closed = message.closed_at_attempt is not None and message.closed_at_attempt >= message.attempts_made
    return Subject(
        key=f"message-{message.id}",
        title=message.buyer_po_number,
        supplier_b2b_id=message.supplier_b2b_id,
        needs=failed and not closed,
        stands=failed,
        mark=str(message.attempts_made),
        message=message,
    )


def of_inbound(inbound: InboundMessage) -> Subject:
    """A message of a partner."""
    return Subject(
        key=f"inbound-{inbound.id}",
        title=inbound.buyer_po_number or inbound.id,
        supplier_b2b_id=inbound.supplier_b2b_id,
        needs=inbound.effect is Effect.UNMATCHED and inbound.closed_at is None,
        stands=inbound.effect is Effect.UNMATCHED,
        mark="unmatched",
        inbound=inbound,
    )


def of_held(held: Held) -> Subject:
    """A partner."""
    return Subject(
        key=f"partner-{held.partner.id}",
        title=held.partner.name,
        supplier_b2b_id="",
        needs=held.since is not None,
        stands=held.since is not None,
        mark=held.mark,
        held=held,
    )


def subject(session: Session, scope: Scope, key: str, *, lock: bool = False) -> Subject | None:
    """The thing that an address names, or None where there is none that the reader may see."""
    kind, _, name = key.partition("-")
    if kind == "message":
        query = select(Message).where(Message.id == name).options(joinedload(Message.partner, innerjoin=True))
        if scope is not None:
            query = query.where(Message.supplier_b2b_id.in_(scope))
        message = session.scalar(query.with_for_update(of=Message) if lock else query)
        return of_message(message) if message else None
    if scope is not None:
        return None
    if kind == "inbound":
        looked = select(InboundMessage).where(InboundMessage.id == name)
        looked = looked.options(joinedload(InboundMessage.partner))
        inbound = session.scalar(looked.with_for_update(of=InboundMessage) if lock else looked)
        return of_inbound(inbound) if inbound else None
    if kind == "partner" and name.isascii() and name.isdecimal() and len(name) < 10:
        return _partner(session, int(name))
    return None


def _partner(session: Session, partner_id: int) -> Subject | None:
    held = next((one for one in held_partners(session) if one.partner.id == partner_id), None)
    if held:
        return of_held(held)
    partner = session.get(Partner, partner_id)
    return of_held(Held(partner, None, Waiting())) if partner else None


def unmatched(session: Session, *, most: int) -> Sequence[InboundMessage]:
    """The newest messages of partners that fit nothing and that nobody has closed."""
    return session.scalars(
        select(InboundMessage)
        .where(word_for_word(NEEDS_A_PERSON))
        .options(joinedload(InboundMessage.partner))
        .order_by(InboundMessage.id.desc())
        .limit(most)
    ).all()
