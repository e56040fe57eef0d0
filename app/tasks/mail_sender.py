"""Sending queued emails. No transaction is open while one is sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app import clock
from app.config import Settings
from app.tasks.mail import RETRY_WAITS, SUBJECT_MAX, Topic, mail_line
from app.tasks.models import MAIL, JobState, Task
from app.tasks.smtp import MailResult, Server, domain_of, send
from app.tasks.texts import FOOTER, SUBJECT_PREFIX, TEST_BODY, TEST_SUBJECT
from app.tasks.worker import Handler, Postpone, TaskFailed, TaskRun, TaskSkipped

DEADLINE_SECONDS = 15.0
MailWriter = Callable[[Session], tuple[str, str] | None]
"""Writes the subject and body when the email is sent; None if there is nothing to report."""


def handlers(settings: Settings, writers: Mapping[Topic, MailWriter]) -> dict[str, Handler]:
    """The task handlers for emails; none if email is off."""
    if not settings.smtp_url:
        return {}
    return {topic.task_kind: partial(_send, settings=settings, writer=writers.get(topic)) for topic in Topic}


def send_test(settings: Settings) -> MailResult:
    """Send a test email now."""
    parameters = {
        "subject": TEST_SUBJECT,
        "body": TEST_BODY,
        "message_id": f"test.{secrets.token_hex(8)}",
    }
    recipients = settings.mail_to
    mail = _compose(parameters, clock.now(), settings.mail_from, recipients)
    return send(Server.at(settings.smtp_url), mail, recipients, deadline=DEADLINE_SECONDS)


def _send(run: TaskRun, *, settings: Settings, writer: MailWriter | None) -> None:
    with run.step(resets_attempts=False) as (session, task):
        if writer is not None:
            _write(session, task, writer)
        finished = set(task.cursor.get("finished", []))
    to = task.parameters.get("to")
    addresses = [to] if to else settings.mail_to
    recipients = [address for address in addresses if address not in finished]
    try:
        mail = _compose(task.parameters, task.created_at, settings.mail_from, recipients)
    except ValueError as error:
        raise TaskFailed(f"{type(error).__name__}: {error}"[:500]) from error
    result = send(Server.at(settings.smtp_url), mail, recipients, deadline=DEADLINE_SECONDS)
    unfinished = set(recipients) - result.accepted - result.rejected
    with run.step(resets_attempts=False) as (session, task):
        task.cursor = {"finished": sorted(finished | result.accepted | result.rejected)}
        task.error = result.error
        if unfinished == set(recipients):
            _postpone_others(session, task)
    if unfinished and task.attempts <= len(RETRY_WAITS):
        raise Postpone(RETRY_WAITS[task.attempts - 1].total_seconds(), is_attempt=True)
    if unfinished or (result.rejected and not result.accepted):
        raise TaskFailed


def _write(session: Session, mail: Task, writer: MailWriter) -> None:
    """Write the text of a queued email. Errors: TaskSkipped if there is nothing to report."""
    written = writer(session)
    if written is None:
        raise TaskSkipped
    subject, body = written
    mail.parameters = {**mail.parameters, "subject": mail_line(subject)[:SUBJECT_MAX], "body": body}
    _cancel_duplicates(session, mail)


def _cancel_duplicates(session: Session, mail: Task) -> None:
    """Cancel the other queued emails on the topic, which would have the same text."""
    session.execute(
        update(Task)
        .where(Task.kind == mail.kind, Task.state == JobState.WAITING, Task.id != mail.id)
        .values(state=JobState.CANCELED, finished_at=clock.now(), run_at=None)
    )


def _postpone_others(session: Session, mail: Task) -> None:
    """Postpone the other queued emails, so that a mail server with a problem is not tried with each."""
    now = clock.now()
    session.execute(
        update(Task)
        .where(
            Task.kind.startswith(MAIL),
            Task.state == JobState.WAITING,
            Task.run_at <= now,
            Task.id != mail.id,
        )
        .values(run_at=now + RETRY_WAITS[0])
    )


def _compose(
    parameters: Mapping[str, Any], created_at: datetime, sender: str, recipients: Sequence[str]
) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = SUBJECT_PREFIX + parameters["subject"]
    mail["Date"] = format_datetime(created_at)
    mail["Message-ID"] = f"<{parameters['message_id']}@{domain_of(sender)}>"
    mail["Auto-Submitted"] = "auto-generated"  # suppresses out-of-office replies
    mail.set_content(parameters["body"] + FOOTER)
    return mail
