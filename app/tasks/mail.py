"""Queueing emails in the transaction of what they report. Nothing here sends or commits.

Without a mail server nothing is queued: ``SessionSettings.mail_base_url`` is None then.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.db import SessionSettings
from app.network.text import JOINERS
from app.tasks.models import MAIL, JobState, Task

SUBJECT_MAX = 200
DIGEST_HOUR = 8
"""The local hour of daily digests."""
RETRY_WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720, 1440))


class Topic(StrEnum):
    """What an email is about."""

    PAUSED = "held"
    FAILING = "failing"
    RECOVERED = "recovered"
    # The text is written when it is sent: many failures in a row make one email.
    ATTENTION = "attention"
    DEADLINES = "deadlines"
    # For one person.
    NOTIFICATION = "notification"

    @property
    def task_kind(self) -> str:
        return MAIL + self.value


def is_on(session: Session) -> bool:
    """Whether emails are sent."""
    return SessionSettings.of(session).mail_base_url is not None


def enqueue(
    session: Session, topic: Topic, subject: str, body: str, *, at: datetime | None = None, to: str = ""
) -> Task | None:
    """Send an email after the commit, or not before ``at``. None if email is off.

    Without ``to`` it goes to the recipients of alerts.
    """
    if not is_on(session):
        return None
    now = clock.now()
    # The Message-ID is the same in all attempts, so that a mailbox can recognize a repeat.
    message_id = f"{now:%Y%m%d%H%M%S}.{secrets.token_hex(8)}"
    mail = Task(
        id=f"mail_{message_id}",
        kind=topic.task_kind,
        parameters={
            "subject": mail_line(subject)[:SUBJECT_MAX],
            "body": body,
            "message_id": message_id,
            "to": to,
        },
        created_at=now,
        run_at=at or now,
        max_attempts=len(RETRY_WAITS) + 1,
    )
    session.add(mail)
    session.flush()
    return mail


def enqueue_once(session: Session, topic: Topic, *, wait: timedelta) -> Task | None:
    """Send one email on this topic after ``wait``; its text is written then.

    Two concurrent transactions may queue two emails. The sender merges them.
    """
    if not is_on(session):
        return None
    queued = select(Task.id).where(
        Task.kind == topic.task_kind, Task.state == JobState.WAITING, Task.attempts == 0
    )
    if session.scalar(queued.limit(1)) is not None:
        return None
    return enqueue(session, topic, "", "", at=clock.now() + wait)


def last_created_at(session: Session, topic: Topic) -> datetime | None:
    """When the newest email on this topic was queued."""
    newest = select(Task.created_at).where(Task.kind == topic.task_kind).order_by(Task.id.desc()).limit(1)
    return session.scalar(newest)


def link(session: Session, path: str) -> str:
    """A line with the URL of a page, or nothing if the app does not know its URL."""
    base = (SessionSettings.of(session).mail_base_url or "").rstrip("/")
    return f"\n{base}{path}\n" if base else ""


def mail_line(text: str) -> str:
    """A text for one line of an email, where nothing can end the line or reverse the words after it.

    Stricter than ``one_line``, since an email has no markup that keeps a text apart from what follows.
    Joiners stay: Hindi words need them.
    """
    shown = (letter if letter.isprintable() or letter in JOINERS else " " for letter in text)
    return " ".join("".join(shown).split())
