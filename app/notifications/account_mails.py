"""Mails about changes to an account. They do not depend on the preferences of the person."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import Session

from app.accounts.models import Person
from app.tasks.mail import Topic, enqueue, link


class AccountChange(StrEnum):
    """What changed; the value is the subject of the mail."""

    PASSWORD = "Your password was changed"  # noqa: S105
    PASSWORD_RESET = "An administrator reset your password"  # noqa: S105
    MAIL_ADDRESS = "Your email address was changed"


def mail_account_change(
    session: Session, person: Person, change: AccountChange, *, to: str | None = None
) -> None:
    """Send a mail about the change to the person, or to the address ``to``; nothing without an address."""
    address = person.mail_address if to is None else to
    if not address:
        return
    body = (
        f"{change.value}. The username is {person.username}.\n\n"
        "If you did not expect this, contact your administrator and review your sessions:\n"
        f"{link(session, '/account/sessions')}"
    )
    enqueue(session, Topic.NOTIFICATION, change.value, body, to=address)
