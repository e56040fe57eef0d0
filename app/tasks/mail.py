"""Writing mails into the queue, in the transaction of what they tell. Nothing here sends or commits.

Where no mail server is set nothing is written: ``session.info[ALERTS]`` says whether, and how links begin.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.tasks.mail_models import Mail, MailState, Topic

ALERTS = "alerts"
"""Where a session keeps the beginning of links (perhaps empty) if people are told, and None if not."""
SUBJECT_MAX = 200


def is_on(session: Session) -> bool:
    """Whether people are told of anything."""
    return session.info.get(ALERTS) is not None


def enqueue(
    session: Session, topic: Topic, subject: str, body: str, *, at: datetime | None = None
) -> Mail | None:
    """Let a mail go out after the commit, or not before ``at``; None where nobody is told of anything."""
    if not is_on(session):
        return None
    now = clock.now()
    mail = Mail(
        topic=topic.value,
        created_at=now,
        subject=one_line(subject)[:SUBJECT_MAX],
        body=body,
        next_at=at or now,
        message_id=f"{now:%Y%m%d%H%M%S}.{secrets.token_hex(8)}",
    )
    session.add(mail)
    session.flush()
    return mail


def enqueue_once(session: Session, topic: Topic, *, wait: timedelta) -> Mail | None:
    """Let one mail on this topic go out after ``wait``, which gathers what happens meanwhile.

    Its words are found when it is sent. Two transactions at once may write two: the sender makes them one.
    """
    if not is_on(session):
        return None
    waiting = select(Mail.id).where(
        Mail.state == MailState.WAITING, Mail.topic == topic.value, Mail.tries == 0
    )
    if session.scalar(waiting.limit(1)) is not None:
        return None
    return enqueue(session, topic, "", "", at=clock.now() + wait)


def link(session: Session, path: str) -> str:
    """A line with the address of a page, where the app knows its own; reading a page changes nothing."""
    start = (session.info.get(ALERTS) or "").rstrip("/")
    return f"\n{start}{path}\n" if start else ""


def one_line(words: str) -> str:
    """The words without line breaks and control characters: a subject is one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
