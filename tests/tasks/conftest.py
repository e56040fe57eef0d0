"""A mail server, and an app that is configured to use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.config import Settings
from app.db import Database
from app.reports import digests
from app.tasks import mail_sender
from app.tasks.models import MAIL, JobState, Task
from app.tasks.worker import Worker
from tests.tasks.mail_server import MailServer


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server without faults."""
    server = MailServer()
    yield server
    if not server.closed.is_set():
        server.close()


@pytest.fixture
def settings(tmp_path: Path, database_url: str, mail_server: MailServer) -> Settings:
    """Settings in which mail is on."""
    return Settings.load(
        instance=tmp_path,
        database_url=database_url,
        secret_key="only for these tests",
        smtp_url=f"smtp+plain://127.0.0.1:{mail_server.port}",
        mail_from="po@supplier.example",
        mail_to="ravi@supplier.example, meera@supplier.example",
        public_url="https://po.supplier.example",
    )


@pytest.fixture
def send(database: Database, settings: Settings) -> Callable[[], int]:
    """Send the due mails; returns how many were sent."""
    sent = select(func.count()).where(Task.kind.startswith(MAIL), Task.state == JobState.DONE)

    def send() -> int:
        with database.reading() as session:
            before = session.scalar(sent) or 0
        worker = Worker(database, mail_sender.handlers(settings, digests.mail_writers(settings)))
        while worker.run_next():
            pass
        with database.reading() as session:
            return (session.scalar(sent) or 0) - before

    return send
