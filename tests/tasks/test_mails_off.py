"""Without a mail server no emails are written."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.db import Database
from app.reports import digests
from app.tasks import mail_sender
from app.tasks.models import Task
from tests.fixture_types import Arrive, Confirm, Deliver
from tests.serving import Network

pytestmark = pytest.mark.sqlite


@pytest.fixture
def settings(tmp_path: Any, database_url: str) -> Settings:
    """The settings without any mail setting."""
    return Settings.load(instance=tmp_path, database_url=database_url, secret_key="only for these tests")


def test_event_without_mail_server_writes_no_mail(
    database: Database,
    settings: Settings,
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    session: Session,
) -> None:
    network.behave("status", status=422)
    confirm(arrive(1)[0])
    deliver()
    assert not digests.queue_digest(database, settings)
    assert not mail_sender.handlers(settings, {})
    assert not session.scalars(select(Task)).all()
