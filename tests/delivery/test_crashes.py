"""Killed workers: nothing is lost, and every duplicate has the same ID and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.models import MessageState
from app.partners.models import Partner
from tests.bench.setup import add_orders, confirm_all
from tests.chaos import child
from tests.chaos.run import Counts, Plan, count, partner_that_records, run_chaos, start
from tests.delivery.queries import all_messages
from tests.fixture_types import ChangePartner
from tests.waiting import wait_until

SENDERS = 4


@pytest.fixture
def record(change_partner: ChangePartner, tmp_path: Path) -> Iterator[Path]:
    """The requests that a partner in its own process received."""
    with partner_that_records(tmp_path) as (url, record):
        change_partner(base_url=url, concurrency=2 * SENDERS)
        yield record


@pytest.mark.parametrize("point", child.POINTS)
def test_killed_worker_loses_nothing_and_repeats_only_open_attempts(
    point: str, app: Flask, database: Database, partner: Partner, record: Path, session: Session
) -> None:
    confirm_all(app, 1, add_orders(app, partner.id, 12))
    killed = start(database.url, {"senders": SENDERS, "lease_margin": 0.5}, point, passes=2)
    killed.join(60)
    assert killed.exitcode == -9
    successor = start(database.url, {"senders": SENDERS, "lease_margin": 0.5}, None)
    wait_until(lambda: all(message.is_final for message in all_messages(session)), 30)
    successor.terminate()
    successor.join(30)
    successor.kill()  # test_stop_and_start.py covers how it stops on a signal
    successor.join(30)

    counts = count(database, record, Counts(messages=12, kills=1))
    assert (counts.lost, counts.unsettled, counts.changed, counts.unlogged) == (0, 0, 0, 0)
    assert counts.duplicates <= SENDERS
    if point == "before the record":
        assert counts.duplicates >= 1
    assert counts.interrupted_attempts <= SENDERS
    assert {message.state for message in all_messages(session)} == {MessageState.DELIVERED}


def test_many_kills_lose_nothing(app: Flask, database: Database, partner: Partner, record: Path) -> None:
    plan = Plan(kills=12, senders=SENDERS, deliverers=2)
    confirm_all(app, 1, add_orders(app, partner.id, 200))
    counts = run_chaos(database, record, plan)
    assert counts.kills >= 4
    assert (counts.lost, counts.unsettled, counts.changed, counts.unlogged) == (0, 0, 0, 0), counts
    assert counts.duplicates <= counts.kills * SENDERS
