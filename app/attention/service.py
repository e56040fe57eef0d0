"""What people do about what needs attention: hand it over, close it for a reason, open it again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.attention.items import Subject, of_message
from app.attention.models import REASON_MAX, Case, CaseEvent
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import serialise, word_for_word
from app.delivery.events import MessageChange
from app.delivery.models import NEEDS_A_PERSON, Message

BY_ITSELF = "PO Confirm"
"""Who closes and opens again where no person does."""


class CannotHandle(Exception):
    """It is not as the press took it for; the text is a sentence for people."""


def assign(session: Session, subject: Subject, person: Person | None, *, by: str) -> None:
    """Hand it over to a person, or to nobody.

    Errors: CannotHandle where it needs no attention any more.
    """
    _must_need(subject)
    case = _case(session, subject)
    case.assigned_to = person.id if person else None
    case.assigned_name = person.called if person else ""
    what = "assigned" if person else "let go"
    _note(session, case, by, what, person.called if person else "")
    _in_trail(session, subject, case, what)


def close(session: Session, subject: Subject, *, by: str, reason: str) -> None:
    """Say that nothing more is to be done about it, and why. If it happens again, it is open again.

    Errors: CannotHandle where it needs no attention any more, or only going on would help.
    """
    _must_need(subject)
    if subject.held:
        raise CannotHandle("A held network is not closed: resume it, or say on its page why it waits.")
    case = _case(session, subject)
    case.closed_at, case.closed_by, case.closed_reason = clock.now(), by, reason[:REASON_MAX]
    case.mark = subject.mark
    if subject.message:
        subject.message.closed_at_attempt = subject.message.attempts_made
    if subject.inbound:
        subject.inbound.closed_at = case.closed_at
    _note(session, case, by, "closed", reason)
    if by != BY_ITSELF:
        _in_trail(session, subject, case, "closed", reason)


def reopen(session: Session, subject: Subject, *, by: str, reason: str) -> None:
    """Take a closing back.

    Errors: CannotHandle where nobody has closed it.
    """
    case = _case(session, subject)
    if subject.needs or case.closed_at is None or not subject.stands:
        raise CannotHandle("It is open already, or there is nothing left to do.")
    case.closed_at, case.closed_by, case.closed_reason = None, "", ""
    if subject.message:
        subject.message.closed_at_attempt = None
    if subject.inbound:
        subject.inbound.closed_at = None
    _note(session, case, by, "opened again", reason)
    _in_trail(session, subject, case, "opened again", reason)


def follow(session: Session, changes: Sequence[MessageChange]) -> None:
    """Where an order is answered anew, what became of its earlier answers needs nobody any more."""
    for change in changes:
        if not change.is_new or change.order_id is None:
            continue
        earlier = session.scalars(
            select(Message).where(
                Message.order_id == change.order_id,
                Message.id != change.message_id,
                word_for_word(NEEDS_A_PERSON),
            )
        ).all()
        for message in earlier:
            newer = session.get_one(Message, change.message_id)
            reason = f"The order was answered again by {newer.created_by}."
            close(session, of_message(message), by=BY_ITSELF, reason=reason)


def _must_need(subject: Subject) -> None:
    if not subject.needs:
        raise CannotHandle("It needs no attention any more: somebody was faster, or it came right by itself.")


def _case(session: Session, subject: Subject) -> Case:
    serialise(session, "attention", subject.key)
    case = session.scalar(
        select(Case).where(Case.subject == subject.key).execution_options(populate_existing=True)
    )
    if case is None:
        case = Case(subject=subject.key, title=subject.title, supplier_b2b_id=subject.supplier_b2b_id)
        session.add(case)
        session.flush()
    elif subject.needs and case.closed_at:
        _note(session, case, BY_ITSELF, "came again", f"After it was closed by {case.closed_by}.")
        case.closed_at, case.closed_by, case.closed_reason = None, "", ""
        case.assigned_to, case.assigned_name = None, ""
    return case


_DEEDS = {
    "assigned": AuditAction.HANDED_OVER,
    "let go": AuditAction.HANDED_OVER,
    "closed": AuditAction.CLOSED,
    "opened again": AuditAction.OPENED_AGAIN,
}


def _in_trail(session: Session, subject: Subject, case: Case, what: str, reason: str = "") -> None:
    """People's hands on it stand in the audit trail; what PO Confirm closes follows from another deed."""
    thing, _, object_id = subject.key.partition("-")
    trail.record(
        session,
        _DEEDS[what],
        AuditObject(thing),
        object_id,
        name=subject.title,
        reason=reason,
        after={"with": case.assigned_name or "nobody"} if _DEEDS[what] is AuditAction.HANDED_OVER else None,
    )


def _note(session: Session, case: Case, by: str, what: str, words: str = "") -> None:
    event = CaseEvent(case_id=case.id, at=clock.now(), by=by, what=what, words=words[:REASON_MAX])
    session.add(event)
    session.flush()
