"""Stopping, starting, sleeping, clocks that jump: what is in flight ends well, what was lost is found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import clock as the_clock
from app.config import ROOT, Settings
from app.db import Database
from app.delivery import worker
from app.delivery.claiming import Lease, claim
from app.delivery.lost import Search
from app.delivery.models import MessageState
from app.delivery.presence import Presence, Standing, presence_for
from app.delivery.worker import Deliverer
from app.partners.models import Partner
from tests.bench.ground import add_orders, answer_all
from tests.chaos.storm import start
from tests.delivery import misbehaving
from tests.delivery.looking import all_messages, message_of, wait_until


@contextmanager
def slow_partner(database: Database, seconds: float) -> Iterator[misbehaving.Partner]:
    """Takes its time over every answer."""

    def script(talk: misbehaving.Talk) -> None:
        while True:
            talk.hear()
            talk.pause(seconds)
            talk.say(misbehaving.answer())

    with misbehaving.Partner(script) as there:
        with database.writing() as session:
            session.execute(update(Partner).values(base_url=there.url(""), deadline_seconds=20))
            session.commit()
        yield there


@contextmanager
def running(database: Database, **options: Any) -> Iterator[None]:
    """A deliverer in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=Deliverer(database, senders=2, **options).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(40)
    assert not thread.is_alive()


def test_on_sigterm_what_is_in_flight_is_finished_and_nothing_new_is_claimed(
    app: Flask, settings: Settings, database: Database, session: Session, partner: Partner
) -> None:
    with slow_partner(database, 1.5) as there:
        answer_all(app, 1, add_orders(app, partner.id, 6))
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", "deliver", "--workers", "2"],
            cwd=ROOT,
            env={
                **os.environ,
                "PO_INSTANCE": str(settings.instance),
                "PO_DATABASE_URL": settings.database_url,
            },
        )
        there.wait_for(lambda: len(there.received) == 2, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    states = [message.state for message in all_messages(session)]
    assert sorted(states) == [MessageState.DELIVERED] * 2 + [MessageState.PENDING] * 4
    assert len(there.received) == 2
    untouched = [message for message in all_messages(session) if message.state is MessageState.PENDING]
    assert not any(message.attempts or message.claims for message in untouched)


def test_a_deliverer_that_sleeps_loses_its_lease_and_still_logs_what_it_sent(
    app: Flask, database: Database, session: Session, partner: Partner, network: Any
) -> None:
    with slow_partner(database, 1.5) as there:
        with database.writing() as other:
            other.execute(update(Partner).values(deadline_seconds=2))
            other.commit()
        (order_id,) = add_orders(app, partner.id, 1)
        answer_all(app, 1, [order_id])
        sleeper = start(database.url, {"senders": 1, "lease_margin": 0.5}, None)
        there.wait_for(lambda: len(there.received) == 1, 30)
        assert sleeper.pid
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            with running(database, lease_margin=0.5):
                wait_until(lambda: all_messages(session)[0].state is MessageState.DELIVERED, 60)
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        wait_until(lambda: all(one.outcome != "interrupted" for one in all_messages(session)[0].attempts), 30)
        sleeper.terminate()
        sleeper.join(30)
    (message,) = all_messages(session)
    assert message.state is MessageState.DELIVERED
    assert len(message.attempts) == len(there.received) == 2
    assert all(one.ended_at for one in message.attempts)


def test_what_a_dead_deliverer_left_goes_out_at_once_and_not_after_its_lease(
    arrive: Any, confirm: Any, deliver: Any, database: Database, session: Session
) -> None:
    message_id = confirm(arrive(1)[0])
    dead = presence_for(database)
    with database.writing() as lost:
        assert claim(lost, 1, the_clock.now(), Lease(dead.token()))
        lost.commit()
    assert deliver() == {}  # it lives: its lease counts
    die(dead)
    assert deliver() == {"delivered": 1}
    assert [one.outcome for one in message_of(session, message_id).attempts] == ["delivered", "interrupted"]


def die(presence: Presence) -> None:
    """What the kernel does for a process that dies."""
    assert presence._descriptor is not None
    os.close(presence._descriptor)
    presence._descriptor = None


def test_nothing_is_certain_about_a_deliverer_elsewhere_so_its_lease_counts(
    arrive: Any, confirm: Any, deliver: Any, database: Database, clock: Any, tmp_path: Any
) -> None:
    confirm(arrive(1)[0])
    elsewhere = Presence(tmp_path / "another-machine")
    with database.writing() as lost:
        assert claim(lost, 1, the_clock.now(), Lease(elsewhere.token()))
        lost.commit()
    die(elsewhere)
    assert deliver() == {}
    clock.move(minutes=1)
    assert deliver() == {"delivered": 1}


def test_a_claim_whose_commit_was_never_answered_is_found_at_once_and_sent_once(
    arrive: Any, confirm: Any, database: Database, session: Session, network: Any, monkeypatch: Any
) -> None:
    message_id = confirm(arrive(1)[0])
    real, unheard = worker.take, iter([True])

    def taken(session: Session, *more: Any) -> Any:
        found = real(session, *more)
        if found.claimed and next(unheard, False):
            session.connection().commit()  # by itself, as the server did
            raise OperationalError("COMMIT", None, Exception("the connection broke"))
        return found

    monkeypatch.setattr(worker, "take", taken)
    with running(database):
        wait_until(lambda: message_of(session, message_id).state is MessageState.DELIVERED, 30)
    assert len(network.received()) == 1
    assert [one.outcome for one in message_of(session, message_id).attempts] == ["delivered", "interrupted"]


@pytest.mark.parametrize("jump", [timedelta(hours=3), timedelta(hours=-3)])
def test_a_clock_that_jumps_ends_no_lease_of_a_living_deliverer(
    app: Flask, database: Database, session: Session, partner: Partner, clock: Any, jump: timedelta
) -> None:
    with slow_partner(database, 4) as there:
        (order_id,) = add_orders(app, partner.id, 1)
        answer_all(app, 1, [order_id])
        with running(database), running(database):
            there.wait_for(lambda: len(there.received) == 1, 30)
            time.sleep(1.2)  # both have looked at the clock
            clock.move(seconds=jump.total_seconds())
            wait_until(lambda: all_messages(session)[0].state is MessageState.DELIVERED, 60)
    assert len(there.received) == 1
    (message,) = all_messages(session)
    assert [one.outcome for one in message.attempts] == ["delivered"]


def test_a_lease_that_the_clock_left_in_the_far_future_is_over(
    arrive: Any, confirm: Any, deliver: Any, database: Database, clock: Any
) -> None:
    confirm(arrive(1)[0])
    with database.writing() as lost:
        assert claim(lost, 1, the_clock.now())
        lost.commit()
    clock.move(hours=-2)
    assert deliver() == {"delivered": 1}


def test_a_lease_that_is_over_though_its_holder_lives_gets_a_moments_grace(
    arrive: Any, confirm: Any, database: Database, clock: Any
) -> None:
    message_id = confirm(arrive(1)[0])
    holder, looker = presence_for(database), presence_for(database)
    with database.writing() as session:
        claim(session, 1, the_clock.now(), Lease(holder.token()))
        session.commit()
    clock.move(minutes=1)
    search = Search(looker, grace=0.3)
    with database.writing() as session:
        assert search.look(session, the_clock.now(), {}, margin=1) == {}
        time.sleep(0.35)
        assert list(search.look(session, the_clock.now(), {}, margin=1)) == [message_id]
    holder.close()
    looker.close()


def test_a_deliverer_is_known_to_live_only_to_those_who_share_its_folder(tmp_path: Any) -> None:
    one, other, far = Presence(tmp_path / "a"), Presence(tmp_path / "a"), Presence(tmp_path / "b")
    token = one.token()
    assert other.standing(token) is Standing.ALIVE
    assert far.standing(token) is Standing.UNKNOWN
    assert other.standing("a1b2c3") is Standing.UNKNOWN
    assert len(token) <= 32
    die(one)
    assert other.standing(token) is Standing.DEAD
    other.sweep([])
    assert other.standing(token) is Standing.UNKNOWN
    other.close()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["place"]


def test_without_a_folder_a_deliverer_works_all_the_same(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    presence = Presence(tmp_path / "file")
    assert presence.standing(presence.token()) is Standing.UNKNOWN
    assert presence.token() != presence.token()
    presence.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_on_postgresql_the_clock_is_the_servers(database: Database, monkeypatch: Any) -> None:
    with database.reading() as session:
        before = the_clock.now()

        class Wrong(the_clock.datetime):  # type: ignore[name-defined, misc]
            """This machine's clock, an hour fast."""

            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return super().now(tz) + timedelta(hours=1)

        monkeypatch.setattr(the_clock, "datetime", Wrong)
        assert abs(the_clock.now() - before) < timedelta(minutes=1)
        server = session.execute(select(func.clock_timestamp())).scalar_one()
        assert abs(the_clock.now() - server) < timedelta(seconds=5)


def test_the_clock_follows_a_server_that_was_set() -> None:
    try:
        ticks, noon = the_clock.ticks(), the_clock.now()
        the_clock.follow(noon + timedelta(hours=1), asked_at=ticks, told_at=ticks + 0.001)
        assert the_clock.now() - noon > timedelta(minutes=59)
        the_clock.follow(noon - timedelta(hours=1), asked_at=ticks, told_at=ticks + 0.001)
        assert the_clock.now() < noon
    finally:
        the_clock.forget_server()


def test_a_measure_that_is_no_better_than_the_last_leaves_the_clock_alone() -> None:
    try:
        ticks = the_clock.ticks()
        noon = the_clock.now()
        the_clock.follow(noon, asked_at=ticks, told_at=ticks)
        kept = the_clock._server
        the_clock.follow(noon + timedelta(milliseconds=40), asked_at=ticks, told_at=ticks + 0.1)
        assert the_clock._server == kept
        assert not the_clock.wants_measure()
    finally:
        the_clock.forget_server()
