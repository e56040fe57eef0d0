"""Mails about changes to an account. They do not depend on the preferences of the person."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.accounts.models import Person
from app.notifications.texts import AccountChange, account_change_mail
from app.tasks.mail import Topic, enqueue, link


def mail_account_change(
    session: Session, person: Person, change: AccountChange, *, to: str | None = None
) -> None:
    """Send a mail about the change to the person, or to the address ``to``; nothing without an address."""
    address = person.mail_address if to is None else to
    if not address:
        return
    url = link(session, "/account/sessions")
    subject, body = account_change_mail(change, person.username, url=url)
    enqueue(session, Topic.NOTIFICATION, subject, body, to=address)
