"""The items that may need attention: webhooks, partners, incoming messages, and orders without a user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session, joinedload

from app.accounts.queries import reachable_supplier_ids
from app.attention.models import Case, item_key, split_key
from app.audit.models import AuditObject
from app.db.filters import Scope, count_rows, in_scope
from app.delivery.models import Message
from app.inbound.models import Effect, InboundMessage
from app.network.text import whole_number
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from app.webhooks.partner_status import PartnerStatus, partner_statuses


@dataclass(frozen=True, slots=True)
class Item:
    """One item and its case, if any. One of ``message``, ``inbound``, ``partner_status``, ``order`` is set.

    ``has_problem`` is true while the problem exists, even if a person resolved the item.
    """

    kind: AuditObject
    object_id: str
    title: str
    supplier_b2b_id: str
    needs_attention: bool
    has_problem: bool
    message: Message | None = None
    inbound: InboundMessage | None = None
    partner_status: PartnerStatus | None = None
    order: PurchaseOrder | None = None
    case: Case | None = None

    @property
    def key(self) -> str:
        """The name of the item in URLs and of its case."""
        return item_key(self.kind, self.object_id)

    @property
    def is_resolvable(self) -> bool:
        """Whether a person can resolve it; other items close when their cause ends."""
        return self.kind in (AuditObject.MESSAGE, AuditObject.INBOUND)

    @property
    def can_be_resolved(self) -> bool:
        """Whether a person can resolve it now."""
        return self.needs_attention and self.is_resolvable

    @property
    def can_be_reopened(self) -> bool:
        """Whether a person resolved it although its cause still exists."""
        return self.has_problem and not self.needs_attention

    @property
    def has_recurred(self) -> bool:
        """Whether it needs attention again after a person resolved it."""
        return self.needs_attention and self.case is not None and self.case.resolved_at is not None

    @property
    def assigned_to(self) -> str:
        """The assignee's name, empty if unassigned."""
        return self.case.assigned_name if self.case and self.case.resolved_at is None else ""

    @property
    def assignee_id(self) -> int | None:
        """The assignee's id."""
        return self.case.assigned_to if self.case and self.case.resolved_at is None else None


def message_item(message: Message) -> Item:
    """An item for one of our webhooks."""
    return Item(
        kind=AuditObject.MESSAGE,
        object_id=message.id,
        title=message.buyer_po_number,
        supplier_b2b_id=message.supplier_b2b_id,
        needs_attention=message.needs_attention,
        has_problem=message.has_problem,
        message=message,
    )


def inbound_item(inbound: InboundMessage) -> Item:
    """An item for a message from a partner."""
    return Item(
        kind=AuditObject.INBOUND,
        object_id=inbound.id,
        title=inbound.buyer_po_number or inbound.id,
        supplier_b2b_id=inbound.supplier_b2b_id,
        needs_attention=inbound.needs_attention,
        has_problem=inbound.effect is Effect.UNMATCHED,
        inbound=inbound,
    )


def partner_item(status: PartnerStatus) -> Item:
    """An item for a partner."""
    return Item(
        kind=AuditObject.PARTNER,
        object_id=str(status.partner.id),
        title=status.partner.name,
        supplier_b2b_id="",
        needs_attention=status.since is not None,
        has_problem=status.since is not None,
        partner_status=status,
    )


def order_item(order: PurchaseOrder, *, is_unreachable: bool = True) -> Item:
    """An item for an order that no active person can respond to."""
    return Item(
        kind=AuditObject.ORDER,
        object_id=str(order.id),
        title=order.buyer_po_number,
        supplier_b2b_id=order.supplier_b2b_id,
        needs_attention=is_unreachable,
        has_problem=is_unreachable,
        order=order,
    )


def find_item(session: Session, scope: Scope, key: str, *, lock: bool = False) -> Item | None:
    """The item with this key, without its case; None if the reader may not see it."""
    kind, object_id = split_key(key)
    if kind == AuditObject.MESSAGE:
        return _find_message_item(session, scope, object_id, lock=lock)
    if scope is not None:  # the other kinds are for those who see all suppliers
        return None
    if kind == AuditObject.INBOUND:
        return _find_inbound_item(session, object_id, lock=lock)
    row_id = whole_number(object_id)
    if kind == AuditObject.ORDER and row_id is not None:
        return _find_order_item(session, row_id)
    if kind == AuditObject.PARTNER and row_id is not None:
        return _find_partner_item(session, row_id)
    return None


def _find_message_item(session: Session, scope: Scope, message_id: str, *, lock: bool) -> Item | None:
    query = select(Message).where(Message.id == message_id)
    query = query.options(joinedload(Message.partner, innerjoin=True))
    query = in_scope(query, Message.supplier_b2b_id, scope)
    message = session.scalar(query.with_for_update(of=Message, key_share=True) if lock else query)
    return message_item(message) if message else None


def _find_inbound_item(session: Session, inbound_id: str, *, lock: bool) -> Item | None:
    query = select(InboundMessage).where(InboundMessage.id == inbound_id)
    query = query.options(joinedload(InboundMessage.partner))
    inbound = session.scalar(query.with_for_update(of=InboundMessage, key_share=True) if lock else query)
    return inbound_item(inbound) if inbound else None


def _find_order_item(session: Session, order_id: int) -> Item | None:
    order = session.get(PurchaseOrder, order_id, options=[joinedload(PurchaseOrder.partner)])
    return order_item(order, is_unreachable=_is_unreachable(session, order)) if order else None


def _find_partner_item(session: Session, partner_id: int) -> Item | None:
    partner = session.get(Partner, partner_id)
    return partner_item(partner_statuses(session, [partner])[0]) if partner else None


def unmatched_messages(
    session: Session, *conditions: ColumnElement[bool], limit: int
) -> Sequence[InboundMessage]:
    """The newest unmatched messages that are not resolved."""
    return session.scalars(
        select(InboundMessage)
        .where(InboundMessage.needs_attention, *conditions)
        .options(joinedload(InboundMessage.partner))
        .order_by(InboundMessage.id.desc())
        .limit(limit)
    ).all()


def unreachable_orders(
    session: Session, *conditions: ColumnElement[bool], limit: int
) -> Sequence[PurchaseOrder]:
    """The newest orders that need a response and have a supplier without an active user."""
    return session.scalars(
        select(PurchaseOrder)
        .where(_unreachable(session), *conditions)
        .options(joinedload(PurchaseOrder.partner))
        .order_by(PurchaseOrder.id.desc())
        .limit(limit)
    ).all()


def unreachable_order_count(session: Session) -> int:
    """The number of such orders; counting stops at ``COUNT_MAX``."""
    return count_rows(session, select(PurchaseOrder.id).where(_unreachable(session)))


def _unreachable(session: Session) -> ColumnElement[bool]:
    has_no_user = PurchaseOrder.supplier_b2b_id.not_in(reachable_supplier_ids(session))
    return and_(PurchaseOrder.needs_response, has_no_user)


def _is_unreachable(session: Session, order: PurchaseOrder) -> bool:
    return order.needs_response and order.supplier_b2b_id not in reachable_supplier_ids(session)
