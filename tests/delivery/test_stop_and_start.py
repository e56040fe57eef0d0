"""Stopping a worker, suspending it, losing its lease; the clock that leases use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import clock
from app.config import ROOT, Settings
from app.db import Database
from app.delivery import worker
from app.delivery.claiming import claim
from app.delivery.models import MessageState
from app.partners.models import Partner
from tests.bench.setup import add_orders, confirm_all
from tests.chaos.run import start
from tests.delivery import misbehaving
from tests.delivery.queries import all_messages, message_of
from tests.delivery.workers import running_worker
from tests.fixture_types import ChangePartner
from tests.serving import Network
from tests.waiting import wait_until


@pytest.fixture
def slow_partner(change_partner: ChangePartner) -> Iterator[misbehaving.FakePartner]:
    """The partner responds after 1.5 seconds."""

    def script(connection: misbehaving.Connection) -> None:
        while True:
            connection.receive()
            connection.pause(1.5)
            connection.send(misbehaving.response())

    with misbehaving.FakePartner(script) as fake_partner:
        change_partner(base_url=fake_partner.url(""), deadline_seconds=20)
        yield fake_partner


def test_sigterm_finishes_attempts_in_flight_and_claims_nothing(
    app: Flask, settings: Settings, session: Session, partner: Partner, slow_partner: Any
) -> None:
    confirm_all(app, 1, add_orders(app, partner.id, 6))
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "deliver", "--workers", "2"],
        cwd=ROOT,
        env={**os.environ, "PO_INSTANCE": str(settings.instance), "PO_DATABASE_URL": settings.database_url},
    )
    wait_until(lambda: len(slow_partner.received) == 2, 60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    states = [message.state for message in all_messages(session)]
    assert sorted(states) == [MessageState.DELIVERED] * 2 + [MessageState.PENDING] * 4
    assert len(slow_partner.received) == 2
    untouched = [message for message in all_messages(session) if message.state is MessageState.PENDING]
    assert not any(message.attempts or message.claims for message in untouched)


SLOW_SIGNAL_HANDLER = """
import signal, threading, time
from app.delivery.worker import DeliveryWorker

signal.signal(signal.SIGTERM, lambda *_: time.sleep(0.6))
worker, main = DeliveryWorker(None, senders=1), threading.get_ident()
threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGTERM)).start()
assert worker._wait_for_results(0.3) is False
"""


def test_signal_handler_that_outlasts_a_wait_does_not_block_the_worker() -> None:
    subprocess.run([sys.executable, "-c", SLOW_SIGNAL_HANDLER], cwd=ROOT, check=True, timeout=30)


def test_suspended_worker_loses_its_lease_and_still_records_its_attempt(
    app: Flask,
    database: Database,
    session: Session,
    partner: Partner,
    slow_partner: Any,
    change_partner: ChangePartner,
) -> None:
    change_partner(deadline_seconds=4)
    (order_id,) = add_orders(app, partner.id, 1)
    confirm_all(app, 1, [order_id])
    suspended = start(database.url, {"senders": 1, "lease_margin": 0.5}, None)
    wait_until(lambda: len(slow_partner.received) == 1, 30)
    assert suspended.pid
    os.kill(suspended.pid, signal.SIGSTOP)
    try:
        with running_worker(database, senders=2, lease_margin=0.5):
            wait_until(lambda: all_messages(session)[0].state is MessageState.DELIVERED, 60)
    finally:
        os.kill(suspended.pid, signal.SIGCONT)
    wait_until(
        lambda: all(attempt.outcome != "interrupted" for attempt in all_messages(session)[0].attempts), 30
    )
    suspended.terminate()
    suspended.join(30)
    (message,) = all_messages(session)
    assert message.state is MessageState.DELIVERED
    assert len(message.attempts) == len(slow_partner.received) == 2
    assert all(attempt.ended_at for attempt in message.attempts)


def test_claim_with_unknown_commit_is_sent_once_after_its_lease(
    message_id: str, database: Database, session: Session, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True])

    def claim_and_fail(session: Session, *arguments: Any, **options: Any) -> Any:
        result = claim(session, *arguments, **options)
        if result.messages and any(fails):
            session.connection().commit()  # committed by the server, but the reply was lost
            raise OperationalError("COMMIT", None, Exception("the connection broke"))
        return result

    monkeypatch.setattr(worker, "claim", claim_and_fail)
    with running_worker(database, senders=2, lease_margin=0.5):
        wait_until(lambda: message_of(session, message_id).state is MessageState.DELIVERED, 30)
    assert len(network.received()) == 1
    outcomes = [attempt.outcome for attempt in message_of(session, message_id).attempts]
    assert outcomes == ["delivered", "interrupted"]


@pytest.mark.postgresql
def test_clock_on_postgresql_is_the_servers(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.reading() as session:
        before = clock.now()

        class Wrong(clock.datetime):  # type: ignore[name-defined, misc]
            """A machine clock that is an hour fast."""

            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return super().now(tz) + timedelta(hours=1)

        monkeypatch.setattr(clock, "datetime", Wrong)
        assert abs(clock.now() - before) < timedelta(minutes=1)
        server = session.execute(select(func.clock_timestamp())).scalar_one()
        assert abs(clock.now() - server) < timedelta(seconds=5)


def test_clock_follows_a_changed_server_clock() -> None:
    try:
        ticks, now = clock.ticks(), clock.now()
        clock.follow(now + timedelta(hours=1), sent_at=ticks, received_at=ticks + 0.001)
        assert clock.now() - now > timedelta(minutes=59)
        clock.follow(now - timedelta(hours=1), sent_at=ticks, received_at=ticks + 0.001)
        assert clock.now() < now
    finally:
        clock.forget_server()


def test_worse_measurement_does_not_change_the_clock() -> None:
    try:
        ticks = clock.ticks()
        now = clock.now()
        clock.follow(now, sent_at=ticks, received_at=ticks)
        before = clock._server
        clock.follow(now + timedelta(milliseconds=40), sent_at=ticks, received_at=ticks + 0.1)
        assert clock._server == before
        assert not clock.needs_measurement()
    finally:
        clock.forget_server()
