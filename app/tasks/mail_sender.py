"""Sending what waits: claimed one by one, sent with no transaction open, tried again for about two days."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import clock
from app.config import Settings
from app.db import Database
from app.tasks.mail import one_line
from app.tasks.mail_models import Mail, MailState, Topic
from app.tasks.smtp import Outcome, Server, send

DEADLINE_SECONDS = 15.0
CLAIM = timedelta(minutes=2)
"""How long a mail is in somebody's hand at most."""
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720, 1440))
"""After each try in vain."""
BUDGET_SECONDS = 30.0
"""A run begins no further mail after this: other chores wait for it."""

FOOT = "\n-- \nPO Confirm. The links of this mail only show; nothing changes by opening them.\n"
Words = Callable[[Session], tuple[str, str] | None]
"""What a mail says at the time when it is sent: subject and body; None if there is nothing to say."""


def send_due(database: Database, settings: Settings, words: Mapping[Topic, Words]) -> int:
    """Send what is due; returns how many mails were taken by the server."""
    if not settings.smtp_url:
        return 0
    server, to = Server.at(settings.smtp_url), settings.mail_addresses
    sent, until = 0, time.monotonic() + BUDGET_SECONDS
    while time.monotonic() < until:
        mail = _claim(database, words)
        if mail is None:
            break
        if mail.state is not MailState.WAITING:
            continue
        left = [one for one in to if one not in mail.sent_to.splitlines()]
        try:
            written = _written(mail, settings.mail_from, left)
        except ValueError as error:  # words that no mail can hold must not keep the others waiting
            outcome = Outcome(refused=frozenset(left), trouble=f"{type(error).__name__}: {error}"[:500])
        else:
            outcome = send(server, written, left, deadline=DEADLINE_SECONDS)
        done = _record(database, mail, outcome, left)
        sent += done
        if not (done or outcome.taken or outcome.refused):
            break  # the server is not well: the others would fare no better
    return sent


def send_test(settings: Settings) -> Outcome:
    """Hand in a mail that says that mails arrive, and keep nothing of it."""
    mail = Mail(
        subject="mails arrive",
        body="Somebody tried whether mails of PO Confirm arrive. This one did.\n",
        created_at=clock.now(),
        message_id=f"test.{secrets.token_hex(8)}",
    )
    to = settings.mail_addresses
    written = _written(mail, settings.mail_from, to)
    return send(Server.at(settings.smtp_url), written, to, deadline=DEADLINE_SECONDS)


def _claim(database: Database, words: Mapping[Topic, Words]) -> Mail | None:
    """Take the mail that is due longest, with the words that it says now."""
    with database.writing() as session:
        now = clock.now()
        mail = session.scalar(
            select(Mail)
            .where(Mail.state == MailState.WAITING, Mail.next_at <= now)
            .order_by(Mail.next_at, Mail.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if mail is None:
            return None
        mail.next_at, mail.tries = now + CLAIM, mail.tries + 1
        topic = Topic(mail.topic)
        if topic in words:
            said = words[topic](session)
            if said is None:
                mail.state, mail.finished_at = MailState.NEEDLESS, now
            else:
                mail.subject, mail.body = one_line(said[0])[:200], said[1]
                _merge(session, mail)
        session.commit()
        return mail


def _merge(session: Session, mail: Mail) -> None:
    """Others of the topic that were asked for until now would say the same."""
    session.execute(
        update(Mail)
        .where(Mail.state == MailState.WAITING, Mail.topic == mail.topic, Mail.id != mail.id)
        .values(state=MailState.NEEDLESS, finished_at=clock.now())
    )


def _record(database: Database, mail: Mail, outcome: Outcome, asked: list[str]) -> bool:
    """Note who has it; those who neither have it nor never will are tried again. Whether it is sent."""
    with database.writing() as session:
        row = session.scalar(select(Mail).where(Mail.id == mail.id).with_for_update())
        if row is None or row.state is not MailState.WAITING:
            return False
        now = clock.now()
        row.sent_to = "\n".join([*row.sent_to.splitlines(), *sorted(outcome.taken), *sorted(outcome.refused)])
        row.trouble = outcome.trouble
        if not set(asked) - outcome.taken - outcome.refused:
            row.state = MailState.SENT if outcome.taken or not outcome.refused else MailState.FAILED
            row.finished_at = now
        elif row.tries > len(WAITS):
            row.state, row.finished_at = MailState.FAILED, now
        else:
            row.next_at = now + WAITS[row.tries - 1]
        session.commit()
        return row.state is MailState.SENT


def _written(mail: Mail, sender: str, to: list[str]) -> EmailMessage:
    written = EmailMessage()
    written["From"] = sender
    written["To"] = ", ".join(to)
    written["Subject"] = f"PO Confirm: {mail.subject}"
    written["Date"] = format_datetime(mail.created_at)
    written["Message-ID"] = f"<{mail.message_id}@{sender.rpartition('@')[2].strip('> ') or 'localhost'}>"
    # Nobody's holiday notice is wanted in answer.
    written["Auto-Submitted"] = "auto-generated"
    written.set_content(mail.body + FOOT)
    return written
