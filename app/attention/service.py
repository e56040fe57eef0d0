"""Assign, resolve and reopen items. Each command takes a session and never commits."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.attention.items import Item, message_item
from app.attention.models import REASON_MAX, Case, CaseAction, CaseEvent
from app.audit import trail
from app.audit.models import AuditAction
from app.db import advisory_lock
from app.delivery.events import MessageChange
from app.delivery.models import Message
from app.notifications.models import Event
from app.notifications.service import notify
from app.orders.team import NO_ASSIGNEE

SYSTEM = ""
"""The actor of an event that the app caused."""


class Blocker(StrEnum):
    """Why a command is not possible for an item."""

    NO_LONGER_NEEDED = "no_longer_needed"
    IS_PARTNER = "is_partner"
    IS_ORDER = "is_order"
    NOT_RESOLVED = "not_resolved"


class CannotHandle(Exception):
    """The item's state does not allow the command."""

    def __init__(self, blocker: Blocker) -> None:
        super().__init__(blocker.value)
        self.blocker = blocker


def assign(session: Session, item: Item, person: Person | None, *, by: Person) -> None:
    """Assign an item to a person, or unassign it.

    Errors: CannotHandle if it no longer needs attention.
    """
    _require_attention(item)
    case = _open_case(session, item)
    case.assigned_to = person.id if person else None
    case.assigned_name = person.display_name if person else ""
    action = CaseAction.ASSIGNED if person else CaseAction.UNASSIGNED
    _add_event(session, case, by.display_name, action, case.assigned_name)
    if person and person.id != by.id:
        path = f"/attention/{item.key}"
        notify(session, [person], Event.ASSIGNED, title=item.title, path=path, by=by.display_name)
    _add_audit_entry(session, item, AuditAction.ASSIGNED, after={"with": case.assigned_name or NO_ASSIGNEE})


def resolve(session: Session, item: Item, *, by: Person, reason: str) -> None:
    """Resolve an item. It reopens if the same problem occurs again.

    Errors: CannotHandle if it no longer needs attention, or is a partner or an order,
    which need another action.
    """
    _require_attention(item)
    if not item.is_resolvable:
        raise CannotHandle(Blocker.IS_PARTNER if item.partner_status else Blocker.IS_ORDER)
    case = _open_case(session, item)
    _set_resolved(item, case, by.display_name, reason)
    _add_event(session, case, by.display_name, CaseAction.RESOLVED, reason)
    _add_audit_entry(session, item, AuditAction.RESOLVED, reason)


def reopen(session: Session, item: Item, *, by: Person, reason: str) -> None:
    """Reopen a resolved item.

    Errors: CannotHandle if it is not resolved, or its cause is gone.
    """
    case = _open_case(session, item)
    if not item.can_be_reopened or case.resolved_at is None:
        raise CannotHandle(Blocker.NOT_RESOLVED)
    case.resolved_at, case.resolved_by, case.resolved_reason = None, "", ""
    if item.message:
        item.message.closed_at_attempt = None
    if item.inbound:
        item.inbound.closed_at = None
    _add_event(session, case, by.display_name, CaseAction.REOPENED, reason)
    _add_audit_entry(session, item, AuditAction.REOPENED, reason)


def resolve_superseded(session: Session, changes: Sequence[MessageChange]) -> None:
    """Resolve the webhooks of an order that need attention when the supplier responds again."""
    for change in changes:
        if not change.is_new or change.order_id is None:
            continue
        earlier = session.scalars(
            select(Message).where(
                Message.order_id == change.order_id,
                Message.id != change.message_id,
                Message.needs_attention,
            )
        ).all()
        if not earlier:
            continue
        responder = session.get_one(Message, change.message_id).created_by
        for message in earlier:
            item = message_item(message)
            case = _open_case(session, item)
            _set_resolved(item, case, responder, reason="")
            _add_event(session, case, responder, CaseAction.SUPERSEDED)


def _require_attention(item: Item) -> None:
    if not item.needs_attention:
        raise CannotHandle(Blocker.NO_LONGER_NEEDED)


def _open_case(session: Session, item: Item) -> Case:
    """The item's case, locked; created if missing, opened again if the problem recurred."""
    advisory_lock(session, "attention", item.key)
    case = session.scalar(
        select(Case).where(Case.item_key == item.key).execution_options(populate_existing=True)
    )
    if case is None:
        case = Case(item_key=item.key, title=item.title, supplier_b2b_id=item.supplier_b2b_id)
        session.add(case)
        session.flush()
    elif item.needs_attention and case.resolved_at:
        _add_event(session, case, SYSTEM, CaseAction.RECURRED, case.resolved_by)
        case.resolved_at, case.resolved_by, case.resolved_reason = None, "", ""
        case.assigned_to, case.assigned_name = None, ""
    return case


def _set_resolved(item: Item, case: Case, by: str, reason: str) -> None:
    case.resolved_at, case.resolved_by, case.resolved_reason = clock.now(), by, reason[:REASON_MAX]
    if item.message:
        item.message.closed_at_attempt = item.message.attempts_made
    if item.inbound:
        item.inbound.closed_at = case.resolved_at


def _add_event(session: Session, case: Case, by: str, action: CaseAction, note: str = "") -> None:
    session.add(CaseEvent(case_id=case.id, at=clock.now(), by=by, action=action, note=note[:REASON_MAX]))
    session.flush()


def _add_audit_entry(
    session: Session,
    item: Item,
    action: AuditAction,
    reason: str = "",
    after: dict[str, str] | None = None,
) -> None:
    trail.record(session, action, item.kind, item.object_id, name=item.title, reason=reason, after=after)
